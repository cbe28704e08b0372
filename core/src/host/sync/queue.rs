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
//! A waiter that is taken stays where it is until it is notified, so it can be used without the lock; one that is
//! notified may be gone at once. Only one whose time may be up is marked `TAKEN`: another one is taken by being unlinked, and
//! its word, at which it looks all the time, is written once.
//!
//! The thread looks at its word for a while before it sleeps. `WAITING` and `TAKEN` have the mark `ASLEEP` beside them
//! from when it goes to sleep: only such a thread must be woken. With it comes `IN_VAIN`, where looking was of no use, and
//! the processor that it looked on. The message says whether that was the one on which the waiter was notified then: so
//! that who notified it had been waiting for it, most likely.
//!
//! ```text
//!  31          24 23             8  7    6       5          4        3     2      0
//! +--------------+----------------+-------+------------+---------+--------+---------+
//! |              |   processor    |       | IN_THE_WAY | IN_VAIN | ASLEEP |  state  |
//! +--------------+----------------+-------+------------+---------+--------+---------+
//! ```

use super::active::{self, Looked};
use super::deadline::Deadline;
use super::offers;
use super::primitive::{AtomicU32, Ordering, UnsafeCell};
use super::{futex, futex::Wake};
use crate::host::{batch, cpus, gather};
use core::{mem, ptr};

const WAITING: u32 = 0;
const TAKEN: u32 = 1;
const LEAVING: u32 = 2;
/// Beside `WAITING` or `TAKEN`.
const ASLEEP: u32 = 8;
/// Beside `ASLEEP`.
const IN_VAIN: u32 = 16;
/// Beside a message.
const IN_THE_WAY: u32 = 32;
/// The state without what is beside it.
const PLAIN: u32 = 7;
/// The processor, beside `IN_VAIN`.
const PROCESSOR: u32 = 0xffff << 8;

/// The processor that the caller is on, as it stands beside a state.
fn processor() -> u32 {
    // Where the host does not tell, that is a processor as any other.
    (cpus::current() as u32).wrapping_shl(PROCESSOR.trailing_zeros()) & PROCESSOR
}

/// What a waiter is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Message {
    /// What it waited for has come, and is its own.
    Go = 3,
    /// It may have come: try again.
    TryAgain = 4,
    /// As `Go`; and there may be others who wait for this thread to have its turn.
    TakeTurn = 5,
}

/// What a wait has been when somebody ends it: in nanoseconds, when it began, and for how long the thread was to look.
#[derive(Clone, Copy, Debug)]
pub(super) struct SoFar {
    pub(super) since: u64,
    pub(super) patience: u64,
    pub(super) looked: Looked,
}

/// One thread that waits; `T` is what others must know of it.
#[derive(Debug)]
// In this order, and a line of its own: others look at it while the thread looks at its word, and each line more has to go to them
// and back.
#[repr(C, align(64))]
pub(super) struct Waiter<T> {
    state: AtomicU32,
    /// For how many nanoseconds the thread is to look before it sleeps.
    patience: u16,
    /// Whether its time may be up before it is notified.
    may_leave: bool,
    /// When the wait began, in nanoseconds.
    since: u64,
    /// Protected by the lock of the queue; once taken, the taker's.
    links: UnsafeCell<Links<T>>,
    pub(super) about: T,
    /// When it was notified in its sleep, in nanoseconds; otherwise 0. Once taken, the taker's.
    notified: UnsafeCell<u64>,
}

const _: () = assert!(active::LONGEST <= u16::MAX as u64);

/// How many bytes others may have to say of themselves in the line.
#[cfg(not(loom))]
pub(super) const ROOM: usize = 32;
#[cfg(not(loom))]
const _: () = assert!(mem::offset_of!(Waiter<[u64; ROOM / 8]>, notified) == 64);

#[derive(Debug)]
struct Links<T> {
    next: *const Waiter<T>,
    previous: *const Waiter<T>,
}

impl<T> Waiter<T> {
    /// For a thread that looks for up to `patience` nanoseconds before it sleeps.
    pub(super) fn new(patience: u64, may_leave: bool, about: T) -> Self {
        let links = UnsafeCell::new(Links { next: ptr::null(), previous: ptr::null() });
        let (state, notified) = (AtomicU32::new(WAITING), UnsafeCell::new(0));
        let patience = patience.try_into().unwrap_or(u16::MAX);
        Waiter { state, patience, may_leave, since: active::now(), links, about, notified }
    }

