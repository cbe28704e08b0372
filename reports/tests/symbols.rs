//! Names for addresses of this very process, and for those in files that are not as they should be.

use rumpscope_probes::contention::Module;
use rumpscope_reports::symbols::{Frame, Symbols};
use std::ffi::{CStr, OsStr, c_int, c_void};
use std::hint::black_box;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What this process has loaded.
fn modules() -> Vec<Module> {
    unsafe extern "C" fn each(info: *mut libc::dl_phdr_info, _: usize, modules: *mut c_void) -> c_int {
        // SAFETY: as `dl_iterate_phdr` and the call below have it.
        let (info, modules) = unsafe { (&*info, &mut *modules.cast::<Vec<Module>>()) };
        // SAFETY: the loader's strings and tables live as long as the object, which stays.
        let (name, headers) = unsafe {
            (CStr::from_ptr(info.dlpi_name), std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()))
        };
        let path = match name.to_bytes() {
            b"" => std::env::current_exe().unwrap(),
            name => PathBuf::from(OsStr::from_bytes(name)),
        };
        let loaded = || headers.iter().filter(|header| header.p_type == libc::PT_LOAD);
        modules.push(Module {
            path: path.to_str().unwrap().to_owned(),
            start: info.dlpi_addr + loaded().map(|header| header.p_vaddr).min().unwrap(),
            end: info.dlpi_addr + loaded().map(|header| header.p_vaddr + header.p_memsz).max().unwrap(),
            bias: info.dlpi_addr,
        });
        0
    }
    let mut modules = Vec::<Module>::new();
    // SAFETY: the function gets what it expects.
    unsafe { libc::dl_iterate_phdr(Some(each), (&raw mut modules).cast()) };
    modules
}

fn own_module() -> Module {
    let own = std::env::current_exe().unwrap();
    modules().into_iter().find(|module| Path::new(&module.path) == own).unwrap()
}

/// The return addresses of the calling functions.
#[inline(never)]
fn backtrace() -> Vec<u64> {
    let mut addresses = [std::ptr::null_mut(); 64];
    // SAFETY: room for as many as are asked for.
    let count = unsafe { libc::backtrace(addresses.as_mut_ptr(), 64) };
    addresses[..usize::try_from(count).unwrap()].iter().map(|address| address.addr() as u64).collect()
}

#[inline(never)]
fn outer_of_the_test() -> (Vec<u64>, u32) {
    black_box(inner_of_the_test())
}

#[inline(always)]
fn inner_of_the_test() -> (Vec<u64>, u32) {
    let here = (backtrace(), line!());
    black_box(here)
}

fn named<'a>(frames: &'a [Frame], end: &str) -> Option<&'a Frame> {
    frames.iter().find(|frame| frame.function.ends_with(end))
}

#[test]
fn functions_of_this_test_inlined_ones_and_their_lines() {
    let (addresses, line) = outer_of_the_test();
    let mut symbols = Symbols::new(&modules());
    let frames = symbols.chain(&addresses);
    assert_eq!(symbols.problems(), &[] as &[String]);
    let at = frames.iter().position(|frame| frame.function.ends_with("::inner_of_the_test")).unwrap();
    let (inner, outer) = (&frames[at], &frames[at + 1]);
    assert_eq!(inner.function, "symbols::inner_of_the_test");
    assert_eq!(outer.function, "symbols::outer_of_the_test");
    assert!(inner.inlined && !outer.inlined);
    let (file, inner_line) = inner.file_line.clone().unwrap();
    assert!(file.ends_with("tests/symbols.rs"), "{file}");
    assert_eq!(inner_line, line);
    let body = outer_of_the_test as *const () as u64;
    assert_eq!(
        body + outer.offset,
        addresses[addresses.iter().position(|&a| symbols.frames(a).contains(inner)).unwrap()]
    );
    assert_eq!(inner.offset, outer.offset);
    assert!(outer.module.starts_with("symbols-"), "{}", outer.module);
    let outermost = frames.last().unwrap();
    assert!(outermost.module.starts_with("libc.so"), "{outermost:?}");
}

/// What `tool` makes of this executable, in a file of its own; None if there is no such tool here.
fn remade(name: &str, tool: &str, arguments: &[&str]) -> Option<(Module, tempfile::Kept)> {
    let kept = tempfile::Kept::new(name);
    let made = Command::new(tool).args(arguments).arg(std::env::current_exe().unwrap()).arg(&kept.0).output();
    match made {
        Ok(output) if output.status.success() => {
            let path = kept.0.to_str().unwrap().to_owned();
            Some((Module { path, ..own_module() }, kept))
        }
        other => {
            eprintln!("skipped: {tool} {arguments:?}: {other:?}");
            None
        }
    }
}

mod tempfile {
    use std::path::PathBuf;

    /// A file that goes with the test.
    pub struct Kept(pub PathBuf);

    impl Kept {
        pub fn new(name: &str) -> Self {
            Kept(std::env::temp_dir().join(format!("rumpscope-symbols-{}-{name}", std::process::id())))
        }
    }

