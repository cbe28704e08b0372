//! Entering and leaving the kernel, and changing lwps in it.

use super::kernel::kernel;
use super::lwp::{self, CLEAR, EXITING, Lwp};
use super::process::INIT;
use super::{console, probe, scheduler};
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering;

/// The calling thread enters the kernel: it has an lwp and a virtual CPU after this. A thread without an lwp gets one
/// of process init, which ends when it leaves.
#[inline]
pub fn enter() {
    match lwp::current() {
        Some(lwp) => scheduler::schedule(lwp, ptr::null_mut()),
        None => enter_as_guest(),
    }
}

#[cold]
fn enter_as_guest() {
    let Some(init) = kernel().processes.find(INIT) else {
        console::panic(format_args!("process init is gone"));
    };
    let lwp = Lwp::create(init);
    // SAFETY: a new lwp, which `leave` frees after it has cleared it.
    let lwp = unsafe {
        lwp::set_current(lwp);
        lwp.as_ref()
    };
    lwp.set(EXITING);
    scheduler::schedule(lwp, ptr::null_mut());
}

/// The calling thread leaves the kernel and gives up its virtual CPU; if its lwp is exiting, also that.
#[inline]
pub fn leave() {
    let lwp = lwp::me();
    scheduler::unschedule(lwp, ptr::null_mut());
    if lwp.has(CLEAR | EXITING) {
        part_from(lwp);
    }
}

#[cold]
fn part_from(lwp: &Lwp) {
    lwp::clear_current(lwp);
    lwp.clear(CLEAR);
    if lwp.has(EXITING) {
        // SAFETY: it is off its virtual CPU and no longer current; this thread was the only one that used it.
        unsafe { lwp::free(NonNull::from(lwp)) };
    }
}

/// A system call: enters the kernel, does `work`, and leaves it. Inside, locks may be taken and waits done; they must be
/// over when `work` returns.
#[inline]
pub fn system_call<R>(work: impl FnOnce() -> R) -> R {
    probe::entry();
    enter();
    let result = work();
    probe::entry();
    leave();
    result
}

/// Does `work` outside of the kernel, for an lwp that is in it: the counterpart of [`system_call`].
pub fn outside<R>(work: impl FnOnce() -> R) -> R {
    leave();
    let result = work();
    enter();
    result
}

/// Lets others have the virtual CPU.
pub fn yield_cpu() {
    let lwp = lwp::me();
    let locks = kernel().big_lock.exit_all(lwp);
    scheduler::unschedule(lwp, ptr::null_mut());
    scheduler::schedule(lwp, ptr::null_mut());
    kernel().big_lock.enter(lwp, locks);
}

/// Goes on as lwp `to`, on the same virtual CPU; an exiting lwp is freed. With `None`, the thread has no lwp after it
/// leaves the kernel.
///
/// # Safety
/// `to` is not freed and not run by any thread.
pub unsafe fn switch(to: Option<NonNull<Lwp>>) {
    let from = lwp::me();
    let Some(to) = to else {
        from.set(CLEAR);
        return;
    };
    from.big_locks.set(kernel().big_lock.exit_all(from));
    let cpu = from.cpu();
    lwp::clear_current(from);
    // SAFETY: the caller's promise.
    let to = unsafe {
        lwp::set_current(to);
        to.as_ref()
    };
    to.run_on(cpu);
    // Relaxed: read by this thread, or as a hint.
    cpu.curlwp.store(to.raw(), Ordering::Relaxed);
    kernel().big_lock.enter(to, to.big_locks.take());
    if from.has(EXITING) {
        // SAFETY: no thread runs it, and its virtual CPU belongs to `to` now.
        unsafe { lwp::free(NonNull::from(from)) };
    }
}
