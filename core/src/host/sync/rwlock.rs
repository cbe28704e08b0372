//! Reader/writer locks: phase-fair between readers and writers, barging among writers.

use super::active::{self, Habit};
use super::mutex::Mutex;
use super::owner::Owner;
use super::primitive::{AtomicU64, Ordering, UnsafeCell};
use super::queue::{Message, Queue, TakenList, Waiter};

/// A lock held by any number of readers or by one writer, whose name everybody may read.
///
/// Nobody starves: readers that wait are all let in when a writer leaves, and the writer that has waited longest when
/// the last reader leaves; while a writer waits, new readers wait behind it. (So a reader must not enter twice: it
/// would wait for a writer that waits for it. The guest's own locks have the same rule.) Only where a writer leaves and
/// no reader waits does the lock stay free while the next writer wakes up: other writers may then be faster, but only
/// [`PATIENCE`] times.
#[derive(Debug)]
pub struct Rwlock {
    // ```text
    //  63                         3   2   1   0
    // +----------------------------+---+---+---+
    // | number of readers or owner | C | W | Q |
    // +----------------------------+---+---+---+
    //
    //  Q  somebody is queued: who frees the lock must look into the queue
    //  W  held by a writer: the high part is its owner, else the number of readers
    //  C  closed to new readers: a writer is queued
    //
    //  high  W  C  Q
    //    0   0  0  0    free
    //    0   0  c  q    free; a woken writer is on its way, and others are queued (q), writers among them (c)
    //    n   0  0  0    n readers
    //    n   0  1  1    n readers, a writer is queued, readers may be
    //    A   1  0  0    written by A
    //    A   1  c  1    written by A, somebody is queued
    // ```
    // Q and C are set and cleared under `lock`, together with the change of the queue. Without `lock` the word is
    // changed only by those who enter or leave without regard to the queue, never if that would free a lock with Q.
    word: AtomicU64,
    lock: Mutex,
    queues: UnsafeCell<Queues>,
    habit: Habit,
}

const QUEUED: u64 = 1;
const WRITER: u64 = 2;
const CLOSED: u64 = 4;
const READER: u64 = 8;
const FLAGS: u64 = QUEUED | CLOSED;

/// How often a writer may find the lock taken again by another writer after it was woken. Then it is handed the lock,
/// which is idle until it has woken up.
const PATIENCE: u32 = if cfg!(loom) { 1 } else { 4 };

#[derive(Debug)]
struct Queues {
    readers: Queue<()>,
    writers: Queue<QueuedWriter>,
}

#[derive(Debug)]
struct QueuedWriter {
    owner: Owner,
    /// How often it was woken in vain.
    attempts: u32,
}

impl Queues {
    /// What the word must say of the queues.
    fn flags(&self) -> u64 {
        let closed = if self.writers.is_empty() { 0 } else { CLOSED };
        let queued = if self.writers.is_empty() && self.readers.is_empty() { 0 } else { QUEUED };
        closed | queued
    }
}

/// The caller does not hold the lock in the way it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotHeld;

/// Other readers hold the lock too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherReaders;

