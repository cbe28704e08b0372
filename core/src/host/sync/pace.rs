//! How often a thread that waits actively for a mutex looks at it.
//!
//! At first it looks all the time: most mutexes are held for a moment, and then nobody is to wait for longer. But an owner
//! may *keep* a mutex: give it back and take it again, before anybody sees it free. Then each look costs it more than the
//! section that the mutex guards, because it must have the mutex's line of memory back from the other processor; and whoever
//! gets the mutex away from it has both of them exchange all that the mutex guards. So each look that finds the mutex kept
//! makes the next one rarer (exponential backoff: Anderson, "The performance of spin lock alternatives for shared-memory
//! multiprocessors", IEEE Transactions on Parallel and Distributed Systems 1990).

use super::owner::Owner;

/// So many looks are a moment, of half a microsecond or so.
pub(super) const MOMENT: u32 = 12;
/// After that only one of so many is at the mutex, every half a microsecond or so, even where none has found it kept: who keeps
/// it may have been missed.
const RARE: u32 = 16;
/// And one of so many at least, every 10 to 20 microseconds: twice in the longest time for which anybody looks.
const RAREST: u32 = 256;

/// What a look at a mutex has found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// `None`: it is free.
    pub(super) owner: Option<Owner>,
    /// How often it had been taken.
    pub(super) takings: u32,
}

impl Found {
    /// Whether the owner that was found `before` has taken the mutex again since.
    pub(super) fn is_kept_since(self, before: Found) -> bool {
        self.owner.is_some() && self.owner == before.owner && self.takings != before.takings
    }
}

/// The looks of one wait.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Found>,
    is_kept: bool,
    /// How many looks there could have been.
    turns: u32,
    /// One of so many is at the mutex.
    gap: u32,
    /// How many are not, until the next one.
    left: u32,
}

impl Pace {
    pub(super) fn new() -> Self {
        Pace { gap: 1, ..Pace::default() }
    }

    /// Whether to look now, and say [what that has found](Pace::found). To be asked again and again.
    pub(super) fn is_due(&mut self) -> bool {
        self.turns += 1;
        let due = self.left == 0;
        self.left = self.left.saturating_sub(1);
        due
    }

    /// The wait has lasted for more than a moment.
    pub(super) fn is_moment_over(&self) -> bool {
        self.turns > MOMENT
    }

    /// What the look that was due has found.
    pub(super) fn found(&mut self, found: Found) {
        self.is_kept = self.last.is_some_and(|last| found.is_kept_since(last));
        self.last = Some(found);
        let gap = if self.is_kept { (2 * self.gap).min(RAREST) } else { self.gap };
        self.gap = if self.is_moment_over() { gap.max(RARE) } else { gap };
        self.left = self.gap - 1;
    }

    /// Whether the last look found the mutex kept.
    pub(super) fn is_kept(&self) -> bool {
        self.is_kept
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Of `turns`, which are looks, at a mutex that one owner holds and, if it keeps it, takes again between any two of them.
    fn looks(turns: u32, keeps: bool) -> (Vec<u32>, bool) {
        let owner = Some(Owner::from_address(&raw const keeps));
        let mut pace = Pace::new();
        let mut looks = Vec::new();
        for turn in 0..turns {
            if pace.is_due() {
                looks.push(turn);
                pace.found(Found { owner, takings: if keeps { turn } else { 0 } });
            }
        }
        (looks, pace.is_kept())
    }

    #[test]
    fn a_mutex_that_is_held_is_looked_at_all_the_time_and_then_now_and_then() {
        let (looks, is_kept) = looks(100, false);
        assert_eq!(looks[..13], (0..13).collect::<Vec<_>>());
        assert_eq!(looks[13..], [28, 44, 60, 76, 92]);
        assert!(!is_kept);
    }

    #[test]
    fn one_that_is_kept_is_looked_at_more_and_more_rarely_but_always_again() {
        let (looks, is_kept) = looks(10_000, true);
        let gaps: Vec<u32> = looks.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.is_sorted(), "{gaps:?}");
        assert!(gaps.first() == Some(&1) && gaps.last() == Some(&RAREST), "{gaps:?}");
        assert!(looks.len() < 60 && is_kept, "{looks:?}");
    }

    #[test]
    fn only_the_same_owner_keeps_it() {
        let names = [0u64, 1];
        let found = |owner: Option<usize>, takings| Found {
            owner: owner.map(|at| Owner::from_address(&raw const names[at])),
            takings,
        };
        let before = found(Some(0), 7);
        assert!(found(Some(0), 8).is_kept_since(before));
        assert!(!before.is_kept_since(before), "it has held it all the time");
        assert!(!found(Some(1), 8).is_kept_since(before));
        assert!(!found(None, 8).is_kept_since(found(None, 7)), "nobody has it");
    }
}
