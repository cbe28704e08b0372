//! A wait under way, for those who are waited for.

use super::ledger::Ledger;
use super::model::{Part, StackId};
use super::pieces::{Piece, Pieces};
use crate::clock;

/// After a release has been charged, the next one is the first that comes so much later, in nanoseconds, for each one who
/// waits, unless somebody comes to wait, for whom the first one is: charging is in the way of all of them. A lock may be taken
/// thousands of times while somebody who waits for it has no processor. Who holds it when the pause ends is found by chance, with
/// a likelihood that grows with how long he holds it: so this is a sample in time, and no time is left out.
pub(super) const PAUSE: u64 = 20_000;

/// Where somebody has waited for long already, the pause is this part of that,
const PART: u64 = 16;
/// but not longer, in nanoseconds.
const LONGEST_PAUSE: u64 = 1_000_000;

/// What others must know of a wait, and note of it.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    since: u64,
    /// Up to when its time has been charged to others: to whom is in `pieces`.
    charged_until: u64,
    pieces: Pieces,
    /// The lane of who gave the lock back last.
    released_by: Option<u32>,
}

/// Who gives a lock back: the thread's ledger, and its call chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Giver<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) stack: StackId,
}

/// What is known of a wait when it ends.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// What it was spent on up to `charged_until`.
    pub(super) pieces: Pieces,
    pub(super) charged_until: u64,
    pub(super) released_by: Option<u32>,
    /// When it ended.
    pub(super) to: u64,
}

impl Left {
    /// How long a wait was that began at `since`, in ticks.
    pub(super) fn length(&self, since: u64) -> u64 {
        clock::between(since, self.to)
    }
}

impl Waiting {
    /// One from `since` on. `pieces`: room for what is waited for.
    pub(super) fn new(since: u64, pieces: Pieces) -> Self {
        Waiting { since, charged_until: since, pieces, released_by: None }
    }

    /// For how long a release need not be charged for this wait, `least` or more: the longer it is already, the less it
    /// matters when exactly it was seen.
    pub(super) fn pause(&self, now: u64, least: u64) -> u64 {
        let part = clock::between(self.since, now) / PART;
        least.max(part.min(clock::ticks(LONGEST_PAUSE)))
    }

    /// Whether a release now is to be charged for it: the first one in any case.
    pub(super) fn is_due(&self, now: u64, least: u64) -> bool {
        self.released_by.is_none() || clock::between(self.charged_until, now) >= self.pause(now, least)
    }

    /// Charges its time up to `now` to who gives back what it waits for, number `lock`.
    pub(super) fn charge(&mut self, lock: u32, now: u64, Giver { ledger, stack }: Giver<'_>) {
        let (holder_lane, pieces) = (ledger.lane(), &mut self.pieces);
        // Another processor's clock may be some ticks behind.
        if now > self.charged_until {
            let mut add = |part, holder, ticks| pieces.add(Piece::new(part, holder, holder_lane, ticks));
            let held = ledger.own.divide(lock, [self.charged_until, now], &mut add);
            if held != 0 {
                add(Part::Held, stack, held);
            }
            self.charged_until = now;
        }
        self.released_by = Some(holder_lane);
    }

    /// It is over at `to`. Who has given the lock back meanwhile, as one of several readers may, has been charged for some time
    /// after that: then the wait lasted until then, so that it remains the sum of its parts.
    pub(super) fn end(self, to: u64) -> Left {
        let Waiting { pieces, charged_until, released_by, .. } = self;
        Left { pieces, charged_until, released_by, to: to.max(charged_until) }
    }
}
