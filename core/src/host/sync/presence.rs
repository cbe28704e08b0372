//! How much time the threads of this process have had on each of the host's processors, as far as they tell.
//!
//! Who offers its processor to others and gets it back late wants to know who had it: threads of this process, which
//! have got on with their work meanwhile, or somebody else. The host does not say. So a thread tells where it is when it
//! looks, before it sleeps and after; the time between is its own, if it is short: else it may have been taken off the
//! processor without knowing.

use super::active::now;
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

/// What lies between two tellings and is longer, in nanoseconds, is nobody's: less than the host lets one thread run
/// while others want to (some milliseconds), more than a guest runs between two waits where waiting matters.
const UNTOLD: u64 = 50_000;

/// Processors that are told apart; of a larger host, two share a place.
const PLACES: usize = 64;

/// A line of its own for each processor, which only threads on it write.
#[derive(Debug)]
#[repr(align(64))]
struct Used(AtomicU64);

/// Nanoseconds that threads of this process have had, by processor.
static USED: [Used; PLACES] = [const { Used(AtomicU64::new(0)) }; PLACES];

thread_local! {
    /// Where the thread last told that it is, and when.
    static LAST: Cell<(Place, u64)> = const { Cell::new((Place(0), 0)) };
}

/// A processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(usize);

impl Place {
    fn here() -> Place {
        // SAFETY: no preconditions. It reads a word that the host keeps in the thread's own memory.
        let cpu = unsafe { libc::sched_getcpu() };
        // -1, where the host does not tell, is a place as any other.
        Place(cpu as usize % PLACES)
    }
}

/// The calling thread runs at `now`, and has run since it last told.
pub(super) fn is_here(now: u64) {
    let here = Place::here();
    let (place, since) = LAST.replace((here, now));
    let run = now.saturating_sub(since);
    if place == here && run < UNTOLD {
        // Relaxed, here and below: a count that nothing depends on.
        USED[here.0].0.fetch_add(run, Ordering::Relaxed);
    }
}

/// The calling thread runs at `now`, and has not run since it last told.
pub(super) fn is_back(now: u64) {
    LAST.set((Place::here(), now));
}

/// Where the calling thread is, and how much time threads of this process have had there so far, in nanoseconds.
pub(super) fn used_here() -> (Place, u64) {
    let here = Place::here();
    (here, used(here))
}

/// How much time threads of this process have had there so far, in nanoseconds.
pub(super) fn used(place: Place) -> u64 {
    USED[place.0].0.load(Ordering::Relaxed)
}

/// Runs `sleep`, in which the calling thread sleeps.
pub(super) fn sleeping<R>(sleep: impl FnOnce() -> R) -> R {
    is_here(now());
    let result = sleep();
    is_back(now());
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told between two calls of [`used_here`] on one processor. Other tests tell too, and the host may move the
    /// thread: `None` then.
    fn told(tell: impl Fn(u64)) -> Option<u64> {
        let (place, before) = used_here();
        tell(1_000_000);
        (Place::here() == place).then(|| used(place) - before)
    }

    fn some(tell: impl Fn(u64)) -> u64 {
        (0..1_000).find_map(|_| told(&tell)).expect("not moved all the time")
    }

    #[test]
    fn short_runs_count_and_sleep_does_not() {
        let run = |length: u64| {
            move |start: u64| {
                is_back(start);
                is_here(start + length);
            }
        };
        assert!(some(run(3_000)) >= 3_000);
        // Others may tell meanwhile, but not so much every time.
        let least = |tell: &dyn Fn(u64)| (0..100).map(|_| some(tell)).min().expect("hundred of them");
        assert!(least(&run(UNTOLD)) < UNTOLD, "it may have been taken off");
        let asleep = |start| {
            is_here(start);
            is_back(start + 40_000);
        };
        assert!(least(&asleep) < 40_000);
    }

    #[test]
    fn a_clock_that_goes_back_is_no_error() {
        is_back(2);
        is_here(1);
    }
}
