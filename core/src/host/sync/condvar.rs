//! Condition variables: an exact queue, first come first served.

use super::active::{self, Looked};
use super::answers::Answers;
use super::deadline::Deadline;
use super::habit::{self, Habit};
use super::monitor::Monitor;
use super::mutex::Mutex;
use super::owner::Owner;
use super::primitive::{AtomicU32, Ordering, UnsafeCell, yield_now};
use super::queue::{Message, Queue, SoFar, Taken, Waiter};
use super::turns::Turns;
use crate::host::gather::hands;
use core::ops::Range;
use core::{fmt, ptr};
pub use rumpscope_probes::contention::{Note, Reply};

/// A condition variable. It does not know its mutex; different waiters may use different ones.
///
/// Each waiter sleeps on a word of its own, so a signal goes to the one that has waited longest and to nobody else:
/// there are no wake-ups without a signal, and no thread that comes later can take an earlier one's signal.
#[derive(Debug)]
pub struct Condvar {
    /// The length of `queue`. Changed under `lock`; read without it.
    waiters: AtomicU32,
    habit: Habit,
    turns: Turns,
    answers: Answers,
    lock: Mutex,
    queue: UnsafeCell<Queue<About>>,
}

/// Where a waiter goes after a signal: to a mutex, whose holder may keep it until then.
#[derive(Debug)]
pub struct Home<'a, M = Monitor> {
    mutex: &'a M,
    is_next: bool,
}

impl<'a, M> Home<'a, M> {
    /// It can do nothing before the holder gives the mutex back.
    pub fn next(mutex: &'a M) -> Self {
        Home { mutex, is_next: true }
    }

    /// It has something else to do first, for which it needs nothing of the holder's.
    pub fn later(mutex: &'a M) -> Self {
        Home { mutex, is_next: false }
    }
}

/// What a signaller must know of a waiter.
#[derive(Debug)]
pub(super) struct About {
    /// The mutex that it takes after a signal, which is there as long as the waiter waits; null: it does not say.
    home: *const Monitor,
    /// Who waits, if it has something else to do before; else nobody, see [`hands`].
    who: u32,
    /// The lane of its note.
    lane: u32,
    /// Once taken, the taker's.
    slip: UnsafeCell<Slip>,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<About>() <= super::queue::ROOM);

/// First the waiter's, then the signaller's, in the same place: that has just gone to the signaller, and goes back in any case.
#[derive(Clone, Copy)]
union Slip {
    /// What it shows, but for the lane.
    note: (*const (), u64),
    reply: Reply,
}

impl fmt::Debug for Slip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slip").finish_non_exhaustive()
    }
}

impl About {
    fn new(home: *const Monitor, who: u32, Note { address, since, lane }: Note) -> Self {
        About { home, who, lane, slip: UnsafeCell::new(Slip { note: (address, since) }) }
    }

    /// Has `answer` reply to the note, once.
    ///
    /// # Safety
    /// The waiter is taken, by the caller, and nobody has replied.
    unsafe fn reply(&self, answer: impl FnOnce(Note) -> Reply) {
        self.slip.with_mut(|slip| {
            // SAFETY: the caller's word; it holds a note until somebody replies.
            let (address, since) = unsafe { (*slip).note };
            let reply = answer(Note { address, since, lane: self.lane });
            // SAFETY: the caller's word.
            unsafe { *slip = Slip { reply } };
        });
    }
}

// SAFETY: the queue is used under `lock` only; `Waiter`s are made to be reached from other threads.
unsafe impl Send for Condvar {}
// SAFETY: as above.
unsafe impl Sync for Condvar {}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// By a signal.
    Signalled,
    /// By a signal that was given under the mutex: the thread is to take it, and then to say so ([`Monitor::arrive`]), since
    /// others may be kept until then.
    Handed,
    /// The deadline came first.
    TimedOut,
}

/// A wait that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waited {
    /// How it ended.
    pub outcome: Outcome,
    /// How much of it was active, in nanoseconds.
    pub active: u64,
    /// What whoever ended it said; none if the deadline came first.
    pub reply: Reply,
}

/// Threads wait on the condition variable that is to be destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillWaited;

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

impl Condvar {
    /// A condition variable that nobody waits for.
    pub fn new() -> Self {
        let (lock, queue) = (Mutex::new(), UnsafeCell::new(Queue::new()));
        Condvar {
            waiters: AtomicU32::new(0),
            habit: Habit::new(),
            turns: Turns::new(),
            answers: Answers::new(),
            lock,
            queue,
        }
    }

    fn with_queue<R>(&self, change: impl FnOnce(&mut Queue<About>) -> R) -> R {
        self.lock.lock_soon(Owner::NOBODY);
        // SAFETY: the lock is ours.
        let result = self.queue.with_mut(|queue| change(unsafe { &mut *queue }));
        // Locked above by the same owner, so this cannot fail.
        let _ = self.lock.unlock(Owner::NOBODY);
        result
    }

