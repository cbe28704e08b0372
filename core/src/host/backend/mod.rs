//! The seam between the hypercalls and the host's threads and locks.
//!
//! A [`Backend`] is one way to have them: its locks and condition variables, how its threads begin, end and sleep, and
//! what else runs while one of them waits for the host. The C entry points are written once, for any back end; which
//! one a process has is chosen once ([`choice`]), before the guest makes its first object, and never changes.
//!
//! | back end | threads | locks |
//! |---|---|---|
//! | [`Native`] | the host's | our own, on futexes; waits are active for a short time where that pays |
//! | [`Pthread`](super::pthread::Pthread) | the host's | the C library's |
//! | [`Fibers`](super::fiber::Fibers) | coroutines, all on one host thread | as `Native`'s; a coroutine that waits lets others run |
//!
//! What every back end keeps to:
//! * A lock knows its owner as an [`Owner`]: an lwp, or, for mutexes without an owner, a thread
//!   ([`Backend::running_thread`]). It may be taken and given back by different threads, as long as the owner is the same.
//! * Nothing here gives up the virtual CPU, or measures. The caller does so around the parts that wait; that is why there
//!   is a part that does not wait (`try_...`) and one that does (`..._waiting`, `lock_in_place`, `wait`).
//! * A wait ends when what it waits for has happened or its deadline on the monotonic clock is past, and for no other
//!   reason. No signal, unlock or exit is lost: whoever waits when it happens, or comes to wait after looking before it
//!   happened, sees it.
//! * Whoever gets a lock sees all that was written before it was given back. The same holds from a signal to the end of
//!   the wait that it ends.
//! * An object may be dropped as soon as its last user *could* know that the others are through: by the thread that gets a
//!   mutex while the one that gave it back is still in `unlock`, or by a thread whose wait has ended while the one that
//!   signalled is still in `signal`. So after the step that lets others go on, an object is not touched, or only in ways
//!   that bear this.

pub mod choice;
mod native;

pub use choice::{Choice, Kind};
pub use native::Native;

use super::clock::{self, Time};
use super::errno::Errno;
use super::sync::{Deadline, Home, NotHeld, NotOwner, Note, OtherReaders, Owner, Reply, StillWaited, Waited};
use super::thread;
use core::ffi::{CStr, c_void};

/// A way to have threads and locks. Implemented by a type without values; what the provided functions do is right for
/// back ends whose threads are the host's.
pub trait Backend: Sized + 'static {
    /// Mutual exclusion.
    type Mutex: Mutex;
    /// Many readers or one writer.
    type Rwlock: Rwlock;
    /// Waiting for a signal.
    type Condvar: Condvar<Mutex = Self::Mutex>;

    /// The name of the calling thread as an owner: the same as long as it lives, and no other thread's.
    #[inline(always)]
    fn running_thread() -> Owner {
        crate::lwp::host_thread()
    }

    /// Starts a thread that runs `main(argument)`, named `name` as far as that is possible before `main` runs. Does not
    /// wait, for the new thread or for anything else. The result is for [`join`](Self::join), where it is `joinable`; it
    /// needs no memory and differs from that of every other thread which has not been joined.
    ///
    /// # Errors
    /// EAGAIN or ENOMEM where there is no room for another thread; nothing is left behind.
    ///
    /// # Safety
    /// `main` may be called with `argument` on another thread.
    unsafe fn spawn(
        main: thread::Main,
        argument: *mut c_void,
        name: Option<&CStr>,
        joinable: bool,
    ) -> Result<*mut c_void, Errno> {
        // The host names threads by numbers of a pointer's size: nothing to allocate, nothing to leak.
        // SAFETY: the caller's word.
        unsafe { thread::spawn(main, argument, name, joinable) }
            .map(|thread| core::ptr::without_provenance_mut(thread as usize))
    }

    /// Waits for the end of `thread`, of which nothing is left then.
    ///
    /// # Errors
    /// Those of the host.
    ///
    /// # Safety
    /// `thread` is from [`spawn`](Self::spawn), joinable, and joined by nobody else.
    unsafe fn join(thread: *mut c_void) -> Result<(), Errno> {
        // SAFETY: the caller's word.
        unsafe { thread::join(thread.addr() as libc::pthread_t) }
    }

    /// Ends the calling thread, from any depth, as if its `main` had returned; also one that is not of
    /// [`spawn`](Self::spawn).
    ///
    /// # Safety
    /// No frame of the thread needs to be left in order.
    unsafe fn exit() -> ! {
        // SAFETY: the caller's word.
        unsafe { thread::exit() }
    }

    /// Waits until the monotonic clock shows `deadline`; not at all where it has passed. Signals do not end it.
    ///
    /// # Errors
    /// Those of the host.
    fn sleep_until(deadline: Time) -> Result<(), Errno> {
        clock::sleep_until(deadline)
    }

    /// Runs `work`, calls of the host that can take long, while the calling thread is off its virtual CPU. Other threads
    /// run meanwhile. `work` makes no hypercall and no upcall, waits for no lock of this back end, and may be run on
    /// another host thread: an `errno` is part of its result. It has ended when this returns.
    fn block_on<R>(work: impl FnOnce() -> R) -> R {
        work()
    }

    /// A driver of the guest is about to make calls of the host that can take long, by itself: as the beginning of
    /// [`block_on`](Self::block_on), up to [`come_back`](Self::come_back).
    #[inline]
    fn leave() {}

    /// It is through with them. Nothing happens where it did not [`leave`](Self::leave).
    #[inline]
    fn come_back() {}

    /// A try for a lock has failed; the caller may do nothing but try again until it succeeds.
    #[inline(always)]
    fn after_failed_try() {}
}

