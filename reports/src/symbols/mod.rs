//! Names for addresses of the measured process.
//!
//! [`Symbols`] is made from the list of what the process had loaded. Whatever a file can tell is asked of it, in this
//! order: its symbol table, or the one for dynamic linking; debug information, in the file or in a separate one
//! ([`debug_file`]), for source lines, inlined functions, and functions and objects that the tables leave out. Files are
//! opened when the first address in them is asked for. They may be missing, other than they were when the process
//! loaded them, or no object files at all: then there are fewer names, and [`Symbols::problems`] says why.

mod debug_file;
mod debug_info;
mod image;
mod lock;
mod own;
mod plain;
mod table;
mod variables;

use image::Image;
pub use lock::lock_name;
use rumpscope_probes::contention::Module;
use std::collections::HashMap;

/// Names for the addresses of one process.
#[derive(Debug)]
pub struct Symbols {
    /// By address.
    modules: Vec<Loaded>,
    keep_prefix: bool,
    /// Files with more bytes of debug information tell what their symbol tables do.
    most_debug_info: u64,
    /// What was asked for before, by return address.
    frames: HashMap<u64, Vec<Frame>>,
    problems: Vec<String>,
}

#[derive(Debug)]
struct Loaded {
    module: Module,
    /// None: not opened yet.
    image: Option<Image>,
}

/// A function in a call chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Its name as in the source; `module+0xoffset` where it has none, with the return address in the file. An address
    /// in no module is the name itself.
    pub function: String,
    /// The file name of the module, without its folder; empty if the address is in none.
    pub module: String,
    /// The source file and line of the call, where debug information tells it.
    pub file_line: Option<(String, u32)>,
    /// The compiler has put it into the next frame, its caller.
    pub inlined: bool,
    /// How many bytes the return address is behind the beginning of the function (of the outermost one, for those that
    /// are inlined); of the module if it is not known where the function begins.
    pub offset: u64,
}

impl Symbols {
    /// Names for a process that had `modules` loaded.
    pub fn new(modules: &[Module]) -> Self {
        let mut modules: Vec<_> = modules.iter().map(|module| Loaded { module: module.clone(), image: None }).collect();
        modules.sort_by_key(|loaded| loaded.module.start);
        Symbols { modules, keep_prefix: false, most_debug_info: u64::MAX, frames: HashMap::new(), problems: Vec::new() }
    }

    /// The process has `modules` loaded by now; what is known of those that were there before stays.
    pub fn learn(&mut self, modules: &[Module]) {
        let mut learned = false;
        for module in modules {
            let after = self.modules.partition_point(|loaded| loaded.module.start < module.start);
            let loaded = Loaded { module: module.clone(), image: None };
            match self.modules.get_mut(after) {
                Some(known) if known.module == *module => continue,
                Some(known) if known.module.start == module.start => *known = loaded,
                _ => self.modules.insert(after, loaded),
            }
            learned = true;
        }
        if learned {
            // An address that was in no module may be in one now.
            self.frames.clear();
        }
    }

    /// Leaves the prefix on names of a rump kernel that its build has put there: `rumpns_mutex_enter`.
    pub fn keep_prefix(mut self) -> Self {
        self.keep_prefix = true;
        self.frames.clear();
        self
    }

    /// Reads no debug information of files that have more than `bytes` of it (in `.debug_info`, the largest part): in
    /// memory it takes many times as much. Their functions have names by the symbol tables, without lines, and those that
    /// are inlined are not told apart from their callers.
    pub fn debug_info_up_to(mut self, bytes: u64) -> Self {
        self.most_debug_info = bytes;
        self
    }

    /// The functions at a return address, innermost first: all but the last are inlined. There is always one.
    pub fn frames(&mut self, return_address: u64) -> Vec<Frame> {
        if let Some(frames) = self.frames.get(&return_address) {
            return frames.clone();
        }
        let frames = self.look_up(return_address);
        self.frames.insert(return_address, frames.clone());
        frames
    }

    /// The functions of a call chain, innermost first, without those of the hypervisor: its innermost ones are left
    /// out, and where it has called the guest and that has called it again, only the hypercall stands for it.
    pub fn chain(&mut self, return_addresses: &[u64]) -> Vec<Frame> {
        let frames = return_addresses.iter().flat_map(|&address| self.frames(address)).collect();
        own::without(frames)
    }

    /// The object in memory (a global or static variable) that covers an address, and how far behind its beginning the
    /// address is.
    pub fn data(&mut self, address: u64) -> Option<(String, u64)> {
        let keep_prefix = self.keep_prefix;
        let (module, image) = self.image(address)?;
        let (name, offset) = image.data(address.wrapping_sub(module.bias))?;
        Some((plain::name(&name, keep_prefix), offset))
    }

    /// Why there are fewer names than there could be: a sentence for each file that was asked and could not tell.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    fn look_up(&mut self, return_address: u64) -> Vec<Frame> {
        // A call may be a function's last instruction; then the return address belongs to the next function.
        let address = return_address.wrapping_sub(1);
        let keep_prefix = self.keep_prefix;
        let Some((module, image)) = self.image(address) else {
            let function = format!("{return_address:#x}");
            return vec![Frame { function, module: String::new(), file_line: None, inlined: false, offset: 0 }];
        };
        let module_name = file_name(&module.path);
        let in_file = return_address.wrapping_sub(module.bias);
        let found = image.functions(address.wrapping_sub(module.bias));
        let offset = found.start.map_or(return_address - module.start, |start| in_file.wrapping_sub(start));
        let last = found.functions.len() - 1;
        let frame = |(nth, function): (usize, image::Function)| Frame {
            function: match function.name {
                Some(name) => plain::name(&name, keep_prefix),
                None => format!("{module_name}+{in_file:#x}"),
            },
            module: module_name.to_owned(),
            file_line: function.file_line,
            inlined: nth < last,
            offset,
        };
        found.functions.into_iter().enumerate().map(frame).collect()
    }

    /// The module at an address, opened.
    fn image(&mut self, address: u64) -> Option<(&Module, &Image)> {
        let after = self.modules.partition_point(|loaded| loaded.module.start <= address);
        let Loaded { module, image } = self.modules.get_mut(after.checked_sub(1)?)?;
        if address >= module.end {
            return None;
        }
        let image = image.get_or_insert_with(|| {
            // Of the hypervisor's own functions no more is told than the hypercall, whose name is in the symbol table.
            let most = if own::is_own(file_name(&module.path)) { 0 } else { self.most_debug_info };
            Image::open(module, most).unwrap_or_else(|problem| {
                self.problems.push(problem);
                Image::default()
            })
        });
        Some((module, image))
    }
}

/// What a module is called in a frame.
fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
