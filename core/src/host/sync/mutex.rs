//! Mutual exclusion: an owner that everybody may read, barging, and a queue in the host.

use super::active::{self, Looked};
use super::habit::Habit;
use super::owner::Owner;
use super::primitive::{AtomicU32, AtomicU64, Ordering, spin_loop};
use super::{futex, futex::Wake};
use crate::host::fiber;
use std::thread;
use std::time::Duration;

/// A mutex that knows its owner.
///
/// Not fair: who comes by takes a free mutex, even if others wait. The one that is woken competes again. This is what
/// makes a contended mutex fast, because it is not idle while the next owner wakes up. It would be a matter of luck when
/// a sleeper's turn comes, so who has been woken looks again for a moment before it sleeps once more, and for longer if it
/// has waited for [`LUCKLESS`]. Until then it first sleeps for a while without asking to be woken.
#[derive(Debug)]
pub struct Mutex {
    // ```text
    //  63            3   2   1   0
    // +---------------+---+---+---+
    // |     owner     | M | W | L |   the word; threads sleep on its low half
    // +---------------+---+---+---+
    //
    //  owner  M  W  L
    //    0    0  0  0    free
    //    A    m  0  1    locked by A, nobody sleeps
    //    A    m  1  1    locked by A; A must wake one sleeper when it unlocks
    //
    //  M  marked by the owner, for itself: unlocking is not that simple (see `Monitor`)
    // ```
    // No other combination occurs. Every change is a read-modify-write, so whoever reads the word (acquire) sees
    // what happened before *every* earlier change that was a release, not only the last.
    word: AtomicU64,
    /// Threads in `lock_sleeping`. Raised before a thread sleeps, lowered when it has the mutex: never too low.
    sleepers: AtomicU32,
    habit: Habit,
}

const LOCKED: u64 = 1;
const WAITED: u64 = 2;
const MARKED: u64 = 4;

/// Who has waited for so long, in nanoseconds, has had bad luck. The host lets each of its threads run for some
/// milliseconds at a time, so nobody who waited less has met the mutex more than a few times.
const LUCKLESS: u64 = 10_000_000;

/// How long the first doze is, and each one twice as long as the one before: some times what it takes to be woken.
const SHORTEST_DOZE: Duration = Duration::from_micros(100);
/// But none is longer than this: less than it takes to have bad luck.
const LONGEST_DOZE: Duration = Duration::from_millis(1);

/// The mutex is free or belongs to another owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotOwner;

impl Default for Mutex {
    fn default() -> Self {
        Self::new()
    }
}

impl Mutex {
    /// A free mutex.
    pub fn new() -> Self {
        Mutex { word: AtomicU64::new(0), sleepers: AtomicU32::new(0), habit: Habit::new() }
    }

