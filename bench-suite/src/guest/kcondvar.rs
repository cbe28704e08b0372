//! The kernel's condition variables.

use super::host_lock::HostCondvar;
use super::kmutex::KMutexGuard;
use core::time::Duration;

/// A condition variable, used with a [`KMutex`](super::kmutex::KMutex) that protects the condition.
#[derive(Debug)]
pub struct KCondvar(HostCondvar);

impl KCondvar {
    /// A new one.
    pub fn new() -> Self {
        KCondvar(HostCondvar::new())
    }

    /// Gives the mutex back and waits, off the virtual CPU; has both again when it returns, perhaps for no reason.
    pub fn wait<T>(&self, guard: &mut KMutexGuard<'_, T>) {
        // SAFETY: the guard proves that the mutex is held.
        unsafe { self.0.wait(guard.host()) }
    }

    /// Waits for at most `timeout`. False: that time has passed.
    pub fn wait_for<T>(&self, guard: &mut KMutexGuard<'_, T>, timeout: Duration) -> bool {
        // SAFETY: the guard proves that the mutex is held.
        unsafe { self.0.wait_for(guard.host(), timeout) }
    }

    /// Wakes one waiter.
    pub fn signal(&self) {
        self.0.signal();
    }

    /// Wakes all waiters.
    pub fn broadcast(&self) {
        self.0.broadcast();
    }

    /// Whether somebody waits.
    pub fn has_waiters(&self) -> bool {
        self.0.has_waiters()
    }
}

impl Default for KCondvar {
    fn default() -> Self {
        Self::new()
    }
}
