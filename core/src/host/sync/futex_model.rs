//! The futex as loom sees it: a list of sleepers under a lock, as in the host's kernel.
//!
//! A lost wake-up shows as a deadlock, which loom reports. There is no time: a sleep with a deadline is over at once,
//! so the model explores what may happen between a deadline and a wake-up.

use super::deadline::Deadline;
use super::primitive::{AtomicU32, AtomicU64, Ordering};
use libc::c_int;
use loom::sync::{Arc, Mutex, Notify};

pub(super) trait Word {
    /// The low 32 bits, and surely not old ones: loom lets a plain load return any value that C11 allows.
    fn latest(&self) -> u32;
}

impl Word for AtomicU32 {
    fn latest(&self) -> u32 {
        self.fetch_or(0, Ordering::Relaxed)
    }
}

impl Word for AtomicU64 {
    fn latest(&self) -> u32 {
        self.fetch_or(0, Ordering::Relaxed) as u32
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    Maybe,
    TimedOut,
}

struct Sleeper {
    address: usize,
    awake: Arc<Notify>,
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
    let awake = Arc::new(Notify::new());
    sleepers.push(Sleeper { address: core::ptr::from_ref(word).addr(), awake: awake.clone() });
    drop(sleepers);
    awake.wait();
    Wake::Maybe
}

pub(super) fn wake<W: Word>(word: *const W, count: c_int) {
    let mut sleepers = SLEEPERS.lock().unwrap();
    for _ in 0..count {
        if let Some(first) = sleepers.iter().position(|sleeper| sleeper.address == word.addr()) {
            sleepers.remove(first).awake.notify();
        }
    }
}
