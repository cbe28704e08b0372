//! Waiters in the order of their arrival, each asleep on a word of its own.
//!
//! A waiter lives on the stack of the thread that waits. It is linked into a queue that some lock protects, and leaves
//! it in one of two ways; whichever comes first decides.
//!
//! ```text
//!             take()            notify()
//!   WAITING ---------> TAKEN -------------> NOTIFIED (one of several messages)
//!      |
//!      +-------------> LEAVING              the thread unlinks itself
//!         time is up
//! ```
//!
//! A waiter that is `TAKEN` stays where it is until it is notified, so it can be used without the lock; one that is
//! notified may be gone at once.

use super::deadline::Deadline;
use super::primitive::{AtomicU32, Ordering, UnsafeCell};
use super::{futex, futex::Wake};
use core::ptr;

const WAITING: u32 = 0;
const TAKEN: u32 = 1;
const LEAVING: u32 = 2;

/// What a waiter is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Message {
    /// What it waited for has come, and is its own.
    Go = 3,
    /// It may have come: try again.
    TryAgain = 4,
}

/// One thread that waits; `T` is what others must know of it.
#[derive(Debug)]
pub(super) struct Waiter<T> {
    state: AtomicU32,
    /// Protected by the lock of the queue; once taken, the taker's.
    links: UnsafeCell<Links<T>>,
    pub(super) about: T,
}

#[derive(Debug)]
struct Links<T> {
    next: *const Waiter<T>,
    previous: *const Waiter<T>,
}

impl<T> Waiter<T> {
    pub(super) fn new(about: T) -> Self {
        let links = Links { next: ptr::null(), previous: ptr::null() };
        Waiter { state: AtomicU32::new(WAITING), links: UnsafeCell::new(links), about }
    }

    /// Sleeps until notified. `None`: the deadline came first; the waiter is still linked, and the caller unlinks it.
    pub(super) fn wait(&self, deadline: Option<&Deadline>) -> Option<Message> {
        let mut late = false;
        loop {
            // Acquire: pairs with `notify`.
            match self.state.load(Ordering::Acquire) {
                state if state == Message::Go as u32 => return Some(Message::Go),
                state if state == Message::TryAgain as u32 => return Some(Message::TryAgain),
                WAITING if late => {
                    // Relaxed: nothing is passed on; the lock of the queue orders what follows.
                    let left = self.state.compare_exchange(WAITING, LEAVING, Ordering::Relaxed, Ordering::Relaxed);
                    if left.is_ok() {
                        return None;
                    }
                }
                // Taken: the message is on its way, there is no deadline any more.
                state => {
                    let deadline = deadline.filter(|_| state == WAITING);
                    late = futex::wait(&self.state, state, deadline) == Wake::TimedOut;
                }
            }
        }
    }

