//! What the dynamic loader learns from an ELF file.

use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSymbol, elf};
use std::path::Path;

/// The file's statements that decide what is loaded with it.
#[derive(Debug)]
pub struct ObjectFile {
    /// The kind of machine, `EM_...`.
    pub machine: elf::Machine,
    /// The loader that it wants; `None`: it is static.
    pub interpreter: Option<String>,
    /// The libraries that it needs.
    pub needed: Vec<String>,
    /// Where it wants them looked for (`DT_RPATH`, `DT_RUNPATH`), not yet expanded.
    pub search: Vec<String>,
    /// It has a `rumpuser_init` of its own.
    pub defines_hypercalls: bool,
}

impl ObjectFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, or is no 64-bit ELF file: what is wrong, for people.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
        Self::parse(&bytes).map_err(|error| format!("it is no 64-bit ELF file ({error})"))
    }

    fn parse(bytes: &[u8]) -> object::Result<Self> {
        let file = ElfFile64::<Endianness>::parse(bytes)?;
        let endian = file.endian();
        let mut interpreter = None;
        for header in file.elf_program_headers() {
            if let Some(path) = header.interpreter(endian, bytes)? {
                interpreter = Some(String::from_utf8_lossy(path).into_owned());
            }
        }
        let dynamic = file.elf_dynamic_table()?;
        let (mut needed, mut search) = (Vec::new(), Vec::new());
        for entry in dynamic.iter() {
            let into = match entry.tag {
                elf::DT_NEEDED => &mut needed,
                elf::DT_RPATH | elf::DT_RUNPATH => &mut search,
                _ => continue,
            };
            into.push(String::from_utf8_lossy(dynamic.string(entry)?).into_owned());
        }
        let defines = |symbol: object::read::elf::ElfSymbol64<'_, '_, Endianness>| {
            symbol.is_definition() && symbol.name_bytes() == Ok(b"rumpuser_init")
        };
        Ok(ObjectFile {
            machine: file.elf_header().e_machine(endian),
            interpreter,
            needed,
            search,
            defines_hypercalls: file.symbols().chain(file.dynamic_symbols()).any(defines),
        })
    }
}
