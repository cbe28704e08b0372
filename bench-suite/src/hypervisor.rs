//! A rumpuser library, loaded at run time and called through a table of function pointers: ours or any other.

use core::ffi::{c_char, c_int, c_long, c_void};
use rumpuser::abi::guest_probes::{GUEST_PROBES_SYMBOL, GUEST_PROBES_VERSION, GuestProbes, GuestProbesFn};
use rumpuser::abi::types::{Component, Evcnt, Hyperup, Iovec, Lwp, Modinfo};
use std::path::{Path, PathBuf};

/// The library could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It could not be opened.
    #[error("cannot load {path}: {reason}")]
    Open {
        /// What was tried.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// It lacks a hypercall.
    #[error("{path} is no rumpuser library: it has no {symbol}")]
    Symbol {
        /// What was tried.
        path: PathBuf,
        /// What is missing.
        symbol: &'static str,
    },
}

/// What `rumpuser_thread_create` starts.
pub type ThreadMain = unsafe extern "C" fn(*mut c_void) -> *mut c_void;
/// What `rumpuser_bio` calls when a transfer is done: argument, bytes, NetBSD error number.
pub type BioDone = unsafe extern "C" fn(*mut c_void, usize, c_int);
/// `rumpuser_dl_bootstrap`: takes a component's modules.
pub type ModInit = unsafe extern "C" fn(*const *const Modinfo, usize);
/// `rumpuser_dl_bootstrap`: takes a symbol table.
pub type SymLoad = unsafe extern "C" fn(*mut c_void, u64, *mut c_char, u64) -> c_int;
/// `rumpuser_dl_bootstrap`: takes a component.
pub type CompLoad = unsafe extern "C" fn(*const Component);
/// `rumpuser_dl_bootstrap`, newer kernels: takes an event counter.
pub type EvcntAttach = unsafe extern "C" fn(*mut Evcnt);

macro_rules! table {
    ($($name:ident: $signature:ty = $symbol:literal;)*) => {
        /// The hypercalls of a loaded library; the names are the interface's without `rumpuser_`. Each is as unsafe to
        /// call as the interface says. Opaque objects (mutexes, ...) are `*mut c_void`.
        #[derive(Clone, Copy, Debug)]
        #[allow(missing_docs, reason = "the interface describes them")]
        pub struct Hypercalls {
            $(pub $name: $signature,)*
            /// `None`: the library has none; only kernels from 2017 on call it.
            pub mutex_spin_p: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
        }

        impl Hypercalls {
            fn find(library: &libloading::Library, path: &Path) -> Result<Self, LoadError> {
                Ok(Hypercalls {
                    $($name: {
                        // SAFETY: the symbol is used with the type that the interface gives to this name.
                        let symbol = unsafe { library.get::<$signature>($symbol.as_bytes()) };
                        *symbol.map_err(|_| LoadError::Symbol { path: path.to_owned(), symbol: $symbol })?
                    },)*
                    mutex_spin_p: {
                        // SAFETY: as above.
                        let symbol = unsafe { library.get(b"rumpuser_mutex_spin_p") };
                        symbol.ok().map(|symbol| *symbol)
                    },
                })
            }
        }
    };
}

