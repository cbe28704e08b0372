//! Reader/writer locks: barging, until somebody has waited too long.

use super::active;
use super::deadline::Deadline;
use super::habit::Habit;
use super::mutex::Mutex;
use super::owner::Owner;
use super::pace::MOMENT;
use super::primitive::{AtomicU64, Ordering, UnsafeCell};
use super::queue::{Message, Queue, TakenList, Waiter};

/// A lock held by any number of readers or by one writer, whose name everybody may read.
///
/// Who comes by takes a lock that is open, even if others wait: it is not idle while the next one wakes up, which takes
/// longer than most holders keep it. Who leaves wakes the first in the queue, unless somebody is on the way already, and
/// the woken compete again. Nobody starves: whoever finds the lock taken for the [`PATIENCE`]th time closes it, and stays
/// awake: whoever leaves then hands the lock to the first in the queue, until all who have closed it have had it; whoever
/// has slept for [`LOOK_AFTER`] closes it at the first time. (A reader must not enter twice: the lock may have been closed
/// meanwhile. The guest's own locks have the same rule.)
///
/// That somebody waits is no reason to close the lock. Where waits are long because many wait, or because the host is
/// busy, handing the lock from one sleeper to the next would make them longer still.
#[derive(Debug)]
pub struct Rwlock {
    // ```text
    //  63                         3   2   1   0
    // +----------------------------+---+---+---+
    // | number of readers or owner | C | W | Q |
    // +----------------------------+---+---+---+
    //
    //  Q  who frees the lock must look into the queue: somebody is there, and nobody on the way, or the lock is closed
    //  W  held by a writer: the high part is its owner, else the number of readers
    //  C  closed: somebody in the queue has waited too long, and nobody enters but by being let in
    //
    //  high  W  C  Q
    //    0   0  0  0    free; whoever waits has been woken, or waits for one who has been
    //    0   0  0  1    free; all in the queue have run out of time, and are about to come themselves
    //    n   0  c  q    n readers
    //    A   1  c  q    written by A
    // ```
    // C comes with Q. Both are set and cleared under `lock`, together with the change of the queue. Without `lock` the
    // word is changed only by those who enter or leave without regard to the queue, never if that would free a lock
    // with Q.
    word: AtomicU64,
    lock: Mutex,
    queue: UnsafeCell<Queue<Entrant>>,
    /// How many have been woken and have not been back since; under `lock`. Apart from the queue, so that a lock fits into
    /// a cache line.
    on_their_way: UnsafeCell<u32>,
    habit: Habit,
}

const QUEUED: u64 = 1;
const WRITER: u64 = 2;
const CLOSED: u64 = 4;
const READER: u64 = 8;
const FLAGS: u64 = QUEUED | CLOSED;

/// How often somebody who waits may find the lock taken.
const PATIENCE: u32 = if cfg!(loom) { 1 } else { 4 };

/// How long somebody sleeps before it looks by itself and, if the lock is taken still, closes it; in nanoseconds. Where
/// readers overlap the lock is never free, and nobody looks into the queue. This long, because sleepers that come back
/// before their turn only get in the way: those who run pass the lock on faster among themselves.
const LOOK_AFTER: u64 = 10_000_000;

/// When somebody who goes to sleep now looks by itself. In loom's models nobody does: each way for a time to be up doubles
/// what is to be explored, and `tests/stress.rs` has plenty of them.
fn look_after() -> Option<Deadline> {
    (!cfg!(loom)).then(|| Deadline::after(0, LOOK_AFTER as i64))
}

/// Those who wait; under `lock`.
struct Line<'a> {
    queue: &'a mut Queue<Entrant>,
    on_their_way: &'a mut u32,
}

/// Who waits for what.
#[derive(Clone, Copy, Debug)]
struct Entrant {
    /// `None`: to read.
    writer: Option<Owner>,
    /// When it came, in nanoseconds.
    since: u64,
    /// How often it has found the lock taken since it waits.
    attempts: u32,
}

