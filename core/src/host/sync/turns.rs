//! Threads that take turns at something which each of them wants back at once.
//!
//! A condition variable may stand for an event, or for something that one thread has at a time, as the guest's virtual
//! CPUs do. Who gives such a thing up and wants it back before it does anything else could as well have kept it. If the
//! next one waits actively they pass it on at every use, and each use costs a trip between two processors; while the next
//! one wakes up, the last one uses it many times. So where those who signal come back to wait, and have waited for
//! nothing else between, waits are not active.

use super::primitive::{AtomicU32, Ordering};
use core::cell::Cell;
use core::ptr;

thread_local! {
    /// Of what the thread has signalled since it last waited for a signal: an address to compare, nothing more.
    static SIGNALLED: Cell<*const Turns> = const { Cell::new(ptr::null()) };
}

/// The caller does something else than to pass on what it wants back.
pub(super) fn end() {
    SIGNALLED.set(ptr::null());
}

/// Whether those who wait have come back so of late.
#[derive(Debug)]
pub(super) struct Turns {
    /// How many waits are not to be active. Approximate: two threads that learn at once may lose one of their lessons.
    asleep: AtomicU32,
}

/// How many waits are not active after one of a thread that came back: many, because those who sleep in vain, while
/// the last one goes on, have not signalled anything.
const SLEEPS: u32 = 32;

impl Turns {
    pub(super) fn new() -> Self {
        Turns { asleep: AtomicU32::new(0) }
    }

    /// The caller ends somebody's wait.
    pub(super) fn signal(&self) {
        SIGNALLED.set(self);
    }

    /// The caller is about to wait. Says whether its wait should not be active.
    pub(super) fn are_taken(&self) -> bool {
        if cfg!(loom) {
            return false;
        }
        // Relaxed, here and below: nothing else depends on it.
        let asleep = match self.asleep.load(Ordering::Relaxed) {
            _ if ptr::eq(SIGNALLED.replace(ptr::null()), self) => SLEEPS,
            asleep => asleep.saturating_sub(1),
        };
        self.asleep.store(asleep, Ordering::Relaxed);
        asleep != 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn who_comes_back_at_once_has_others_sleep_for_a_while() {
        let (turns, other) = (Turns::new(), Turns::new());
        assert!(!turns.are_taken(), "nobody was signalled");
        turns.signal();
        assert!(!other.are_taken(), "it waits for something else");
        assert!(!turns.are_taken(), "and that was between");
        turns.signal();
        end();
        assert!(!turns.are_taken(), "it has done something else");
        turns.signal();
        let waits = (0..100).take_while(|_| turns.are_taken()).count();
        assert_eq!(waits, SLEEPS as usize);
    }
}
