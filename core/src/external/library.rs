//! The hypercalls of another library.

use crate::abi::block::Done;
use crate::abi::condvar::Cv;
use crate::abi::loader::{CompLoad, ModInit, SymLoad};
use crate::abi::mutex::Mtx;
use crate::abi::rwlock::Rw;
use crate::abi::types::{Hyperup, Iovec, Lwp};
use crate::host::diagnostic;
use crate::host::thread::Main;
use libc::{c_char, c_int, c_long, c_void};

type SpinP = unsafe extern "C" fn(*mut Mtx) -> c_int;

/// For libraries that are older than this hypercall. So are the guests that are used with them, usually.
unsafe extern "C" fn no_spin_p(_: *mut Mtx) -> c_int {
    diagnostic::fatal(
        "mutex_spin_p",
        format_args!(
            "the external library does not have this hypercall, which came in 2017; the guest needs a newer one"
        ),
    )
}

macro_rules! library {
    ($($name:ident $symbol:literal $type:ty;)*) => {
        /// The entry points of a library, by their names without the prefix. The objects of the guest that it makes are
        /// its own: types of ours only stand for "a pointer to one".
        #[derive(Debug)]
        pub(crate) struct External {
            $(pub(crate) $name: $type,)*
            pub(crate) mutex_spin_p: SpinP,
        }

        impl External {
            /// The library of which `find` gives the address of a symbol, null where there is none.
            ///
            /// # Errors
            /// The name of the first symbol that is missing.
            ///
            /// # Safety
            /// What `find` gives are functions with the types that the interface, version 17, gives to their names, and
            /// stays as long as the process.
            pub(super) unsafe fn find(find: impl Fn(&str) -> *mut c_void) -> Result<Self, &'static str> {
                Ok(External {
                    $($name: match find($symbol) {
                        address if address.is_null() => return Err($symbol),
                        // SAFETY: the caller's word.
                        address => unsafe { core::mem::transmute::<*mut c_void, $type>(address) },
                    },)*
                    mutex_spin_p: match find("rumpuser_mutex_spin_p") {
                        address if address.is_null() => no_spin_p,
                        // SAFETY: the caller's word.
                        address => unsafe { core::mem::transmute::<*mut c_void, SpinP>(address) },
                    },
                })
            }
        }
    };
}

