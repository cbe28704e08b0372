//! What a thread of a load knows, and what it counts.

use crate::workload::rng::Rng;
use std::sync::atomic::{AtomicBool, Ordering};

/// A thread of a load.
#[derive(Debug)]
pub struct Worker<'a> {
    /// Which of the load's threads it is.
    pub index: usize,
    /// The process that it belongs to.
    pub pid: i32,
    /// Its own random choices.
    pub rng: Rng,
    stop: &'a AtomicBool,
    /// How many operations it is to do, at most.
    limit: u64,
    done: u64,
}

impl<'a> Worker<'a> {
    /// One that does `limit` operations, or as many as it can before `stop`.
    pub fn new(index: usize, pid: i32, seed: u64, limit: u64, stop: &'a AtomicBool) -> Self {
        Worker { index, pid, rng: Rng::new(seed), stop, limit, done: 0 }
    }

    /// Whether there is another operation to do.
    #[inline]
    pub fn more(&self) -> bool {
        // Relaxed: nothing else is told by it; results are handed over by a channel.
        self.done < self.limit && !self.stop.load(Ordering::Relaxed)
    }

    /// An operation is done.
    #[inline]
    pub fn done(&mut self) {
        self.done += 1;
    }

    /// How many are.
    pub fn operations(&self) -> u64 {
        self.done
    }
}
