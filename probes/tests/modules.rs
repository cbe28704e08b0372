//! What is loaded stands in the segment, so that call chains can be read when the process has ended.

use core::ffi::{CStr, c_void};
use rumpscope_probes::contention::Module;
use rumpscope_probes::reader::Segment;
use rumpscope_probes::{CHAIN_DEPTH, call_chain};
use std::ffi::CString;
use std::io::Read;
use std::path::Path;
use std::process::Command;

const SOURCE: &str = "
static volatile int sink;
void through(void (*call)(void *), void *argument) { call(argument); sink++; }
";

/// Writes the caller's chain to `frames`, a vector.
unsafe extern "C" fn take(frames: *mut c_void) {
    let mut chain = [0; CHAIN_DEPTH];
    let count = call_chain(&mut chain, CHAIN_DEPTH);
    // SAFETY: as it is given below.
    unsafe { (*frames.cast::<Vec<u64>>()).extend_from_slice(&chain[..count]) };
}

/// Loads the library `path`, and has it call `take`.
fn chain_through(path: &str) -> (*mut c_void, Vec<u64>) {
    let path = CString::new(path).unwrap();
    let mut frames = Vec::<u64>::new();
    // SAFETY: an object of ours, and its function with its type.
    let handle = unsafe {
        let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
        assert!(!handle.is_null(), "{:?}", CStr::from_ptr(libc::dlerror()));
        let through = libc::dlsym(handle, c"through".as_ptr());
        type Through = unsafe extern "C" fn(unsafe extern "C" fn(*mut c_void), *mut c_void);
        core::mem::transmute::<*mut c_void, Through>(through)(take, (&raw mut frames).cast());
        handle
    };
    (handle, frames)
}

fn module_of(modules: &[Module], address: u64) -> &Module {
    let mut found = modules.iter().filter(|module| (module.start..module.end).contains(&address));
    let module = found.next().unwrap_or_else(|| panic!("{address:x} is in none of {modules:x?}"));
    assert_eq!(found.next(), None);
    module
}

fn build(folder: &Path, name: &str) {
    std::fs::write(folder.join("through.c"), SOURCE).unwrap();
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(compiler);
    command.current_dir(folder).args(["-shared", "-fPIC", "-O2", "-o", name, "through.c"]);
    assert!(command.status().expect("a C compiler").success());
}

/// One test, because a process measures once.
#[test]
fn loaded_objects_are_told() {
    let folder = std::env::temp_dir().join(format!("rumpscope-modules-{}", std::process::id()));
    rumpscope_probes::own_folder(&folder).unwrap();
    let folder = folder.canonicalize().unwrap();
    // Before measuring begins there is nothing to write to; what was loaded then is told nevertheless.
    let mut frames = Vec::<u64>::new();
    // SAFETY: it takes a vector.
    unsafe { take((&raw mut frames).cast()) };
    let path = folder.join("segment");
    // SAFETY: the process has no other threads that look at the environment yet.
    unsafe { std::env::set_var(rumpscope_probes::ENV_SEGMENT, &path) };
    rumpscope_probes::begin("test", None).unwrap();
    let segment = Segment::open(&path).unwrap();
    let modules = || segment.snapshot().unwrap().contention.modules.clone();
    assert!(modules().is_empty());

    build(&folder, "first.so");
    let name = folder.join("first.so").display().to_string();
    let (first, frames) = chain_through(&name);
    let told = modules();
    let own = module_of(&told, frames[0]);
    assert_eq!(Path::new(&own.path), std::env::current_exe().unwrap().canonicalize().unwrap());
    let library = module_of(&told, frames[1]);
    assert_eq!(library.path, name);
    assert_eq!(library.bias, library.start, "a shared library begins at 0 in its file");
    assert!(told.iter().all(|module| module.path.starts_with('/')), "files only: {told:x?}");
    assert!(told.is_sorted_by_key(|module| module.start));

    // The same file again is no news, wherever it comes to lie; another one in its place counts from then on.
    // SAFETY: nothing of it is used any more.
    unsafe { libc::dlclose(first) };
    let (first, frames) = chain_through(&name);
    assert_eq!(module_of(&modules(), frames[1]).path, name);
    // SAFETY: as above.
    unsafe { libc::dlclose(first) };
    build(&folder, "second.so");
    // Loaded by a relative path, which means nothing to a reader elsewhere.
    std::env::set_current_dir(&folder).unwrap();
    let (_, frames) = chain_through("./second.so");
    assert_eq!(module_of(&modules(), frames[1]).path, folder.join("second.so").display().to_string());

    forged_modules_are_refused(&path);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// The positions and sizes in a module's block are checked like all others.
fn forged_modules_are_refused(path: &Path) {
    let mut file = std::fs::File::open(path).unwrap();
    let mut head = [0; 32];
    file.read_exact(&mut head).unwrap();
    // The rest of the file is not used.
    let used = u64::from_ne_bytes(head[24..].try_into().unwrap()) * 8;
    let mut whole = head.to_vec();
    file.take(used - 32).read_to_end(&mut whole).unwrap();
    let word = |number: usize| u64::from_ne_bytes(whole[number * 8..][..8].try_into().unwrap());
    let forged = path.with_extension("forged");
    let read = |number: usize, value: u64| {
        let mut bytes = whole.clone();
        bytes[number * 8..][..8].copy_from_slice(&value.to_ne_bytes());
        std::fs::write(&forged, bytes).unwrap();
        Segment::open(&forged).and_then(|segment| segment.snapshot())
    };
    const MODULES: usize = 26;
    let first = word(MODULES) as usize;
    assert!(read(first, word(first)).is_ok());
    // The head leads outside; the block into itself.
    assert!(read(MODULES, u64::MAX).is_err());
    assert!(read(first, first as u64).is_err());
    // It ends before it begins; its path is longer than any, and longer than what is used of the segment.
    assert!(read(first + 2, 0).is_err());
    assert!(read(first + 4, u64::MAX).is_err());
    assert!(read(first + 4, 12289).is_err());
    std::fs::remove_file(&forged).unwrap();
}
