//! Loading another library beside ourselves.

use super::External;
use crate::abi::guest_probes::GUEST_PROBES_SYMBOL;
use core::ffi::{CStr, c_void};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Loads the library at `path`, for as long as the process lives.
///
/// # Errors
/// It cannot be loaded, lacks a hypercall of version 17, or is this library: a sentence that says so.
pub(crate) fn load(path: &Path) -> Result<&'static External, String> {
    // With a slash in it, because the host's loader takes a bare name for that of a library which it has already: ours.
    let path = path.canonicalize().map_err(|error| format!("cannot load it: {error}"))?;
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|_| "cannot load it: a zero byte in its name")?;
    let library = open(&name)?;
    let find = |symbol: &str| {
        // No symbol has a zero byte in it.
        let symbol = CString::new(symbol).unwrap_or_default();
        // SAFETY: an open library and a terminated name.
        unsafe { libc::dlsym(library, symbol.as_ptr()) }
    };
    // Under whatever name it is found: no other library has this symbol.
    if !find(GUEST_PROBES_SYMBOL).is_null() {
        return Err("is rumpscope's own library, which would pass every call on to itself; name another one, or use \
                    the back end native"
            .to_owned());
    }
    // SAFETY: who names a library as the back end says that it is one of version 17; it is never closed.
    let calls = unsafe { External::find(find) };
    let calls = calls.map_err(|symbol| format!("is no rumpuser library of version 17: it lacks {symbol}"))?;
    Ok(Box::leak(Box::new(calls)))
}

/// The other library and we define the same names. Ours stand in front of all others, since the guest was linked with us
/// or had us preloaded; so the other library must look for a name in itself first (`RTLD_DEEPBIND`), or its calls from
/// one hypercall to another would come to us. And nobody else may find its names (`RTLD_LOCAL`).
#[cfg(target_env = "gnu")]
fn open(name: &CStr) -> Result<*mut c_void, String> {
    // SAFETY: a terminated name; a rumpuser library does nothing when it is loaded.
    let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL | libc::RTLD_DEEPBIND) };
    if library.is_null() {
        // SAFETY: after a failure this is a string, which lives until the next call of the loader in this thread.
        let reason = unsafe { CStr::from_ptr(libc::dlerror()) };
        return Err(format!("cannot load it: {}", reason.to_string_lossy()));
    }
    Ok(library)
}

#[cfg(not(target_env = "gnu"))]
fn open(_: &CStr) -> Result<*mut c_void, String> {
    Err("this host's loader cannot keep two libraries apart that define the same names (it lacks RTLD_DEEPBIND)"
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_without_hypercalls_is_told_by_what_it_lacks() {
        // SAFETY: null pointers are not called.
        let missing = unsafe { External::find(|_| core::ptr::null_mut()) };
        assert_eq!(missing.map(drop), Err("rumpuser_init"));
        let all_but_one = |symbol: &str| match symbol {
            "rumpuser_rw_held" => core::ptr::null_mut(),
            _ => core::ptr::dangling_mut::<u64>().cast(),
        };
        // SAFETY: the pointers are not called.
        assert_eq!(unsafe { External::find(all_but_one) }.map(drop), Err("rumpuser_rw_held"));
    }

    #[test]
    fn a_file_that_is_missing_or_no_library_is_told() {
        let missing = load(Path::new("/nowhere/librumpuser.so.0")).map(drop).expect_err("missing");
        assert!(missing.contains("No such file"), "{missing}");
        let text = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let text = load(Path::new(text)).map(drop).expect_err("no library");
        assert!(text.contains("Cargo.toml"), "{text}");
    }
}