/// Mutual exclusion. Need not be fair, but nobody may wait for ever while others come and go.
pub trait Mutex: Sized + Send + Sync {
    /// Whether `try_lock_soon` looks for longer than `try_lock`.
    const LOOKS: bool = false;

    /// A free mutex.
    fn new() -> Self;

    /// Takes the mutex if it is free. Says whether it did. Does not wait.
    fn try_lock(&self, owner: Owner) -> bool;

    /// Takes the mutex if it becomes free while the caller looks, for about a microsecond. Says whether it did. For a
    /// mutex that may be free again soon, as its holder runs.
    fn try_lock_soon(&self, owner: Owner) -> bool {
        self.try_lock(owner)
    }

    /// Takes such a mutex, after `try_lock_soon` failed: the caller may be on its virtual CPU.
    fn lock_in_place(&self, owner: Owner);

    /// Takes the mutex, after `try_lock` failed; waits as long as that takes. Says how much of the wait was active, in
    /// nanoseconds. `announce` is called, while the caller has not got it, unless that is over in a moment. `takings` tells how
    /// often the mutex has been taken, about: who waits may want to know whether somebody takes it again and again.
    fn lock_waiting(&self, owner: Owner, announce: impl FnOnce(), takings: &dyn Fn() -> u32) -> u64;

    /// Gives the mutex back if it is `owner`'s and that needs no waking of others. Says whether it did.
    fn try_unlock(&self, owner: Owner) -> bool;

    /// Gives the mutex back, after `try_unlock` failed.
    ///
    /// # Errors
    /// It is not `owner`'s.
    fn unlock_contended(&self, owner: Owner) -> Result<(), NotOwner>;

    /// Who holds it: `None` when it is free. The answer is exact for the owner itself; about others it may be old.
    fn owner(&self) -> Option<Owner>;

    /// Told by who has taken it after a wait that ended with [`Outcome::Handed`].
    ///
    /// # Safety
    /// The caller holds it, and its wait has ended so.
    unsafe fn arrive(&self) {}

    /// Told by who has taken it after a wait that ended with [`Outcome::Signalled`], and had to wait for it.
    ///
    /// # Safety
    /// The caller holds it.
    unsafe fn came_too_early(&self) {}
}

/// A lock held by any number of readers or by one writer. Nobody waits for ever: neither writers while readers come and
/// go, nor readers while writers do. A reader does not enter twice.
pub trait Rwlock: Sized + Send + Sync {
    /// A free lock.
    fn new() -> Self;

