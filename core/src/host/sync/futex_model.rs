//! The futex as loom sees it: a list of sleepers under a lock, as in the host's kernel.
//!
//! A lost wake-up shows as a deadlock, which loom reports. There is no time: a sleep with a deadline is over at once,
//! so the model explores what may happen between a deadline and a wake-up.

use super::deadline::Deadline;
use super::primitive::{AtomicU32, AtomicU64, Ordering};
use loom::sync::Mutex;
use loom::thread::{self, Thread};

pub(super) trait Word {
    /// The low 32 bits as the last write left them: loom lets a plain load return any value that C11 allows, but not an
    /// exchange, even one that fails.
    fn latest(&self) -> u32;
}

impl Word for AtomicU32 {
    fn latest(&self) -> u32 {
        let (Ok(word) | Err(word)) = self.compare_exchange(!0, !0, Ordering::Relaxed, Ordering::Relaxed);
        word
    }
}

impl Word for AtomicU64 {
    fn latest(&self) -> u32 {
        let (Ok(word) | Err(word)) = self.compare_exchange(!0, !0, Ordering::Relaxed, Ordering::Relaxed);
        word as u32
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    Maybe,
    TimedOut,
}

struct Sleeper {
    address: usize,
    thread: Thread,
}

loom::lazy_static! {
    static ref SLEEPERS: Mutex<Vec<Sleeper>> = Mutex::new(Vec::new());
}

pub(super) fn wait<W: Word>(word: &W, expected: u32, deadline: Option<&Deadline>) -> Wake {
    let mut sleepers = SLEEPERS.lock().unwrap();
    if word.latest() != expected {
        return Wake::Maybe;
    }
    if deadline.is_some() {
        return Wake::TimedOut;
    }
    sleepers.push(Sleeper { address: core::ptr::from_ref(word).addr(), thread: thread::current() });
    drop(sleepers);
    thread::park();
    Wake::Maybe
}

pub(super) fn wake<W: Word>(word: *const W) {
    let mut sleepers = SLEEPERS.lock().unwrap();
    if let Some(first) = sleepers.iter().position(|sleeper| sleeper.address == word.addr()) {
        sleepers.remove(first).thread.unpark();
    }
}

/// There are no fibers here.
pub(super) fn wake_one_of_each<W: Word>(word: *const W) {
    wake(word);
}