table! {
    init: unsafe extern "C" fn(c_int, *const Hyperup) -> c_int = "rumpuser_init";
    malloc: unsafe extern "C" fn(usize, c_int, *mut *mut c_void) -> c_int = "rumpuser_malloc";
    free: unsafe extern "C" fn(*mut c_void, usize) = "rumpuser_free";
    anonmmap: unsafe extern "C" fn(*mut c_void, usize, c_int, c_int, *mut *mut c_void) -> c_int = "rumpuser_anonmmap";
    unmap: unsafe extern "C" fn(*mut c_void, usize) = "rumpuser_unmap";
    open: unsafe extern "C" fn(*const c_char, c_int, *mut c_int) -> c_int = "rumpuser_open";
    close: unsafe extern "C" fn(c_int) -> c_int = "rumpuser_close";
    getfileinfo: unsafe extern "C" fn(*const c_char, *mut u64, *mut c_int) -> c_int = "rumpuser_getfileinfo";
    bio: unsafe extern "C" fn(c_int, c_int, *mut c_void, usize, i64, BioDone, *mut c_void) = "rumpuser_bio";
    iovread: unsafe extern "C" fn(c_int, *mut Iovec, usize, i64, *mut usize) -> c_int = "rumpuser_iovread";
    iovwrite: unsafe extern "C" fn(c_int, *const Iovec, usize, i64, *mut usize) -> c_int = "rumpuser_iovwrite";
    syncfd: unsafe extern "C" fn(c_int, c_int, u64, u64) -> c_int = "rumpuser_syncfd";
    clock_gettime: unsafe extern "C" fn(c_int, *mut i64, *mut c_long) -> c_int = "rumpuser_clock_gettime";
    clock_sleep: unsafe extern "C" fn(c_int, i64, c_long) -> c_int = "rumpuser_clock_sleep";
    getparam: unsafe extern "C" fn(*const c_char, *mut c_void, usize) -> c_int = "rumpuser_getparam";
    seterrno: unsafe extern "C" fn(c_int) = "rumpuser_seterrno";
    kill: unsafe extern "C" fn(i64, c_int) -> c_int = "rumpuser_kill";
    exit: unsafe extern "C" fn(c_int) -> ! = "rumpuser_exit";
    putchar: unsafe extern "C" fn(c_int) = "rumpuser_putchar";
    dprintf: unsafe extern "C" fn(*const c_char, ...) = "rumpuser_dprintf";
    getrandom: unsafe extern "C" fn(*mut c_void, usize, c_int, *mut usize) -> c_int = "rumpuser_getrandom";
    thread_create: unsafe extern "C" fn(
        ThreadMain, *mut c_void, *const c_char, c_int, c_int, c_int, *mut *mut c_void,
    ) -> c_int = "rumpuser_thread_create";
    thread_exit: unsafe extern "C" fn() -> ! = "rumpuser_thread_exit";
    thread_join: unsafe extern "C" fn(*mut c_void) -> c_int = "rumpuser_thread_join";
    curlwpop: unsafe extern "C" fn(c_int, *mut Lwp) = "rumpuser_curlwpop";
    curlwp: unsafe extern "C" fn() -> *mut Lwp = "rumpuser_curlwp";
    mutex_init: unsafe extern "C" fn(*mut *mut c_void, c_int) = "rumpuser_mutex_init";
    mutex_enter: unsafe extern "C" fn(*mut c_void) = "rumpuser_mutex_enter";
    mutex_enter_nowrap: unsafe extern "C" fn(*mut c_void) = "rumpuser_mutex_enter_nowrap";
    mutex_tryenter: unsafe extern "C" fn(*mut c_void) -> c_int = "rumpuser_mutex_tryenter";
    mutex_exit: unsafe extern "C" fn(*mut c_void) = "rumpuser_mutex_exit";
    mutex_destroy: unsafe extern "C" fn(*mut c_void) = "rumpuser_mutex_destroy";
    mutex_owner: unsafe extern "C" fn(*mut c_void, *mut *mut Lwp) = "rumpuser_mutex_owner";
    rw_init: unsafe extern "C" fn(*mut *mut c_void) = "rumpuser_rw_init";
    rw_enter: unsafe extern "C" fn(c_int, *mut c_void) = "rumpuser_rw_enter";
    rw_tryenter: unsafe extern "C" fn(c_int, *mut c_void) -> c_int = "rumpuser_rw_tryenter";
    rw_tryupgrade: unsafe extern "C" fn(*mut c_void) -> c_int = "rumpuser_rw_tryupgrade";
    rw_downgrade: unsafe extern "C" fn(*mut c_void) = "rumpuser_rw_downgrade";
    rw_exit: unsafe extern "C" fn(*mut c_void) = "rumpuser_rw_exit";
    rw_destroy: unsafe extern "C" fn(*mut c_void) = "rumpuser_rw_destroy";
    rw_held: unsafe extern "C" fn(c_int, *mut c_void, *mut c_int) = "rumpuser_rw_held";
    cv_init: unsafe extern "C" fn(*mut *mut c_void) = "rumpuser_cv_init";
    cv_destroy: unsafe extern "C" fn(*mut c_void) = "rumpuser_cv_destroy";
    cv_wait: unsafe extern "C" fn(*mut c_void, *mut c_void) = "rumpuser_cv_wait";
    cv_wait_nowrap: unsafe extern "C" fn(*mut c_void, *mut c_void) = "rumpuser_cv_wait_nowrap";
    cv_timedwait: unsafe extern "C" fn(*mut c_void, *mut c_void, i64, i64) -> c_int = "rumpuser_cv_timedwait";
    cv_signal: unsafe extern "C" fn(*mut c_void) = "rumpuser_cv_signal";
    cv_broadcast: unsafe extern "C" fn(*mut c_void) = "rumpuser_cv_broadcast";
    cv_has_waiters: unsafe extern "C" fn(*mut c_void, *mut c_int) = "rumpuser_cv_has_waiters";
    dl_bootstrap: unsafe extern "C" fn(ModInit, SymLoad, CompLoad, EvcntAttach) = "rumpuser_dl_bootstrap";
    daemonize_begin: unsafe extern "C" fn() -> c_int = "rumpuser_daemonize_begin";
    daemonize_done: unsafe extern "C" fn(c_int) -> c_int = "rumpuser_daemonize_done";
    sp_init: unsafe extern "C" fn(*const c_char, *const c_char, *const c_char, *const c_char) -> c_int = "rumpuser_sp_init";
    sp_copyin: unsafe extern "C" fn(*mut c_void, *const c_void, *mut c_void, usize) -> c_int = "rumpuser_sp_copyin";
    sp_copyinstr: unsafe extern "C" fn(*mut c_void, *const c_void, *mut c_void, *mut usize) -> c_int = "rumpuser_sp_copyinstr";
    sp_copyout: unsafe extern "C" fn(*mut c_void, *const c_void, *mut c_void, usize) -> c_int = "rumpuser_sp_copyout";
    sp_copyoutstr: unsafe extern "C" fn(*mut c_void, *const c_void, *mut c_void, *mut usize) -> c_int = "rumpuser_sp_copyoutstr";
    sp_anonmmap: unsafe extern "C" fn(*mut c_void, usize, *mut *mut c_void) -> c_int = "rumpuser_sp_anonmmap";
    sp_raise: unsafe extern "C" fn(*mut c_void, c_int) -> c_int = "rumpuser_sp_raise";
    sp_fini: unsafe extern "C" fn(*mut c_void) = "rumpuser_sp_fini";
    component_unschedule: unsafe extern "C" fn() -> *mut c_void = "rumpuser_component_unschedule";
    component_schedule: unsafe extern "C" fn(*mut c_void) = "rumpuser_component_schedule";
    component_kthread: unsafe extern "C" fn() = "rumpuser_component_kthread";
    component_kthread_release: unsafe extern "C" fn() = "rumpuser_component_kthread_release";
    component_curlwp: unsafe extern "C" fn() -> *mut Lwp = "rumpuser_component_curlwp";
    component_switchlwp: unsafe extern "C" fn(*mut Lwp) = "rumpuser_component_switchlwp";
    component_errtrans: unsafe extern "C" fn(c_int) -> c_int = "rumpuser_component_errtrans";
}

