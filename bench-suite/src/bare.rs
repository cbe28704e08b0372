//! A guest that is none: its upcalls do nothing, so that what is measured is the library alone.
//!
//! A thread that waits gives up a virtual CPU that does not exist and gets it back at once.

use crate::hypervisor::Hypervisor;
use core::ffi::{c_char, c_int, c_long, c_void};
use rumpuser::abi::types::{Hyperup, Lwp, VERSION, lwp_op};

struct Upcalls(Hyperup);

// SAFETY: the pointers in it are null, and nothing in it changes.
unsafe impl Sync for Upcalls {}

static UPCALLS: Upcalls = Upcalls(Hyperup {
    schedule: nothing,
    unschedule: nothing,
    backend_unschedule,
    backend_schedule,
    lwproc_switch,
    lwproc_release: nothing,
    lwproc_rfork,
    lwproc_newlwp,
    lwproc_curlwp,
    syscall,
    lwpexit: nothing,
    execnotify,
    getpid,
    extra: [core::ptr::null_mut(); 8],
});

unsafe extern "C" fn nothing() {}
unsafe extern "C" fn backend_unschedule(_: c_int, locks: *mut c_int, _: *mut c_void) {
    // SAFETY: the interface passes a place for the number of locks held.
    unsafe { locks.write(0) };
}
unsafe extern "C" fn backend_schedule(_: c_int, _: *mut c_void) {}
unsafe extern "C" fn lwproc_switch(_: *mut Lwp) {}
unsafe extern "C" fn lwproc_rfork(_: *mut c_void, _: c_int, _: *const c_char) -> c_int {
    0
}
unsafe extern "C" fn lwproc_newlwp(_: libc::pid_t) -> c_int {
    0
}
unsafe extern "C" fn lwproc_curlwp() -> *mut Lwp {
    core::ptr::null_mut()
}
unsafe extern "C" fn syscall(_: c_int, _: *mut c_void, _: *mut c_long) -> c_int {
    0
}
unsafe extern "C" fn execnotify(_: *const c_char) {}
unsafe extern "C" fn getpid() -> libc::pid_t {
    1
}

/// The library refuses to serve a guest; the NetBSD error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rumpuser_init fails with NetBSD error {0}")]
pub struct Refused(pub c_int);

/// Boots the guest that is none on `hypervisor`, and gives the calling thread an lwp.
///
/// # Errors
/// When the library refuses, as it does a second guest in one process.
pub fn boot(hypervisor: &Hypervisor) -> Result<(), Refused> {
    // SAFETY: the table stays; no other thread makes hypercalls yet.
    match unsafe { (hypervisor.calls.init)(VERSION, &UPCALLS.0) } {
        0 => {
            enter(hypervisor);
            Ok(())
        }
        errno => Err(Refused(errno)),
    }
}

/// Gives the calling thread an lwp, which is never freed. Its memory is larger than a rump kernel's lwp: a library may
/// look into it.
pub fn enter(hypervisor: &Hypervisor) {
    #[repr(align(64))]
    struct Memory(#[allow(dead_code, reason = "only its address matters")] [u8; 2048]);
    let lwp = (Box::leak(Box::new(Memory([0; 2048]))) as *mut Memory).cast();
    // SAFETY: a new lwp, introduced and then made the current one of a thread that has none.
    unsafe {
        (hypervisor.calls.curlwpop)(lwp_op::CREATE, lwp);
        (hypervisor.calls.curlwpop)(lwp_op::SET, lwp);
    }
}

/// Takes the calling thread's lwp from it, which it must not have while it ends.
pub fn leave(hypervisor: &Hypervisor) {
    // SAFETY: the thread's own lwp, which nobody uses after this.
    unsafe {
        let lwp = (hypervisor.calls.curlwp)();
        (hypervisor.calls.curlwpop)(lwp_op::CLEAR, lwp);
        (hypervisor.calls.curlwpop)(lwp_op::DESTROY, lwp);
    }
}