    /// Claims the waiter, unless its time is up already. Under the lock of the queue.
    fn take(&self) -> bool {
        // Relaxed: the message orders; this only decides.
        self.state.compare_exchange(WAITING, TAKEN, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// A queue of waiters. All functions are to be called under the lock that protects the queue.
#[derive(Debug)]
pub(super) struct Queue<T> {
    first: *const Waiter<T>,
    last: *const Waiter<T>,
}

impl<T> Queue<T> {
    pub(super) const fn new() -> Self {
        Queue { first: ptr::null(), last: ptr::null() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// Whether there is a waiter whose time is not up.
    pub(super) fn is_waited(&self) -> bool {
        let mut waiter = self.first;
        while !waiter.is_null() {
            // SAFETY: what is in the queue is alive.
            unsafe {
                // Relaxed: as in `take`.
                if (*waiter).state.load(Ordering::Relaxed) == WAITING {
                    return true;
                }
                waiter = next_of(waiter);
            }
        }
        false
    }

    /// Links `waiter` behind `previous`, or in front where that is null.
    ///
    /// # Safety
    /// `waiter` stays in place until it is unlinked or notified; `previous` is in this queue.
    unsafe fn insert(&mut self, previous: *const Waiter<T>, waiter: *const Waiter<T>) {
        // SAFETY: every waiter in the queue is alive, and its links are ours under the queue's lock.
        unsafe {
            let next = if previous.is_null() { self.first } else { next_of(previous) };
            (*waiter).links.with_mut(|links| *links = Links { next, previous });
            match previous.as_ref() {
                Some(previous) => previous.links.with_mut(|links| (*links).next = waiter),
                None => self.first = waiter,
            }
            match next.as_ref() {
                Some(next) => next.links.with_mut(|links| (*links).previous = waiter),
                None => self.last = waiter,
            }
        }
    }

    /// # Safety
    /// `waiter` stays in place until it is unlinked or notified.
    pub(super) unsafe fn push_back(&mut self, waiter: *const Waiter<T>) {
        // SAFETY: the caller's word; the last of the queue is in the queue.
        unsafe { self.insert(self.last, waiter) }
    }

    /// # Safety
    /// `waiter` stays in place until it is unlinked or notified.
    pub(super) unsafe fn push_front(&mut self, waiter: *const Waiter<T>) {
        // SAFETY: the caller's word.
        unsafe { self.insert(ptr::null(), waiter) }
    }

    /// # Safety
    /// `waiter` is in this queue.
    pub(super) unsafe fn remove(&mut self, waiter: *const Waiter<T>) {
        // SAFETY: every waiter in the queue is alive, and its links are ours under the queue's lock.
        unsafe {
            let (next, previous) = (*waiter).links.with(|links| ((*links).next, (*links).previous));
            match previous.as_ref() {
                Some(previous) => previous.links.with_mut(|links| (*links).next = next),
                None => self.first = next,
            }
            match next.as_ref() {
                Some(next) => next.links.with_mut(|links| (*links).previous = previous),
                None => self.last = previous,
            }
        }
    }

    /// Takes the longest waiting of those whose time is not up.
    pub(super) fn take_first(&mut self) -> Option<Taken<T>> {
        let mut waiter = self.first;
        while !waiter.is_null() {
            // SAFETY: what is in the queue is alive.
            unsafe {
                if (*waiter).take() {
                    self.remove(waiter);
                    return Some(Taken(waiter));
                }
                waiter = next_of(waiter);
            }
        }
        None
    }

    /// Takes all whose time is not up, and says how many that are.
    pub(super) fn take_all(&mut self) -> (TakenList<T>, u32) {
        let mut list = TakenList { queue: Queue::new() };
        let mut count = 0;
        while let Some(Taken(waiter)) = self.take_first() {
            // SAFETY: who is taken stays in place until notified.
            unsafe { list.queue.push_back(waiter) };
            count += 1;
        }
        (list, count)
    }
}

/// # Safety
/// `waiter` is alive, and its links are the caller's to read.
unsafe fn next_of<T>(waiter: *const Waiter<T>) -> *const Waiter<T> {
    // SAFETY: the caller's word.
    unsafe { (*waiter).links.with(|links| (*links).next) }
}

/// A waiter that nobody else will touch until it is notified.
#[derive(Debug)]
#[must_use = "it sleeps until it is notified"]
pub(super) struct Taken<T>(*const Waiter<T>);

impl<T> Taken<T> {
    pub(super) fn about(&self) -> &T {
        // SAFETY: who is taken stays in place until notified, which ends `self`.
        unsafe { &(*self.0).about }
    }

    /// Lets the waiter go on.
    pub(super) fn notify(self, message: Message) {
        // SAFETY: as in `about`.
        let state = unsafe { &raw const (*self.0).state };
        // Release: the waiter sees all that went before. From here on it may be gone.
        // SAFETY: as above.
        unsafe { (*state).store(message as u32, Ordering::Release) };
        futex::wake(state, 1);
    }
}

/// Waiters that nobody else will touch until they are notified, in the order of their arrival.
#[derive(Debug)]
#[must_use = "they sleep until they are notified"]
pub(super) struct TakenList<T> {
    queue: Queue<T>,
}

impl<T> TakenList<T> {
    /// Lets all of them go on.
    pub(super) fn notify(self, message: Message) {
        let mut waiter = self.queue.first;
        while !waiter.is_null() {
            // SAFETY: not notified yet, so still in place; its links are ours since it was taken.
            let next = unsafe { next_of(waiter) };
            Taken(waiter).notify(message);
            waiter = next;
        }
    }
}
