//! How often a thread has made quick calls: counts that lie side by side.
//!
//! A guest makes a dozen different quick calls in a row, a few nanoseconds each, and what counting them costs is above all the
//! lines of memory that it takes. So those that are only counted, nearly all of them, are counted apart from those that are
//! timed: in one block for all calls of a lane at a place, eight in a line. The times are in cells, as those of other calls.

use crate::arena::{Arena, Chain, Kind};
use crate::catalogue::Hypercall;
use crate::layout::tally;
use crate::primitive::{AtomicU64, Ordering};
use crate::snapshot::Place;

/// The counts of all quick calls of one lane at one place, from their writer's side; exactly one thread at a time may use
/// them, as with a [`Cell`](crate::cell::Cell).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tallies(*const AtomicU64);

/// What looks like tallies of which each says that its call is to be timed: they are made then.
static NONE: [core::sync::atomic::AtomicU64; tally::SIZE] =
    [const { core::sync::atomic::AtomicU64::new(0) }; tally::SIZE];

impl Tallies {
    /// New ones; `None` when there is no room.
    pub(crate) fn create(arena: &Arena, lane: u32, place: Place) -> Option<Self> {
        let position = arena.allocate(Kind::Tallies, tally::SIZE)?;
        // Relaxed: published by `append`.
        arena.word(position + tally::KEY).store(tally::key(lane, place.number()), Ordering::Relaxed);
        arena.append(Chain::Tallies, position);
        Some(Tallies(arena.word(position)))
    }

    /// Some that are everybody's: never to be written.
    pub(crate) const fn none() -> Self {
        Tallies((&raw const NONE).cast())
    }

    /// That of `call`; `None`: it is not a quick one.
    #[inline(always)]
    pub(crate) fn of(self, call: Hypercall) -> Option<Tally> {
        let word = tally::word(call)?;
        // SAFETY: there are `tally::SIZE` words, `word` is one of them, and the segment is never unmapped while it has
        // writers.
        Some(Tally(unsafe { self.0.add(word) }))
    }
}

/// How often one call was not timed, and how often it will not be before it is timed again.
///
/// ```text
///  63                              12 11        0
/// +----------------------------------+-----------+
/// |              count               |    gap    |
/// +----------------------------------+-----------+
/// ```
/// One addition counts a call and takes it from the gap, [`ONE_MORE`]. The count is enough for 52 days of a thousand calls in
/// a microsecond.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally(*const AtomicU64);

/// The longest gap.
pub(crate) const LONGEST_GAP: u64 = (1 << tally::COUNT_SHIFT) - 1;
/// What one call that is not timed adds to the word: one to the count, less one for the gap.
const ONE_MORE: u64 = (1 << tally::COUNT_SHIFT) - 1;

impl Tally {
    #[inline(always)]
    fn word(&self) -> &AtomicU64 {
        // SAFETY: a word of a block, see `Tallies::of`.
        unsafe { &*self.0 }
    }

    /// What it will be when one more call has been counted, if the next one is not to be timed; `None`: it is.
    #[inline(always)]
    pub(crate) fn one_more(self) -> Option<u64> {
        // Relaxed, here and below: written by this thread, and the count says all by itself.
        let now = self.word().load(Ordering::Relaxed);
        (now & LONGEST_GAP != 0).then(|| now.wrapping_add(ONE_MORE))
    }

    /// Counts a call that was not timed: `after` is from [`Tally::one_more`].
    #[inline(always)]
    pub(crate) fn set(self, after: u64) {
        self.word().store(after, Ordering::Relaxed);
    }

    /// Counts a call that was not timed, whether it was its turn or not.
    pub(crate) fn count(self) {
        let out_of_turn = || self.word().load(Ordering::Relaxed).wrapping_add(1 << tally::COUNT_SHIFT);
        self.set(self.one_more().unwrap_or_else(out_of_turn));
    }

    /// Whether none was counted yet, nor is to be before one is timed.
    pub(crate) fn is_new(self) -> bool {
        self.word().load(Ordering::Relaxed) == 0
    }

    /// The next `gap` calls, or [`LONGEST_GAP`], are not to be timed.
    pub(crate) fn leave_out(self, gap: u64) {
        let count = self.word().load(Ordering::Relaxed) & !LONGEST_GAP;
        self.set(count | gap.min(LONGEST_GAP));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::layout::header;
    use crate::testing::arena;

    fn tally() -> Tally {
        let arena = arena(1 << 10);
        Tallies::create(&arena, 3, Place::Vcpu(1)).unwrap().of(Hypercall::MutexEnter).unwrap()
    }

    fn counted(tally: Tally) -> u64 {
        tally::count(tally.word().load(Ordering::Relaxed))
    }

    #[test]
    fn a_gap_is_left_out_and_counted() {
        let tally = tally();
        let mut all = 0;
        for gap in [0, 1, 2, 700, LONGEST_GAP, LONGEST_GAP + 1, u64::MAX, 3] {
            assert_eq!(tally.one_more(), None, "timed after a gap, and at first");
            tally.leave_out(gap);
            let mut left_out = 0;
            while let Some(after) = tally.one_more() {
                tally.set(after);
                left_out += 1;
            }
            assert_eq!(left_out, gap.min(LONGEST_GAP));
            all += left_out;
            assert_eq!(counted(tally), all);
        }
    }

    #[test]
    fn a_call_out_of_turn_is_counted() {
        let tally = tally();
        tally.count();
        assert_eq!((counted(tally), tally.one_more()), (1, None));
        tally.leave_out(2);
        tally.count();
        assert_eq!(counted(tally), 2);
        tally.set(tally.one_more().unwrap());
        assert_eq!((counted(tally), tally.one_more()), (3, None));
    }

    #[test]
    fn each_has_its_own_word() {
        let arena = arena(1 << 10);
        let tallies = Tallies::create(&arena, 3, Place::Vcpu(1)).unwrap();
        for (number, call) in tally::CALLS.into_iter().enumerate() {
            (0..=number).for_each(|_| tallies.of(call).unwrap().count());
        }
        let block = arena.word(header::TALLIES).load(Ordering::Relaxed) as usize;
        assert_eq!(arena.word(block + tally::KEY).load(Ordering::Relaxed), tally::key(3, 1));
        for number in 0..tally::CALLS.len() {
            let tally = arena.word(block + tally::FIRST + number).load(Ordering::Relaxed);
            assert_eq!(tally::count(tally), number as u64 + 1);
        }
        assert!(tallies.of(Hypercall::Open).is_none());
    }
}