    /// The wait that has been `so_far` is over at `now`, by a signal of one that goes on without an answer or not.
    fn learn(&self, so_far: SoFar, now: u64, goes_on: bool) {
        self.habit.learn(so_far.since, now, lesson(so_far, now, goes_on, self.habit.pays()));
    }

    /// How many threads wait for a signal. Who has got one is no longer among them, even if it does not run yet.
    #[inline(always)]
    pub fn waiters(&self) -> u32 {
        // Relaxed: who needs a sure answer has the mutex of the waiters, which orders it.
        self.waiters.load(Ordering::Relaxed)
    }

    /// Waits for a signal. `release` unlocks the caller's mutex: a signal given after that finds the caller waiting.
    /// The mutex is not locked again here.
    ///
    /// `home` is the caller's mutex, if it takes that after the wait: then whoever signals while holding it may keep the caller
    /// waiting until it gives it back ([`Outcome::Handed`]). `note` is shown to whoever signals.
    pub fn wait(
        &self,
        home: Option<Home<'_>>,
        deadline: Option<&Deadline>,
        note: Note,
        release: impl FnOnce(),
    ) -> Waited {
        let is_first = self.habit.is_new();
        let came_back = self.turns.comes_back();
        self.answers.wait(came_back);
        let patience = if self.turns.are_taken(came_back) { 0 } else { self.habit.patience() };
        let (home, is_next) = home.map_or((ptr::null(), true), |home| (ptr::from_ref(home.mutex), home.is_next));
        // Where it can go on at once it may be a virtual CPU that it waits for: that is handed on by whoever has it.
        let who = if is_next { hands::NOBODY } else { hands::me() };
        let waiter = Waiter::new(patience, deadline.is_some(), About::new(home, who, note));
        self.with_queue(|queue| {
            // SAFETY: `waiter` is unlinked or notified before this function returns.
            unsafe { queue.push_back(&waiter) };
            self.waiters.fetch_add(1, Ordering::Relaxed);
        });
        release();
        let (message, looked, active) = waiter.wait(deadline);
        if is_first {
            habit::learn_first(waiter.since(), active, active::now(), looked);
        }
        // Where there is one, the condition variable may be gone by now.
        if let Some(message) = message {
            let outcome = if message == Message::TakeTurn { Outcome::Handed } else { Outcome::Signalled };
            // SAFETY: whoever took the waiter has replied before it let it go on.
            let reply = waiter.about.slip.with(|slip| unsafe { (*slip).reply });
            return Waited { outcome, active, reply };
        }
        self.with_queue(|queue| {
            // SAFETY: nobody takes a waiter whose time is up, so it is still in the queue.
            unsafe { queue.remove(&waiter) };
            self.waiters.fetch_sub(1, Ordering::Relaxed);
            self.habit.learn(waiter.since(), active::now(), looked);
        });
        Waited { outcome: Outcome::TimedOut, active, reply: Reply::NONE }
    }

    /// Ends the wait of the thread that has waited longest, if any waits. `names`: those under which the caller may hold
    /// the waiter's mutex. `answer` replies to the waiter's note, as long as it waits.
    #[inline(always)]
    pub fn signal(&self, names: [Owner; 2], answer: impl FnMut(Note) -> Reply) {
        if self.waiters() != 0 {
            self.signal_first(names, answer);
        }
    }

    #[cold]
    fn signal_first(&self, names: [Owner; 2], answer: impl FnMut(Note) -> Reply) {
        let taken = self.with_queue(|queue| {
            let taken = queue.take_first();
            if let Some(taken) = &taken {
                self.waiters.fetch_sub(1, Ordering::Relaxed);
                self.learn(taken.so_far(), active::now(), self.answers.signal());
            }
            taken
        });
        self.turns.signal();
        // Last, and outside the lock: a thread that goes on may destroy the condition variable.
        if let Some(taken) = taken {
            let_go(taken, names, self.waiters() == 0, answer);
        }
    }

    /// Ends the wait of all who wait. The rest as for [`Condvar::signal`].
    #[inline(always)]
    pub fn broadcast(&self, names: [Owner; 2], answer: impl FnMut(Note) -> Reply) {
        if self.waiters() != 0 {
            self.signal_all(names, answer);
        }
    }

    #[cold]
    fn signal_all(&self, names: [Owner; 2], mut answer: impl FnMut(Note) -> Reply) {
        let (taken, count) = self.with_queue(|queue| {
            let (taken, count) = queue.take_all();
            self.waiters.fetch_sub(count, Ordering::Relaxed);
            let (now, goes_on) = (active::now(), count != 0 && self.answers.signal());
            taken.each_so_far(|so_far| self.learn(so_far, now, goes_on));
            (taken, count)
        });
        self.turns.signal();
        // As in `signal_first`.
        taken.each(|taken| let_go(taken, names, count == 1, &mut answer));
    }