    /// Waits until notified, actively as long as there is patience; `None`: the deadline came first; the waiter is
    /// still linked, and the caller unlinks it. Says also what came of looking, and how much of the wait that was, in
    /// nanoseconds.
    pub(super) fn wait(&self, deadline: Option<&Deadline>) -> (Option<Message>, Looked, u64) {
        debug_assert!(self.may_leave || deadline.is_none());
        // Relaxed: `sleep` looks again.
        let notified = || !matches!(self.state.load(Ordering::Relaxed), WAITING | TAKEN);
        gather::waits(self.since);
        // Who has to be on time had better be woken.
        if !self.may_leave {
            offers::offer(notified);
        }
        let (looked, active) = active::look(self.patience.into(), deadline, notified);
        let message = self.sleep(looked, deadline);
        if message.is_some() {
            self.tell_if_late();
        }
        // Relaxed: only the mark is read, which has come with the message.
        let in_the_way = looked == Looked::InVain && self.state.load(Ordering::Relaxed) & IN_THE_WAY != 0;
        let looked = if in_the_way { Looked::InTheWay(self.patience.into()) } else { looked };
        #[cfg(not(loom))]
        super::spread::looked(looked, active::now);
        (message, looked, active)
    }

    /// Waits until notified, awake for as long as it takes to be woken, whoever else wants the processor. Who notifies
    /// is about to.
    pub(super) fn wait_awake(&self) -> (Option<Message>, Looked, u64) {
        // Relaxed: `sleep` looks again.
        let active = active::stay_awake_politely(|| !matches!(self.state.load(Ordering::Relaxed), WAITING | TAKEN));
        (self.sleep(Looked::No, None), Looked::No, active)
    }

    /// When the wait began, in nanoseconds.
    pub(super) fn since(&self) -> u64 {
        self.since
    }

    /// When it was notified in its sleep, in nanoseconds; otherwise 0. For the waiter itself, once it is notified.
    fn notified(&self) -> u64 {
        // SAFETY: the waiter is notified, so that is nobody else's any more.
        self.notified.with(|notified| unsafe { *notified })
    }

    /// Where the caller was asleep when it was notified, it may have been late to go on.
    fn tell_if_late(&self) {
        let notified = self.notified();
        if notified != 0 {
            batch::woken(notified, active::now());
        }
    }

