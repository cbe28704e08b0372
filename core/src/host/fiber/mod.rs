//! All guest threads on one host thread, as stackful coroutines: *fibers*.
//!
//! One host thread, the *carrier*, runs them in turn; it exists from the first fiber on, and sleeps when none can run.
//! A fiber goes on until it pauses, and it pauses where a host thread would sleep:
//!
//! ```text
//!                    wake (by anybody)                          the host call is over
//!        +---------------------------------------+   +--------------------------------------+
//!        v                                       |   v                                      |
//!   run queue --the carrier takes it--> running on the carrier --a host call may block--> away, on a helper
//!        ^                                |      |
//!        |   others may run first         |      +--waits for a word or a time--> parked (`words`, `timers`)
//!        +--------------------------------+      +--ends--> its stack serves the next one
//! ```
//!
//! **Locks** are those of [`sync`](super::sync), not another set. They sleep in one place, on a word in memory whose
//! value they expect; for a fiber that is a list here (`words`) instead of the host's kernel. So fibers and host threads
//! (clients of the guest, block I/O) wait for the same lock in the same queue, and whoever wakes need not know which it
//! is. What never happens in a fiber is active waiting: what it waits for may be another fiber's to give.
//!
//! **Host calls** that may block are made while the fiber is *away*: a helper, one of a pool of host threads, goes on
//! with the fiber, on its own stack, up to the end of the call ([`in_host_call`]). The same holds between a driver's
//! `component_unschedule` and `component_schedule` ([`leave`], [`come_back`]). A fiber that is away counts as a host
//! thread: should it meet a lock, the helper sleeps.
//!
//! **What belongs to a thread** of the host belongs to a fiber, too: the current lwp, the state of the probes, `errno`,
//! and the guest's own thread-local storage (`guest_storage`). It is exchanged whenever a fiber begins or ceases to run
//! (`belongings`).
//!
//! **What a guest must not do** on fibers, and may on threads:
//! - keep in other thread-local storage what is a thread's own: all fibers share it. Around a driver's
//!   `component_unschedule` and `component_schedule` even the host thread changes, so nobody may keep the address of
//!   anything thread-local across either (a compiler does, within one function that has it on both sides);
//! - wait for a lock of the host's C library, or of a host's library, that another fiber holds while it makes a
//!   hypercall: that stops the carrier, and with it the holder. Clients, which have such locks, are host threads.
//!
//! **No deadlock comes in** by this, beyond those of the guest:
//! - The carrier waits for nothing but the locks of this module's lists. Their holders run a few instructions, and never
//!   pause while they hold one.
//! - A fiber that holds a lock of the guest, or a virtual CPU, and pauses is no more than a thread that the host has
//!   taken off its processor: when it can go on it stands in the run queue, and every fiber before it pauses in finite
//!   time, as long as the guest's code does. A client thread may therefore wait for it, asleep or actively; it is on a
//!   host thread of its own and keeps none from running.
//! - A client that holds what a fiber waits for is on a host thread, and does not need the carrier to go on, but where
//!   it waits itself: then the chain ends at somebody who runs.
//! - Code that tries in a loop and never waits would keep the carrier from who could end the loop. A try that fails
//!   therefore lets the others go first ([`yield_now`]), and so does a fiber that has run for long when it enters the
//!   guest.
//! - There are as many helpers as there are calls under way, so no call waits for another one to end. Where the host
//!   grants no more threads, calls wait for a helper; where there is none at all, the carrier makes the call itself.
//!
//! **Fairness.** Fibers run in the order in which they were woken, and locks are as fair between a fiber and a host thread
//! as between two threads. But a fiber that is woken goes on as soon as the running one pauses, and a host thread only
//! some 25 µs later, so where a guest gives its virtual CPU to whoever comes first, fibers have the better chance.
//!
//! The host's limits show as they do with threads: no memory for a stack is `EAGAIN`, an overflow meets a guard page.

mod backend;
mod belongings;
mod carrier;
mod end;
mod guest_storage;
mod helpers;
mod stack;
mod strand;
#[cfg(all(test, not(loom)))]
mod tests;
mod timers;
#[cfg_attr(loom, allow(dead_code, reason = "the model of the futex has threads only"))]
mod words;

