//! A thread's own waits, for those who wait for it meanwhile.

use super::model::{Part, StackId};
use crate::catalogue::Hypercall;

/// How many waits of its own a thread remembers. A longer hold's earlier ones count as time in which it ran. 2 KiB of
/// memory, for threads that have waited as often.
const REMEMBERED: usize = 64;

/// A wait of the thread's own; the times are in ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnWait {
    pub(super) call: Hypercall,
    /// The number of the lock; 0: none.
    pub(super) lock: u32,
    pub(super) stack: StackId,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// The latest of them, in the order in which they were told: nearly that of their ends.
#[derive(Debug, Default)]
pub(super) struct OwnWaits {
    /// The latest before `next`; as a ring when there are as many as are remembered. With each, when all that were told before
    /// it were over.
    waits: Vec<(OwnWait, u64)>,
    next: usize,
    /// When all of them were over.
    over: u64,
}

impl OwnWaits {
    /// The thread has waited.
    pub(super) fn remember(&mut self, wait: OwnWait) {
        let told = (wait, self.over);
        self.over = self.over.max(wait.to);
        match self.waits.get_mut(self.next) {
            Some(oldest) => *oldest = told,
            None => self.waits.push(told),
        }
        self.next = (self.next + 1) % REMEMBERED;
    }

    pub(super) fn clear(&mut self) {
        *self = OwnWaits::default();
    }

    /// Divides the time from `from` to `to`, in which somebody waited for the thread at `lock`: `part` gets what the thread
    /// waited for itself meanwhile, with the chain of that wait and how long it was. Returns the rest.
    #[inline]
    pub(super) fn divide(&self, lock: u32, [from, to]: [u64; 2], mut part: impl FnMut(Part, StackId, u64)) -> u64 {
        let mut left = to.saturating_sub(from);
        if self.over <= from {
            return left;
        }
        // The latest first, until all that were told before were over when the time began.
        let (before, after) = self.waits.split_at(self.next.min(self.waits.len()));
        for (own, over) in before.iter().rev().chain(after.iter().rev()) {
            let overlap = own.to.min(to).saturating_sub(own.from.max(from)).min(left);
            if overlap != 0 {
                left -= overlap;
                // While it waited for this very lock, that was on its way to it.
                let same = own.lock != 0 && own.lock == lock;
                part(if same { Part::HandOver } else { Part::HolderWaited(own.call) }, own.stack, overlap);
            }
            if *over <= from {
                break;
            }
        }
        left
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn own(lock: u32, from: u64, to: u64) -> OwnWait {
        OwnWait { call: Hypercall::CvWait, lock, stack: 7, from, to }
    }

    #[test]
    fn a_holders_own_waits_are_told_apart_from_what_it_did() {
        let mut waits = OwnWaits::default();
        for wait in [own(3, 0, 90), own(4, 100, 150), own(3, 160, 170), own(5, 190, 300)] {
            waits.remember(wait);
        }
        let mut parts = Vec::new();
        let left = waits.divide(4, [80, 200], |part, stack, ticks| parts.push((part, stack, ticks)));
        let waited = Part::HolderWaited(Hypercall::CvWait);
        assert_eq!(parts, [(waited, 7, 10), (waited, 7, 10), (Part::HandOver, 7, 50), (waited, 7, 10)]);
        assert_eq!(left, 40);
    }

    /// As a wait for a reader is, which is told when the lock has been given back.
    #[test]
    fn what_is_told_late_is_found() {
        let mut waits = OwnWaits::default();
        (0..10).for_each(|nth| waits.remember(own(3, 100 + 10 * nth, 105 + 10 * nth)));
        waits.remember(own(5, 50, 60));
        let divide = |from, to| {
            let mut sum = 0;
            (waits.divide(4, [from, to], |_, _, ticks| sum += ticks), sum)
        };
        assert_eq!(divide(100, 200), (50, 50));
        assert_eq!(divide(183, 200), (10, 7));
        assert_eq!(divide(55, 101), (40, 6));
        assert_eq!(divide(195, 300), (105, 0));
    }

    proptest! {
        #[test]
        fn the_parts_are_the_whole(
            waits in prop::collection::vec((0..50u64, 0..20u64), 0..100),
            time in (0..1000u64, 0..300u64),
        ) {
            let (mut own_waits, mut now) = (OwnWaits::default(), 0);
            for (pause, length) in waits {
                own_waits.remember(own(1, now + pause, now + pause + length));
                now += pause + length;
            }
            let mut sum = 0;
            let left = own_waits.divide(2, [time.0, time.0 + time.1], |_, _, ticks| sum += ticks);
            prop_assert_eq!(sum + left, time.1);
        }
    }
}
