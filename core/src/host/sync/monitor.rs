//! A mutex that keeps those who are signalled while it is held.
//!
//! Who waits for a signal takes its mutex again afterwards. To let it go on while the mutex is held is to wake it for
//! nothing; to let many go on at once, as a broadcast asks for, is to have them wake up for each other, while the one
//! that holds the mutex spends its time on waking them. So the holder keeps whom it signals, and lets them go on when it
//! gives the mutex back: no more at a time than there are processors besides its own. Who arrives lets the next one go on
//! when it gives the mutex back in its turn, so nobody is forgotten. (Linux moves sleepers from one futex to another for
//! the same reason: Franke, Russell, Kirkwood, "Fuss, Futexes and Furwocks", Ottawa Linux Symposium 2002.)
//!
//! Who has something else to do before it takes the mutex, as to get a virtual CPU, may do that while the mutex is held; if it is
//! the only one that wants it, and the holder is not found to keep it for longer than that takes.
//!
//! ```text
//!            signal, the mutex is held      unlock, below the limit        the mutex is taken: `arrive`
//!   waiting -------------------------> kept ---------------------> on its way ------------------------> here
//! ```
//! Whenever somebody is kept while fewer than the limit are on their way, the mutex is held and marked: its unlocking
//! does not overlook them.

use super::active;
use super::condvar::About;
use super::mutex::{Mutex, NotOwner};
use super::owner::Owner;
use super::primitive::UnsafeCell;
use super::queue::{Message, Queue, Taken};

/// A mutex for condition variables.
#[derive(Debug)]
pub struct Monitor {
    mutex: Mutex,
    /// Used only by the holder of the mutex.
    kept: UnsafeCell<Kept>,
}

#[derive(Debug)]
struct Kept {
    /// Taken from their condition variables, not notified yet.
    queue: Queue<About>,
    /// How many have been told to take their turn, and have not the mutex yet.
    on_their_way: u32,
    /// How many more are not let go before the mutex is given back.
    cautious: u32,
}

/// How many are kept after one that was not, and had to wait for the mutex.
const CAUTIOUS: u32 = 64;

// SAFETY: `kept` is used by the mutex's holder only; `Waiter`s are made to be reached from other threads.
unsafe impl Send for Monitor {}
// SAFETY: as above.
unsafe impl Sync for Monitor {}

impl Default for Monitor {
    fn default() -> Self {
        Self::new()
    }
}

impl Monitor {
    /// A free mutex that keeps nobody.
    pub fn new() -> Self {
        Monitor {
            mutex: Mutex::new(),
            kept: UnsafeCell::new(Kept { queue: Queue::new(), on_their_way: 0, cautious: 0 }),
        }
    }

    /// The mutex. It is unlocked by [`Monitor::unlock`], or as that does.
    #[inline(always)]
    pub fn mutex(&self) -> &Mutex {
        &self.mutex
    }

    /// Gives the mutex back.
    ///
    /// # Errors
    /// It is not `owner`'s.
    pub fn unlock(&self, owner: Owner) -> Result<(), NotOwner> {
        if self.mutex.try_unlock(owner) { Ok(()) } else { self.unlock_contended(owner) }
    }

    /// The same after `try_unlock` failed.
    ///
    /// # Errors
    /// As for `unlock`.
    #[cold]
    pub fn unlock_contended(&self, owner: Owner) -> Result<(), NotOwner> {
        if self.mutex.owner() != Some(owner) || !self.mutex.is_marked() {
            return self.mutex.unlock_contended(owner);
        }
        // SAFETY: the mutex is ours, as we have seen.
        let going = unsafe { self.with_kept(Kept::send_off) };
        self.mutex.unlock_contended(owner)?;
        // Last: who goes on may be through with the mutex, and destroy it.
        going.notify(Message::TakeTurn);
        Ok(())
    }

    /// Whether the mutex is held under one of these names.
    pub(super) fn is_held_by(&self, names: [Owner; 2]) -> bool {
        self.mutex.owner().is_some_and(|owner| owner != Owner::NOBODY && names.contains(&owner))
    }

    /// Whether the only one that waits for a signal may be let go now, if it has something else to do before it takes the mutex:
    /// not where others are known to want that, or where such a one had to wait for it of late.
    ///
    /// # Safety
    /// The caller holds the mutex.
    pub(super) unsafe fn may_let_go(&self) -> bool {
        let is_free_for_it = |kept: &mut Kept| {
            let cautious = kept.cautious;
            kept.cautious = cautious.saturating_sub(1);
            cautious == 0 && kept.queue.is_empty() && kept.on_their_way == 0
        };
        // SAFETY: the caller's word.
        unsafe { self.with_kept(is_free_for_it) && !self.mutex.is_wanted() }
    }

    /// To be called with the mutex held by who has not been kept, as one that was let go, and had to wait for it.
    ///
    /// # Safety
    /// The caller holds the mutex.
    pub unsafe fn came_too_early(&self) {
        // SAFETY: the caller's word.
        unsafe { self.with_kept(|kept| kept.cautious = CAUTIOUS) };
    }

    /// Keeps `waiter` until the mutex is given back.
    ///
    /// # Safety
    /// The caller holds the mutex.
    pub(super) unsafe fn keep(&self, waiter: Taken<About>) {
        // SAFETY: the caller's word.
        unsafe { self.with_kept(|kept| kept.queue.push_taken(waiter)) };
        // SAFETY: as above.
        unsafe { self.mark() };
    }

    /// To be called with the mutex held by who was told to take its turn ([`Outcome::Handed`](super::Outcome::Handed)).
    ///
    /// # Safety
    /// The caller holds the mutex.
    pub unsafe fn arrive(&self) {
        // SAFETY: the caller's word.
        unsafe { self.with_kept(|kept| kept.on_their_way -= 1) };
        // SAFETY: as above.
        unsafe { self.mark() };
    }

    /// Sees to it that somebody is let go when the mutex is given back, where that is due.
    ///
    /// # Safety
    /// The caller holds the mutex.
    unsafe fn mark(&self) {
        // SAFETY: the caller's word.
        if unsafe { self.with_kept(|kept| !kept.queue.is_empty() && kept.on_their_way < active::others()) } {
            self.mutex.mark();
        }
    }

    /// # Safety
    /// The caller holds the mutex.
    unsafe fn with_kept<R>(&self, work: impl FnOnce(&mut Kept) -> R) -> R {
        // SAFETY: the caller's word: nobody else uses it.
        self.kept.with_mut(|kept| work(unsafe { &mut *kept }))
    }
}

impl Kept {
    /// As many as may be on their way.
    fn send_off(&mut self) -> super::queue::TakenList<About> {
        let most = active::others().saturating_sub(self.on_their_way);
        let (going, count) = self.queue.pop_taken(most);
        self.on_their_way += count;
        going
    }
}
