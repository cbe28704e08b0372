//! The host's scheduling policy of the guest's threads.
//!
//! Under Linux's ordinary policy, `SCHED_OTHER`, a thread that is woken takes the processor from another that has had its
//! share of late. The threads of a guest wake each other all the time, and most often for what the waker still has, or
//! comes back for at once: a lock, a virtual CPU, the other end of a pipe. So it is stopped in the middle, others queue up
//! behind it, and each of them is a wake-up again. Under `SCHED_BATCH` a woken thread takes a processor that is idle, and
//! otherwise waits until one sleeps or has used up its time slice (sched(7)). Therefore the guest's threads have that
//! policy; each one changes its own, before it first sleeps.
//!
//! Where other programs keep the processors busy this would be bad: a woken thread would wait for their time slices, some
//! milliseconds at every wake-up. So who goes on late after it was woken says so ([`woken`]). If the threads that have the
//! policy have used less than half of the processors' time from one such to another, it was not they that were in the way,
//! and they go back to `SCHED_OTHER` for a while. Threads that have run for a millisecond or more at a time, and have not
//! woken anybody meanwhile, do not count: they compute, as others do, and nothing is lost if they are stopped.
//!
//! A thread that has a third policy keeps it, and so do all of a program that runs under `SCHED_BATCH` as a whole. One that
//! sleeps by the clock, which is to be on time, has `SCHED_OTHER` ([`stay_ordinary`]).

mod crowd;

use crate::host::{setting, sync};
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use libc::c_int;

/// `on` (default) or `off`: the policy of the guest's threads is left alone.
pub const VARIABLE: &str = "RUMPSCOPE_BATCH";

/// From so many nanoseconds on a wake-up is late: more than it takes to wake a processor, less than a time slice.
const LATE: u64 = 1_000_000;

/// What a thread is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Policy {
    /// Nobody has looked yet: of a thread. Of the guest: its threads' policies are left alone.
    Unknown,
    /// `SCHED_BATCH`
    Batch,
    /// `SCHED_OTHER`
    Other,
    /// It keeps the one that it has.
    Kept,
}

/// What the guest's threads are to have: `Unknown`, `Batch` or `Other`.
static WANTED: AtomicU8 = AtomicU8::new(Policy::Unknown as u8);
/// If that is `Other`, until when, in nanoseconds of [`sync::now`].
static UNTIL: AtomicU64 = AtomicU64::new(0);
/// Whether a thread has ever had `SCHED_BATCH` from us, so that those it makes may have it from there.
static USED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static MINE: Cell<Policy> = const { Cell::new(Policy::Unknown) };
}

/// The guest's threads may have their policies changed from now on, unless the environment says otherwise.
pub fn begin() {
    if !setting::is_on(VARIABLE) {
        return;
    }
    // SAFETY: the handler makes a system call and writes to the thread's own storage, which is allowed after a fork.
    unsafe { libc::pthread_atfork(None, None, Some(in_forked_child)) };
    want(Policy::Batch);
}

/// A child has the policy of the thread that made it, and so has the program that it may begin. That is none of ours. (What is
/// started by `posix_spawn` keeps it: nothing of ours runs in between.)
extern "C" fn in_forked_child() {
    if MINE.get() == Policy::Batch && change(libc::SCHED_OTHER) {
        MINE.set(Policy::Other);
    }
}

fn want(policy: Policy) {
    // Relaxed, here and below: a fact by itself; who sees it late changes its policy before its next sleep.
    WANTED.store(policy as u8, Ordering::Relaxed);
}

/// The calling thread is about to sleep in a lock.
#[inline]
pub(super) fn before_sleep() {
    let mut wanted = WANTED.load(Ordering::Relaxed);
    if wanted == Policy::Unknown as u8 {
        return;
    }
    if wanted == Policy::Other as u8 && sync::now() >= UNTIL.load(Ordering::Relaxed) {
        want(Policy::Batch);
        wanted = Policy::Batch as u8;
    }
    let mine = MINE.get();
    if mine as u8 != wanted && mine != Policy::Kept {
        adopt(if wanted == Policy::Batch as u8 { Policy::Batch } else { Policy::Other });
    }
    crowd::deals();
}

