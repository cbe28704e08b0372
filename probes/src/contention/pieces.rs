//! What a wait was spent on, as those note it who were waited for.
//!
//! Who gives up what is waited for notes it here, and the waiter puts it into the figures when its wait is over.

use super::model::{Part, StackId};
use crate::layout::wait;

/// Time of a wait that agrees in everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// What it was spent on, as [`wait::encode`] says it.
    pub(super) part: u32,
    pub(super) holder: StackId,
    pub(super) holder_lane: u32,
    /// The time.
    pub(super) ticks: u64,
    /// The longest single time.
    pub(super) longest: u64,
}

impl Piece {
    /// So much time for which a thread was waited for.
    #[inline(always)]
    pub(super) fn new(part: Part, holder: StackId, holder_lane: u32, ticks: u64) -> Self {
        Piece { part: wait::encode(part), holder, holder_lane, ticks, longest: ticks }
    }

    /// Whether they agree in everything but the time.
    fn is_like(&self, other: &Piece) -> bool {
        (self.holder, self.holder_lane, self.part) == (other.holder, other.holder_lane, other.part)
    }

    /// Adds its time to one [like](Piece::is_like) it.
    fn merge_into(&self, known: &mut Piece) {
        known.ticks += self.ticks;
        known.longest = known.longest.max(self.longest);
    }

    /// Puts it with others.
    pub(super) fn add_to(self, others: &mut Vec<Piece>) {
        match others.iter_mut().rev().find(|known| known.is_like(&self)) {
            Some(known) => self.merge_into(known),
            None => others.push(self),
        }
    }
}

/// The pieces of one wait. They are few: the longer a wait is, the less often a piece of it is noted; and most often there is
/// one, which takes no memory elsewhere.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    first: Option<Piece>,
    more: Vec<Piece>,
}

impl Pieces {
    /// These. No two of them are alike.
    pub(super) fn of(first: Option<Piece>, more: Vec<Piece>) -> Self {
        Pieces { first, more }
    }

    /// The room for all but the first.
    pub(super) fn into_room(self) -> Vec<Piece> {
        self.more
    }

    pub(super) fn add(&mut self, piece: Piece) {
        match &mut self.first {
            Some(first) if !first.is_like(&piece) => piece.add_to(&mut self.more),
            Some(first) => piece.merge_into(first),
            None => self.first = Some(piece),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Piece> {
        self.first.iter().chain(&self.more)
    }
}

/// Room of earlier waits.
#[derive(Debug, Default)]
pub(super) struct Spare(Vec<Pieces>);

impl Spare {
    /// A thread may take a lock between the end of a wait for a signal and the telling of it, and wait for that.
    const KEPT: usize = 2;
    /// No more room is kept for the pieces of a wait: most have one or two.
    const ROOM: usize = 16;

    pub(super) fn take(&mut self) -> Pieces {
        self.0.pop().unwrap_or_default()
    }

    pub(super) fn give_back(&mut self, mut pieces: Pieces) {
        if self.0.len() < Self::KEPT && pieces.more.capacity() <= Self::ROOM {
            pieces.first = None;
            pieces.more.clear();
            self.0.push(pieces);
        }
    }
}
