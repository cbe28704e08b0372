//! One waiting thread, with a mutex and a condition variable of its own.

use super::primitive::{Condition, Raw};
use crate::host::sync::{Deadline, Note, Outcome, Reply};
use core::cell::UnsafeCell;

/// A thread that waits to be told to go on. It lives on that thread's stack.
#[derive(Debug)]
pub(super) struct Parker {
    lock: Raw,
    /// Under `lock`.
    state: UnsafeCell<State>,
    told: Condition,
    /// For who tells it to go on.
    note: Note,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// It may go on, and this was said; whoever told it does not touch it any more after unlocking.
    Told(Reply),
    /// Its time was up before it was told: nobody can tell it any more.
    Leaving,
}

impl Parker {
    pub(super) fn new(note: Note) -> Self {
        Parker { lock: Raw::new(), state: UnsafeCell::new(State::Waiting), told: Condition::new(), note }
    }

    /// Waits until it is told, or until the deadline; whichever comes first, stays.
    pub(super) fn wait(&self, deadline: Option<&Deadline>) -> (Outcome, Reply) {
        self.lock.with(|| {
            let mut late = false;
            loop {
                // SAFETY: under the lock; the reference ends before the wait.
                let state = unsafe { &mut *self.state.get() };
                if let State::Told(reply) = *state {
                    return (Outcome::Signalled, reply);
                }
                if late {
                    *state = State::Leaving;
                    return (Outcome::TimedOut, Reply::NONE);
                }
                // SAFETY: under the lock, which is the only one used with it.
                late = unsafe { self.told.wait(&self.lock, deadline) } == Outcome::TimedOut;
            }
        })
    }

    /// Tells it to go on, unless its time is up, and what `answer` replies to its note. Says whether it did; then the parker may be
    /// gone.
    pub(super) fn tell(&self, answer: impl FnOnce(Note) -> Reply) -> bool {
        self.lock.with(|| {
            // SAFETY: under the lock.
            let state = unsafe { &mut *self.state.get() };
            let waits = *state == State::Waiting;
            if waits {
                *state = State::Told(answer(self.note));
                self.told.signal();
            }
            waits
        })
    }

    /// Whether it can still be told.
    pub(super) fn is_waiting(&self) -> bool {
        // SAFETY: under the lock.
        self.lock.with(|| unsafe { *self.state.get() } == State::Waiting)
    }
}