    /// To be called before the condition variable is destroyed: waits for those whose time was up in the same moment
    /// and who are still unlinking themselves.
    pub fn retire(&self) -> Result<(), StillWaited> {
        loop {
            let (empty, waited) = self.with_queue(|queue| (queue.is_empty(), queue.is_waited()));
            if waited {
                return Err(StillWaited);
            }
            if empty {
                return Ok(());
            }
            yield_now();
        }
    }
}

/// For how long a wait goes on after a look in vain that was in the way of somebody else than the one that ends it, in
/// nanoseconds. Where threads hand something round, one of them was in line for the processor of the one that looked: when
/// it has that at last, it has to wake up, do its part and wake the next one. A wait that is over sooner was about to end
/// anyway; one that is longer is of another kind.
const DELAYED: Range<u64> = 8_000..3 * active::LONGEST;

/// What is to be learnt of a wait that is over at `now`, whose signaller goes on without an answer or not. `pays`: whether
/// waits are active as a rule; those on trial may be in vain because others sleep.
fn lesson(SoFar { since, patience, looked }: SoFar, now: u64, goes_on: bool, pays: bool) -> Looked {
    match looked {
        Looked::Well if goes_on => Looked::ForNothing,
        Looked::InVain if pays && DELAYED.contains(&now.saturating_sub(since + patience)) => Looked::InTheWay(patience),
        looked => looked,
    }
}

/// Lets a waiter go on: now, or where the caller holds the mutex that it needs, when that is given back. One that has something
/// else to do first is most likely not through with that before, if it is the `only` one that wants the mutex.
fn let_go(taken: Taken<About>, names: [Owner; 2], only: bool, answer: impl FnOnce(Note) -> Reply) {
    let about = taken.about();
    // SAFETY: taken just now.
    unsafe { about.reply(answer) };
    let (home, is_next) = (about.home, about.who == hands::NOBODY);
    hands::to(about.who);
    // SAFETY: null, or a mutex that the waiter will take: it is there.
    let home = unsafe { home.as_ref() }.filter(|home| home.is_held_by(names));
    // SAFETY: the caller holds it.
    match home.filter(|home| is_next || !only || unsafe { !home.may_let_go() }) {
        // SAFETY: the caller holds it.
        Some(home) => unsafe { home.keep(taken) },
        None => taken.notify(Message::Go),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Looked::{ForNothing, InTheWay, InVain, No, Well};
    use super::*;
    use std::thread;

    /// How a wait ends of one that takes the mutex later, and is signalled by who holds it; then it takes it.
    fn signalled(monitor: &Monitor, [me, other]: [Owner; 2]) -> Outcome {
        let condition = Condvar::new();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                monitor.mutex().lock(me);
                let release = || monitor.unlock(me).expect("its owner");
                let Waited { outcome, .. } = condition.wait(Some(Home::later(monitor)), None, Note::NONE, release);
                monitor.mutex().lock(me);
                if outcome == Outcome::Handed {
                    // SAFETY: locked above.
                    unsafe { monitor.arrive() };
                }
                monitor.unlock(me).expect("its owner");
                outcome
            });
            while condition.waiters() == 0 {
                thread::yield_now();
            }
            monitor.mutex().lock(other);
            condition.signal([other; 2], |_| Reply::NONE);
            monitor.unlock(other).expect("its owner");
            waiting.join().expect("no panic")
        })
    }

    #[test]
    fn one_that_takes_the_mutex_later_is_let_go_at_once_unless_that_was_too_early() {
        let (monitor, names) = (Monitor::new(), [0u64; 2]);
        let owners = [&names[0], &names[1]].map(|name| Owner::from_address(name));
        assert_eq!(signalled(&monitor, owners), Outcome::Signalled);
        monitor.mutex().lock(owners[0]);
        // SAFETY: locked.
        unsafe { monitor.came_too_early() };
        monitor.unlock(owners[0]).expect("its owner");
        let kept = (0..1000).take_while(|_| signalled(&monitor, owners) == Outcome::Handed).count();
        assert_eq!(kept, 64);
    }

    #[test]
    fn what_is_learnt_of_a_look() {
        let learnt = |looked, patience: u64, after: u64, goes_on, pays| {
            lesson(SoFar { since: 1_000, patience, looked }, 1_000 + patience + after, goes_on, pays)
        };
        assert_eq!(learnt(Well, 25_000, 0, false, true), Well);
        assert_eq!(learnt(Well, 25_000, 0, true, true), ForNothing, "nobody waits for an answer");
        assert_eq!(learnt(No, 0, 9_000, true, true), No);
        assert_eq!(learnt(InVain, 25_000, 20_000, false, true), InTheWay(25_000), "somebody was in line");
        assert_eq!(learnt(InVain, 25_000, 5_000, false, true), InVain, "it was about to end");
        assert_eq!(learnt(InVain, 25_000, 500_000, true, true), InVain, "of another kind");
        assert_eq!(learnt(InVain, 25_000, 20_000, false, false), InVain, "on trial");
        assert_eq!(learnt(InTheWay(7), 25_000, 20_000, false, true), InTheWay(7));
    }
}
