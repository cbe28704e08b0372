//! Condition variables: an exact queue, first come first served.
//!
//! Not a bare `pthread_cond_t`: that does not say how many wait, and may end a wait without a signal.

use super::parker::Parker;
use super::primitive::Raw;
use crate::host::backend;
use crate::host::sync::{Deadline, Home, Note, Outcome, Owner, Reply, StillWaited, Waited};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, Ordering};
use std::collections::VecDeque;

/// A condition variable that does not know its mutex.
#[derive(Debug)]
pub struct Condvar {
    lock: Raw,
    /// Those who have not been told yet, in the order of their arrival. Under `lock`. A parker stays in place as long as
    /// it is in here.
    queue: UnsafeCell<VecDeque<*const Parker>>,
    /// The length of `queue`. Changed under `lock`; read without it.
    waiters: AtomicU32,
}

// SAFETY: the queue is used under `lock` only; a `Parker` is made to be reached from other threads.
unsafe impl Send for Condvar {}
// SAFETY: as above.
unsafe impl Sync for Condvar {}

impl Condvar {
    fn with_queue<R>(&self, work: impl FnOnce(&mut VecDeque<*const Parker>) -> R) -> R {
        self.lock.with(|| {
            // SAFETY: under the lock.
            let queue = unsafe { &mut *self.queue.get() };
            let result = work(queue);
            // Relaxed: who needs a sure answer has the mutex of the waiters, which orders it. No host has 2^32 threads.
            self.waiters.store(queue.len() as u32, Ordering::Relaxed);
            result
        })
    }

    /// Tells up to `most` waiters, those who came first, to whose notes `answer` replies. One whose time is up takes itself out.
    fn tell(&self, most: usize, mut answer: impl FnMut(Note) -> Reply) {
        // Relaxed: see `with_queue`.
        if self.waiters.load(Ordering::Relaxed) == 0 {
            return;
        }
        self.with_queue(|queue| {
            let mut left = most;
            queue.retain(|&parker| {
                // SAFETY: what is in the queue is alive; who has been told may not be, and is taken out.
                let told = left != 0 && unsafe { &*parker }.tell(&mut answer);
                left -= usize::from(told);
                !told
            });
        });
    }
}

impl backend::Condvar for Condvar {
    type Mutex = super::Mutex;

    fn new() -> Self {
        Condvar { lock: Raw::new(), queue: UnsafeCell::new(VecDeque::new()), waiters: AtomicU32::new(0) }
    }

    fn waiters(&self) -> u32 {
        // Relaxed: see `with_queue`.
        self.waiters.load(Ordering::Relaxed)
    }

    fn wait(
        &self,
        _home: Option<Home<'_, super::Mutex>>,
        deadline: Option<&Deadline>,
        note: Note,
        release: impl FnOnce(),
    ) -> Waited {
        let parker = Parker::new(note);
        self.with_queue(|queue| queue.push_back(&parker));
        release();
        let (outcome, reply) = parker.wait(deadline);
        // Once it has been told, the condition variable may be gone.
        if outcome == Outcome::TimedOut {
            self.with_queue(|queue| queue.retain(|other| !core::ptr::eq(*other, &parker)));
        }
        Waited { outcome, active: 0, reply }
    }

    fn signal(&self, _names: [Owner; 2], answer: impl FnMut(Note) -> Reply) {
        self.tell(1, answer);
    }

    fn broadcast(&self, _names: [Owner; 2], answer: impl FnMut(Note) -> Reply) {
        self.tell(usize::MAX, answer);
    }

    fn retire(&self) -> Result<(), StillWaited> {
        loop {
            // SAFETY: what is in the queue is alive.
            let (empty, waited) = self
                .with_queue(|queue| (queue.is_empty(), queue.iter().any(|parker| unsafe { &**parker }.is_waiting())));
            if waited {
                return Err(StillWaited);
            }
            if empty {
                return Ok(());
            }
            std::thread::yield_now();
        }
    }
}
