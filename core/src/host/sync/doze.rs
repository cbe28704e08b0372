//! Dozing: to sleep for a mutex that its owner keeps, without asking to be woken when it is given back.
//!
//! An owner that takes a mutex again as soon as it has given it back would wake the sleeper each time, and most likely in vain.
//! But one day it has done what it wanted the mutex for, and waits itself, perhaps for what the sleeper was about to do. So
//! whoever is about to wait looks for those who doze on its account, and has them look again.

use super::futex;
use super::owner::Owner;
use super::primitive::{AtomicU32, Ordering};
use super::{Deadline, active};

/// Those who doze on account of some owners.
#[derive(Debug)]
struct Room {
    dozing: AtomicU32,
    /// Changes when they are to look again.
    calls: AtomicU32,
}

/// More than there are likely to be who keep a mutex at the same time. Two owners that share one wake each other's.
const ROOMS: usize = 64;

/// Few lines of the processors' caches, and shared with nothing else: whoever is about to wait reads there, and few ever write.
#[repr(align(64))]
struct House([Room; ROOMS]);

static HOUSE: House = House([const { Room { dozing: AtomicU32::new(0), calls: AtomicU32::new(0) } }; ROOMS]);

fn room(owner: Owner) -> &'static Room {
    // Fibonacci hashing (Knuth, volume 3, 6.4).
    let spread = owner.to_word().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - ROOMS.ilog2());
    &HOUSE.0[spread as usize % ROOMS]
}

/// Sleeps for so many nanoseconds, or until `keeper` is about to wait.
pub(super) fn doze(keeper: Owner, nanoseconds: u64) {
    let room = room(keeper);
    let deadline = Deadline::at(active::monotonic() + nanoseconds);
    // Relaxed, here and below: a keeper that is about to wait just now may overlook the caller, which then sleeps on for a while.
    room.dozing.fetch_add(1, Ordering::Relaxed);
    let calls = room.calls.load(Ordering::Relaxed);
    // Whoever has called meanwhile has the host see another number.
    futex::wait(&room.calls, calls, Some(&deadline));
    room.dozing.fetch_sub(1, Ordering::Relaxed);
}

/// The calling thread is about to wait, and holds mutexes under these names: who dozes because it keeps one looks again. Quick
/// where nobody does.
#[inline]
pub fn about_to_wait(names: [Owner; 2]) {
    for name in names {
        let room = room(name);
        if room.dozing.load(Ordering::Relaxed) != 0 {
            room.call();
        }
    }
}

impl Room {
    #[cold]
    fn call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        futex::wake_all(&self.calls);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use std::time::{Duration, Instant};

    const LONG: Duration = Duration::from_secs(600);

    /// How long a doze of at most `most` lasts if `name` is about to wait, again and again.
    fn doze_beside(keeper: Owner, name: Owner, most: Duration) -> Duration {
        thread::scope(|scope| {
            let dozing = scope.spawn(move || {
                let start = Instant::now();
                doze(keeper, most.as_nanos() as u64);
                start.elapsed()
            });
            while !dozing.is_finished() {
                about_to_wait([Owner::NOBODY, name]);
                thread::sleep(Duration::from_micros(100));
            }
            dozing.join().expect("no panic")
        })
    }

    #[test]
    fn who_dozes_looks_again_when_the_keeper_waits_or_in_time() {
        let names = [0u64; 2];
        let [keeper, other] = [&names[0], &names[1]].map(|name| Owner::from_address(name));
        assert!(doze_beside(keeper, keeper, LONG) < LONG);
        let most = Duration::from_millis(20);
        // Two names may share a room.
        if !core::ptr::eq(room(keeper), room(other)) && !core::ptr::eq(room(keeper), room(Owner::NOBODY)) {
            assert!(doze_beside(keeper, other, most) >= most);
        }
    }
}
