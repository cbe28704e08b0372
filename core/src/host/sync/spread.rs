//! Threads that wake each other on one processor while another one idles.
//!
//! A host may put a thread that it wakes on the processor of the one that wakes it, so that others can go on sleeping, and
//! it takes tens of milliseconds to see that both have work at the same time. Until then whoever looks for what the other
//! one is to do is in its way, every time. So who was in the way moves to another processor. Where it looks in vain
//! afterwards, too, nothing was won: the other processor is busy, or it is one of more threads that take turns, which wake each
//! other sooner on the same one. Then it goes back, and the next move is later.

use super::active::Looked;
use crate::host::cpus;
use core::cell::Cell;
use std::sync::Mutex;

/// From one move to the next, in nanoseconds: many times what a move costs, some 10 to 100 microseconds. Twice as long after
/// each that was of no use, up to the most.
const PAUSE: u64 = 5_000_000;
const LONGEST_PAUSE: u64 = PAUSE << 10;

/// After a move, all but one of so many looks are to be of use.
const LOOKS: u8 = 4;

/// When threads of this process have moved.
#[derive(Debug)]
struct Spread {
    /// The last one, in nanoseconds.
    moved: u64,
    /// No other one for so long after it.
    pause: u64,
}

static SPREAD: Mutex<Spread> = Mutex::new(Spread::NEW);

thread_local! {
    static MOVED: Cell<Option<Moved>> = const { Cell::new(None) };
}

/// The calling thread has moved, and it is not known yet whether that was of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moved {
    /// The processor.
    from: usize,
    /// How many looks there have been since.
    looks: u8,
    /// How many of them were not of use.
    vain: u8,
}

/// The calling thread has looked for the end of a wait, if at all, at `now`.
#[inline]
pub(super) fn looked(looked: Looked, now: impl FnOnce() -> u64) {
    if looked == Looked::No {
        return;
    }
    if let Some(moved) = MOVED.get() {
        judge(looked, moved);
    } else if let Looked::InTheWay(_) = looked {
        in_the_way(now());
    }
}

#[cold]
fn judge(looked: Looked, Moved { from, looks, vain }: Moved) {
    let (looks, vain) = (looks + 1, vain + u8::from(looked != Looked::Well));
    let useful = vain < 2;
    if useful && looks < LOOKS {
        return MOVED.set(Some(Moved { from, looks, vain }));
    }
    MOVED.set(None);
    if !useful {
        cpus::go_to(from);
    }
    if let Ok(mut spread) = SPREAD.try_lock() {
        spread.judge(useful);
    }
}

#[cold]
fn in_the_way(now: u64) {
    // Where somebody else says the same just now, that is enough.
    if SPREAD.try_lock().is_ok_and(|mut spread| spread.moves(now)) {
        MOVED.set(cpus::leave_current().map(|from| Moved { from, looks: 0, vain: 0 }));
    }
}

impl Spread {
    const NEW: Spread = Spread { moved: 0, pause: PAUSE };

    /// A look was in the way. Whether whoever looked is to move.
    fn moves(&mut self, now: u64) -> bool {
        let moves = now.saturating_sub(self.moved) >= self.pause;
        if moves {
            self.moved = now;
        }
        moves
    }

    /// Whether the last move was of use.
    fn judge(&mut self, useful: bool) {
        self.pause = if useful { PAUSE } else { LONGEST_PAUSE.min(2 * self.pause) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// When threads move, of looks that are in the way once a millisecond, where moves are of use or not.
    fn moves(spread: &mut Spread, useful: bool) -> Vec<u64> {
        let mut moves = Vec::new();
        for now in 1_000..3_000 {
            if spread.moves(now * MS) {
                moves.push(now);
                spread.judge(useful);
            }
        }
        moves.windows(2).map(|two| two[1] - two[0]).collect()
    }

    #[test]
    fn where_moving_is_of_use_it_is_done_again() {
        assert!(moves(&mut Spread { ..Spread::NEW }, true).iter().all(|apart| *apart == 5));
    }

    #[test]
    fn where_it_is_of_no_use_it_is_rare() {
        let mut spread = Spread { ..Spread::NEW };
        assert_eq!(moves(&mut spread, false), [10, 20, 40, 80, 160, 320, 640]);
        assert!(spread.moves(100_000 * MS), "it is tried again");
        spread.judge(true);
        assert!(!spread.moves(100_004 * MS) && spread.moves(100_005 * MS));
    }

    #[test]
    fn a_move_is_judged_by_the_looks_after_it() {
        let now = || SPREAD.lock().unwrap().moved + 2 * LONGEST_PAUSE;
        let looks = |after: &[Looked]| {
            looked(Looked::InTheWay(1), now);
            assert_eq!(MOVED.get().map(|moved| (moved.looks, moved.vain)), Some((0, 0)));
            after.iter().for_each(|look| looked(*look, || panic!("not moved again")));
            (MOVED.get(), SPREAD.lock().unwrap().pause)
        };
        if cpus::available() < 2 {
            return;
        }
        // Nobody else moves in this process: other tests' looks may be in the way, but not for so long.
        assert_eq!(looks(&[Looked::Well; 4]), (None, PAUSE));
        assert_eq!(looks(&[Looked::InVain, Looked::No, Looked::InTheWay(1)]), (None, 2 * PAUSE));
        assert_eq!(looks(&[Looked::Well, Looked::InVain, Looked::Well, Looked::Well]), (None, PAUSE));
    }
}
