//! The C library's mutex and condition variable, with their errors checked.

use crate::host::diagnostic;
use crate::host::sync::{Deadline, Outcome};
use core::cell::UnsafeCell;
use core::marker::PhantomPinned;
use libc::{c_int, pthread_cond_t, pthread_mutex_t};

/// A `pthread_mutex_t` of the normal kind. It must not move once it has been used.
#[derive(Debug)]
pub(super) struct Raw {
    mutex: UnsafeCell<pthread_mutex_t>,
    _pinned: PhantomPinned,
}

// SAFETY: it is made to be used by several threads.
unsafe impl Send for Raw {}
// SAFETY: as above.
unsafe impl Sync for Raw {}

impl Raw {
    pub(super) const fn new() -> Self {
        Raw { mutex: UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER), _pinned: PhantomPinned }
    }

    pub(super) fn lock(&self) {
        // SAFETY: initialised, and alive as long as `self`.
        check("pthread_mutex_lock", unsafe { libc::pthread_mutex_lock(self.mutex.get()) });
    }

    pub(super) fn try_lock(&self) -> bool {
        // SAFETY: as in `lock`.
        match unsafe { libc::pthread_mutex_trylock(self.mutex.get()) } {
            libc::EBUSY => false,
            error => {
                check("pthread_mutex_trylock", error);
                true
            }
        }
    }

    /// Who gets the mutex now may destroy it before this returns: POSIX has the library bear that.
    ///
    /// # Safety
    /// The mutex is locked, and the caller's to unlock.
    pub(super) unsafe fn unlock(&self) {
        // SAFETY: as in `lock`; the caller's word.
        check("pthread_mutex_unlock", unsafe { libc::pthread_mutex_unlock(self.mutex.get()) });
    }

    /// Runs `work` with the mutex locked.
    pub(super) fn with<R>(&self, work: impl FnOnce() -> R) -> R {
        self.lock();
        let result = work();
        // SAFETY: locked above.
        unsafe { self.unlock() };
        result
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A thread may still be in `unlock` on its way out; that is not an error.
        // SAFETY: initialised; nobody waits for it.
        unsafe { libc::pthread_mutex_destroy(self.mutex.get()) };
    }
}

/// A `pthread_cond_t` on the monotonic clock. It must not move once it has been used.
#[derive(Debug)]
pub(super) struct Condition {
    condition: UnsafeCell<pthread_cond_t>,
    _pinned: PhantomPinned,
}

// SAFETY: it is made to be used by several threads.
unsafe impl Send for Condition {}
// SAFETY: as above.
unsafe impl Sync for Condition {}

impl Condition {
    pub(super) fn new() -> Self {
        let mut condition = core::mem::MaybeUninit::uninit();
        let mut attributes = core::mem::MaybeUninit::uninit();
        // SAFETY: the attributes are initialised before they are used, and so is the condition variable afterwards.
        let error = unsafe {
            libc::pthread_condattr_init(attributes.as_mut_ptr());
            libc::pthread_condattr_setclock(attributes.as_mut_ptr(), libc::CLOCK_MONOTONIC);
            let error = libc::pthread_cond_init(condition.as_mut_ptr(), attributes.as_ptr());
            libc::pthread_condattr_destroy(attributes.as_mut_ptr());
            error
        };
        check("pthread_cond_init", error);
        // SAFETY: initialised, or `check` would not have returned.
        Condition { condition: UnsafeCell::new(unsafe { condition.assume_init() }), _pinned: PhantomPinned }
    }

    /// Waits for a signal, the deadline, or nothing at all: the caller looks again. The mutex is locked again then.
    ///
    /// # Safety
    /// The caller has locked `mutex`, and all who wait at this time use the same.
    pub(super) unsafe fn wait(&self, mutex: &Raw, deadline: Option<&Deadline>) -> Outcome {
        let error = match deadline {
            // SAFETY: initialised and alive, both; the caller's word.
            None => unsafe { libc::pthread_cond_wait(self.condition.get(), mutex.mutex.get()) },
            // SAFETY: as above; a valid time.
            Some(deadline) => unsafe {
                libc::pthread_cond_timedwait(self.condition.get(), mutex.mutex.get(), deadline.as_timespec())
            },
        };
        if error == libc::ETIMEDOUT {
            return Outcome::TimedOut;
        }
        check("pthread_cond_wait", error);
        Outcome::Signalled
    }

    pub(super) fn signal(&self) {
        // SAFETY: initialised, and alive as long as `self`.
        check("pthread_cond_signal", unsafe { libc::pthread_cond_signal(self.condition.get()) });
    }

    pub(super) fn broadcast(&self) {
        // SAFETY: as above.
        check("pthread_cond_broadcast", unsafe { libc::pthread_cond_broadcast(self.condition.get()) });
    }
}

impl Drop for Condition {
    fn drop(&mut self) {
        // SAFETY: initialised; nobody waits.
        unsafe { libc::pthread_cond_destroy(self.condition.get()) };
    }
}

/// To go on after such an error would be to run without a lock.
fn check(call: &str, error: c_int) {
    if error != 0 {
        failed(call, error);
    }
}

#[cold]
fn failed(call: &str, error: c_int) -> ! {
    let error = std::io::Error::from_raw_os_error(error);
    diagnostic::fatal("pthread", format_args!("{call} failed: {error}"))
}