impl Entrant {
    /// Whether it has waited too long. Who closes the lock has no deadline: it stays in the queue until it is let in.
    fn closes(&self) -> bool {
        self.attempts >= PATIENCE
    }

    /// What it adds to the word of a lock that is open to it.
    fn share(&self) -> u64 {
        self.writer.map_or(READER, |owner| owner.to_word() | WRITER)
    }

    /// Whether it may enter a lock with this word; under `lock`, so that nobody is just being let in.
    fn may_enter(&self, word: u64) -> bool {
        word & !FLAGS == 0 || (self.writer.is_none() && word & (WRITER | CLOSED) == 0)
    }
}

impl Line<'_> {
    /// What the word of a lock that changes hands must say of those who wait.
    fn flags_for_next(&self) -> u64 {
        if self.queue.has_one_that(Entrant::closes) { FLAGS } else { self.flags() }
    }

    /// What the word of a held lock that is open must say of those who wait.
    fn flags(&self) -> u64 {
        if self.queue.is_empty() || *self.on_their_way != 0 { 0 } else { QUEUED }
    }

    fn first_reads(&self) -> bool {
        self.queue.first().is_some_and(|first| first.writer.is_none())
    }

    /// The first, and if it is a reader those behind it up to the first writer, but no more than `most`. A writer only
    /// where the lock is `free`.
    fn take_next(&mut self, free: bool, most: u32) -> (TakenList<Entrant>, u32) {
        let (mut taken, mut count) = (TakenList::new(), 0);
        while count < most {
            let fits = |next: &Entrant| next.writer.is_none() || (free && count == 0);
            let Some(next) = self.queue.take_first_if(fits) else { break };
            let writes = next.about().writer.is_some();
            taken.push(next);
            count += 1;
            if writes {
                break;
            }
        }
        (taken, count)
    }

    /// Takes those who are to compete for the lock, where it is time for that: as many readers as have processors to run
    /// on.
    fn wake_next(&mut self) -> TakenList<Entrant> {
        if *self.on_their_way != 0 {
            return TakenList::new();
        }
        let (taken, count) = self.take_next(true, active::others());
        *self.on_their_way = count;
        taken
    }
}

/// What became of an attempt to enter.
enum Attempt {
    Entered,
    /// In the queue.
    Queued,
    /// In the queue of a lock that was closed for it.
    Closed,
}

/// The caller does not hold the lock in the way it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotHeld;

/// Other readers hold the lock too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherReaders;

// SAFETY: the queue is used under `lock` only; `Waiter`s are made to be reached from other threads.
unsafe impl Send for Rwlock {}
// SAFETY: as above.
unsafe impl Sync for Rwlock {}

impl Default for Rwlock {
    fn default() -> Self {
        Self::new()
    }
}

impl Rwlock {
    /// A free lock.
    pub fn new() -> Self {
        let (queue, on_their_way) = (UnsafeCell::new(Queue::new()), UnsafeCell::new(0));
        Rwlock { word: AtomicU64::new(0), lock: Mutex::new(), queue, on_their_way, habit: Habit::new() }
    }

