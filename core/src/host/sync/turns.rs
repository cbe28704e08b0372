//! Threads that take turns at something which each of them wants back at once.
//!
//! A condition variable may stand for an event, or for something that one thread has at a time, as the guest's virtual
//! CPUs do. Who gives such a thing up and wants it back before it does anything else could as well have kept it. If the
//! next one waits actively they pass it on at every use, and each use costs a trip between two processors; while the next
//! one wakes up, the last one uses it many times. So where those who signal come back to wait, and have waited for
//! nothing else between, waits are not active.
//!
//! Two threads that tell each other of events by one condition variable, as all threads of a genuine kernel do that sleep in
//! `poll` and the like, come back just so, and could have kept nothing. They are told apart by what comes of sleeping: who
//! keeps a thing has others wait for it in vain, so waits are many that are not of one who comes back. Where all are, sleeping
//! is of no use, and waits are active for a long time.

use super::primitive::{AtomicU32, Ordering};
use core::cell::Cell;
use core::ptr;

thread_local! {
    /// Of what the thread has signalled since it last waited for a signal: an address to compare, nothing more.
    static SIGNALLED: Cell<*const Turns> = const { Cell::new(ptr::null()) };
}

/// Whether those who wait have come back so of late.
#[derive(Debug)]
pub(super) struct Turns {
    // ```text
    //  31            12 11         6 5          0
    // +----------------+------------+------------+
    // |     excused    |   in vain  |   asleep   |
    // +----------------+------------+------------+
    //
    //  asleep   how many waits are not to be active
    //  in vain  how many threads in a row have come back while that was so
    //  excused  how many are not to be noticed
    // ```
    // Approximate: two threads that learn at once may lose one of their lessons.
    word: AtomicU32,
}

const FIELD_BITS: u32 = 6;
const FIELD: u32 = (1 << FIELD_BITS) - 1;

/// How many waits are not active after one of a thread that came back: many, because those who sleep in vain, while
/// the last one goes on, have not signalled anything.
const SLEEPS: u32 = 32;

/// After so many in a row sleeping is of no use. Where a thing is kept each of them is as likely as not somebody else's.
const USELESS: u32 = 32;

/// For so many waits: what is lost by sleeping through the next [`USELESS`] does not count then.
const EXCUSED: u32 = 4096;

const _: () = assert!(SLEEPS <= FIELD && USELESS <= FIELD && EXCUSED < 1 << (32 - 2 * FIELD_BITS));

#[derive(Clone, Copy)]
struct State {
    asleep: u32,
    in_vain: u32,
    excused: u32,
}

impl State {
    fn unpack(word: u32) -> Self {
        State { asleep: word & FIELD, in_vain: word >> FIELD_BITS & FIELD, excused: word >> (2 * FIELD_BITS) }
    }

    fn pack(self) -> u32 {
        (self.excused << FIELD_BITS | self.in_vain) << FIELD_BITS | self.asleep
    }

    /// After one wait more, of a thread that came back or of another one.
    fn with(self, came_back: bool) -> Self {
        let State { asleep, in_vain, excused } = self;
        match (came_back, excused) {
            (false, _) => State { asleep: asleep.saturating_sub(1), in_vain: 0, excused },
            (true, 1..) => State { asleep: 0, in_vain: 0, excused: excused - 1 },
            (true, 0) if asleep != 0 && in_vain + 1 >= USELESS => State { asleep: 0, in_vain: 0, excused: EXCUSED },
            (true, 0) => State { asleep: SLEEPS, in_vain: if asleep != 0 { in_vain + 1 } else { 0 }, excused: 0 },
        }
    }
}

impl Turns {
    pub(super) fn new() -> Self {
        Turns { word: AtomicU32::new(0) }
    }

    /// The caller ends somebody's wait.
    pub(super) fn signal(&self) {
        SIGNALLED.set(self);
    }

    /// The caller is about to wait. Says whether it comes back for what it has signalled last.
    pub(super) fn comes_back(&self) -> bool {
        ptr::eq(SIGNALLED.replace(ptr::null()), self)
    }

    /// The caller is about to wait, and [has come back](Turns::comes_back) or not. Says whether its wait should not be active.
    pub(super) fn are_taken(&self, came_back: bool) -> bool {
        if cfg!(loom) {
            return false;
        }
        // Relaxed, here and below: nothing else depends on it.
        let word = self.word.load(Ordering::Relaxed);
        let next = State::unpack(word).with(came_back);
        // Most objects see nobody come back: nothing is written then.
        if next.pack() != word {
            self.word.store(next.pack(), Ordering::Relaxed);
        }
        next.asleep != 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn who_comes_back_at_once_has_others_sleep_for_a_while() {
        let (turns, other) = (Turns::new(), Turns::new());
        assert!(!turns.are_taken(turns.comes_back()), "nobody was signalled");
        turns.signal();
        assert!(!other.are_taken(other.comes_back()), "it waits for something else");
        assert!(!turns.are_taken(turns.comes_back()), "and that was between");
        turns.signal();
        let waits = (0..100).take_while(|_| turns.are_taken(turns.comes_back())).count();
        assert_eq!(waits, SLEEPS as usize);
    }

    /// How many of `waits` are not active, of which each `nth` is of somebody who has not signalled; 0: none.
    fn asleep(turns: &Turns, waits: u32, nth: u32) -> u32 {
        let sleeps = |wait: &u32| {
            if !wait.is_multiple_of(nth) {
                turns.signal();
            }
            turns.are_taken(turns.comes_back())
        };
        (1..=waits).filter(sleeps).count() as u32
    }

    #[test]
    fn where_all_come_back_though_others_sleep_they_do_not_take_turns() {
        let turns = Turns::new();
        assert_eq!(asleep(&turns, USELESS + 1 + EXCUSED, 0), USELESS);
        // It is tried again then.
        assert_eq!(asleep(&turns, USELESS + 1 + EXCUSED, 0), USELESS);
    }

    #[test]
    fn where_some_wait_in_vain_they_do() {
        assert_eq!(asleep(&Turns::new(), 10 * EXCUSED, USELESS), 10 * EXCUSED);
    }
}