    fn sleep(&self, looked: Looked, deadline: Option<&Deadline>) -> Option<Message> {
        let asleep = if looked == Looked::InVain { ASLEEP | IN_VAIN | processor() } else { ASLEEP };
        let mut late = false;
        // Acquire, here and below: pairs with `notify`.
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            let awake = state & PLAIN;
            if awake == Message::Go as u32 {
                return Some(Message::Go);
            }
            if awake == Message::TryAgain as u32 {
                return Some(Message::TryAgain);
            }
            if awake == Message::TakeTurn as u32 {
                return Some(Message::TakeTurn);
            }
            // Taken: the message is on its way, there is no deadline any more.
            let leaves = late && awake == WAITING;
            let next = if leaves { LEAVING } else { state | asleep };
            if next != state {
                // Relaxed: nothing is passed on; the lock of the queue orders what follows.
                match self.state.compare_exchange(state, next, Ordering::Relaxed, Ordering::Acquire) {
                    Ok(_) if leaves => return None,
                    Ok(_) => {}
                    Err(now) => {
                        state = now;
                        continue;
                    }
                }
            }
            // If it is taken in its sleep it sleeps on, and is woken by the message.
            let deadline = deadline.filter(|_| awake == WAITING);
            late = futex::wait(&self.state, next, deadline) == Wake::TimedOut;
            state = self.state.load(Ordering::Acquire);
        }
    }

    /// What the wait has been, if it ends now.
    fn so_far(&self) -> SoFar {
        SoFar { since: self.since, patience: self.patience.into(), looked: self.looked() }
    }

    /// What has come of looking, if the wait ends now.
    fn looked(&self) -> Looked {
        // Relaxed: a lesson, nothing depends on it.
        let state = self.state.load(Ordering::Relaxed);
        match state & (ASLEEP | IN_VAIN) {
            0 if self.patience != 0 => Looked::Well,
            0 | ASLEEP => Looked::No,
            _ if state & PROCESSOR == processor() => Looked::InTheWay(self.patience.into()),
            _ => Looked::InVain,
        }
    }

    /// Whether its time is not up. Under the lock of the queue.
    fn is_waiting(&self) -> bool {
        // Relaxed: as in `take`.
        self.state.load(Ordering::Relaxed) & PLAIN == WAITING
    }

    /// Claims the waiter, unless its time is up already. Under the lock of the queue.
    fn take(&self) -> bool {
        if !self.may_leave {
            return true;
        }
        // Relaxed: the message orders; this only decides.
        let mut state = self.state.load(Ordering::Relaxed);
        while state & PLAIN == WAITING {
            match self.state.compare_exchange_weak(state, state | TAKEN, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
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

    /// What must be known of the first; `None`: there is none.
    pub(super) fn first(&self) -> Option<&T> {
        // SAFETY: null, or in the queue and so alive.
        unsafe { self.first.as_ref() }.map(|waiter| &waiter.about)
    }

    /// Whether there is a waiter whose time is not up.
    pub(super) fn is_waited(&self) -> bool {
        self.has_one_that(|_| true)
    }

    /// Whether there is a waiter whose time is not up and that `is_such`.
    pub(super) fn has_one_that(&self, is_such: impl Fn(&T) -> bool) -> bool {
        let mut waiter = self.first;
        while !waiter.is_null() {
            // SAFETY: what is in the queue is alive.
            unsafe {
                if is_such(&(*waiter).about) && (*waiter).is_waiting() {
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

    /// Links `waiter` before the first one that `comes_after` it.
    ///
    /// # Safety
    /// `waiter` stays in place until it is unlinked or notified.
    pub(super) unsafe fn insert_before(&mut self, waiter: *const Waiter<T>, comes_after: impl Fn(&T) -> bool) {
        let mut previous = self.last;
        // SAFETY: what is in the queue is alive, and its links are ours under the queue's lock; the caller's word.
        unsafe {
            while !previous.is_null() && comes_after(&(*previous).about) {
                previous = (*previous).links.with(|links| (*links).previous);
            }
            self.insert(previous, waiter);
        }
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
        self.take_first_if(|_| true)
    }

    /// The same if it `fits`.
    pub(super) fn take_first_if(&mut self, fits: impl Fn(&T) -> bool) -> Option<Taken<T>> {
        let mut waiter = self.first;
        while !waiter.is_null() {
            // SAFETY: what is in the queue is alive.
            unsafe {
                if fits(&(*waiter).about) {
                    if (*waiter).take() {
                        self.remove(waiter);
                        return Some(Taken(waiter));
                    }
                } else if (*waiter).is_waiting() {
                    return None;
                }
                waiter = next_of(waiter);
            }
        }
        None
    }

    /// Takes all whose time is not up, and says how many that are.
    pub(super) fn take_all(&mut self) -> (TakenList<T>, u32) {
        let mut count = 0;
        let mut waiter = self.first;
        // SAFETY: what is in the queue is alive.
        while let Some(one) = unsafe { waiter.as_ref() } {
            if one.may_leave {
                return self.take_each_that(|_| true);
            }
            count += 1;
            // SAFETY: as above; its links are ours under the queue's lock.
            waiter = unsafe { next_of(waiter) };
        }
        // As they are linked: nothing is written where they look.
        (TakenList { queue: mem::replace(self, Queue::new()) }, count)
    }

    /// The same of those that are such.
    pub(super) fn take_each_that(&mut self, is_such: impl Fn(&T) -> bool) -> (TakenList<T>, u32) {
        let mut list = TakenList::new();
        let mut count = 0;
        let mut waiter = self.first;
        while !waiter.is_null() {
            // SAFETY: what is in the queue is alive; who is taken stays in place until notified.
            unsafe {
                let next = next_of(waiter);
                if is_such(&(*waiter).about) && (*waiter).take() {
                    self.remove(waiter);
                    list.queue.push_back(waiter);
                    count += 1;
                }
                waiter = next;
            }
        }
        (list, count)
    }
}

/// A queue of those who have been taken: they are not asked again.
impl<T> Queue<T> {
    pub(super) fn push_taken(&mut self, Taken(waiter): Taken<T>) {
        // SAFETY: who is taken stays in place until notified.
        unsafe { self.push_back(waiter) };
    }

    /// Up to `most`, the first ones, and how many that are.
    pub(super) fn pop_taken(&mut self, most: u32) -> (TakenList<T>, u32) {
        let mut list = TakenList::new();
        let mut count = 0;
        while count < most && !self.first.is_null() {
            let waiter = self.first;
            // SAFETY: it is the first of this queue, and stays in place until notified.
            unsafe {
                self.remove(waiter);
                list.queue.push_back(waiter);
            }
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

    /// What its wait has been so far.
    pub(super) fn so_far(&self) -> SoFar {
        // SAFETY: as in `about`.
        unsafe { (*self.0).so_far() }
    }

    /// What has come of looking so far.
    pub(super) fn looked(&self) -> Looked {
        // SAFETY: as in `about`.
        unsafe { (*self.0).looked() }
    }

    /// Lets the waiter go on.
    pub(super) fn notify(self, message: Message) {
        let way = if let Looked::InTheWay(_) = self.looked() { IN_THE_WAY } else { 0 };
        // SAFETY: as in `about`.
        let state = unsafe { &raw const (*self.0).state };
        // Relaxed: who goes to sleep just now is not asked whether it is late.
        // SAFETY: as in `about`.
        if unsafe { (*state).load(Ordering::Relaxed) } & ASLEEP != 0 {
            // SAFETY: since it was taken that is ours.
            unsafe { (*self.0).notified.with_mut(|notified| *notified = active::now()) };
        }
        // Release: the waiter sees all that went before. From here on it may be gone.
        // SAFETY: as above.
        if unsafe { (*state).swap(message as u32 | way, Ordering::Release) } & ASLEEP != 0 {
            futex::wake(state);
        }
    }
}

/// Waiters that nobody else will touch until they are notified, in the order of their arrival.
#[derive(Debug)]
#[must_use = "they sleep until they are notified"]
pub(super) struct TakenList<T> {
    queue: Queue<T>,
}

impl<T> TakenList<T> {
    pub(super) const fn new() -> Self {
        TakenList { queue: Queue::new() }
    }

    pub(super) fn push(&mut self, taken: Taken<T>) {
        self.queue.push_taken(taken);
    }

    /// What must be known of each.
    pub(super) fn each_about(&self, mut tell: impl FnMut(&T)) {
        let mut waiter = self.queue.first;
        while !waiter.is_null() {
            // SAFETY: not notified yet, so still in place; its links are ours since it was taken.
            unsafe {
                tell(&(*waiter).about);
                waiter = next_of(waiter);
            }
        }
    }

    /// What each of the waits has been so far.
    pub(super) fn each_so_far(&self, mut learn: impl FnMut(SoFar)) {
        let mut waiter = self.queue.first;
        while !waiter.is_null() {
            // SAFETY: not notified yet, so still in place; its links are ours since it was taken.
            unsafe {
                learn((*waiter).so_far());
                waiter = next_of(waiter);
            }
        }
    }

    /// Lets all of them go on.
    pub(super) fn notify(self, message: Message) {
        self.each(|waiter| waiter.notify(message));
    }

    /// Gives them to `settle`, one by one.
    pub(super) fn each(self, mut settle: impl FnMut(Taken<T>)) {
        let mut waiter = self.queue.first;
        while !waiter.is_null() {
            // SAFETY: not notified yet, so still in place; its links are ours since it was taken.
            let next = unsafe { next_of(waiter) };
            settle(Taken(waiter));
            waiter = next;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::host::cpus::Mask;
    use std::sync::mpsc;
    use std::thread;

    /// Has the calling thread run on that processor only.
    fn stay_on(cpu: usize) {
        assert!(Mask::only(cpu).set());
    }

    /// What came of looking for a waiter on the first of these processors that was notified from the second; `None`: it did
    /// not look, because others did.
    fn notified(on: usize, from: usize) -> Option<Looked> {
        let (sender, receiver) = mpsc::channel();
        let waiter = thread::spawn(move || {
            stay_on(on);
            let mut queue = Queue::new();
            let waiter = Waiter::new(5_000, false, ());
            // SAFETY: it stays until it is notified.
            unsafe { queue.push_back(&waiter) };
            let Taken(taken) = queue.take_first().expect("one that waits");
            sender.send(taken.expose_provenance()).expect("a receiver");
            let (message, looked, _) = waiter.wait(None);
            assert_eq!(message, Some(Message::Go));
            looked
        });
        stay_on(from);
        let taken = Taken(ptr::with_exposed_provenance::<Waiter<()>>(receiver.recv().expect("a waiter")));
        // SAFETY: who is taken stays in place until notified.
        while unsafe { (*taken.0).state.load(Ordering::Relaxed) } & ASLEEP == 0 {
            thread::yield_now();
        }
        let so_far = taken.looked();
        taken.notify(Message::Go);
        let looked = waiter.join().expect("no panic");
        assert_eq!(looked, so_far, "both know the same");
        (looked != Looked::No).then_some(looked)
    }

    #[test]
    fn all_are_taken_whose_time_is_not_up() {
        for may_leave in [[false; 4], [false, true, false, true], [true; 4]] {
            for leaving in
                [None, Some(1), Some(3)].into_iter().filter(|nth| nth.is_none_or(|nth: usize| may_leave[nth]))
            {
                let waiters: Vec<_> = may_leave.into_iter().map(|may_leave| Waiter::new(0, may_leave, ())).collect();
                let mut queue = Queue::new();
                for (nth, waiter) in waiters.iter().enumerate() {
                    // SAFETY: it stays until it is notified or removed.
                    unsafe { queue.push_back(waiter) };
                    if leaving == Some(nth) {
                        waiter.state.store(LEAVING, Ordering::Relaxed);
                    }
                }
                let (taken, count) = queue.take_all();
                let mut order = Vec::new();
                taken.each(|taken| {
                    order.extend(waiters.iter().position(|waiter| ptr::eq(waiter, taken.0)));
                    taken.notify(Message::Go);
                });
                assert_eq!(order, (0..4).filter(|nth| leaving != Some(*nth)).collect::<Vec<_>>());
                assert_eq!((count as usize, queue.is_empty()), (order.len(), leaving.is_none()));
                if let Some(nth) = leaving {
                    // SAFETY: nobody takes it.
                    unsafe { queue.remove(&waiters[nth]) };
                }
                assert!(queue.is_empty());
            }
        }
    }

    #[test]
    fn a_sleeper_knows_when_it_was_notified() {
        let mut queue = Queue::new();
        let waiter = Waiter::new(0, false, ());
        // SAFETY: it stays until it is notified.
        unsafe { queue.push_back(&waiter) };
        queue.take_first().expect("one that waits").notify(Message::Go);
        assert_eq!((waiter.wait(None).0, waiter.notified()), (Some(Message::Go), 0), "it has not slept");

        let waiter = Waiter::new(0, false, ());
        // SAFETY: as above.
        unsafe { queue.push_back(&waiter) };
        let Taken(taken) = queue.take_first().expect("one that waits");
        let taken = taken.expose_provenance();
        let notifier = thread::spawn(move || {
            let taken = Taken(ptr::with_exposed_provenance::<Waiter<()>>(taken));
            // SAFETY: who is taken stays in place until notified.
            while unsafe { (*taken.0).state.load(Ordering::Relaxed) } & ASLEEP == 0 {
                thread::yield_now();
            }
            taken.notify(Message::Go);
        });
        assert_eq!(waiter.wait(None).0, Some(Message::Go));
        assert!((waiter.since()..=active::now()).contains(&waiter.notified()));
        notifier.join().expect("no panic");
    }

    #[test]
    fn who_notifies_knows_whether_a_look_was_in_the_way() {
        // Once and for all it is found out how many may look; later there would be one processor for this thread.
        active::others();
        let before = Mask::of_caller().expect("the host tells");
        let cpus: Vec<_> = before.cpus().collect();
        let [one, other] = [cpus[0], cpus[cpus.len() - 1]];
        // On a host with one processor nobody looks.
        if one != other {
            let looked = |on, from| (0..10_000).find_map(|_| notified(on, from));
            assert_eq!(looked(one, one), Some(Looked::InTheWay(5_000)));
            assert_eq!(looked(one, other), Some(Looked::InVain));
        }
        assert!(before.set());
    }
}