    /// Enters as a reader if that needs no wait. Says whether it did.
    #[inline(always)]
    pub fn try_read(&self) -> bool {
        // Relaxed: only a first guess.
        let mut word = self.word.load(Ordering::Relaxed);
        while word & (WRITER | CLOSED) == 0 {
            // Acquire: see what the last writer wrote.
            match self.word.compare_exchange_weak(word, word + READER, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Enters as the writer if that needs no wait. Says whether it did.
    #[inline(always)]
    pub fn try_write(&self, owner: Owner) -> bool {
        // Acquire: see what all before wrote or read.
        self.word.compare_exchange(0, owner.to_word() | WRITER, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Enters as a reader; waits as long as that takes. Says how much of the wait was active, in nanoseconds. `announce` is called
    /// before the lock is had, unless that is in a moment.
    #[cold]
    pub fn read_waiting(&self, announce: impl FnOnce()) -> u64 {
        // Relaxed: only a hint.
        self.enter_waiting(None, announce, || {
            self.word.load(Ordering::Relaxed) & (WRITER | CLOSED) == 0 && self.try_read()
        })
    }

    /// Enters as the writer; the rest as for [`Rwlock::read_waiting`].
    #[cold]
    pub fn write_waiting(&self, owner: Owner, announce: impl FnOnce()) -> u64 {
        // Relaxed: as above.
        self.enter_waiting(Some(owner), announce, || self.word.load(Ordering::Relaxed) == 0 && self.try_write(owner))
    }

    /// Looks for a while, then queues, until it is in.
    fn enter_waiting(&self, writer: Option<Owner>, announce: impl FnOnce(), try_enter: impl Fn() -> bool) -> u64 {
        let mut entrant = Entrant { writer, since: active::now(), attempts: 0 };
        let (mut entered, mut looks, mut announce) = (false, 0, Some(announce));
        let (mut looked, mut active) = active::look(self.habit.patience(), None, || {
            looks += 1;
            if looks > MOMENT
                && let Some(announce) = announce.take()
            {
                announce();
            }
            entered = try_enter();
            entered
        });
        if entered {
            // Not by the clock: others wait for what is done now.
            self.habit.learn(entrant.since, entrant.since + active, looked);
            return active;
        }
        if let Some(announce) = announce {
            announce();
        }
        let mut slept = false;
        let mut woken = false;
        while !entered {
            let waiter = Waiter::new(self.habit.patience(), true, entrant);
            let (message, came, looking) = match self.enter_or_queue(&waiter, woken) {
                Attempt::Entered => break,
                Attempt::Closed => waiter.wait_awake(),
                Attempt::Queued => waiter.wait(look_after().as_ref()),
            };
            slept = true;
            looked = came;
            active += looking;
            entered = message == Some(Message::Go);
            woken = message == Some(Message::TryAgain);
            if message.is_none() {
                // SAFETY: nobody takes a waiter whose time is up, so it is still in the queue.
                self.with_line(|line| unsafe { line.queue.remove(&waiter) });
            }
            entrant.attempts += if message.is_none() { PATIENCE } else { 1 };
        }
        // Nobody tells a sleeper when the lock became free: about a wake-up before it had it.
        let since = entrant.since + if slept { active::WAKE_UP } else { 0 };
        self.habit.learn(since, active::now(), looked);
        active
    }

    /// Enters, or queues; if it has not entered, `waiter` must stay until it is notified or removed.
    fn enter_or_queue(&self, waiter: &Waiter<Entrant>, was_woken: bool) -> Attempt {
        let entrant = waiter.about;
        let (attempt, woken) = self.with_line(|line| {
            *line.on_their_way -= u32::from(was_woken);
            let closes = entrant.closes();
            // Relaxed: only a first guess.
            let mut word = self.word.load(Ordering::Relaxed);
            loop {
                let enters = entrant.may_enter(word);
                let next = if enters {
                    ((word & !FLAGS) + entrant.share()) | line.flags()
                } else if closes {
                    word | FLAGS
                } else if *line.on_their_way == 0 {
                    word | QUEUED
                } else {
                    word
                };
                // Acquire: as in `try_read` and `try_write`. What the flags stand for is ordered by `lock`.
                match self.word.compare_exchange_weak(word, next, Ordering::Acquire, Ordering::Relaxed) {
                    // Readers behind a reader need not wait for the next one that leaves.
                    Ok(_) if enters && next & WRITER == 0 && line.first_reads() => {
                        let woken = line.wake_next();
                        self.update_flags(line);
                        return (Attempt::Entered, woken);
                    }
                    Ok(_) if enters => return (Attempt::Entered, TakenList::new()),
                    Ok(_) => break,
                    Err(now) => word = now,
                }
            }
            // In the order of arrival, also for who has been here before.
            // SAFETY: the caller keeps it in place.
            unsafe { line.queue.insert_before(waiter, |other| other.since > entrant.since) };
            (if closes { Attempt::Closed } else { Attempt::Queued }, TakenList::new())
        });
        woken.notify(Message::TryAgain);
        attempt
    }

    /// Leaves. `owner` is who the caller is if it holds the lock as the writer.
    #[inline(always)]
    pub fn exit(&self, owner: Owner) -> Result<(), NotHeld> {
        if self.try_exit(owner) { Ok(()) } else { self.exit_contended(owner) }
    }

    /// Leaves if the lock is held so, and nobody is to be woken for it. Says whether it did; [`Rwlock::exit_contended`]
    /// does the rest.
    #[inline(always)]
    pub fn try_exit(&self, owner: Owner) -> bool {
        // Relaxed: we hold the lock, so the part that decides does not change.
        let mut word = self.word.load(Ordering::Relaxed);
        if word & WRITER != 0 {
            let mine = owner.to_word() | WRITER;
            // Release: the next one sees what we wrote.
            return self.word.compare_exchange(mine, 0, Ordering::Release, Ordering::Relaxed).is_ok();
        }
        while word >= READER && (word & QUEUED == 0 || word >= 2 * READER) {
            // Release: the next writer does not write what we still read.
            match self.word.compare_exchange_weak(word, word - READER, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// As `exit`, where somebody is queued.
    #[cold]
    pub fn exit_contended(&self, owner: Owner) -> Result<(), NotHeld> {
        // Relaxed: as in `try_exit`.
        let word = self.word.load(Ordering::Relaxed);
        let mine = if word & WRITER != 0 { owner.to_word() | WRITER } else { READER };
        if if word & WRITER != 0 { word & !FLAGS != mine } else { word < READER } {
            return Err(NotHeld);
        }
        let (next, message) = self.with_line(|line| self.leave(line, mine));
        // Last: who goes on may be through with the lock, and destroy it.
        next.notify(message);
        Ok(())
    }

    /// Takes `mine` from the word; those who are to be told something because of it, and what.
    fn leave(&self, line: &mut Line<'_>, mine: u64) -> (TakenList<Entrant>, Message) {
        // Acquire, here and below: the other readers' exits, which a message passes on.
        let mut word = self.word.load(Ordering::Acquire);
        loop {
            let others_stay = word & !FLAGS != mine;
            if !others_stay && word & CLOSED != 0 {
                return (self.hand_over(line, 0), Message::Go);
            }
            let next = if others_stay { word - READER } else { 0 };
            // Release: as in `try_exit`.
            match self.word.compare_exchange_weak(word, next, Ordering::Release, Ordering::Acquire) {
                Ok(_) if others_stay => return (TakenList::new(), Message::TryAgain),
                // Somebody is on the way now, or the queue is empty: both is what a free lock without Q says.
                Ok(_) => return (line.wake_next(), Message::TryAgain),
                Err(now) => word = now,
            }
        }
    }

    /// Lets the first in the queue in, beside `held` of the word; the lock stays closed if others have closed it, too. Nobody
    /// else changes the word: the lock is closed, or the caller is its writer.
    fn hand_over(&self, line: &mut Line<'_>, held: u64) -> TakenList<Entrant> {
        let (next, _) = line.take_next(held == 0, u32::MAX);
        let mut word = held;
        next.each_about(|entrant| word += entrant.share());
        // Release: who enters by itself later sees what we wrote.
        self.word.store(word | line.flags_for_next(), Ordering::Release);
        next
    }

    /// From the only reader to the writer, before all who wait. The caller must be a reader.
    pub fn try_upgrade(&self, owner: Owner) -> Result<Result<(), OtherReaders>, NotHeld> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & WRITER != 0 || word < READER {
                return Err(NotHeld);
            }
            if word >= 2 * READER {
                return Ok(Err(OtherReaders));
            }
            let written = owner.to_word() | WRITER | word & FLAGS;
            // Acquire: what the other readers read is read before we write.
            match self.word.compare_exchange_weak(word, written, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Ok(Ok(())),
                Err(now) => word = now,
            }
        }
    }

    /// From the writer to a reader. No writer gets in between; readers that wait go in, unless somebody has waited too long.
    pub fn downgrade(&self, owner: Owner) -> Result<(), NotHeld> {
        if self.try_downgrade(owner) { Ok(()) } else { self.downgrade_contended(owner) }
    }

    /// The same if nobody waits. Says whether it did; [`Rwlock::downgrade_contended`] does the rest.
    #[inline(always)]
    pub fn try_downgrade(&self, owner: Owner) -> bool {
        // Release: new readers see what we wrote.
        self.word.compare_exchange(owner.to_word() | WRITER, READER, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// As `downgrade`, where somebody is queued.
    #[cold]
    pub fn downgrade_contended(&self, owner: Owner) -> Result<(), NotHeld> {
        if !self.is_written_by(owner) {
            return Err(NotHeld);
        }
        let readers = self.with_line(|line| {
            if line.queue.has_one_that(Entrant::closes) {
                return self.hand_over(line, READER);
            }
            // As those may who come only now.
            let (readers, count) = line.queue.take_each_that(|entrant| entrant.writer.is_none());
            // Release: as in `hand_over`; who is the writer is the only one to change the word.
            self.word.store((READER * (1 + u64::from(count))) | line.flags(), Ordering::Release);
            readers
        });
        readers.notify(Message::Go);
        Ok(())
    }

    /// Whether `owner` is the writer. Exact when the caller asks about itself.
    #[inline(always)]
    pub fn is_written_by(&self, owner: Owner) -> bool {
        // Relaxed: who is the writer wrote this itself, and never finds it after leaving.
        self.word.load(Ordering::Relaxed) & !FLAGS == owner.to_word() | WRITER
    }

    /// How many readers hold it. Not zero while the caller is one of them.
    #[inline(always)]
    pub fn readers(&self) -> u64 {
        // Relaxed: as in `is_written_by`.
        let word = self.word.load(Ordering::Relaxed);
        if word & WRITER != 0 { 0 } else { word / READER }
    }

    /// Whether nobody holds it and nobody waits. Waits for those who are still on their way out: afterwards it can be
    /// destroyed.
    pub fn is_unused(&self) -> bool {
        // Relaxed: for who knows that nobody uses it.
        self.with_line(|line| line.queue.is_empty()) && self.word.load(Ordering::Relaxed) == 0
    }

    fn with_line<R>(&self, change: impl FnOnce(&mut Line<'_>) -> R) -> R {
        self.lock.lock_soon(Owner::NOBODY);
        let result = self.queue.with_mut(|queue| {
            self.on_their_way.with_mut(|on_their_way| {
                // SAFETY: the lock is ours, and nobody else has a reference.
                change(&mut Line { queue: unsafe { &mut *queue }, on_their_way: unsafe { &mut *on_their_way } })
            })
        });
        // Locked above by the same owner, so this cannot fail.
        let _ = self.lock.unlock(Owner::NOBODY);
        result
    }

    /// Has the word of an open lock that the caller is in say what `line` says.
    fn update_flags(&self, line: &Line<'_>) {
        let flags = line.flags();
        // Relaxed, here and below: what the flags stand for is ordered by `lock`, which we have.
        let mut word = self.word.load(Ordering::Relaxed);
        while word & QUEUED != flags {
            let next = word & !QUEUED | flags;
            match self.word.compare_exchange_weak(word, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }
}
