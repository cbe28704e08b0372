//! What a thread that waits for a signal shows to whoever gives it, and what that one says.
//!
//! Both are a few words that go with the waiter's place in the queue: the signaller has it from there in any case, and so has the
//! waiter afterwards. So neither of them needs a lock for it, nor any memory that the other one would have to bring along.

use super::ledger::Ledger;
use super::model::{Part, StackId};
use super::pieces::{Piece, Pieces};
use super::waiting::Left;
use crate::clock;
use core::cell::UnsafeCell;

/// What a waiter shows. It says something to [`Watch::signal`](super::Watch::signal) only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// Of what is not said in the reply, as long as the wait; null: nobody wants to know anything.
    pub address: *const (),
    /// When the wait began, in ticks.
    pub since: u64,
    /// The lane of who waits.
    pub lane: u32,
}

/// What a signaller says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// When it gave the signal, in ticks; 0: it says nothing.
    pub at: u64,
    /// Its lane.
    pub lane: u32,
    /// Its call chain.
    pub stack: StackId,
}

/// What a signaller says besides, most often nothing: on what the time until the signal was spent that was not its own doing.
#[derive(Debug)]
pub(super) struct More(UnsafeCell<Vec<Piece>>);

impl Note {
    /// That of one who has nothing to show.
    pub const NONE: Note = Note { address: core::ptr::null(), since: 0, lane: 0 };

    /// What the thread of `ledger`, whose call chain is `stack`, is to say as it gives the signal `now`, for condition variable
    /// number `lock`.
    ///
    /// # Safety
    /// It is of a wait that lasts until this returns, and to which nobody else replies at this time; its address is that of a
    /// [`More`].
    pub(super) unsafe fn reply(self, lock: u32, now: u64, ledger: &Ledger, stack: StackId) -> Reply {
        let lane = ledger.lane();
        ledger.own.divide(lock, [self.since, now], |part, stack, ticks| {
            // SAFETY: the caller's word.
            let more = unsafe { &*self.address.cast::<More>() };
            // SAFETY: the waiter looks when its wait is over, and nobody else does now.
            Piece::new(part, stack, lane, ticks).add_to(unsafe { &mut *more.0.get() });
        });
        // Another processor's clock may be some ticks behind.
        Reply { at: now.max(self.since), lane, stack }
    }
}

impl Reply {
    /// That of one who has nothing to say.
    pub const NONE: Reply = Reply { at: 0, lane: 0, stack: 0 };
}

impl More {
    /// `pieces`: room for it.
    pub(super) fn new(pieces: Pieces) -> Self {
        More(UnsafeCell::new(pieces.into_room()))
    }

    /// What the thread of `lane`, which waits from `since` on, shows while this is in its place.
    pub(super) fn note(&self, since: u64, lane: u32) -> Note {
        Note { address: core::ptr::from_ref(self).cast(), since, lane }
    }

    /// The wait, since then, is over at `to`; and what was said.
    pub(super) fn end(self, since: u64, to: u64, Reply { at, lane, stack }: Reply) -> Left {
        let more = self.0.into_inner();
        if at == 0 {
            return Left { pieces: Pieces::of(None, more), charged_until: since, released_by: None, to: to.max(since) };
        }
        let held = clock::between(since, at) - more.iter().map(|piece| piece.ticks).sum::<u64>();
        let held = (held != 0).then(|| Piece::new(Part::Held, stack, lane, held));
        Left { pieces: Pieces::of(held, more), charged_until: at, released_by: Some(lane), to: to.max(at) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::own::OwnWait;
    use super::*;
    use crate::catalogue::Hypercall;
    use proptest::prelude::*;

    /// What is left of a wait of lane 7 for condition variable 3, from 1000 on to that time, if lane 9 with these waits of its own
    /// gives the signal then, from chain 5.
    fn left(waits: &[OwnWait], at: u64, to: u64) -> Left {
        let mut giver = Ledger::new(9);
        waits.iter().for_each(|own| giver.own.remember(*own));
        let more = More::new(Pieces::default());
        // SAFETY: the wait is not over.
        let reply = unsafe { more.note(1_000, 7).reply(3, at, &giver, 5) };
        more.end(1_000, to, reply)
    }

    #[test]
    fn a_wait_is_what_the_signaller_says_and_the_way_from_there() {
        let left = left(&[], 1_600, 1_900);
        assert_eq!((left.charged_until, left.released_by, left.to), (1_600, Some(9), 1_900));
        assert!(left.pieces.iter().eq([&Piece::new(Part::Held, 5, 9, 600)]));
    }

    #[test]
    fn what_the_signaller_waited_for_itself_is_told_apart() {
        let own = |lock, from, to| OwnWait { call: Hypercall::MutexEnter, lock, stack: 4, from, to };
        let left = left(&[own(1, 900, 1_100), own(1, 1_150, 1_200), own(3, 1_300, 1_310)], 1_600, 1_900);
        let waited = Piece::new(Part::HolderWaited(Hypercall::MutexEnter), 4, 9, 100);
        let waited = Piece { ticks: 150, ..waited };
        let pieces = [Piece::new(Part::Held, 5, 9, 440), Piece::new(Part::HandOver, 4, 9, 10), waited];
        assert!(left.pieces.iter().eq(&pieces));
    }

    proptest! {
        #[test]
        fn the_parts_are_the_whole(
            waits in prop::collection::vec((1..4_u32, 0..100_u64, 0..200_u64), 0..20),
            at in 900..2_000_u64,
            to in 900..2_000_u64,
        ) {
            let mut now = 800;
            let mut own = |(lock, pause, length)| {
                let from = now + pause;
                now = from + length;
                OwnWait { call: Hypercall::MutexEnter, lock, stack: lock + 10, from, to: now }
            };
            let waits: Vec<_> = waits.into_iter().map(&mut own).collect();
            let left = left(&waits, at, to);
            let pieces: u64 = left.pieces.iter().map(|piece| piece.ticks).sum();
            prop_assert_eq!(pieces + clock::between(left.charged_until, left.to), left.length(1_000));
        }
    }

    #[test]
    fn another_processors_clock_may_be_behind() {
        let left = left(&[], 990, 995);
        assert_eq!((left.charged_until, left.released_by, left.to), (1_000, Some(9), 1_000));
        assert_eq!(left.pieces.iter().count(), 0);
    }

    #[test]
    fn nobody_says_anything_of_a_wait_that_ends_by_itself() {
        let left = More::new(Pieces::default()).end(1_000, 1_900, Reply::NONE);
        assert_eq!((left.charged_until, left.released_by, left.to), (1_000, None, 1_900));
        assert_eq!(left.pieces.iter().count(), 0);
    }
}
