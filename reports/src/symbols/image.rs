//! A loaded file, as far as it could be read.

use super::debug_file;
use super::debug_info::DebugInfo;
pub use super::debug_info::Function;
use super::table::Table;
use object::{File, Object, ObjectSegment, ReadCache};
use rumpscope_probes::contention::Module;
use std::cell::OnceCell;
use std::path::Path;

/// The largest page of any processor that we know: how far the bounds of a module can be rounded.
const PAGE: u64 = 0x10000;

/// What a file tells of its addresses. All addresses here are those in the file.
#[derive(Debug, Default)]
pub struct Image {
    functions: Table,
    data: Table,
    debug_info: Option<DebugInfo>,
    /// What debug information knows of data: read when the table does not know an address.
    variables: OnceCell<Table>,
}

/// The functions at an address.
#[derive(Debug)]
pub struct Found {
    /// Innermost first; at least one.
    pub functions: Vec<Function>,
    /// Where the outermost one begins, if known.
    pub start: Option<u64>,
}

impl Image {
    /// Reads what `module` was loaded from, without debug information where that has more than `most` bytes. An error is a
    /// sentence for people.
    pub fn open(module: &Module, most: u64) -> Result<Self, String> {
        // What the kernel of the host brings along has no file.
        if module.path.starts_with("linux-vdso") || module.path.starts_with('[') {
            return Ok(Image::default());
        }
        let path = Path::new(&module.path);
        let cache = read(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                format!("{} is missing: its functions have no names", module.path)
            }
            _ => format!("{} cannot be read ({error}): its functions have no names", module.path),
        })?;
        let file = File::parse(&cache)
            .map_err(|error| format!("{} is no object file ({error}): its functions have no names", module.path))?;
        if !fits(&file, module) {
            return Err(format!("{} has changed since it was loaded: its functions have no names", module.path));
        }
        let mut image = Image {
            functions: Table::of_functions(&file),
            data: Table::of_data(&file),
            debug_info: DebugInfo::of(&file, most),
            variables: OnceCell::new(),
        };
        if image.debug_info.is_none() {
            image.read_separate(path, &file, most);
        }
        Ok(image)
    }

    /// Takes what a separate debug file of `file` has, if there is one.
    fn read_separate<'a>(&mut self, path: &Path, file: &impl Object<'a>, most: u64) {
        for place in debug_file::places(path, file) {
            let Ok(cache) = read(&place.path) else { continue };
            let Ok(debug) = File::parse(&cache) else { continue };
            if !place.has_that_of(file, &debug) {
                continue;
            }
            self.debug_info = DebugInfo::of(&debug, most);
            if file.symbol_table().is_none() && debug.symbol_table().is_some() {
                self.functions = Table::of_functions(&debug);
                self.data = Table::of_data(&debug);
            }
            return;
        }
    }

    /// The functions at an address.
    pub fn functions(&self, address: u64) -> Found {
        let mut functions = self.debug_info.as_ref().map_or_else(Vec::new, |info| info.functions(address));
        if functions.is_empty() {
            functions.push(Function::default());
        }
        let mut symbol = self.functions.find(address);
        if let Some(outermost) = functions.last_mut() {
            // Static functions are often missing in the table, and a symbol without a size would swallow them.
            symbol = symbol.filter(|symbol| symbol.sized || outermost.name.is_none());
            if let Some(symbol) = symbol {
                outermost.name = Some(symbol.name.clone());
            }
        }
        Found { functions, start: symbol.map(|symbol| symbol.start) }
    }

    /// The data object that covers an address, and how far behind its beginning the address is.
    pub fn data(&self, address: u64) -> Option<(String, u64)> {
        let variables = || {
            let variables = self.debug_info.as_ref().map_or_else(Vec::new, DebugInfo::variables);
            Table::of_variables(variables)
        };
        let symbol = self.data.find(address).or_else(|| self.variables.get_or_init(variables).find(address))?;
        Some((symbol.name.clone(), address - symbol.start))
    }
}

/// A file, to be read in pieces as they are needed.
fn read(path: &Path) -> std::io::Result<ReadCache<std::fs::File>> {
    // Before it is opened: opening a pipe would wait for somebody to write.
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    Ok(ReadCache::new(std::fs::File::open(path)?))
}

/// Whether `file`, loaded as `module` was, would lie where that lies.
fn fits<'a>(file: &impl Object<'a>, module: &Module) -> bool {
    let start = file.segments().map(|segment| segment.address()).min();
    let end = file.segments().map(|segment| segment.address().saturating_add(segment.size())).max();
    let (Some(start), Some(end)) = (start, end) else { return false };
    start.wrapping_add(module.bias).abs_diff(module.start) < PAGE
        && end.wrapping_add(module.bias).abs_diff(module.end) < PAGE
}
