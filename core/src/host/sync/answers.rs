//! Whether those who signal wait for an answer.
//!
//! Two threads that ask and answer are as fast as each of them goes on after a signal: nothing else happens meanwhile. But
//! who hands on one thing after the other, as a stage of a pipeline does, goes on by itself. If the next stage waits
//! actively it takes each thing alone, with a signal and a wait for every one of them; while it wakes up, things gather. So
//! where those who signal have signalled the same before and have not waited since, to look for that is of no use, however
//! soon it comes.
//!
//! That says nothing where somebody comes back for what it has signalled: it may be a thing that one has at a time
//! ([`Turns`](super::turns::Turns)). Only waits for signals count; for what a thread waits otherwise is not looked at.

use super::primitive::{AtomicU32, Ordering};
use core::cell::Cell;
use core::sync::atomic;

/// Who has signalled last, and how often it had waited then. Where several signal in turn, none of them is seen to go on.
#[derive(Debug)]
pub(super) struct Answers {
    // As `NOW` was for the signaller; or, less than `WAIT`, how many signals more are not looked at.
    told: AtomicU32,
}

/// A thread's number is in the bits below.
const WAIT: u32 = 1 << 12;

/// After somebody came back, so many signals are not looked at, the most that there is room for: where turns are taken, somebody
/// comes back again and again.
const EXEMPT: u32 = WAIT - 1;

thread_local! {
    // ```text
    //  31                    12 11        0
    // +------------------------+-----------+
    // |         waits          |  thread   |
    // +------------------------+-----------+
    // ```
    // At least one wait. Both begin anew when they have no more room: then a thread may be taken for another one, or for
    // itself long ago, until it waits again.
    static NOW: Cell<u32> = {
        static NEXT: atomic::AtomicU32 = atomic::AtomicU32::new(0);
        // Relaxed: a number.
        Cell::new(WAIT + NEXT.fetch_add(1, atomic::Ordering::Relaxed) % WAIT)
    };
}

impl Answers {
    pub(super) fn new() -> Self {
        Answers { told: AtomicU32::new(0) }
    }

    /// The caller is about to wait; `came_back`: for what it has signalled last, so it does not wait for an answer.
    pub(super) fn wait(&self, came_back: bool) {
        if cfg!(loom) {
            return;
        }
        if came_back {
            // Relaxed, here and below: a hint.
            self.told.store(EXEMPT, Ordering::Relaxed);
        } else {
            let now = NOW.get();
            NOW.set(now.checked_add(WAIT).unwrap_or(WAIT + now % WAIT));
        }
    }

    /// The caller ends somebody's wait. Says whether it goes on without an answer: it has done so before, and has not waited
    /// since.
    pub(super) fn signal(&self) -> bool {
        if cfg!(loom) {
            return false;
        }
        let (told, now) = (self.told.load(Ordering::Relaxed), NOW.get());
        let next = if (1..WAIT).contains(&told) { told - 1 } else { now };
        self.told.store(next, Ordering::Relaxed);
        told == now
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn who_signals_again_before_it_has_waited_goes_on() {
        let (one, other) = (Answers::new(), Answers::new());
        assert!(!one.signal() && !other.signal(), "each for the first time");
        assert!(one.signal() && other.signal());
        other.wait(false);
        assert!(!one.signal(), "it has waited for an answer");
        assert!(one.signal());
    }

    #[test]
    fn two_who_answer_each_other_do_not() {
        let (ask, answer) = (Answers::new(), Answers::new());
        let (asked, to_answer) = mpsc::channel();
        let (answered, to_ask) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for () in to_answer {
                    assert!(!answer.signal());
                    ask.wait(false);
                    answered.send(()).expect("one that asks");
                }
            });
            for _ in 0..10 {
                assert!(!ask.signal());
                answer.wait(false);
                asked.send(()).expect("one that answers");
                to_ask.recv().expect("an answer");
            }
            drop(asked);
        });
    }

    #[test]
    fn counting_begins_anew() {
        let one = Answers::new();
        NOW.set(u32::MAX - 5);
        assert!(!one.signal());
        one.wait(false);
        assert!(NOW.get() >= WAIT);
        assert!(!one.signal() && one.signal());
    }

    #[test]
    fn who_wants_back_what_it_gave_up_does_not() {
        let (turns, other) = (Answers::new(), Answers::new());
        for _ in 0..10 {
            assert!(!turns.signal());
            turns.wait(true);
        }
        assert!(!other.signal());
        turns.wait(true);
        assert!(other.signal(), "nor is that an answer of another one");
        // Nor do others, for some time.
        let exempt = (0..10_000).take_while(|_| !turns.signal()).count();
        assert_eq!(exempt, EXEMPT as usize + 1);
    }
}
