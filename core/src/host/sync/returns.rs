//! Whether threads that offer their processor have it back soon.
//!
//! Linux has who offers its processor come after the others by as much as is left of its time slice, some milliseconds. Threads
//! that wait for each other are soon through with what they do. But another program, or a thread of the guest that computes, takes
//! all of that time, again and again, where a thread that sleeps would have its fair share. So where a processor comes back late it
//! is not offered for a while.

use super::primitive::Ordering;
use core::sync::atomic::AtomicU64;

/// Who has had it for so many nanoseconds without offering it is no thread that waits for others: less than a time slice.
const LATE: u64 = 1_000_000;
/// For so many times as long as was lost it is not offered; where it is late again in the first so many nanoseconds after that, for
/// so many times as long as the last time, up to the longest.
const AT_FIRST: u64 = 4;
const AGAIN: u64 = 4;
const SOON: u64 = 10_000_000;
const LONGEST: u64 = 1_000_000_000;

/// Of how many processors it is known apart; where there are more, some share what is known.
const PROCESSORS: usize = 64;

/// What is known of each.
#[derive(Debug)]
pub(super) struct Returns([Processor; PROCESSORS]);

/// All in nanoseconds. In a line of its own.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Processor {
    /// When it was offered last.
    offered: AtomicU64,
    /// Until when it is not to be.
    until: AtomicU64,
    /// For how long that has been.
    pause: AtomicU64,
}

impl Returns {
    pub(super) const fn new() -> Self {
        const fn zero() -> AtomicU64 {
            AtomicU64::new(0)
        }
        Returns([const { Processor { offered: zero(), until: zero(), pause: zero() } }; PROCESSORS])
    }

    pub(super) fn of(&self, processor: usize) -> &Processor {
        &self.0[processor % PROCESSORS]
    }
}

impl Processor {
    /// Whether it is not to be offered at `now`.
    pub(super) fn is_late(&self, now: u64) -> bool {
        // Relaxed, here and below: hints. A clock that has begun anew says nothing.
        (1..=LONGEST).contains(&self.until.load(Ordering::Relaxed).saturating_sub(now))
    }

    /// It is offered at `now`.
    pub(super) fn offer(&self, now: u64) {
        self.offered.store(now, Ordering::Relaxed);
    }

    /// Who offered it at `since` has it back at `now`. Whether that is late: whoever had it last has not offered it for long.
    pub(super) fn had_back(&self, since: u64, now: u64) -> bool {
        let lost = now.saturating_sub(self.offered.load(Ordering::Relaxed).max(since));
        if lost >= LATE {
            self.late(now - lost, now);
        }
        lost >= LATE
    }

    #[cold]
    fn late(&self, since: u64, now: u64) {
        let last = match since.checked_sub(self.until.load(Ordering::Relaxed)) {
            // Others were late for the same thing, and have said so.
            None if self.is_late(since) => return,
            Some(0..SOON) => AGAIN * self.pause.load(Ordering::Relaxed),
            _ => 0,
        };
        let pause = last.max(AT_FIRST * (now - since)).min(LONGEST);
        self.pause.store(pause, Ordering::Relaxed);
        self.until.store(now + pause, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// How often a processor is offered in a second, by a thread that waits every 10 us, which has it back after so many
    /// nanoseconds, as is told for each time; meanwhile others offer it as well, every 2 us at first, so many times. And how much of
    /// the second that takes, in percent.
    fn in_a_second(processor: &Processor, from: u64, lost: impl Fn(u64) -> (u64, u64)) -> (u64, u64) {
        let (mut now, mut times, mut all) = (from, 0, 0);
        while now < from + 1_000 * MS {
            if !processor.is_late(now) {
                let (lost, others) = lost(times);
                processor.offer(now);
                (1..=others).for_each(|nth| processor.offer(now + 2_000 * nth));
                processor.had_back(now, now + lost);
                (now, times, all) = (now + lost, times + 1, all + lost);
            }
            now += 10_000;
        }
        (times, all / (10 * MS))
    }

    #[test]
    fn where_others_want_the_processor_it_is_not_offered() {
        for others in [0, 2, 15] {
            let returns = Returns::new();
            let processor = returns.of(PROCESSORS + 1);
            assert!(in_a_second(processor, MS, |_| (3 * MS, others)).1 <= 2, "at first");
            assert!(in_a_second(processor, 1_001 * MS, |_| (3 * MS, others)).0 <= 2, "then next to never");
            let (times, _) = in_a_second(returns.of(1), 6_000 * MS, |_| (2_000 * others, others));
            assert!(times > 20_000, "they are gone: {times}");
            assert!(!returns.of(2).is_late(3 * MS), "another processor");
        }
    }

    #[test]
    fn many_threads_may_have_it_for_long() {
        let returns = Returns::new();
        assert!(in_a_second(returns.of(0), MS, |_| (3 * MS, 1_200)).1 >= 99);
    }

    #[test]
    fn where_the_machine_stops_now_and_then_it_is_offered() {
        let stops = |nth| (if nth % 5_000 == 0 { 3 * MS } else { 1_000 }, 0);
        let (times, _) = in_a_second(Returns::new().of(0), MS, stops);
        assert!(times > 60_000, "{times}");
    }

    #[test]
    fn many_that_are_late_at_once_are_late_once() {
        let returns = Returns::new();
        let processor = returns.of(0);
        processor.offer(MS);
        (0..16).for_each(|_| assert!(processor.had_back(MS, 21 * MS)));
        assert!(processor.is_late((20 + 4 * 20) * MS) && !processor.is_late((21 + 4 * 20) * MS));
    }

    #[test]
    fn a_clock_that_begins_anew_says_nothing() {
        let returns = Returns::new();
        let processor = returns.of(0);
        processor.late(5_000 * MS, 5_003 * MS);
        assert!(processor.is_late(5_003 * MS) && !processor.is_late(MS));
        processor.late(MS, 4 * MS);
        assert!(processor.is_late(4 * MS));
    }
}
