//! Threads that wake each other on one processor while another one idles.
//!
//! A host may put a thread that it wakes on the processor of the one that wakes it, so that others can go on sleeping, and
//! it takes tens of milliseconds to see that both have work at the same time. Until then whoever looks for what the other
//! one is to do is in its way, every time. So who was in the way moves to another processor. If that one is busy, too,
//! nothing is won, and the next time is later.

use crate::host::cpus;
use std::sync::Mutex;

/// From one move to the next, in nanoseconds: many times what a move costs, some 10 to 100 microseconds. Twice as long after
/// each that was of no use, up to the most.
const PAUSE: u64 = 5_000_000;
const LONGEST_PAUSE: u64 = 32 * PAUSE;

/// Where looks are in the way again so soon, a move was of no use: in nanoseconds.
const SOON: u64 = 1_000_000;

/// When threads of this process have moved.
#[derive(Debug)]
struct Spread {
    /// The last one, in nanoseconds.
    moved: u64,
    /// No other one for so long after it.
    pause: u64,
    /// Whether looks have been in the way since.
    judged: bool,
}

static SPREAD: Mutex<Spread> = Mutex::new(Spread::NEW);

/// Where the calling thread has looked in vain, at `now`, because it had the processor of the one that it waited for.
#[cold]
pub(super) fn in_the_way(now: u64) {
    // Where somebody else says the same just now, that is enough.
    if SPREAD.try_lock().is_ok_and(|mut spread| spread.moves(now)) {
        cpus::leave_current();
    }
}

impl Spread {
    const NEW: Spread = Spread { moved: 0, pause: PAUSE, judged: true };

    /// A look was in the way. Whether whoever looked is to move.
    fn moves(&mut self, now: u64) -> bool {
        let since = now.saturating_sub(self.moved);
        if !self.judged {
            self.judged = true;
            self.pause = if since < SOON { LONGEST_PAUSE.min(2 * self.pause) } else { PAUSE };
        }
        if since < self.pause {
            return false;
        }
        (self.moved, self.judged) = (now, false);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// When threads move, of looks that are in the way once in so many nanoseconds for a second.
    fn moves(spread: &mut Spread, apart: u64) -> Vec<u64> {
        (1_000..2_000 * MS / apart).map(|nth| nth * apart).filter(|now| spread.moves(*now)).collect()
    }

    #[test]
    fn where_moving_is_of_use_it_is_done_again() {
        let moves = moves(&mut Spread { ..Spread::NEW }, 2 * MS);
        assert!(moves.windows(2).all(|two| two[1] - two[0] == 6 * MS), "{moves:?}");
    }

    #[test]
    fn where_it_is_of_no_use_it_is_rare() {
        let mut spread = Spread { ..Spread::NEW };
        let moves = moves(&mut spread, MS / 10);
        let apart: Vec<_> = moves.windows(2).map(|two| (two[1] - two[0]) / MS).collect();
        assert_eq!(apart[..6], [10, 20, 40, 80, 160, 160]);
        let later = moves.last().unwrap() + 1_000 * MS;
        assert!(
            spread.moves(later) && !spread.moves(later + 2 * MS) && spread.moves(later + 5 * MS),
            "it is tried again"
        );
    }

    #[test]
    fn one_that_is_alone_does_not_matter() {
        let mut spread = Spread { ..Spread::NEW };
        assert!(spread.moves(1_000 * MS));
        assert!(!spread.moves(1_001 * MS - 1), "a move of no use");
        assert!(spread.moves(1_010 * MS));
    }
}