library! {
    init "rumpuser_init" unsafe extern "C" fn(c_int, *const Hyperup) -> c_int;
    malloc "rumpuser_malloc" unsafe extern "C" fn(usize, c_int, *mut *mut c_void) -> c_int;
    free "rumpuser_free" unsafe extern "C" fn(*mut c_void, usize);
    anonmmap "rumpuser_anonmmap" unsafe extern "C" fn(*mut c_void, usize, c_int, c_int, *mut *mut c_void) -> c_int;
    unmap "rumpuser_unmap" unsafe extern "C" fn(*mut c_void, usize);
    open "rumpuser_open" unsafe extern "C" fn(*const c_char, c_int, *mut c_int) -> c_int;
    close "rumpuser_close" unsafe extern "C" fn(c_int) -> c_int;
    getfileinfo "rumpuser_getfileinfo" unsafe extern "C" fn(*const c_char, *mut u64, *mut c_int) -> c_int;
    bio "rumpuser_bio" unsafe extern "C" fn(c_int, c_int, *mut c_void, usize, i64, Done, *mut c_void);
    iovread "rumpuser_iovread" unsafe extern "C" fn(c_int, *mut Iovec, usize, i64, *mut usize) -> c_int;
    iovwrite "rumpuser_iovwrite" unsafe extern "C" fn(c_int, *const Iovec, usize, i64, *mut usize) -> c_int;
    syncfd "rumpuser_syncfd" unsafe extern "C" fn(c_int, c_int, u64, u64) -> c_int;
    clock_gettime "rumpuser_clock_gettime" unsafe extern "C" fn(c_int, *mut i64, *mut c_long) -> c_int;
    clock_sleep "rumpuser_clock_sleep" unsafe extern "C" fn(c_int, i64, c_long) -> c_int;
    getparam "rumpuser_getparam" unsafe extern "C" fn(*const c_char, *mut c_void, usize) -> c_int;
    seterrno "rumpuser_seterrno" unsafe extern "C" fn(c_int);
    kill "rumpuser_kill" unsafe extern "C" fn(i64, c_int) -> c_int;
    exit "rumpuser_exit" unsafe extern "C" fn(c_int) -> !;
    putchar "rumpuser_putchar" unsafe extern "C" fn(c_int);
    dprintf "rumpuser_dprintf" unsafe extern "C" fn(*const c_char, ...);
    getrandom "rumpuser_getrandom" unsafe extern "C" fn(*mut c_void, usize, c_int, *mut usize) -> c_int;
    thread_create "rumpuser_thread_create"
        unsafe extern "C" fn(Main, *mut c_void, *const c_char, c_int, c_int, c_int, *mut *mut c_void) -> c_int;
    // It may unwind the thread's stack, our frame on it included.
    thread_exit "rumpuser_thread_exit" unsafe extern "C-unwind" fn() -> !;
    thread_join "rumpuser_thread_join" unsafe extern "C" fn(*mut c_void) -> c_int;
    curlwpop "rumpuser_curlwpop" unsafe extern "C" fn(c_int, *mut Lwp);
    curlwp "rumpuser_curlwp" unsafe extern "C" fn() -> *mut Lwp;
    mutex_init "rumpuser_mutex_init" unsafe extern "C" fn(*mut *mut Mtx, c_int);
    mutex_enter "rumpuser_mutex_enter" unsafe extern "C" fn(*mut Mtx);
    mutex_enter_nowrap "rumpuser_mutex_enter_nowrap" unsafe extern "C" fn(*mut Mtx);
    mutex_tryenter "rumpuser_mutex_tryenter" unsafe extern "C" fn(*mut Mtx) -> c_int;
    mutex_exit "rumpuser_mutex_exit" unsafe extern "C" fn(*mut Mtx);
    mutex_destroy "rumpuser_mutex_destroy" unsafe extern "C" fn(*mut Mtx);
    mutex_owner "rumpuser_mutex_owner" unsafe extern "C" fn(*mut Mtx, *mut *mut Lwp);
    rw_init "rumpuser_rw_init" unsafe extern "C" fn(*mut *mut Rw);
    rw_enter "rumpuser_rw_enter" unsafe extern "C" fn(c_int, *mut Rw);
    rw_tryenter "rumpuser_rw_tryenter" unsafe extern "C" fn(c_int, *mut Rw) -> c_int;
    rw_tryupgrade "rumpuser_rw_tryupgrade" unsafe extern "C" fn(*mut Rw) -> c_int;
    rw_downgrade "rumpuser_rw_downgrade" unsafe extern "C" fn(*mut Rw);
    rw_exit "rumpuser_rw_exit" unsafe extern "C" fn(*mut Rw);
    rw_destroy "rumpuser_rw_destroy" unsafe extern "C" fn(*mut Rw);
    rw_held "rumpuser_rw_held" unsafe extern "C" fn(c_int, *mut Rw, *mut c_int);
    cv_init "rumpuser_cv_init" unsafe extern "C" fn(*mut *mut Cv);
    cv_destroy "rumpuser_cv_destroy" unsafe extern "C" fn(*mut Cv);
    cv_wait "rumpuser_cv_wait" unsafe extern "C" fn(*mut Cv, *mut Mtx);
    cv_wait_nowrap "rumpuser_cv_wait_nowrap" unsafe extern "C" fn(*mut Cv, *mut Mtx);
    cv_timedwait "rumpuser_cv_timedwait" unsafe extern "C" fn(*mut Cv, *mut Mtx, i64, i64) -> c_int;
    cv_signal "rumpuser_cv_signal" unsafe extern "C" fn(*mut Cv);
    cv_broadcast "rumpuser_cv_broadcast" unsafe extern "C" fn(*mut Cv);
    cv_has_waiters "rumpuser_cv_has_waiters" unsafe extern "C" fn(*mut Cv, *mut c_int);
    dl_bootstrap "rumpuser_dl_bootstrap"
        unsafe extern "C" fn(Option<ModInit>, Option<SymLoad>, Option<CompLoad>, *const c_void);
    daemonize_begin "rumpuser_daemonize_begin" unsafe extern "C" fn() -> c_int;
    daemonize_done "rumpuser_daemonize_done" unsafe extern "C" fn(c_int) -> c_int;
    sp_init "rumpuser_sp_init"
        unsafe extern "C" fn(*const c_char, *const c_char, *const c_char, *const c_char) -> c_int;
    sp_copyin "rumpuser_sp_copyin" unsafe extern "C" fn(*mut c_void, *const c_void, *mut c_void, usize) -> c_int;
    sp_copyinstr "rumpuser_sp_copyinstr"
        unsafe extern "C" fn(*mut c_void, *const c_void, *mut c_void, *mut usize) -> c_int;
    sp_copyout "rumpuser_sp_copyout" unsafe extern "C" fn(*mut c_void, *const c_void, *mut c_void, usize) -> c_int;
    sp_copyoutstr "rumpuser_sp_copyoutstr"
        unsafe extern "C" fn(*mut c_void, *const c_void, *mut c_void, *mut usize) -> c_int;
    sp_anonmmap "rumpuser_sp_anonmmap" unsafe extern "C" fn(*mut c_void, usize, *mut *mut c_void) -> c_int;
    sp_raise "rumpuser_sp_raise" unsafe extern "C" fn(*mut c_void, c_int) -> c_int;
    sp_fini "rumpuser_sp_fini" unsafe extern "C" fn(*mut c_void);
    component_unschedule "rumpuser_component_unschedule" unsafe extern "C" fn() -> *mut c_void;
    component_schedule "rumpuser_component_schedule" unsafe extern "C" fn(*mut c_void);
    component_kthread "rumpuser_component_kthread" unsafe extern "C" fn();
    component_kthread_release "rumpuser_component_kthread_release" unsafe extern "C" fn();
    component_curlwp "rumpuser_component_curlwp" unsafe extern "C" fn() -> *mut Lwp;
    component_switchlwp "rumpuser_component_switchlwp" unsafe extern "C" fn(*mut Lwp);
    component_errtrans "rumpuser_component_errtrans" unsafe extern "C" fn(c_int) -> c_int;
}