    /// Takes the mutex if it is free. Says whether it did.
    #[inline(always)]
    pub fn try_lock(&self, owner: Owner) -> bool {
        // Acquire: see what the last owner wrote.
        self.word.compare_exchange(0, owner.to_word() | LOCKED, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// As `try_lock`, for about a microsecond; not where others sleep already: they would be waiting longer still.
    pub fn try_lock_spinning(&self, owner: Owner) -> bool {
        let mut locked = false;
        spin_while(|| {
            // Relaxed: only a hint, `try_lock` decides.
            let word = self.word.load(Ordering::Relaxed);
            locked = word == 0 && self.try_lock(owner);
            !locked && word & WAITED == 0
        });
        locked
    }

    /// Takes the mutex; sleeps while it belongs to others.
    #[inline]
    pub fn lock(&self, owner: Owner) {
        if !self.try_lock(owner) {
            self.lock_sleeping(owner);
        }
    }

    /// As `lock`, where the mutex is never held for long.
    #[inline]
    pub(super) fn lock_soon(&self, owner: Owner) {
        if !self.try_lock(owner) && !self.try_lock_spinning(owner) {
            self.lock_sleeping(owner);
        }
    }

    /// Takes the mutex after waiting for it, actively at first where that pays: not where others sleep already. Says how
    /// much of the wait was active, in nanoseconds. `announce` is called, without the mutex, unless that is over in a moment.
    #[cold]
    pub fn lock_waiting(&self, owner: Owner, announce: impl FnOnce()) -> u64 {
        /// So many looks are a moment, of half a microsecond or so.
        const MOMENT: u32 = 12;
        /// After that only one of so many is at the mutex, every half a microsecond or so. Whoever takes it again and again
        /// has its line back each time at once; to have it from there at every look would cost more than the sections that
        /// it guards (backoff: Anderson, "The performance of spin lock alternatives for shared-memory multiprocessors",
        /// IEEE Transactions on Parallel and Distributed Systems 1990).
        const RARE: u32 = 16;
        let since = active::now();
        let (mut locked, mut looks, mut announce) = (false, 0, Some(announce));
        let (looked, active) = active::look(self.habit.patience(), None, || {
            looks += 1;
            if looks > MOMENT
                && let Some(announce) = announce.take()
            {
                announce();
            }
            if looks > MOMENT && !looks.is_multiple_of(RARE) {
                return false;
            }
            // Relaxed: as in `try_lock_spinning`.
            let word = self.word.load(Ordering::Relaxed);
            locked = word == 0 && self.try_lock(owner);
            locked || word & WAITED != 0
        });
        if locked {
            self.habit.learn(since, active::now(), Looked::Well);
        } else {
            if let Some(announce) = announce {
                announce();
            }
            self.lock_sleeping(owner);
            // Nobody tells a sleeper when the mutex became free: about a wake-up before it had it.
            let looked = if looked == Looked::Well { Looked::No } else { looked };
            self.habit.learn(since + active::WAKE_UP, active::now(), looked);
        }
        active
    }

    #[cold]
    fn lock_sleeping(&self, owner: Owner) {
        let since = active::now();
        // Published by the exchange below that sets WAITED.
        self.sleepers.fetch_add(1, Ordering::Relaxed);
        // Acquire, here and below: whoever sees the mutex free sees the count of everybody who has set WAITED before.
        let mut word = self.word.load(Ordering::Acquire);
        let mut vain = 0;
        loop {
            let wanted = if word & LOCKED == 0 {
                // Who sleeps has left no trace in a free mutex; it is for the next owner to remember them.
                let others = self.sleepers.load(Ordering::Relaxed) > 1;
                owner.to_word() | LOCKED | if others { WAITED } else { 0 }
            } else {
                word | WAITED
            };
            // Release: our count in `sleepers` goes before, even where WAITED stands already. Acquire: `try_lock`.
            if let Err(now) = self.word.compare_exchange_weak(word, wanted, Ordering::AcqRel, Ordering::Acquire) {
                word = now;
                continue;
            }
            if word & LOCKED == 0 {
                break;
            }
            // Returns at once if the owner unlocked since: it sees WAITED or has changed the word before we set it.
            let _: Wake = futex::wait(&self.word, wanted as u32, None);
            self.look_again(since);
            word = self.word.load(Ordering::Acquire);
            if word & LOCKED != 0 && word & WAITED == 0 {
                vain += 1;
                self.doze(vain, since);
                word = self.word.load(Ordering::Acquire);
            }
        }
        // Relaxed: read by those who will own the mutex after us, to whom it is published by unlocking.
        self.sleepers.fetch_sub(1, Ordering::Relaxed);
    }

    /// After a sleep: waits for a moment for the mutex to be free; `since`: the caller's wait began.
    fn look_again(&self, since: u64) {
        if cfg!(loom) {
            // It decides nothing, and would double what is to be explored.
            return;
        }
        // Relaxed: only a hint.
        let is_taken = || self.word.load(Ordering::Relaxed) & LOCKED != 0;
        if active::now().saturating_sub(since) < LUCKLESS {
            spin_while(is_taken);
        } else {
            active::stay_awake(|| !is_taken());
        }
    }

    /// Sleeps for a while, without asking to be woken, and looks again. The caller has been woken `vain` times and found
    /// the mutex taken, so somebody takes it again and again: if the caller asked at once, that one would have to wake it
    /// in the middle of that, which costs it many short sections, and most likely in vain again. `since`: the wait began.
    fn doze(&self, vain: u32, since: u64) {
        // In a model it decides nothing; and it would keep the other fibers from running.
        if cfg!(loom) || fiber::is_running() || active::now().saturating_sub(since) >= LUCKLESS {
            return;
        }
        thread::sleep((SHORTEST_DOZE * 2u32.saturating_pow(vain - 1)).min(LONGEST_DOZE));
        self.look_again(since);
    }

    /// Gives the mutex back. The mutex may be destroyed by the next owner before this returns: after the exchange only
    /// its address is used.
    #[inline(always)]
    pub fn unlock(&self, owner: Owner) -> Result<(), NotOwner> {
        if self.try_unlock(owner) { Ok(()) } else { self.unlock_contended(owner) }
    }

    /// Gives the mutex back if it is `owner`'s and nobody sleeps. Says whether it did; [`Mutex::unlock_contended`] does
    /// the rest.
    #[inline(always)]
    pub fn try_unlock(&self, owner: Owner) -> bool {
        // Release: the next owner sees what we wrote.
        self.word.compare_exchange(owner.to_word() | LOCKED, 0, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// As `unlock`, where somebody sleeps.
    #[cold]
    pub fn unlock_contended(&self, owner: Owner) -> Result<(), NotOwner> {
        let word = core::ptr::from_ref(&self.word);
        // Relaxed: only the owner itself can make the word equal to this, and only sleepers change it meanwhile.
        if self.word.load(Ordering::Relaxed) & !(WAITED | MARKED) != owner.to_word() | LOCKED {
            return Err(NotOwner);
        }
        // Release: as in `unlock`.
        if self.word.swap(0, Ordering::Release) & WAITED != 0 {
            futex::wake(word, 1);
        }
        Ok(())
    }

    /// Has `try_unlock` fail the next time. For the owner.
    pub(super) fn mark(&self) {
        // Relaxed: for the caller itself.
        self.word.fetch_or(MARKED, Ordering::Relaxed);
    }

    /// Whether the owner has marked it. For the owner.
    pub(super) fn is_marked(&self) -> bool {
        // Relaxed: as above.
        self.word.load(Ordering::Relaxed) & MARKED != 0
    }

    /// Who holds it: `None` when it is free. The answer is exact for the owner itself; about others it may be old.
    #[inline(always)]
    pub fn owner(&self) -> Option<Owner> {
        // Relaxed: an owner has written its own name here itself, and after it gave the mutex back never finds it.
        let word = self.word.load(Ordering::Relaxed);
        (word & LOCKED != 0).then(|| Owner::from_word(word))
    }
}

/// Looks for about a microsecond, no longer than `goes_on`.
fn spin_while(mut goes_on: impl FnMut() -> bool) {
    // 1 + 2 + ... + 32 pauses, some 1 to 3 thousand cycles: less than it takes to sleep and be woken, more than a short
    // critical section on another processor.
    const ROUNDS: u32 = if cfg!(loom) { 1 } else { 6 };
    // The owner may be another fiber, which does not run meanwhile.
    if fiber::is_running() {
        return;
    }
    for round in 0..ROUNDS {
        for _ in 0..1 << round {
            spin_loop();
        }
        if !goes_on() {
            return;
        }
    }
}
