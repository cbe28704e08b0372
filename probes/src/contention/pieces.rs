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
}

/// The pieces of one wait. They are few: the longer a wait is, the less often a piece of it is noted; and most often there is
/// one, which takes no memory elsewhere.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    first: Option<Piece>,
    more: Vec<Piece>,
}

impl Pieces {
    pub(super) fn add(&mut self, piece: Piece) {
        let is_same = |known: &&mut Piece| {
            (known.holder, known.holder_lane, known.part) == (piece.holder, piece.holder_lane, piece.part)
        };
        if self.first.is_none() {
            self.first = Some(piece);
            return;
        }
        match self.first.iter_mut().chain(&mut self.more).rev().find(is_same) {
            Some(known) => {
                known.ticks += piece.ticks;
                known.longest = known.longest.max(piece.longest);
            }
            None => self.more.push(piece),
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
