//! Mutual exclusion: an owner that everybody may read, barging, and a queue in the host.

use super::active::{self, Looked};
use super::habit::Habit;
use super::owner::Owner;
use super::pace::{Found, Pace};
use super::primitive::{AtomicU32, AtomicU64, Ordering, spin_loop};
use super::{futex, futex::Wake};
use crate::host::{fiber, gather};

/// A mutex that knows its owner.
///
/// Not fair at first: who comes by takes a free mutex, even if others wait. The one that is woken competes again. This is
/// what makes a contended mutex fast, because it is not idle while the next owner wakes up, nor does what it guards go from
/// processor to processor more often than it must. Who finds that the owner *keeps* the mutex, taking it again as soon as it
/// has given it back, dozes: sleeps until the owner itself is about to wait, or for a while, without asking to be woken when it
/// is free, which would cost the owner many short sections, and most likely in vain. It would be a matter of luck when a
/// sleeper's turn comes; so who has waited for [`LUCKLESS`] asks for the mutex when it is awake, and whoever gives it back next
/// hands it over.
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
    //    A    m  1  1    locked by A; A must wake one sleeper when it unlocks, or hand it over
    //    0    0  w  1    on its way from one owner to another one (or locked by one without a name)
    //
    //  M  marked by the owner, for itself: unlocking is not that simple (see `Monitor`)
    // ```
    // No other combination occurs. Every change is a read-modify-write, so whoever reads the word (acquire) sees
    // what happened before *every* earlier change that was a release, not only the last.
    word: AtomicU64,
    // ```text
    //  31        2   1   0
    // +-----------+---+---+
    // |  asleep   | G | A |
    // +-----------+---+---+
    //
    //  asleep  how many sleep until they are woken: raised before W is set, lowered after, so never too low
    //  A       one who is awake has asked for the mutex, and W is set or will be
    //  G       it has been given to the one who asked, who does not know it yet
    // ```
    waiting: AtomicU32,
    habit: Habit,
}

const LOCKED: u64 = 1;
const WAITED: u64 = 2;
const MARKED: u64 = 4;

const ASKED: u32 = 1;
const GIVEN: u32 = 2;
const ASLEEP: u32 = 4;

/// Who has waited for so long, in nanoseconds, has had bad luck: many times what it costs to hand the mutex over, a trip
/// between processors and, for the one that gives it away, a wait.
const LUCKLESS: u64 = 1_000_000;

/// And who has waited for so long may be on the owner's very processor, which it then offers to it.
const DESPERATE: u64 = 10 * LUCKLESS;

