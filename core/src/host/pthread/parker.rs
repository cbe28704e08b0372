//! One waiting thread, with a mutex and a condition variable of its own.

use super::primitive::{Condition, Raw};
use crate::host::sync::{Deadline, Note, Outcome};
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
    /// It may go on; whoever told it does not touch it any more after unlocking.
    Told,
    /// Its time was up before it was told: nobody can tell it any more.
    Leaving,
}

impl Parker {
    pub(super) fn new(note: Note) -> Self {
        Parker { lock: Raw::new(), state: UnsafeCell::new(State::Waiting), told: Condition::new(), note }
    }

    /// Waits until it is told, or until the deadline. What was said first, stays.
    pub(super) fn wait(&self, deadline: Option<&Deadline>) -> Outcome {
        self.lock.with(|| {
            let mut late = false;
            loop {
                // SAFETY: under the lock; the reference ends before the wait.
                let state = unsafe { &mut *self.state.get() };
                if *state == State::Told {
                    return Outcome::Signalled;
                }
                if late {
                    *state = State::Leaving;
                    return Outcome::TimedOut;
                }
                // SAFETY: under the lock, which is the only one used with it.
                late = unsafe { self.told.wait(&self.lock, deadline) } == Outcome::TimedOut;
            }
        })
    }

    /// Tells it to go on, unless its time is up; shows its note to `read` before. Says whether it did; then the parker may be
    /// gone.
    pub(super) fn tell(&self, read: impl FnOnce(Note)) -> bool {
        self.lock.with(|| {
            // SAFETY: under the lock.
            let state = unsafe { &mut *self.state.get() };
            let waits = *state == State::Waiting;
            if waits {
                read(self.note);
                *state = State::Told;
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
