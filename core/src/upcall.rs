//! The guest's functions that the hypervisor calls.
//!
//! Leaving and retaking a virtual CPU around a wait is the one thing that all slow hypercalls have in common. It is
//! done here and nowhere else, so this is where transitions are seen.

use crate::abi::types::Hyperup;
use crate::guest::vcpu;
use crate::host::fiber;
use crate::host::sync::{self, Owner};
use crate::lwp;
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, Ordering};
use libc::c_int;
use rumpscope_probes::transition::{self, Direction};
use rumpscope_probes::{Hypercall, contention};

struct Table {
    upcalls: UnsafeCell<MaybeUninit<Hyperup>>,
    installed: AtomicBool,
}

// SAFETY: `upcalls` is written once, by `install` before it sets `installed`, and only read after that.
unsafe impl Sync for Table {}

static TABLE: Table = Table { upcalls: UnsafeCell::new(MaybeUninit::uninit()), installed: AtomicBool::new(false) };

/// Keeps the guest's table. Called once, from `rumpuser_init`, before any other thread makes a hypercall.
pub fn install(upcalls: Hyperup) {
    // SAFETY: `rumpuser_init` is the first hypercall of the guest's only thread, so nobody reads the table yet.
    unsafe { (*TABLE.upcalls.get()).write(upcalls) };
    // Release: whoever sees the flag sees the table.
    TABLE.installed.store(true, Ordering::Release);
}

/// The guest's table, once there is one.
#[inline]
pub fn table() -> Option<&'static Hyperup> {
    // Acquire: pairs with the store in `install`.
    if !TABLE.installed.load(Ordering::Acquire) {
        return None;
    }
    // SAFETY: written before `installed` was set, never after.
    Some(unsafe { (*TABLE.upcalls.get()).assume_init_ref() })
}

/// Proof that the calling thread has given up its virtual CPU, and what it needs to get one again.
#[derive(Debug)]
#[must_use = "the thread stays off its virtual CPU until `schedule`"]
pub struct Unscheduled {
    cause: Hypercall,
    /// How often the lwp held the guest's big kernel lock; `None`: there was no virtual CPU to give up.
    nlocks: Option<c_int>,
}

/// The cookie of a thread that had no virtual CPU to give up.
const NO_VIRTUAL_CPU: isize = -1;

impl Unscheduled {
    /// As an opaque value for a guest's driver, which gives it back when it is done waiting.
    pub fn into_cookie(self) -> *mut c_void {
        let nlocks = self.nlocks.map_or(NO_VIRTUAL_CPU, |nlocks| nlocks as isize);
        core::ptr::without_provenance_mut(nlocks as usize)
    }

    /// What `into_cookie` made; `cause` is the call that brings it back.
    pub fn from_cookie(cause: Hypercall, cookie: *mut c_void) -> Self {
        let nlocks = c_int::try_from(cookie as isize).ok().filter(|&nlocks| nlocks >= 0);
        Unscheduled { cause, nlocks }
    }
}

/// Takes the calling thread off its virtual CPU, because `cause` is about to wait. `interlock` is the mutex that the
/// guest's scheduler may hold across the transition, or null. A thread that runs no lwp has no virtual CPU: nothing
/// happens then.
pub fn unschedule(cause: Hypercall, interlock: *mut c_void) -> Unscheduled {
    let Some(upcalls) = table().filter(|_| !lwp::current().is_null()) else {
        return Unscheduled { cause, nlocks: None };
    };
    about_to_wait();
    let mut nlocks = 0;
    in_upcall(cause, Direction::Unschedule, || {
        // SAFETY: the guest's own function, called as the interface says, by a thread that runs an lwp.
        unsafe { (upcalls.backend_unschedule)(0, &mut nlocks, interlock) };
    });
    Unscheduled { cause, nlocks: Some(nlocks) }
}

/// The calling thread is about to wait: others may want what it has kept until now.
#[inline]
pub fn about_to_wait() {
    let thread = fiber::identity().unwrap_or_else(lwp::host_thread);
    sync::about_to_wait([Owner::from_address(lwp::current()), thread]);
}

/// Puts the calling thread on a virtual CPU again; returns when it has one.
pub fn schedule(off: Unscheduled, interlock: *mut c_void) {
    if let (Some(nlocks), Some(upcalls)) = (off.nlocks, table()) {
        in_upcall(off.cause, Direction::Schedule, || {
            // SAFETY: as in `unschedule`, which this call undoes.
            unsafe { (upcalls.backend_schedule)(nlocks, interlock) };
        });
    }
}

/// Runs `wait` with the calling thread off its virtual CPU, waiting for something that no thread of the guest holds. An
/// error number must be read inside `wait`: scheduling may overwrite it.
pub fn off_cpu<R>(cause: Hypercall, wait: impl FnOnce() -> R) -> R {
    off_cpu_for_lock(cause, || contention::alone(cause, wait))
}

/// The same for a wait that is recorded as one for a lock.
pub fn off_cpu_for_lock<R>(cause: Hypercall, wait: impl FnOnce() -> R) -> R {
    let off = unschedule(cause, core::ptr::null_mut());
    let outcome = wait();
    schedule(off, core::ptr::null_mut());
    outcome
}

/// Runs `work` with the calling host thread, which has no lwp, scheduled on a virtual CPU with a temporary one: how the
/// completion of a block transfer is told to the guest.
pub fn on_cpu<R>(cause: Hypercall, work: impl FnOnce() -> R) -> R {
    let Some(upcalls) = table() else { return work() };
    in_upcall(cause, Direction::Schedule, || {
        // SAFETY: the guest's own function; a thread without an lwp may call it at any time after boot.
        unsafe { (upcalls.schedule)() };
    });
    let outcome = transition::apart(work);
    in_upcall(cause, Direction::Unschedule, || {
        // SAFETY: undoes the call above.
        unsafe { (upcalls.unschedule)() };
    });
    transition::visit_end();
    outcome
}

/// Runs `upcall`, which gives up or takes a virtual CPU on behalf of hypercall `cause`.
pub(crate) fn in_upcall(cause: Hypercall, direction: Direction, upcall: impl FnOnce()) {
    transition::in_upcall(cause, direction, || vcpu::scheduled(lwp::current().cast(), None), upcall);
}