    /// Enters as a reader if nobody writes, and no writer that waits is to go first. Says whether it did.
    fn try_read(&self) -> bool;

    /// Enters as the writer if that needs no wait. Says whether it did.
    fn try_write(&self, owner: Owner) -> bool;

    /// Enters as a reader; waits as long as that takes. Says how much of the wait was active, in nanoseconds. `announce` is called
    /// before the lock is had, unless that is in a moment.
    fn read_waiting(&self, announce: impl FnOnce()) -> u64;

    /// Enters as the writer; the rest as for [`Rwlock::read_waiting`].
    fn write_waiting(&self, owner: Owner, announce: impl FnOnce()) -> u64;

    /// Leaves if the lock is held so and nobody is to be let in for it. Says whether it did. `owner` is who the caller is
    /// if it holds the lock as the writer.
    fn try_exit(&self, owner: Owner) -> bool;

    /// Leaves, after `try_exit` failed.
    ///
    /// # Errors
    /// It is held by nobody, or by another writer.
    fn exit_contended(&self, owner: Owner) -> Result<(), NotHeld>;

    /// From the only reader to the writer, before all who wait. The caller must be a reader.
    ///
    /// # Errors
    /// It is not held by readers. Inside: there are other readers.
    fn try_upgrade(&self, owner: Owner) -> Result<Result<(), OtherReaders>, NotHeld>;

    /// From the writer to a reader if nobody waits. Says whether it did.
    fn try_downgrade(&self, owner: Owner) -> bool;

    /// From the writer to a reader, after `try_downgrade` failed. No writer gets in between; readers that wait go in.
    ///
    /// # Errors
    /// The writer is not `owner`.
    fn downgrade_contended(&self, owner: Owner) -> Result<(), NotHeld>;

    /// Whether `owner` is the writer. Exact when the caller asks about itself.
    fn is_written_by(&self, owner: Owner) -> bool;

    /// How many readers hold it. Not zero while the caller is one of them.
    fn readers(&self) -> u64;

    /// Whether nobody holds it and nobody waits; asked by who knows that nobody uses it.
    fn is_unused(&self) -> bool;
}

/// A condition variable. It does not know its mutex; different waiters may use different ones. A signal ends the wait of
/// the thread that has waited longest; a thread that comes later can not take it away.
pub trait Condvar: Sized + Send + Sync {
    /// The mutexes of its waiters.
    type Mutex;

    /// A condition variable that nobody waits for.
    fn new() -> Self;

    /// How many threads wait for a signal. Who has got one is no longer among them, even if it does not run yet. Exact for
    /// a caller that holds the waiters' mutex.
    fn waiters(&self) -> u32;

    /// Waits for a signal. `release` unlocks the caller's mutex: a signal given after that finds the caller waiting. The
    /// mutex is not locked again here.
    ///
    /// `home` is the mutex, if the caller takes it after the wait: then the wait may last until a signaller that holds it has
    /// given it back. What is at the address in `note` stays as long as the wait.
    fn wait(
        &self,
        home: Option<Home<'_, Self::Mutex>>,
        deadline: Option<&Deadline>,
        note: Note,
        release: impl FnOnce(),
    ) -> Waited;

    /// Ends the wait of the thread that has waited longest, if any waits. `names`: those under which the caller may hold
    /// the waiter's mutex. `answer` replies to the waiter's note while it waits; it makes no hypercall and waits for nobody.
    fn signal(&self, names: [Owner; 2], answer: impl FnMut(Note) -> Reply);

    /// Ends the wait of all who wait, to each of whose notes `answer` replies. The rest as above.
    fn broadcast(&self, names: [Owner; 2], answer: impl FnMut(Note) -> Reply);

    /// To be called before the condition variable is dropped: waits for those whose time was up in the same moment and
    /// who still use it.
    ///
    /// # Errors
    /// Threads wait for a signal.
    fn retire(&self) -> Result<(), StillWaited>;
}
