//! Reader/writer locks.
//!
//! Not on `pthread_rwlock_t`: that can neither be upgraded nor downgraded, does not tell who holds it, and in glibc has
//! readers overtake writers that wait.

use super::primitive::{Condition, Raw};
use crate::host::backend;
use crate::host::sync::{Deadline, NotHeld, OtherReaders, Owner};
use core::cell::UnsafeCell;

/// A lock held by any number of readers or by one writer.
///
/// A lock that becomes free is for whoever comes first: to hand it to a thread that sleeps would be to have all others
/// wait for that one to wake up, and soon all would sleep. While a writer that has been woken is on the way, no other
/// is: most of them would find the lock taken, and be in each other's way. But who has waited for [`PATIENCE`] goes
/// first: no reader overtakes such a writer, and a writer that leaves lets such readers in itself. So neither kind can
/// keep the other out.
#[derive(Debug)]
pub struct Rwlock {
    lock: Raw,
    /// Under `lock`.
    state: UnsafeCell<State>,
    /// Readers wait for `State::admitted` to change.
    readers: Condition,
    /// Writers wait for the lock to be free.
    writers: Condition,
}

// SAFETY: the state is used under `lock` only.
unsafe impl Send for Rwlock {}
// SAFETY: as above.
unsafe impl Sync for Rwlock {}

/// How long others may overtake a thread that waits, in nanoseconds: many times what it takes to put a thread to sleep and
/// wake it, which is what they are spared.
const PATIENCE: u64 = 1_000_000;

#[derive(Debug, Default)]
struct State {
    /// Who holds it as the writer.
    writer: Option<Owner>,
    /// How many hold it as readers; not when there is a writer.
    reading: u64,
    waiting_writers: u64,
    /// A writer has been woken and has not been back since.
    writer_comes: bool,
    /// When writers wait: from when on no reader overtakes them, in nanoseconds on the monotonic clock.
    closes: u64,
    waiting_readers: u64,
    /// When readers wait: from when on a writer that leaves lets them in, likewise.
    opens: u64,
    /// How often all waiting readers were let in, being counted by who did it.
    admitted: u64,
}

impl State {
    fn is_free(&self) -> bool {
        self.writer.is_none() && self.reading == 0
    }

    fn is_open(&self) -> bool {
        self.writer.is_none() && (self.waiting_writers == 0 || now() < self.closes)
    }

    fn waiting(&self) -> u64 {
        self.waiting_writers + self.waiting_readers
    }

    /// Takes one holder away: the writer, if that is `owner`, or a reader. Says whether it was the writer.
    fn leave(&mut self, owner: Owner) -> Result<bool, NotHeld> {
        match self.writer {
            Some(writer) if writer == owner => {
                self.writer = None;
                Ok(true)
            }
            None if self.reading != 0 => {
                self.reading -= 1;
                Ok(false)
            }
            _ => Err(NotHeld),
        }
    }

    /// Lets all in who wait to read.
    fn admit_readers(&mut self) {
        self.reading += core::mem::take(&mut self.waiting_readers);
        self.admitted += 1;
    }
}

fn now() -> u64 {
    Deadline::after(0, 0).nanoseconds()
}

impl Rwlock {
    fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        // SAFETY: under the lock.
        self.lock.with(|| work(unsafe { &mut *self.state.get() }))
    }

    /// Waits on `condition` until `is_over`; under the lock. `is_back` is called after each time that it was woken.
    fn wait(&self, condition: &Condition, is_over: impl Fn(&State) -> bool, is_back: impl Fn(&mut State)) {
        // SAFETY: under the lock, which the caller has and the condition variable gives back for the wait alone; the
        // reference ends before each wait.
        while !is_over(unsafe { &*self.state.get() }) {
            // SAFETY: as above; both condition variables are used with this lock only.
            unsafe { condition.wait(&self.lock, None) };
            // SAFETY: as above.
            is_back(unsafe { &mut *self.state.get() });
        }
    }
}

