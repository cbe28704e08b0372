//! How far the guest has come, for whoever tries which of two ways it comes faster.

use crate::catalogue::Hypercall;
use crate::layout::{LINK, header, tally};
use crate::primitive::Ordering;
use crate::recorder::Recorder;

/// Calls that a guest makes for its own work, and no more often because its threads wait for each other.
const CALLS: [Hypercall; 5] =
    [Hypercall::MutexEnter, Hypercall::MutexOwner, Hypercall::RwEnter, Hypercall::Malloc, Hypercall::Seterrno];

/// How many such calls all threads have made so far, but for those that were timed; it only grows. `None` where nothing is counted.
///
/// A load from memory or two for each thread and virtual CPU that it was on: some microseconds.
pub fn progress() -> Option<u64> {
    let arena = &Recorder::get()?.arena;
    // Acquire, here and below: what a link leads to is filled.
    let mut block = arena.word(header::TALLIES).load(Ordering::Acquire) as usize;
    let mut calls = 0;
    while block != 0 {
        // Relaxed: each count says all by itself.
        let count = |word: usize| tally::count(arena.word(block + word).load(Ordering::Relaxed));
        calls += CALLS.into_iter().filter_map(tally::word).map(count).sum::<u64>();
        block = arena.word(block + LINK).load(Ordering::Acquire) as usize;
    }
    Some(calls)
}
