//! A client thread of a workload: it runs outside of the kernel, enters it by system calls, and counts what it does.

use super::rng::Rng;
use crate::guest::entry;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

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

/// A client thread.
#[derive(Debug)]
pub struct Client<'a> {
    control: &'a Control,
    workload: &'static str,
    index: usize,
    left: u64,
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
    /// Client number `index` of `workload`, with at most `operations` to do.
    pub(super) fn new(control: &'a Control, workload: &'static str, index: usize, operations: u64, seed: u64) -> Self {
        Client { control, workload, index, left: operations, tally: Tally::default(), rng: Rng::new(seed) }
    }

    /// Its number among the clients of its workload, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Whether there is another operation to do.
    #[inline]
    pub fn more(&self) -> bool {
        self.left > 0 && !self.control.stopped()
    }

    /// An operation is done.
    #[inline]
    pub fn done(&mut self) {
        self.left -= 1;
        self.tally.operations += 1;
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
            self.control.fail(Failure { workload: self.workload, what: what() });
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
