//! What a thread that waits for a signal leaves for whoever gives it.
//!
//! The signaller reads and writes it while the waiter waits, and lets the waiter go on afterwards. So neither of them needs
//! a lock for it, nor any memory that the waiter's own place in the queue does not bring along.

use super::ledger::Ledger;
use super::model::StackId;
use super::waiting::{Giver, Left, Waiting};
use core::cell::UnsafeCell;

/// A wait for a signal.
#[derive(Debug)]
// Lines of its own: the signaller writes here while the waiter uses the memory around it.
#[repr(align(64))]
pub(super) struct Note {
    /// The number of the condition variable.
    lock: u32,
    /// The signaller's, from when it has taken the waiter out of the queue until it lets it go on.
    waiting: UnsafeCell<Waiting>,
}

impl Note {
    pub(super) fn new(lock: u32, waiting: Waiting) -> Self {
        Note { lock, waiting: UnsafeCell::new(waiting) }
    }

    /// Where it is. Used by [`Note::signal`] as long as the wait is not over.
    pub(super) fn address(&self) -> *const () {
        core::ptr::from_ref(self).cast()
    }

    /// Notes at `address` that the thread of `ledger`, whose call chain is `stack`, gives the signal `now`; says who waits.
    ///
    /// # Safety
    /// It is from [`Note::address`], of a wait that lasts until this returns, and of which nobody else is told at this time.
    pub(super) unsafe fn signal(address: *const (), now: u64, ledger: &Ledger, stack: StackId) -> u32 {
        // SAFETY: the caller's word.
        let note = unsafe { &*address.cast::<Note>() };
        // SAFETY: the waiter looks when its wait is over, and nobody else does now.
        let waiting = unsafe { &mut *note.waiting.get() };
        waiting.charge(note.lock, now, Giver { ledger, stack });
        waiting.lane
    }

    /// The wait is over at `to`.
    pub(super) fn end(self, to: u64) -> Left {
        self.waiting.into_inner().end(to)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::model::Part;
    use super::super::pieces::{Piece, Pieces};
    use super::*;

    #[test]
    fn a_wait_is_what_the_signaller_notes_and_the_way_from_there() {
        let note = Note::new(3, Waiting::new(7, 1_000, Pieces::default()));
        // SAFETY: the wait is not over.
        assert_eq!(unsafe { Note::signal(note.address(), 1_600, &Ledger::new(9), 5) }, 7);
        let left = note.end(1_900);
        assert_eq!((left.charged_until, left.released_by, left.to), (1_600, Some(9), 1_900));
        assert!(left.pieces.iter().eq([&Piece::new(Part::Held, 5, 9, 600)]));
    }

    #[test]
    fn nobody_notes_anything_of_a_wait_that_ends_by_itself() {
        let left = Note::new(3, Waiting::new(7, 1_000, Pieces::default())).end(1_900);
        assert_eq!((left.charged_until, left.released_by, left.to), (1_000, None, 1_900));
        assert_eq!(left.pieces.iter().count(), 0);
    }
}
