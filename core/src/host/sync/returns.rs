//! Whether threads that offer their processor have it back soon.
//!
//! Linux has who offers its processor come after the others by as much as is left of its time slice, some milliseconds. Threads
//! that wait for each other are soon through with what they do. But another program, or a thread of the guest that computes, takes
//! all of that time, again and again, where a thread that sleeps would have its fair share. So when a processor comes back late
//! none is offered for a while.

use super::primitive::Ordering;
use core::sync::atomic::{AtomicU32, AtomicU64};

/// From so many nanoseconds on, for each thread that had the processor meanwhile, it is late: less than a time slice.
const LATE: u64 = 1_000_000;
/// For so many times as long as was lost none is offered; where one is late again in the first so many nanoseconds after that, for
/// so many times as long as the last time, up to the longest.
const AT_FIRST: u64 = 4;
const AGAIN: u64 = 4;
const SOON: u64 = 10_000_000;
const LONGEST: u64 = 1_000_000_000;

/// Processors that there are more of share these.
const PROCESSORS: usize = 64;

/// What is known of it.
#[derive(Debug)]
pub(super) struct Returns {
    /// Until when no processor is to be offered, and for how long that has been, in nanoseconds.
    until: AtomicU64,
    pause: AtomicU64,
    processors: [Processor; PROCESSORS],
}

/// How often one has been offered, about: two threads that count at once count one. In a line of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Processor(AtomicU32);

/// A processor that is offered.
#[derive(Debug)]
pub(super) struct Offered<'a> {
    since: u64,
    processor: &'a Processor,
    before: u32,
}

impl Returns {
    pub(super) const fn new() -> Self {
        let processors = [const { Processor(AtomicU32::new(0)) }; PROCESSORS];
        Returns { until: AtomicU64::new(0), pause: AtomicU64::new(0), processors }
    }

    /// Whether none is to be offered at `now`, in nanoseconds.
    pub(super) fn are_late(&self, now: u64) -> bool {
        // Relaxed, here and below: a hint. A clock that has begun anew says nothing.
        (1..=LONGEST).contains(&self.until.load(Ordering::Relaxed).saturating_sub(now))
    }

    /// That one is offered at `now`.
    pub(super) fn offer(&self, processor: usize, now: u64) -> Offered<'_> {
        let processor = &self.processors[processor % PROCESSORS];
        let before = processor.0.load(Ordering::Relaxed).wrapping_add(1);
        processor.0.store(before, Ordering::Relaxed);
        Offered { since: now, processor, before }
    }

    /// It is had back at `now`.
    pub(super) fn had_back(&self, Offered { since, processor, before }: Offered<'_>, now: u64) {
        let lost = now.saturating_sub(since);
        if lost >= LATE {
            let others = processor.0.load(Ordering::Relaxed).wrapping_sub(before);
            if lost / LATE > others.into() {
                self.late(since, lost, now);
            }
        }
    }

    #[cold]
    fn late(&self, since: u64, lost: u64, now: u64) {
        let last = match since.checked_sub(self.until.load(Ordering::Relaxed)) {
            // Others were late for the same thing, and have said so.
            None if self.are_late(since) => return,
            Some(0..SOON) => AGAIN * self.pause.load(Ordering::Relaxed),
            _ => 0,
        };
        let pause = last.max(AT_FIRST * lost).min(LONGEST);
        self.pause.store(pause, Ordering::Relaxed);
        self.until.store(now + pause, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// How often a processor is offered in a second, by a thread that waits every 10 us, which has it back after so many
    /// nanoseconds, when so many others have had it, as is told for each time; and how much of the second that takes, in percent.
    fn in_a_second(returns: &Returns, from: u64, lost: impl Fn(u64) -> (u64, u64)) -> (u64, u64) {
        let (mut now, mut times, mut all) = (from, 0, 0);
        while now < from + 1_000 * MS {
            if !returns.are_late(now) {
                let (lost, others) = lost(times);
                let offered = returns.offer(PROCESSORS + 1, now);
                (0..others).for_each(|_| _ = returns.offer(1, now));
                returns.had_back(offered, now + lost);
                (now, times, all) = (now + lost, times + 1, all + lost);
            }
            now += 10_000;
        }
        (times, all / (10 * MS))
    }

    #[test]
    fn where_others_want_the_processor_it_is_not_offered() {
        let returns = Returns::new();
        assert!(in_a_second(&returns, MS, |_| (3 * MS, 0)).1 <= 2, "at first");
        assert!(in_a_second(&returns, 1_001 * MS, |_| (3 * MS, 2)).0 <= 2, "then next to never");
        let (times, _) = in_a_second(&returns, 6_000 * MS, |_| (1_000, 1));
        assert!(times > 80_000, "they are gone: {times}");
    }

    #[test]
    fn many_threads_may_have_it_for_long() {
        let returns = Returns::new();
        assert_eq!(in_a_second(&returns, MS, |_| (3 * MS, 3)).1, 99);
    }

    #[test]
    fn where_the_machine_stops_now_and_then_it_is_offered() {
        let stops = |nth| (if nth % 5_000 == 0 { 3 * MS } else { 1_000 }, 1);
        let (times, _) = in_a_second(&Returns::new(), MS, stops);
        assert!(times > 60_000, "{times}");
    }

    #[test]
    fn many_that_are_late_at_once_are_late_once() {
        let returns = Returns::new();
        let offered = [(); 16].map(|()| returns.offer(0, MS));
        offered.into_iter().for_each(|offered| returns.had_back(offered, 21 * MS));
        assert!(returns.are_late((20 + 4 * 20) * MS) && !returns.are_late((21 + 4 * 20) * MS));
    }

    #[test]
    fn a_clock_that_begins_anew_says_nothing() {
        let returns = Returns::new();
        returns.late(5_000 * MS, 3 * MS, 5_003 * MS);
        assert!(returns.are_late(5_003 * MS) && !returns.are_late(MS));
        returns.late(MS, 3 * MS, 4 * MS);
        assert!(returns.are_late(4 * MS));
    }
}
