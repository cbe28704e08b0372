//! Offering the processor: who waits lets others go first that are in line for it (`sched_yield`), before it sleeps.
//!
//! Where threads share a processor, whoever is to end a wait is in line for it, and runs as soon as the one that waits stops. If
//! that has its turn again before it sleeps, nobody need wake it. Measured on a virtual machine, two threads that answer each other
//! on one processor take 1.3 us for a round trip so, and 2.6 if they sleep and wake each other. What is offered to no avail costs
//! a third of a microsecond to a whole one. So each object learns whether its waits are over by then ([`Offers`]).
//!
//! That is so where they wait for each other. Others keep the processor for long, and then nobody offers it for a while
//! ([`Returns`]).

use super::active::{self, now};
use super::primitive::{AtomicU32, Ordering};
use super::returns::Returns;
use crate::host::{batch, cpus, fiber, gather};
use std::thread;

/// So often in a wait.
const MOST: u32 = 2;

static RETURNS: Returns = Returns::new();

/// Lets those go first who are in line for the processor, [`MOST`] times, if it is not over before that.
pub(super) fn offer(is_over: impl Fn() -> bool) {
    batch::before_sleep();
    for _ in 0..MOST {
        let offered = RETURNS.offer(cpus::current(), now());
        thread::yield_now();
        RETURNS.had_back(offered, now());
        if is_over() {
            return;
        }
    }
}

/// Whether waits on an object are over, most times, when who waits has offered its processor.
#[derive(Debug)]
pub(super) struct Offers {
    // ```text
    //  31           16 15            0
    // +---------------+---------------+
    // |     asleep    |     trust     |
    // +---------------+---------------+
    //
    //  trust   one for each time that it was of use, less one for each that it was not
    //  asleep  without trust, how many waits have been since somebody tried
    // ```
    // Approximate: two threads that learn at once may lose one of their lessons.
    word: AtomicU32,
}

const TRUST_BITS: u32 = 16;
const TRUST: u32 = (1 << TRUST_BITS) - 1;
const MOST_TRUST: u32 = 8;
/// Where there is no trust, one wait in so many is offered all the same.
const TRIAL_AFTER: u32 = 32;

impl Offers {
    pub(super) const fn new() -> Self {
        Offers { word: AtomicU32::new(MOST_TRUST) }
    }

    /// Whether a wait of the calling thread that begins now is to be offered.
    pub(super) fn are_of_use(&self) -> bool {
        let shares = !cfg!(loom) && (gather::is_gathered() || active::is_alone());
        // What a fiber waits for may be for another fiber to give.
        shares && !fiber::is_running() && !RETURNS.are_late(now()) && self.have_trust()
    }

    /// Whether they have been of use of late, or are to be tried.
    fn have_trust(&self) -> bool {
        // Relaxed, here and below: nothing else depends on it.
        let word = self.word.load(Ordering::Relaxed);
        let (asleep, trust) = (word >> TRUST_BITS, word & TRUST);
        let is_trial = trust == 0 && asleep + 1 == TRIAL_AFTER;
        if trust == 0 {
            self.word.store(if is_trial { 0 } else { (asleep + 1) << TRUST_BITS }, Ordering::Relaxed);
        }
        is_trial || trust != 0
    }

    /// A wait that was offered is over, and was before the thread slept or not.
    pub(super) fn learn(&self, was_of_use: bool) {
        let word = self.word.load(Ordering::Relaxed);
        let next = match (word & TRUST, was_of_use) {
            (0, false) => word,
            (trust, false) => trust - 1,
            (trust, true) => MOST_TRUST.min(trust + 1),
        };
        if next != word {
            self.word.store(next, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Of so many waits, how many are offered, which come to that.
    fn offered(offers: &Offers, waits: usize, of_use: impl Fn(usize) -> bool) -> usize {
        let one = |nth: &usize| {
            let is_offered = offers.have_trust();
            if is_offered {
                offers.learn(of_use(*nth));
            }
            is_offered
        };
        (0..waits).filter(|nth| one(nth)).count()
    }

    #[test]
    fn what_is_of_use_is_offered() {
        let offers = Offers::new();
        assert_eq!(offered(&offers, 1_000, |_| true), 1_000);
        assert_eq!(offered(&offers, 1_000, |nth| nth % 3 != 0), 1_000, "mostly");
    }

    #[test]
    fn what_is_of_no_use_is_next_to_never_offered_and_found_out_when_it_is() {
        let offers = Offers::new();
        offered(&offers, 100, |_| false);
        assert_eq!(offered(&offers, 32_000, |_| false), 1_000);
        assert!(offered(&offers, 1_000, |_| true) >= 1_000 - TRIAL_AFTER as usize);
    }

    #[test]
    fn nobody_offers_who_shares_no_processor() {
        assert!(!Offers::new().are_of_use() || active::is_alone());
    }
}
