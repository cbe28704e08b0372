//! The symbols of the program's file, which its loader does not load. Layouts are those of the System V gABI, chapter 4.

use core::ffi::CStr;
use core::ops::Range;
use libc::{Elf64_Ehdr, Elf64_Shdr, Elf64_Sym};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const SHT_SYMTAB: u32 = 2;
const SHN_UNDEF: u16 = 0;
const STT_TLS: u8 = 6;

/// Where in the running program's thread-local storage its variable `name` is, in bytes; `None`: it has none of that
/// name.
///
/// # Errors
/// What is wrong with the program's file: it cannot be read, or its symbols have been removed.
pub fn thread_local(name: &CStr) -> Result<Option<Range<usize>>, String> {
    find(Path::new("/proc/self/exe"), name)
        .map_err(|error| format!("cannot be looked at: {error}"))?
        .ok_or("has no symbols".into())
}

/// `None`: no symbols. `Some(None)`: not among them.
fn find(path: &Path, name: &CStr) -> io::Result<Option<Option<Range<usize>>>> {
    let file = File::open(path)?;
    // SAFETY: integers.
    let header = unsafe { read::<Elf64_Ehdr>(&file, 0, 1) }?;
    let Some(header) = header.first().filter(|header| usize::from(header.e_shentsize) == size_of::<Elf64_Shdr>())
    else {
        return Ok(None);
    };
    // SAFETY: integers.
    let sections = unsafe { read::<Elf64_Shdr>(&file, header.e_shoff, header.e_shnum.into()) }?;
    let Some(table) = sections.iter().find(|section| section.sh_type == SHT_SYMTAB) else { return Ok(None) };
    let Some(strings) = sections.get(table.sh_link as usize) else { return Ok(None) };
    let count = table.sh_size as usize / size_of::<Elf64_Sym>();
    // SAFETY: integers.
    let symbols = unsafe { read::<Elf64_Sym>(&file, table.sh_offset, count) }?;
    // SAFETY: bytes.
    let names = unsafe { read::<u8>(&file, strings.sh_offset, strings.sh_size as usize) }?;
    let found = symbols.iter().find(|symbol| {
        symbol.st_info & 0xf == STT_TLS
            && symbol.st_shndx != SHN_UNDEF
            && names.get(symbol.st_name as usize..).is_some_and(|rest| rest.starts_with(name.to_bytes_with_nul()))
    });
    Ok(Some(found.map(|symbol| {
        let start = symbol.st_value as usize;
        start..start.saturating_add(symbol.st_size as usize)
    })))
}

/// `count` values at `offset` of `file`.
///
/// # Safety
/// Every sequence of bytes is a valid `T`.
unsafe fn read<T>(file: &File, offset: u64, count: usize) -> io::Result<Vec<T>> {
    let size =
        count.checked_mul(size_of::<T>()).filter(|&size| size as u64 <= file.metadata().map_or(0, |of| of.len()));
    let size = size.ok_or(io::ErrorKind::InvalidData)?;
    let mut values: Vec<T> = Vec::with_capacity(count);
    // SAFETY: the vector's own memory, of that size; bytes may be written there.
    let bytes = unsafe {
        values.as_mut_ptr().cast::<u8>().write_bytes(0, size);
        core::slice::from_raw_parts_mut(values.as_mut_ptr().cast::<u8>(), size)
    };
    file.read_exact_at(bytes, offset)?;
    // SAFETY: all bytes are written, and any are valid, says the caller.
    unsafe { values.set_len(count) };
    Ok(values)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::host::scratch::Scratch;
    use rumpscope_probes::initial_exec;

    initial_exec! {
        fn variable() -> *mut [u64; 3] = "scope_test_of_the_programs_symbols"
    }

    #[test]
    fn a_thread_local_variable_of_this_program_is_found() {
        assert!(!variable().is_null());
        let found = thread_local(c"scope_test_of_the_programs_symbols").expect("symbols").expect("the variable");
        assert_eq!(found.len(), 24);
        assert_eq!(thread_local(c"scope_test_of_the_programs_symbol"), Ok(None));
    }

    #[test]
    fn what_is_no_program_is_an_error() {
        let scratch = Scratch::new("program");
        let path = scratch.file("text");
        assert!(find(&path, c"x").is_err(), "not there");
        std::fs::write(&path, [b'x'; 100]).expect("written");
        assert_eq!(find(&path, c"x").expect("read"), None, "no header");
        std::fs::write(&path, b"short").expect("written");
        assert!(find(&path, c"x").is_err());
    }
}
