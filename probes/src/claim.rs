//! What a thread goes by to know where it is: words that say so as long as they hold a value.

use crate::catalogue::Hypercall;
use crate::lane::Row;
use crate::quick::Untimed;
use crate::tally::Tallies;
use core::ptr;

/// Where a thread counts, as long as a word holds a value: one load and a compare for what it would take hundreds of
/// nanoseconds to ask.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Claim {
    /// Null in a thread that has no plan to measure anything, and nowhere else.
    word: *const usize,
    value: usize,
    row: *const Row,
    /// Those of `row`, or none: for quick calls, which need nothing else of it.
    tallies: Tallies,
}

/// The word of claims that need none.
static ONE: usize = 1;

impl Claim {
    /// One that never holds.
    pub(crate) fn never() -> Self {
        Claim { word: &ONE, value: 0, row: ptr::null(), tallies: Tallies::none() }
    }

    /// One that always holds.
    ///
    /// # Safety
    /// `row` is null or one of the thread's lane.
    pub(crate) unsafe fn always(row: *const Row) -> Self {
        // SAFETY: the caller's word; the word is there for ever.
        unsafe { Self::while_holds(&ONE, ONE, row) }
    }

    /// One that holds while `word` holds `value`.
    ///
    /// # Safety
    /// `word` may be read as long as somebody has the claim. `row` is null or one of the thread's lane.
    pub(crate) unsafe fn while_holds(word: *const usize, value: usize, row: *const Row) -> Self {
        let mut claim = Claim { word, value, row, tallies: Tallies::none() };
        claim.look_for_tallies();
        claim
    }

    /// Whether it is one that always holds.
    pub(crate) fn is_for_ever(&self) -> bool {
        ptr::eq(self.word, &ONE) && self.value == ONE
    }

    /// Whether it holds. Not to be asked in a thread that has no plan to measure anything.
    #[inline(always)]
    pub(crate) fn holds(&self) -> bool {
        debug_assert!(!self.word.is_null());
        // SAFETY: it may be read, by `while_holds`' contract. Volatile: others write it.
        unsafe { self.word.read_volatile() == self.value }
    }

    /// Where the thread counts while it holds; may be null.
    #[inline(always)]
    pub(crate) fn row(&self) -> *const Row {
        self.row
    }

    /// If it holds, and `call` is not to be timed there: its tally, and what that is to become when the call is counted.
    #[inline(always)]
    pub(crate) fn untimed(&self, call: Hypercall) -> Option<Untimed> {
        if !self.holds() {
            return None;
        }
        let tally = self.tallies.of(call)?;
        Some((tally, tally.one_more()?))
    }

    /// The row may have got tallies.
    pub(crate) fn look_for_tallies(&mut self) {
        // SAFETY: null, or a row of the thread's lane, which only this thread uses.
        let made = unsafe { self.row.as_ref().and_then(|row| row.tallies()) };
        self.tallies = made.unwrap_or(Tallies::none());
    }
}
