//! Offering the processor: who waits lets others go first that are in line for it (`sched_yield`), before it sleeps.
//!
//! Where threads share a processor, whoever is to end a wait is in line for it, and runs as soon as the one that waits stops. If
//! that has its turn again before it sleeps, nobody need wake it. Measured on a virtual machine, two threads that answer each other
//! on one processor take 1.3 us for a round trip so, and 2.6 if they sleep and wake each other. What is offered to no avail costs
//! a third of a microsecond to a whole one. So each thread learns whether its waits are over by then ([`Trust`]).
//!
//! That is so where they wait for each other. Others keep the processor for long, and then nobody offers it for a while
//! ([`Returns`]).

use super::active::now;
use super::returns::Returns;
use crate::host::{batch, cpus, fiber, gather};
use core::cell::Cell;
use std::thread;

/// So often in a wait.
const MOST: u32 = 2;

static RETURNS: Returns = Returns::new();

thread_local! {
    static TRUST: Cell<Trust> = const { Cell::new(Trust::NEW) };
}

/// Where the calling thread shares its processor: lets those go first who are in line for it, up to [`MOST`] times, until its wait
/// `is_over`.
pub(super) fn offer(is_over: impl Fn() -> bool) {
    // What a fiber waits for may be for another fiber to give.
    if cfg!(loom) || !gather::shares_processor() || fiber::is_running() || RETURNS.of(cpus::current()).is_late(now()) {
        return;
    }
    let (is_due, trust) = TRUST.get().before_wait();
    TRUST.set(trust);
    if !is_due || is_over() {
        return;
    }
    // Whoever has kept it for long will again.
    let _ = (0..MOST).all(|_| let_go_first() && !is_over());
    batch::has_dealt();
    TRUST.set(trust.with(is_over()));
}

/// Lets whoever is next in line for the processor go first. Whether the caller has it back soon.
fn let_go_first() -> bool {
    let (since, processor) = (now(), RETURNS.of(cpus::current()));
    processor.offer(since);
    thread::yield_now();
    !processor.had_back(since, now())
}

/// Whether a thread's waits are over, most times, when it has offered its processor.
#[derive(Clone, Copy, Debug)]
struct Trust {
    /// One for each time that it was of use, less one for each that it was not.
    of_use: u32,
    /// Without trust, how many waits have been since it was tried.
    asleep: u32,
}

const MOST_TRUST: u32 = 8;
/// Where there is no trust, the processor is offered in one wait of so many all the same.
const TRIAL_AFTER: u32 = 32;

impl Trust {
    const NEW: Trust = Trust { of_use: MOST_TRUST, asleep: 0 };

    /// Whether the processor is to be offered in the wait that begins, and what is known then.
    fn before_wait(self) -> (bool, Trust) {
        match self {
            Trust { of_use: 0, asleep } if asleep + 1 < TRIAL_AFTER => (false, Trust { of_use: 0, asleep: asleep + 1 }),
            Trust { of_use, .. } => (true, Trust { of_use, asleep: 0 }),
        }
    }

    /// After a wait in which it was offered.
    fn with(self, was_of_use: bool) -> Trust {
        let of_use = if was_of_use { MOST_TRUST.min(self.of_use + 1) } else { self.of_use.saturating_sub(1) };
        Trust { of_use, ..self }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Of so many waits, in how many the processor is offered, which come to that.
    fn offered(trust: &mut Trust, waits: usize, of_use: impl Fn(usize) -> bool) -> usize {
        let one = |nth: &usize| {
            let (is_due, next) = trust.before_wait();
            *trust = if is_due { next.with(of_use(*nth)) } else { next };
            is_due
        };
        (0..waits).filter(one).count()
    }

    #[test]
    fn what_is_of_use_is_offered() {
        let trust = &mut Trust::NEW.clone();
        assert_eq!(offered(trust, 1_000, |_| true), 1_000);
        assert_eq!(offered(trust, 1_000, |nth| nth % 3 != 0), 1_000, "mostly");
    }

    #[test]
    fn what_is_of_no_use_is_next_to_never_offered_and_found_out_when_it_is() {
        let trust = &mut Trust::NEW.clone();
        offered(trust, 100, |_| false);
        assert_eq!(offered(trust, 32_000, |_| false), 1_000);
        assert!(offered(trust, 1_000, |_| true) >= 1_000 - TRIAL_AFTER as usize);
    }

    #[test]
    fn nobody_offers_who_shares_no_processor() {
        offer(|| panic!("looked"));
    }
}
