//! Virtual CPUs, as tokens: all the guest needs of them is that there are only so many.

use super::DEADLINE;
use std::sync::{Condvar, Mutex};

#[derive(Debug)]
pub(super) struct Cpus {
    free: Mutex<usize>,
    released: Condvar,
}

impl Cpus {
    pub(super) fn new(count: usize) -> Self {
        Cpus { free: Mutex::new(count), released: Condvar::new() }
    }

    /// From now on there are `count`, one of which is taken.
    pub(super) fn limit(&self, count: usize) {
        *self.free.lock().expect("no panic while locked") = count - 1;
    }

    pub(super) fn acquire(&self) {
        let free = self.free.lock().expect("no panic while locked");
        let (mut free, timeout) =
            self.released.wait_timeout_while(free, DEADLINE, |free| *free == 0).expect("no panic while locked");
        assert!(!timeout.timed_out(), "no virtual CPU becomes free: a hypercall waits on one");
        *free -= 1;
    }

    pub(super) fn release(&self) {
        *self.free.lock().expect("no panic while locked") += 1;
        self.released.notify_one();
    }
}