/// Sleeps for as long as `keeper` may keep the mutex: who wakes up by the clock has had bad luck, and is given it. Those who woke up
/// sooner would do it for nothing.
fn doze(keeper: Owner) {
    #[cfg(not(loom))]
    super::doze::doze(keeper, LUCKLESS);
    // A model has no time.
    #[cfg(loom)]
    let _ = keeper;
}

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
        Mutex { word: AtomicU64::new(0), waiting: AtomicU32::new(0), habit: Habit::new() }
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
            self.lock_sleeping(owner, &|| 0, false);
        }
    }

    /// As `lock`, where the mutex is never held for long.
    #[inline]
    pub(super) fn lock_soon(&self, owner: Owner) {
        if !self.try_lock(owner) && !self.try_lock_spinning(owner) {
            self.lock_sleeping(owner, &|| 0, false);
        }
    }

    /// Takes the mutex after waiting for it, actively at first where that pays. Says how much of the wait was active, in
    /// nanoseconds. `announce` is called, without the mutex, unless that is over in a moment. `takings` tells how often the
    /// mutex has been taken, about; it should be on the mutex's own line of memory.
    #[cold]
    pub fn lock_waiting(&self, owner: Owner, announce: impl FnOnce(), takings: &dyn Fn() -> u32) -> u64 {
        let since = active::now();
        let (mut locked, mut pace, mut announce) = (false, Pace::new(), Some(announce));
        let (looked, active) = active::look(self.habit.patience(), None, || {
            let due = pace.is_due();
            if pace.is_moment_over()
                && let Some(announce) = announce.take()
            {
                announce();
            }
            if due {
                let found = self.find(takings);
                locked = found.owner.is_none() && self.try_lock(owner);
                pace.found(found);
            }
            locked
        });
        if locked {
            // Not by the clock: all who want the mutex wait for what its owner does now.
            self.habit.learn(since, since + active, Looked::Well);
        } else {
            if let Some(announce) = announce {
                announce();
            }
            self.lock_sleeping(owner, takings, pace.is_kept());
            // Nobody tells a sleeper when the mutex became free: about a wake-up before it had it.
            let looked = if looked == Looked::Well { Looked::No } else { looked };
            self.habit.learn(since + active::WAKE_UP, active::now(), looked);
        }
        active
    }

    fn find(&self, takings: &dyn Fn() -> u32) -> Found {
        Found { owner: self.owner(), takings: takings() }
    }

    #[cold]
    fn lock_sleeping(&self, owner: Owner, takings: &dyn Fn() -> u32, mut is_kept: bool) {
        gather::waits(active::now());
        // What that took is no bad luck.
        let since = active::now();
        loop {
            // Acquire: whoever sees the mutex free sees the count of everybody who has set WAITED before.
            let word = self.word.load(Ordering::Acquire);
            if word & LOCKED == 0 {
                if self.try_lock_remembering(owner) {
                    return;
                }
                continue;
            }
            if is_kept {
                doze(Owner::from_word(word));
            } else if !self.sleep(word) {
                continue;
            }
            let waited = active::now().saturating_sub(since);
            // A model has no time: there everybody has bad luck.
            if !cfg!(loom) && waited < LUCKLESS {
                is_kept = self.look_again(takings);
            } else if self.inherit(owner, waited) {
                return;
            } else {
                is_kept = false;
            }
        }
    }

    /// As `try_lock`, for one who has been asleep: it may have been woken in place of others.
    fn try_lock_remembering(&self, owner: Owner) -> bool {
        // Who sleeps has left no trace in a free mutex; it is for the next owner to remember them.
        let locked = owner.to_word() | LOCKED | self.waited();
        // Acquire: as in `try_lock`.
        self.word.compare_exchange(0, locked, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// `WAITED` where somebody sleeps. For the next owner.
    fn waited(&self) -> u64 {
        // Relaxed: who has set WAITED was counted before, and the caller has seen what became of the word since.
        if self.waiting.load(Ordering::Relaxed) >= ASLEEP { WAITED } else { 0 }
    }

    /// Sleeps until it is woken, or for as long as the host likes; not at all if the word, which says LOCKED, is not `word`
    /// any more. Says whether it was.
    fn sleep(&self, word: u64) -> bool {
        // Relaxed: published by the exchange.
        self.waiting.fetch_add(ASLEEP, Ordering::Relaxed);
        let asked = self.ask_to_be_woken(word);
        if asked {
            // Returns at once if the owner has unlocked since: it sees WAITED or has changed the word before we set it.
            let _: Wake = futex::wait(&self.word, (word | WAITED) as u32, None);
        }
        // Relaxed: who counts one too many wakes nobody.
        self.waiting.fetch_sub(ASLEEP, Ordering::Relaxed);
        asked
    }

    /// Sets WAITED, if the word, which says LOCKED, is `word` still. Says whether it was.
    fn ask_to_be_woken(&self, word: u64) -> bool {
        // Release: what the caller has done to `waiting` goes before, even where WAITED stands already.
        self.word.compare_exchange(word, word | WAITED, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// After a sleep: waits for a moment for the mutex to be free. Says whether it is being kept.
    fn look_again(&self, takings: &dyn Fn() -> u32) -> bool {
        // A fiber sees no more than one moment, and must not doze: all others would.
        if fiber::is_running() {
            return false;
        }
        let before = self.find(takings);
        spin_while(|| self.owner().is_some());
        self.find(takings).is_kept_since(before)
    }

    /// Asks for the mutex, if nobody else does, and waits for it to be handed over, for as long as it takes to be woken. Says
    /// whether the caller has it.
    fn inherit(&self, owner: Owner, waited: u64) -> bool {
        // The owner may be another fiber, which does not run meanwhile.
        if fiber::is_running() || !self.turn_request(0, ASKED) {
            return false;
        }
        loop {
            // Acquire: as in `lock_sleeping`.
            let word = self.word.load(Ordering::Acquire);
            if word & LOCKED == 0 {
                if self.try_lock_remembering(owner) {
                    // Nobody has given it: for that, one would have had it.
                    self.turn_request(ASKED, 0);
                    return true;
                }
            } else if self.ask_to_be_woken(word) {
                break;
            }
        }
        // Relaxed: only a hint; the exchange decides. Free it is where the last owner has overlooked the request.
        let is_over = || self.waiting.load(Ordering::Relaxed) & GIVEN != 0 || self.owner().is_none();
        active::stay_awake(is_over);
        if waited >= DESPERATE && !is_over() {
            active::stay_awake_politely(is_over);
        }
        if self.turn_request(ASKED, 0) {
            return false;
        }
        // It is ours, and bears no name yet. Relaxed: ordered by the request.
        self.word.fetch_or(owner.to_word() | self.waited(), Ordering::Relaxed);
        self.turn_request(GIVEN, 0);
        true
    }

    /// Turns the state of the request for the mutex from `from` into `to`. Says whether it was so.
    fn turn_request(&self, from: u32, to: u32) -> bool {
        const STATE: u32 = ASKED | GIVEN;
        let turned = |now: u32| (now & STATE == from).then_some(now & !STATE | to);
        // Release: the last owner's writes go before GIVEN. Acquire: whoever finds it given sees them.
        self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, turned).is_ok()
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
        // Only the owner itself can make the word equal to this, and only those who wait change it meanwhile. Acquire: whoever
        // has asked for the mutex and set WAITED is seen.
        if self.word.load(Ordering::Acquire) & !(WAITED | MARKED) != owner.to_word() | LOCKED {
            return Err(NotOwner);
        }
        // Relaxed: as above. Who asks just now sets WAITED for the next one to unlock.
        let waiting = self.waiting.load(Ordering::Relaxed);
        let asked = waiting & ASKED != 0;
        // Release: as in `unlock`.
        if !(asked && self.hand_over()) && self.word.swap(0, Ordering::Release) & WAITED != 0 {
            if waiting < 2 * ASLEEP { futex::wake(word) } else { futex::wake_one_of_each(word) }
        }
        Ok(())
    }

    /// Gives the mutex to the one who has asked for it, if that one still does. For the owner; says whether it did, and then
    /// the mutex may be gone.
    fn hand_over(&self) -> bool {
        // Nobody takes it without a name, either. Release: as in `unlock`. Acquire: the next owner is to see the count of
        // everybody who has set the WAITED that goes with this.
        let before = self.word.swap(LOCKED, Ordering::AcqRel);
        if self.turn_request(ASKED, GIVEN) {
            return true;
        }
        // Relaxed: for the caller itself.
        self.word.fetch_or(before & WAITED, Ordering::Relaxed);
        false
    }

    /// Has `try_unlock` fail the next time. For the owner.
    pub(super) fn mark(&self) {
        // Relaxed: for the caller itself.
        self.word.fetch_or(MARKED, Ordering::Relaxed);
    }

    /// Whether somebody sleeps for it, or the owner has marked it. For the owner.
    pub(super) fn is_wanted(&self) -> bool {
        // Relaxed: a hint.
        self.word.load(Ordering::Relaxed) & (WAITED | MARKED) != 0 || self.waiting.load(Ordering::Relaxed) != 0
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
        // Only a free one's is 0: so who asks for the owner's address has it by one instruction.
        (word != 0).then(|| Owner::from_word(word))
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn who_has_asked_is_given_the_mutex_before_anybody_can_take_it() {
        let (one, other) = ([0u64], [0u64]);
        let [one, other] = [&one, &other].map(|name| Owner::from_address(name));
        let mutex = Mutex::new();
        // The one who asks may be kept from its processor until it does not any more.
        let mut given = 0;
        while given < 10 {
            assert!(mutex.try_lock(one));
            thread::scope(|scope| {
                let asking = scope.spawn(|| mutex.inherit(other, LUCKLESS));
                while !asking.is_finished() && mutex.waiting.load(Ordering::Relaxed) & ASKED == 0 {
                    spin_loop();
                }
                mutex.unlock(one).expect("its owner");
                if mutex.try_lock(one) {
                    mutex.unlock(one).expect("its owner");
                }
                if asking.join().expect("no panic") {
                    assert_eq!(mutex.owner(), Some(other));
                    assert!(!mutex.try_lock(one));
                    mutex.unlock(other).expect("its owner");
                    given += 1;
                }
            });
            assert_eq!((mutex.owner(), mutex.waiting.load(Ordering::Relaxed)), (None, 0), "nothing is left of it");
        }
    }

    #[test]
    fn one_at_a_time_asks() {
        let (mutex, name) = (Mutex::new(), [0u64]);
        let owner = Owner::from_address(&raw const name);
        assert!(mutex.inherit(owner, LUCKLESS), "it is free");
        assert!(!mutex.inherit(owner, LUCKLESS), "nobody gives it back");
        assert!(mutex.turn_request(0, ASKED) && !mutex.inherit(owner, LUCKLESS), "somebody else has asked");
        assert_eq!(mutex.waiting.load(Ordering::Relaxed), ASKED);
    }
}