impl backend::Rwlock for Rwlock {
    fn new() -> Self {
        Rwlock {
            lock: Raw::new(),
            state: UnsafeCell::new(State::default()),
            readers: Condition::new(),
            writers: Condition::new(),
        }
    }

    fn try_read(&self) -> bool {
        self.with(|state| {
            let open = state.is_open();
            state.reading += u64::from(open);
            open
        })
    }

    fn try_write(&self, owner: Owner) -> bool {
        self.with(|state| {
            let free = state.is_free();
            if free {
                state.writer = Some(owner);
            }
            free
        })
    }

    fn read_waiting(&self, announce: impl FnOnce()) -> u64 {
        announce();
        self.lock.with(|| {
            // SAFETY: under the lock; ends before the wait.
            let state = unsafe { &mut *self.state.get() };
            if state.waiting_readers == 0 {
                state.opens = now() + PATIENCE;
            }
            state.waiting_readers += 1;
            let before = state.admitted;
            self.wait(&self.readers, |state| state.admitted != before || state.is_open(), |_| ());
            // SAFETY: under the lock.
            let state = unsafe { &mut *self.state.get() };
            if state.admitted == before {
                state.waiting_readers -= 1;
                state.reading += 1;
            }
        });
        0
    }

    fn write_waiting(&self, owner: Owner, announce: impl FnOnce()) -> u64 {
        announce();
        self.lock.with(|| {
            // SAFETY: under the lock; ends before the wait.
            let state = unsafe { &mut *self.state.get() };
            if state.waiting_writers == 0 {
                state.closes = now() + PATIENCE;
            }
            state.waiting_writers += 1;
            self.wait(&self.writers, State::is_free, |state| state.writer_comes = false);
            // SAFETY: under the lock.
            let state = unsafe { &mut *self.state.get() };
            state.waiting_writers -= 1;
            state.closes = now() + PATIENCE;
            state.writer = Some(owner);
        });
        0
    }

    fn try_exit(&self, owner: Owner) -> bool {
        self.with(|state| state.waiting() == 0 && state.leave(owner).is_ok())
    }

    // Others are woken under the lock: who gets it next may destroy it.
    fn exit_contended(&self, owner: Owner) -> Result<(), NotHeld> {
        self.with(|state| {
            let wrote = state.leave(owner)?;
            if wrote && state.waiting_readers != 0 {
                if now() >= state.opens {
                    state.admit_readers();
                }
                self.readers.broadcast();
            }
            // The one that comes will wake the next when it leaves.
            if state.is_free() && state.waiting_writers != 0 && !core::mem::replace(&mut state.writer_comes, true) {
                self.writers.signal();
            }
            Ok(())
        })
    }

    fn try_upgrade(&self, owner: Owner) -> Result<Result<(), OtherReaders>, NotHeld> {
        self.with(|state| match state.reading {
            0 => Err(NotHeld),
            1 => {
                state.reading = 0;
                state.writer = Some(owner);
                Ok(Ok(()))
            }
            _ => Ok(Err(OtherReaders)),
        })
    }

    fn try_downgrade(&self, owner: Owner) -> bool {
        self.with(|state| {
            let may = state.waiting() == 0 && state.writer == Some(owner);
            if may {
                state.writer = None;
                state.reading = 1;
            }
            may
        })
    }

    fn downgrade_contended(&self, owner: Owner) -> Result<(), NotHeld> {
        self.with(|state| {
            if state.writer != Some(owner) {
                return Err(NotHeld);
            }
            state.writer = None;
            state.reading = 1;
            state.admit_readers();
            self.readers.broadcast();
            Ok(())
        })
    }

    fn is_written_by(&self, owner: Owner) -> bool {
        self.with(|state| state.writer == Some(owner))
    }

    fn readers(&self) -> u64 {
        self.with(|state| state.reading)
    }

    fn is_unused(&self) -> bool {
        self.with(|state| state.is_free() && state.waiting() == 0)
    }
}
