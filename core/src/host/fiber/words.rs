//! Fibers that sleep until a word in memory changes: what the host's futex is to threads.
//!
//! A fiber looks at the word and enters its bucket under the bucket's lock; who has changed the word takes the same lock
//! to look for sleepers. So either the fiber sees the change, or it is found.

use super::carrier;
use super::strand::{self, Fiber, Pause};
use super::timers;
use crate::host::sync::Deadline;
use core::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A power of two. More would only keep host threads apart that wake fibers at the same time.
const BUCKETS: usize = 64;

static TABLE: [Mutex<Vec<Sleeper>>; BUCKETS] = [const { Mutex::new(Vec::new()) }; BUCKETS];

/// In a bucket in the order of their arrival.
#[derive(Debug)]
struct Sleeper {
    address: usize,
    fiber: Arc<Fiber>,
}

fn bucket(address: usize) -> MutexGuard<'static, Vec<Sleeper>> {
    // Words are aligned to 4 bytes, locks to 64, stacks to pages: all parts of the address take part. (The multiplier is
    // 2^64 divided by the golden ratio, as in Knuth, "The Art of Computer Programming", section 6.4.)
    let hash = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BUCKETS.ilog2());
    TABLE[hash as usize].lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sleeps on the word at `address` if that `is_unchanged`, until somebody calls [`wake`] for it or until the deadline.
/// Says whether the deadline came first; `None`: the caller is a host thread, and nothing has happened.
pub(in crate::host) fn wait(
    address: usize,
    is_unchanged: impl FnOnce() -> bool,
    deadline: Option<&Deadline>,
) -> Option<bool> {
    let fiber = strand::running()?;
    fiber.timed_out.set(false);
    let mut sleepers = bucket(address);
    if !is_unchanged() {
        return Some(false);
    }
    sleepers.push(Sleeper { address, fiber: fiber.share() });
    drop(sleepers);
    // Who wakes it from here on puts it into the run queue, but the carrier takes it only when it has paused.
    let timer = deadline.map(|deadline| timers::set(deadline.nanoseconds(), fiber.share(), Some(address)));
    fiber.pause(Pause::Parked);
    if let Some(timer) = timer {
        timers::cancel(timer);
    }
    Some(fiber.timed_out.get())
}

/// Wakes the first of the fibers that sleep on the word at `address`. Says whether there was one.
pub(in crate::host) fn wake(address: usize) -> bool {
    if !super::may_be_parked() {
        return false;
    }
    let mut sleepers = bucket(address);
    let Some(first) = sleepers.iter().position(|sleeper| sleeper.address == address) else { return false };
    carrier::enqueue(sleepers.remove(first).fiber);
    true
}

/// The time of `fiber` is up: wakes it, unless somebody has done so already.
pub(super) fn time_is_up(address: usize, fiber: Arc<Fiber>) {
    let mut sleepers = bucket(address);
    let is_this = |sleeper: &Sleeper| sleeper.address == address && ptr::eq(&*sleeper.fiber, &*fiber);
    if let Some(position) = sleepers.iter().position(is_this) {
        sleepers.remove(position);
        drop(sleepers);
        // The fiber is paused, and ours: it has been taken from the bucket.
        fiber.timed_out.set(true);
        carrier::enqueue(fiber);
    }
}