    impl Drop for Kept {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

#[test]
fn without_debug_information_there_are_functions_and_no_lines() {
    let (addresses, _) = outer_of_the_test();
    let Some((module, _kept)) = remade("undebugged", "objcopy", &["--strip-debug"]) else { return };
    let frames = Symbols::new(&[module]).chain(&addresses);
    let outer = named(&frames, "symbols::outer_of_the_test").unwrap();
    assert_eq!(outer.file_line, None);
    assert!(named(&frames, "inner_of_the_test").is_none());
}

#[test]
fn of_a_stripped_file_there_are_places_in_the_module() {
    let (addresses, _) = outer_of_the_test();
    let Some((module, _kept)) = remade("stripped", "objcopy", &["--strip-all"]) else { return };
    let mut symbols = Symbols::new(std::slice::from_ref(&module));
    let frames = symbols.frames(addresses[1]);
    let name = module.path.rsplit('/').next().unwrap();
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].function, format!("{name}+{:#x}", addresses[1] - module.bias));
    assert_eq!(frames[0].offset, addresses[1] - module.start);
    assert!(symbols.problems().is_empty());
}

#[test]
fn debug_information_split_off_is_found_by_its_link() {
    let (addresses, line) = outer_of_the_test();
    let Some((debug, kept)) = remade("split.debug", "objcopy", &["--only-keep-debug"]) else { return };
    let link = format!("--add-gnu-debuglink={}", debug.path);
    let Some((module, _kept)) = remade("split", "objcopy", &["--strip-all", &link]) else { return };
    let frames = Symbols::new(std::slice::from_ref(&module)).chain(&addresses);
    let inner = named(&frames, "symbols::inner_of_the_test").unwrap();
    assert_eq!(inner.file_line.as_ref().map(|file_line| file_line.1), Some(line));
    drop(kept);
    let frames = Symbols::new(&[module]).chain(&addresses);
    assert!(named(&frames, "inner_of_the_test").is_none());
}

#[test]
fn a_file_that_is_missing_cut_short_or_something_else_is_told_once() {
    let (addresses, _) = outer_of_the_test();
    let own = own_module();
    let bytes = std::fs::read(&own.path).unwrap();
    let kept = tempfile::Kept::new("odd");
    let path = kept.0.to_str().unwrap().to_owned();
    let problem = |contents: Option<&[u8]>| {
        match contents {
            Some(contents) => std::fs::write(&path, contents).unwrap(),
            None => drop(std::fs::remove_file(&path)),
        }
        let mut symbols = Symbols::new(&[Module { path: path.clone(), ..own.clone() }]);
        for &address in &addresses {
            let frames = symbols.frames(address);
            assert!(!frames.is_empty());
        }
        assert!(symbols.problems().len() <= 1, "{:?}", symbols.problems());
        symbols.problems().first().cloned().unwrap_or_default()
    };
    assert!(problem(None).contains("is missing"));
    assert!(problem(Some(b"")).contains("is no object file"));
    assert!(problem(Some(b"#!/bin/sh\n")).contains("is no object file"));
    assert!(problem(Some(&bytes[..40])).contains("is no object file"));
    // The section headers are at the end of a file: without them there is no name, or a sentence that says why.
    for part in 1..8 {
        problem(Some(&bytes[..bytes.len() / 8 * part]));
    }
}

#[test]
fn an_other_file_than_was_loaded_gives_no_wrong_names() {
    let (addresses, _) = outer_of_the_test();
    let Module { start, .. } = own_module();
    let libc = modules().into_iter().find(|module| module.path.contains("libc.so")).unwrap();
    let other = Module { path: libc.path, ..own_module() };
    let mut symbols = Symbols::new(&[other]);
    let frames = symbols.frames(addresses[1]);
    assert!(frames[0].function.starts_with("libc.so"), "{frames:?}");
    assert_eq!(frames[0].offset, addresses[1] - start);
    assert!(symbols.problems()[0].contains("has changed"), "{:?}", symbols.problems());
}

#[test]
fn an_address_nowhere_is_its_own_name() {
    let frames = Symbols::new(&[]).frames(0x1234);
    assert_eq!((frames[0].function.as_str(), frames[0].module.as_str()), ("0x1234", ""));
    let mut symbols = Symbols::new(&modules());
    assert_eq!(symbols.frames(0)[0].function, "0x0");
    assert_eq!(symbols.frames(u64::MAX)[0].function, "0xffffffffffffffff");
    assert_eq!(symbols.data(0), None);
}

static OBJECT_OF_THE_TEST: [u64; 8] = [7; 8];

#[test]
fn data_objects() {
    let mut symbols = Symbols::new(&modules());
    let address = OBJECT_OF_THE_TEST.as_ptr().addr() as u64;
    assert_eq!(symbols.data(address), Some(("symbols::OBJECT_OF_THE_TEST".to_owned(), 0)));
    assert_eq!(symbols.data(address + 63), Some(("symbols::OBJECT_OF_THE_TEST".to_owned(), 63)));
    let after = symbols.data(address + 64);
    assert!(after.is_none_or(|(name, _)| name != "symbols::OBJECT_OF_THE_TEST"));
    let local = 0u64;
    assert_eq!(symbols.data((&raw const local).addr() as u64), None);
}