pub use backend::Fibers;
pub use guest_storage::find as find_guest_storage;
pub use strand::Fiber;
#[cfg(not(loom))]
pub(super) use words::{wait, wake};

use super::errno::Errno;
use super::sync::{Deadline, Owner};
use super::thread::Main;
use core::ffi::{CStr, c_void};
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use strand::Pause;

/// Whether there ever was a fiber.
static IN_USE: AtomicBool = AtomicBool::new(false);

/// Starts a fiber that runs `main(argument)`; readers of the profile know it by `name`. The result is for [`join`].
///
/// # Errors
/// EAGAIN where the host has no memory for a stack, or no thread for the carrier.
///
/// # Safety
/// `main` may be called with `argument` on another thread.
pub unsafe fn spawn(main: Main, argument: *mut c_void, name: Option<&CStr>) -> Result<Arc<Fiber>, Errno> {
    carrier::start()?;
    // SAFETY: the caller's word.
    let fiber = unsafe { Fiber::new(main, argument, name) }?;
    // Relaxed: see `may_be_parked`.
    IN_USE.store(true, Ordering::Relaxed);
    carrier::enqueue(Arc::clone(&fiber));
    Ok(fiber)
}

/// Waits for the end of a fiber: as a fiber or as a host thread.
pub fn join(fiber: &Fiber) {
    fiber.end.wait();
}

/// Ends the running fiber, from any depth. What is on its stack is dropped without a destructor. Returns where the
/// caller is no fiber.
///
/// # Safety
/// No frame of the fiber's `main` or of what it called needs to be left in order.
pub unsafe fn exit() {
    if let Some(fiber) = strand::carried() {
        fiber.pause(Pause::Ended);
    }
}

/// Whether the caller is a fiber, on the carrier.
#[inline]
pub fn is_running() -> bool {
    strand::running().is_some()
}

/// The running fiber as the holder of a lock; `None` where the caller is a host thread.
pub fn identity() -> Option<Owner> {
    strand::carried().map(|fiber| Owner::from_address(fiber))
}

/// Lets the other fibers go first, where the caller is one and others can run.
pub fn yield_now() {
    if let Some(fiber) = strand::running()
        && carrier::others_can_run()
    {
        carrier::enqueue(fiber.share());
        fiber.pause(Pause::Parked);
    }
}

/// As [`yield_now`], if the fiber has been running for longer than a host would let a thread that others wait for.
pub fn yield_after_long_run() {
    if carrier::has_run_for_long() {
        yield_now();
    }
}

/// Sleeps until `deadline`. Says whether it did: not where the caller is no fiber.
pub fn sleep_until(deadline: &Deadline) -> bool {
    let Some(fiber) = strand::running() else { return false };
    timers::set(deadline.nanoseconds(), fiber.share(), None);
    fiber.pause(Pause::Parked);
    true
}

/// Runs `call`, which may block for long; other fibers run meanwhile.
pub fn in_host_call<R>(call: impl FnOnce() -> R) -> R {
    leave();
    let outcome = call();
    come_back();
    outcome
}

/// The running fiber leaves the carrier, for a helper. Nothing happens where the caller is no fiber on the carrier.
#[inline(never)]
pub fn leave() {
    if let Some(fiber) = strand::running() {
        fiber.set_away(true);
        fiber.pause(Pause::Away);
    }
}

/// Undoes [`leave`].
#[inline(never)]
pub fn come_back() {
    if let Some(fiber) = strand::carried().filter(|fiber| fiber.is_away()) {
        fiber.pause(Pause::Back);
        fiber.set_away(false);
    }
}

/// Whether a fiber may sleep on the word whose value the caller has just read. Where none does, this costs a load.
#[inline]
fn may_be_parked() -> bool {
    // Acquire fence: before it slept, a fiber marked the word, or entered a queue under a lock that the caller has taken
    // since; and the flag was set before there was a fiber. So who knows of a sleeper reads the flag.
    core::sync::atomic::fence(Ordering::Acquire);
    IN_USE.load(Ordering::Relaxed)
}
