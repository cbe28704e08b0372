//! What the hypervisor may call in the guest.

use super::kernel::kernel;
use super::lwp::{self, EXITING, Lwp};
use super::process::ProcessTable;
use super::{accounts, entry, errno, scheduler, syscall};
use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::ptr::{self, NonNull};
use libc::pid_t;
use rumpuser::abi::types::{Hyperup, Lwp as HostLwp};

/// The table for `rumpuser_init`.
pub const UPCALLS: Hyperup = Hyperup {
    schedule,
    unschedule,
    backend_unschedule,
    backend_schedule,
    lwproc_switch,
    lwproc_release,
    lwproc_rfork,
    lwproc_newlwp,
    lwproc_curlwp,
    syscall: system_call,
    lwpexit,
    execnotify,
    getpid,
    extra: [ptr::null_mut(); 8],
};

/// A host thread comes in; if it has no lwp, with one for this visit.
unsafe extern "C" fn schedule() {
    accounts::inside(true);
    entry::enter();
}

unsafe extern "C" fn unschedule() {
    entry::leave();
    accounts::inside(false);
}

/// The hypercall that the current lwp is in has to wait.
unsafe extern "C" fn backend_unschedule(_: c_int, nlocks: *mut c_int, interlock: *mut c_void) {
    let lwp = lwp::me();
    let locks = kernel().big_lock.exit_all(lwp);
    // SAFETY: null or the hypervisor's variable.
    if let Some(nlocks) = unsafe { nlocks.as_mut() } {
        *nlocks = locks;
    }
    scheduler::unschedule(lwp, interlock);
    accounts::inside(false);
}

/// It has waited.
unsafe extern "C" fn backend_schedule(nlocks: c_int, interlock: *mut c_void) {
    accounts::inside(true);
    let lwp = lwp::me();
    scheduler::schedule(lwp, interlock);
    kernel().big_lock.enter(lwp, nlocks);
}

unsafe extern "C" fn lwproc_switch(lwp: *mut HostLwp) {
    // SAFETY: the hypervisor names an lwp that it keeps for this thread.
    unsafe { entry::switch(NonNull::new(lwp.cast())) }
}

/// The current lwp ends when its thread leaves the kernel.
unsafe extern "C" fn lwproc_release() {
    lwp::me().set(EXITING);
}

unsafe extern "C" fn lwproc_rfork(_: *mut c_void, _: c_int, name: *const c_char) -> c_int {
    let name = if name.is_null() {
        "rumproc".into()
    } else {
        // SAFETY: the hypervisor gives null or a string.
        unsafe { CStr::from_ptr(name) }.to_string_lossy()
    };
    become_lwp(kernel().processes.fork(lwp::me().process().pid(), &name));
    0
}

unsafe extern "C" fn lwproc_newlwp(pid: pid_t) -> c_int {
    match kernel().processes.find(pid) {
        None => errno::ESRCH,
        Some(process) if ProcessTable::is_exiting(&process) => errno::EBUSY,
        Some(process) => {
            become_lwp(Lwp::create(process));
            0
        }
    }
}

/// Goes on as a new lwp.
fn become_lwp(lwp: NonNull<Lwp>) {
    // SAFETY: it is new, so no thread runs it.
    unsafe { entry::switch(Some(lwp)) }
}

/// The current lwp, unless it is about to end.
unsafe extern "C" fn lwproc_curlwp() -> *mut HostLwp {
    let lwp = lwp::me();
    if lwp.has(EXITING) { ptr::null_mut() } else { lwp.raw().cast() }
}

unsafe extern "C" fn system_call(number: c_int, _: *mut c_void, results: *mut c_long) -> c_int {
    match syscall::dispatch(number) {
        Ok(result) => {
            // SAFETY: null or the hypervisor's array of two results.
            if let Some(first) = unsafe { results.as_mut() } {
                *first = result;
            }
            0
        }
        Err(errno) => errno,
    }
}

/// The client of the current process is gone. Calls of other lwps of it come to their end by themselves: no system call
/// of this guest waits for its client.
unsafe extern "C" fn lwpexit() {
    lwp::me().process().exit();
}

unsafe extern "C" fn execnotify(name: *const c_char) {
    if !name.is_null() {
        // SAFETY: the hypervisor gives a string.
        let name = unsafe { CStr::from_ptr(name) };
        lwp::me().process().rename(&name.to_string_lossy());
    }
}

unsafe extern "C" fn getpid() -> pid_t {
    lwp::me().process().pid()
}