/// A loaded library. It stays loaded until the process ends: threads that it made may still run its code.
#[derive(Clone, Copy, Debug)]
pub struct Hypervisor {
    /// Its hypercalls.
    pub calls: Hypercalls,
    /// Its probes for the guest's own transitions; only our library has them.
    pub probes: Option<GuestProbes>,
}

impl Hypervisor {
    /// Loads the library at `path`.
    ///
    /// # Errors
    /// When it cannot be opened, or lacks a hypercall.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        // SAFETY: a rumpuser library does nothing when it is loaded.
        let library = unsafe { libloading::Library::new(path) }
            .map_err(|error| LoadError::Open { path: path.to_owned(), reason: loader_says(&error) })?;
        let calls = Hypercalls::find(&library, path)?;
        // SAFETY: only our library has the symbol, with this type.
        let probes = unsafe { library.get::<GuestProbesFn>(GUEST_PROBES_SYMBOL.as_bytes()) }.ok().map(|probes| {
            // SAFETY: the function has no preconditions and returns a table that stays as long as the library.
            unsafe { *probes() }
        });
        std::mem::forget(library);
        Ok(Hypervisor { calls, probes: probes.filter(|probes| probes.version == GUEST_PROBES_VERSION) })
    }
}

/// The loader's own words, which stand behind those of the crate.
pub(crate) fn loader_says(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// The file name of our own library as cargo builds it.
const OWN_LIBRARY: &str = "librumpuser.so";

/// Our own library: what the environment variable `RUMPSCOPE_LIBRARY` names, or where it lies beside the running
/// program, in a build tree or installed.
pub fn own_library() -> Option<PathBuf> {
    find_object("RUMPSCOPE_LIBRARY", OWN_LIBRARY)
}

/// A shared object of ours: what `variable` names, or `file` beside the running program (`deps`, `.`, `..`) or in
/// `../lib/rumpscope`. In a build tree `deps` has what cargo built last; the file beside the program is renewed by
/// `cargo build` alone and may be older.
pub fn find_object(variable: &str, file: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Some(PathBuf::from(path));
    }
    let program = std::env::current_exe().ok()?;
    let folder = program.parent()?;
    ["deps", "", "..", "../lib/rumpscope"]
        .into_iter()
        .map(|place| folder.join(place).join(file))
        .find(|path| path.is_file())
}
