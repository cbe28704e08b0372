//! What fibers wait for by the clock. Used by the carrier and by fibers that it runs, so one at a time.

use super::strand::Fiber;
use super::{carrier, words};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A time that is waited for: nanoseconds on the monotonic clock, and a number that makes it the only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timer(u64, u64);

#[derive(Debug)]
struct Timers {
    /// Ordered, and not a heap: most waits on a word end before their time, and then the entry has to go.
    set: BTreeMap<Timer, Alarm>,
    made: u64,
}

#[derive(Debug)]
struct Alarm {
    fiber: Arc<Fiber>,
    /// It sleeps on this word, too.
    word: Option<usize>,
}

static TIMERS: Mutex<Timers> = Mutex::new(Timers { set: BTreeMap::new(), made: 0 });

fn timers() -> MutexGuard<'static, Timers> {
    TIMERS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// At `time`, `fiber` is to go on: if it sleeps on `word`, only where nobody has woken it.
pub(super) fn set(time: u64, fiber: Arc<Fiber>, word: Option<usize>) -> Timer {
    let mut timers = timers();
    timers.made += 1;
    let timer = Timer(time, timers.made);
    timers.set.insert(timer, Alarm { fiber, word });
    timer
}

/// It is not waited for any more.
pub(super) fn cancel(timer: Timer) {
    timers().set.remove(&timer);
}

/// The next time that is waited for.
pub(super) fn next() -> Option<u64> {
    timers().set.first_key_value().map(|(timer, _)| timer.0)
}

/// Lets all go on whose time has come by `now`.
pub(super) fn fire(now: u64) {
    loop {
        let mut timers = timers();
        let Some(first) = timers.set.first_entry().filter(|first| first.key().0 <= now) else { return };
        let Alarm { fiber, word } = first.remove();
        drop(timers);
        match word {
            Some(address) => words::time_is_up(address, fiber),
            None => carrier::enqueue(fiber),
        }
    }
}