// SAFETY: the queues are used under `lock` only; `Waiter`s are made to be reached from other threads.
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
        let queues = Queues { readers: Queue::new(), writers: Queue::new() };
        Rwlock { word: AtomicU64::new(0), lock: Mutex::new(), queues: UnsafeCell::new(queues), habit: Habit::new() }
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
        match self.word.compare_exchange(0, owner.to_word() | WRITER, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => true,
            Err(word) => word & !FLAGS == 0 && self.try_write_queued(owner),
        }
    }

    /// Others are queued: enter before them, if it is free.
    #[cold]
    fn try_write_queued(&self, owner: Owner) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        while word & !FLAGS == 0 {
            let written = owner.to_word() | WRITER | word;
            match self.word.compare_exchange_weak(word, written, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Enters as a reader; waits as long as that takes. Says how much of the wait was active, in nanoseconds.
    #[cold]
    pub fn read_waiting(&self) -> u64 {
        let waiter = Waiter::new(());
        let entered = self.with_queues(|queues| {
            // Relaxed: only a first guess.
            let mut word = self.word.load(Ordering::Relaxed);
            loop {
                let open = word & (WRITER | CLOSED) == 0;
                let next = if open { word + READER } else { word | QUEUED };
                // Acquire: as in `try_read`. What the flags stand for is ordered by `lock`.
                match self.word.compare_exchange_weak(word, next, Ordering::Acquire, Ordering::Relaxed) {
                    Ok(_) if open => return true,
                    Ok(_) => break,
                    Err(now) => word = now,
                }
            }
            // SAFETY: `waiter` is notified before this function returns.
            unsafe { queues.readers.push_back(&waiter) };
            false
        });
        // Readers are told to go when they have been counted.
        if entered { 0 } else { waiter.wait(self.habit.patience(), None).1 }
    }

    /// Enters as the writer; waits as long as that takes. Says how much of the wait was active, in nanoseconds.
    #[cold]
    pub fn write_waiting(&self, owner: Owner) -> u64 {
        let (mut attempts, mut active) = (0, 0);
        loop {
            let waiter = Waiter::new(QueuedWriter { owner, attempts });
            if self.write_or_queue(owner, &waiter) {
                return active;
            }
            let (message, looked) = waiter.wait(self.habit.patience(), None);
            active += looked;
            if message == Some(Message::Go) {
                return active;
            }
            attempts += 1;
        }
    }

    /// Enters as the writer, or queues. Says whether it has entered; if not, `waiter` must stay until it is notified.
    fn write_or_queue(&self, owner: Owner, waiter: &Waiter<QueuedWriter>) -> bool {
        self.with_queues(|queues| {
            // Relaxed: only a first guess.
            let mut word = self.word.load(Ordering::Relaxed);
            loop {
                let free = word & !FLAGS == 0;
                let next = if free { owner.to_word() | WRITER | word } else { word | QUEUED | CLOSED };
                // Acquire: as in `try_write`. What the flags stand for is ordered by `lock`.
                match self.word.compare_exchange_weak(word, next, Ordering::Acquire, Ordering::Relaxed) {
                    Ok(_) if free => return true,
                    Ok(_) => break,
                    Err(now) => word = now,
                }
            }
            // Who was woken in vain goes before those who came later.
            // SAFETY: the caller keeps it in place.
            unsafe {
                if waiter.about.attempts == 0 {
                    queues.writers.push_back(waiter);
                } else {
                    queues.writers.push_front(waiter);
                }
            }
            false
        })
    }

    /// Leaves. `owner` is who the caller is if it holds the lock as the writer.
    #[inline(always)]
    pub fn exit(&self, owner: Owner) -> Result<(), NotHeld> {
        if self.try_exit(owner) { Ok(()) } else { self.exit_contended(owner) }
    }

    /// Leaves if the lock is held so, and nobody is to be let in for it. Says whether it did; [`Rwlock::exit_contended`]
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
        let mut word = self.word.load(Ordering::Relaxed);
        if word & WRITER != 0 {
            if word & !FLAGS != owner.to_word() | WRITER {
                return Err(NotHeld);
            }
            self.write_exit_queued();
            return Ok(());
        }
        loop {
            if word < READER {
                return Err(NotHeld);
            }
            if word & QUEUED != 0 && word < 2 * READER {
                self.last_read_exit_queued();
                return Ok(());
            }
            // Release: as in `try_exit`.
            match self.word.compare_exchange_weak(word, word - READER, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }

    /// The writer leaves, somebody is queued: readers go in; if there are none, the first writer.
    // While we hold the lock as the writer and `lock` too, nobody else changes the word: it is simply stored.
    #[cold]
    fn write_exit_queued(&self) {
        let (readers, writer, message) = self.with_queues(|queues| {
            let (readers, count) = queues.readers.take_all();
            self.learn(&readers);
            let mut word = u64::from(count) * READER;
            let mut writer = None;
            let mut message = Message::TryAgain;
            if count == 0 {
                writer = queues.writers.take_first().inspect(|writer| self.habit.learn(writer.since(), active::now()));
                if let Some(writer) = writer.as_ref().filter(|writer| writer.about().attempts >= PATIENCE) {
                    word = writer.about().owner.to_word() | WRITER;
                    message = Message::Go;
                }
            }
            // Release: who takes a free lock sees what we wrote. (Who is let in sees it by the message.)
            self.word.store(word | queues.flags(), Ordering::Release);
            (readers, writer, message)
        });
        // Last: who goes on may be through with the lock, and destroy it.
        readers.notify(Message::Go);
        if let Some(writer) = writer {
            writer.notify(message);
        }
    }

    /// The last reader leaves, somebody is queued: the first writer goes in.
    #[cold]
    fn last_read_exit_queued(&self) {
        let writer = self.with_queues(|queues| {
            // A lock that is read is closed as soon as somebody is queued, so no reader has come since, and nobody else
            // changes the word now. Acquire: the other readers' exits, so that the message passes them on to the writer.
            let word = self.word.load(Ordering::Acquire);
            debug_assert_eq!(word & !FLAGS, READER);
            let writer = queues.writers.take_first().inspect(|writer| self.habit.learn(writer.since(), active::now()));
            let written = writer.as_ref().map_or(0, |writer| writer.about().owner.to_word() | WRITER);
            self.word.store(written | queues.flags(), Ordering::Release);
            writer
        });
        // Last, as above.
        if let Some(writer) = writer {
            writer.notify(Message::Go);
        }
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

    /// From the writer to a reader. No writer gets in between; readers that wait go in.
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
        let readers = self.with_queues(|queues| {
            let (readers, count) = queues.readers.take_all();
            self.learn(&readers);
            let held = (1 + u64::from(count)) * READER;
            // Nobody else changes the word: see `write_exit_queued`. Release: as there.
            self.word.store(held | queues.flags(), Ordering::Release);
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

    /// Whether nobody holds it and nobody waits.
    pub fn is_unused(&self) -> bool {
        // Relaxed: for who knows that nobody uses it.
        self.word.load(Ordering::Relaxed) == 0
    }

    fn learn(&self, waits: &TakenList<()>) {
        let now = active::now();
        waits.each_since(|since| self.habit.learn(since, now));
    }

    fn with_queues<R>(&self, change: impl FnOnce(&mut Queues) -> R) -> R {
        self.lock.lock_soon(Owner::NOBODY);
        // SAFETY: the lock is ours.
        let result = self.queues.with_mut(|queues| change(unsafe { &mut *queues }));
        // Locked above by the same owner, so this cannot fail.
        let _ = self.lock.unlock(Owner::NOBODY);
        result
    }
}