/// The calling thread is about to wake another, or has let others go first.
#[inline]
pub(super) fn has_dealt() {
    if WANTED.load(Ordering::Relaxed) != Policy::Unknown as u8 {
        crowd::deals();
    }
}

/// The calling thread is to be on time: it sleeps by the clock, or does what the others wait for.
pub(super) fn stay_ordinary() {
    if WANTED.load(Ordering::Relaxed) != Policy::Unknown as u8 && MINE.get() != Policy::Kept {
        adopt(Policy::Other);
        MINE.set(Policy::Kept);
    }
}

/// Gives the calling thread this policy, if it has one of the two.
#[cold]
fn adopt(policy: Policy) {
    // SAFETY: asks the host about the calling thread.
    let has = unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) } as c_int;
    let wanted = if policy == Policy::Batch { libc::SCHED_BATCH } else { libc::SCHED_OTHER };
    let ours = has == libc::SCHED_OTHER || has == libc::SCHED_BATCH && USED.load(Ordering::Relaxed);
    if !ours || (has != wanted && !change(wanted)) {
        MINE.set(Policy::Kept);
        return;
    }
    MINE.set(policy);
    if policy == Policy::Batch {
        USED.store(true, Ordering::Relaxed);
        crowd::join();
    }
}

/// Whether the host has agreed.
fn change(policy: c_int) -> bool {
    // SAFETY: all zero is right for both policies, which have no priorities.
    let parameters: libc::sched_param = unsafe { core::mem::zeroed() };
    // SAFETY: concerns the calling thread; the parameters are only read.
    unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const parameters) == 0 }
}

/// The calling thread was woken at `told`, and goes on now, in nanoseconds.
#[inline]
pub(super) fn woken(told: u64, now: u64) {
    if now.saturating_sub(told) >= LATE {
        late(now);
    }
}

#[cold]
fn late(now: u64) {
    if WANTED.load(Ordering::Relaxed) == Policy::Batch as u8
        && let Some(until) = crowd::late(now)
    {
        UNTIL.store(until, Ordering::Relaxed);
        want(Policy::Other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In threads of their own: nobody else's policy is changed.
    #[test]
    fn threads_change_their_own_policy() {
        let policy = || {
            // SAFETY: asks the host about the calling thread.
            unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) as c_int }
        };
        let run = |work: fn()| {
            std::thread::spawn(move || {
                work();
                (policy(), MINE.get())
            })
        };
        let ended = |work: fn()| run(work).join().expect("no panic");
        if policy() != libc::SCHED_OTHER {
            eprintln!("skipped: this program does not have the ordinary policy");
            return;
        }
        assert_eq!(ended(|| adopt(Policy::Batch)), (libc::SCHED_BATCH, Policy::Batch));
        let back = || [Policy::Batch, Policy::Other].into_iter().for_each(adopt);
        assert_eq!(ended(back), (libc::SCHED_OTHER, Policy::Other));
        let heir = || {
            adopt(Policy::Batch);
            std::thread::spawn(|| adopt(Policy::Other)).join().expect("no panic");
            let heirs = std::thread::spawn(|| {
                adopt(Policy::Other);
                MINE.get()
            });
            assert_eq!(heirs.join().expect("no panic"), Policy::Other, "it has it from us");
        };
        assert_eq!(ended(heir), (libc::SCHED_BATCH, Policy::Batch));
        let idle = || {
            assert!(change(libc::SCHED_IDLE));
            adopt(Policy::Batch);
        };
        assert_eq!(ended(idle), (libc::SCHED_IDLE, Policy::Kept), "somebody wants it so");
    }
}
