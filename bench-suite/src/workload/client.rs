//! A client thread of a workload: it runs outside of the kernel, enters it by system calls, and counts what it does.

use super::rng::Rng;
use crate::guest::{clock, entry};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use core::time::Duration;

/// What all client threads share: when to stop, and what went wrong.
#[derive(Debug, Default)]
pub(super) struct Control {
    stop: AtomicBool,
    /// The first check that failed: a leaked box.
    failure: AtomicPtr<Failure>,
}

/// A check that failed.
#[derive(Debug)]
pub(super) struct Failure {
    pub workload: &'static str,
    pub what: String,
}

impl Control {
    /// Makes all clients come to their end.
    pub fn stop(&self) {
        // Relaxed: nothing else is told by it.
        self.stop.store(true, Ordering::Relaxed);
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// A check failed: keeps the first message and stops. Needs no lock, so it can be called on a virtual CPU or not.
    fn fail(&self, failure: Failure) {
        let failure = Box::into_raw(Box::new(failure));
        // Release: who takes it reads what it points to.
        if self.failure.compare_exchange(ptr::null_mut(), failure, Ordering::Release, Ordering::Relaxed).is_err() {
            // SAFETY: made above, and nobody else got it.
            drop(unsafe { Box::from_raw(failure) });
        }
        self.stop();
    }

    /// The first check that failed.
    pub fn failure(&self) -> Option<Failure> {
        // Acquire: pairs with the release in `fail`.
        let failure = self.failure.swap(ptr::null_mut(), Ordering::Acquire);
        // SAFETY: null, or a box leaked by `fail` that the swap gave to us alone.
        (!failure.is_null()).then(|| *unsafe { Box::from_raw(failure) })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = self.failure();
    }
}

/// What a client is to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub workload: &'static str,
    /// Its number among the clients of its workload.
    pub index: usize,
    /// At most this many.
    pub operations: u64,
    /// After how many operations it sleeps for a moment.
    pub burst: Option<u64>,
    pub seed: u64,
}

/// A client thread.
#[derive(Debug)]
pub struct Client<'a> {
    control: &'a Control,
    task: Task,
    left: u64,
    until_sleep: u64,
    tally: Tally,
    /// Its random numbers.
    pub rng: Rng,
}

/// What client threads have done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub operations: u64,
    pub checks: u64,
}

impl<'a> Client<'a> {
    pub(super) fn new(control: &'a Control, task: Task) -> Self {
        Client {
            control,
            task,
            left: task.operations,
            until_sleep: task.burst.unwrap_or(u64::MAX),
            tally: Tally::default(),
            rng: Rng::new(task.seed),
        }
    }

    /// Its number among the clients of its workload, from 0.
    pub fn index(&self) -> usize {
        self.task.index
    }

    /// Whether there is another operation to do.
    #[inline]
    pub fn more(&self) -> bool {
        self.left > 0 && !self.control.stopped()
    }

    /// An operation is done.
    #[inline]
    pub fn done(&mut self) {
        // The server of a connection answers whatever comes.
        self.left = self.left.saturating_sub(1);
        self.tally.operations += 1;
        self.until_sleep -= 1;
        if self.until_sleep == 0 {
            self.sleep();
        }
    }

    #[cold]
    fn sleep(&mut self) {
        self.until_sleep = self.task.burst.unwrap_or(u64::MAX);
        let moment = Duration::from_micros(500 + self.rng.below(1000));
        self.system_call(|| clock::sleep(moment));
    }

    /// Does `work` in the kernel.
    #[inline]
    pub fn system_call<R>(&self, work: impl FnOnce() -> R) -> R {
        entry::system_call(work)
    }

    /// Checks a result: counts it if it is right, and otherwise says `what` was found and ends the run.
    #[inline]
    pub fn check(&mut self, right: bool, what: impl FnOnce() -> String) {
        if right {
            self.tally.checks += 1;
        } else {
            self.control.fail(Failure { workload: self.task.workload, what: what() });
        }
    }

    /// Checks a result against what it should be.
    #[inline]
    pub fn check_eq<T: PartialEq + core::fmt::Debug>(&mut self, found: T, expected: T, what: &str) {
        self.check(found == expected, || format!("{what}: found {found:?}, expected {expected:?}"));
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }
}
