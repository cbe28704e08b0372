//! The upcalls: what a rump kernel's do, as far as the hypervisor can tell, with a check of every rule.

use super::thread::{self, State, set_state, state};
use super::{Event, Guest, guest};
use libc::{c_char, c_int, c_long, c_void, pid_t};
use rumpuser::abi::types::{self, Hyperup, lwp_op};
use std::sync::atomic::Ordering;

/// The address of an lwp: names it, and is never looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lwp(usize);

impl Lwp {
    pub(crate) const NONE: Lwp = Lwp(0);

    pub(crate) fn from_ptr(lwp: *mut types::Lwp) -> Self {
        Lwp(lwp as usize)
    }

    pub(crate) fn as_ptr(self) -> *mut types::Lwp {
        self.0 as *mut types::Lwp
    }

    pub(crate) fn address(self) -> usize {
        self.0
    }
}

/// Makes an lwp. It is never freed, and larger than a rump kernel's, so that a library may look into it.
pub(crate) fn new_lwp() -> Lwp {
    #[repr(align(64))]
    struct Memory(#[allow(dead_code, reason = "only its address matters")] [u8; 2048]);
    Lwp(Box::leak(Box::new(Memory([0; 2048]))) as *mut Memory as usize)
}

/// The table in the form that the interface wants.
pub(crate) struct Table(pub(crate) Hyperup);

// SAFETY: the pointers in it are null, and nothing in it changes.
unsafe impl Sync for Table {}

pub(crate) static TABLE: Table = Table(Hyperup {
    schedule,
    unschedule,
    backend_unschedule,
    backend_schedule,
    lwproc_switch,
    lwproc_release,
    lwproc_rfork,
    lwproc_newlwp,
    lwproc_curlwp,
    syscall,
    lwpexit,
    execnotify,
    getpid,
    extra: [core::ptr::null_mut(); 8],
});

impl Guest {
    fn demand(&self, rule: bool, what: impl FnOnce() -> String) {
        if !rule {
            self.trace.violation(what());
        }
    }

    /// The upcalls of a real guest make system calls of their own.
    fn spoil(&self) {
        // Relaxed: see `spoil_errno`.
        if self.spoils_errno.load(Ordering::Relaxed) {
            // SAFETY: the address of the calling thread's `errno` is always valid.
            unsafe { *libc::__errno_location() = libc::EXFULL };
        }
    }

    fn is_scheduler_mutex(&self, interlock: *mut c_void) -> bool {
        // Acquire: pairs with the store when the mutex was made.
        !interlock.is_null() && interlock == self.scheduler_mutex.load(Ordering::Acquire)
    }

    fn take_cpu(&self, name: &str) {
        self.demand(!state().on_cpu, || format!("{name} by a thread that has a virtual CPU already"));
        self.cpus.acquire();
        set_state(State { on_cpu: true, ..state() });
    }

    fn give_cpu(&self, name: &str) {
        self.demand(state().on_cpu, || format!("{name} by a thread that has no virtual CPU"));
        set_state(State { on_cpu: false, ..state() });
        self.cpus.release();
    }

    /// Makes `lwp` the current one.
    fn switch(&self, lwp: Lwp, temporary: bool) {
        let old = state();
        if old.lwp != Lwp::NONE {
            self.curlwpop(lwp_op::CLEAR, old.lwp);
            if old.temporary {
                self.curlwpop(lwp_op::DESTROY, old.lwp);
            }
        }
        if lwp != Lwp::NONE {
            self.curlwpop(lwp_op::SET, lwp);
        }
        set_state(State { lwp, temporary, ..old });
    }
}

unsafe extern "C" fn backend_unschedule(reserved: c_int, locks: *mut c_int, interlock: *mut c_void) {
    let guest = guest();
    guest.demand(reserved == 0, || format!("backend_unschedule: the first argument is {reserved}, not 0"));
    guest.demand(state().lwp != Lwp::NONE, || "backend_unschedule by a thread without an lwp".to_owned());
    if locks.is_null() {
        guest.trace.violation("backend_unschedule: no place for the number of locks".to_owned());
    } else {
        // SAFETY: the hypervisor passes a place for the result.
        unsafe { *locks = state().locks };
    }
    set_state(State { locks: 0, ..state() });
    guest.trace.record(Event::Left { interlock: interlock as usize });
    if guest.is_scheduler_mutex(interlock) {
        // SAFETY: the guest's own mutex, which lives as long as the process.
        unsafe { (guest.calls.mutex_enter_nowrap)(interlock) };
    }
    guest.give_cpu("backend_unschedule");
    guest.spoil();
}

unsafe extern "C" fn backend_schedule(locks: c_int, interlock: *mut c_void) {
    let guest = guest();
    guest.trace.record(Event::Asked { interlock: interlock as usize });
    guest.demand(state().lwp != Lwp::NONE, || "backend_schedule by a thread without an lwp".to_owned());
    guest.take_cpu("backend_schedule");
    if guest.is_scheduler_mutex(interlock) {
        // SAFETY: as above; the hypervisor holds it for the guest.
        unsafe { (guest.calls.mutex_exit)(interlock) };
    }
    set_state(State { locks, ..state() });
    guest.trace.record(Event::Back { interlock: interlock as usize });
    guest.spoil();
}

unsafe extern "C" fn schedule() {
    let guest = guest();
    guest.take_cpu("schedule");
    if state().lwp == Lwp::NONE {
        let lwp = new_lwp();
        guest.curlwpop(lwp_op::CREATE, lwp);
        guest.switch(lwp, true);
    }
    guest.trace.record(Event::Scheduled);
    guest.spoil();
}

unsafe extern "C" fn unschedule() {
    let guest = guest();
    guest.trace.record(Event::Unscheduled);
    if state().temporary {
        guest.switch(Lwp::NONE, false);
    }
    guest.give_cpu("unschedule");
    guest.spoil();
}

unsafe extern "C" fn lwproc_switch(lwp: *mut types::Lwp) {
    let guest = guest();
    guest.demand(state().on_cpu, || "lwproc_switch off the virtual CPU".to_owned());
    guest.trace.record(Event::Switched(lwp as usize));
    guest.switch(Lwp::from_ptr(lwp), false);
}

unsafe extern "C" fn lwproc_release() {
    let guest = guest();
    guest.demand(state().on_cpu, || "lwproc_release off the virtual CPU".to_owned());
    guest.trace.record(Event::Released);
    set_state(State { temporary: true, ..state() });
}

unsafe extern "C" fn lwproc_newlwp(process: pid_t) -> c_int {
    let guest = guest();
    guest.demand(state().on_cpu, || "lwproc_newlwp off the virtual CPU".to_owned());
    guest.trace.record(Event::NewLwp(process));
    let lwp = new_lwp();
    guest.curlwpop(lwp_op::CREATE, lwp);
    guest.switch(lwp, false);
    0
}

unsafe extern "C" fn lwproc_curlwp() -> *mut types::Lwp {
    guest().demand(state().on_cpu, || "lwproc_curlwp off the virtual CPU".to_owned());
    thread::state().lwp.as_ptr()
}

fn unexpected(name: &str) {
    guest().trace.violation(format!("{name} has nothing to do with what the case calls"));
}

unsafe extern "C" fn lwproc_rfork(_: *mut c_void, _: c_int, _: *const c_char) -> c_int {
    unexpected("lwproc_rfork");
    0
}

unsafe extern "C" fn syscall(_: c_int, _: *mut c_void, _: *mut c_long) -> c_int {
    unexpected("syscall");
    0
}

unsafe extern "C" fn lwpexit() {
    unexpected("lwpexit");
}

unsafe extern "C" fn execnotify(_: *const c_char) {
    unexpected("execnotify");
}

unsafe extern "C" fn getpid() -> pid_t {
    unexpected("getpid");
    1
}
