//! The hypervisor's mutexes and condition variables as objects; the guest's own locks are made of these.

use super::{console, hypercall};
use core::ffi::{c_int, c_void};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};
use core::time::Duration;
use rumpuser::abi::types::Lwp;

/// A `struct rumpuser_mtx`.
#[derive(Debug)]
pub struct HostMutex(NonNull<c_void>);

// SAFETY: the hypervisor's mutexes are made for use by all threads.
unsafe impl Send for HostMutex {}
// SAFETY: as above.
unsafe impl Sync for HostMutex {}

impl HostMutex {
    /// A new mutex; `flags` are those of `rumpuser::abi::types::mutex`.
    pub fn new(flags: c_int) -> Self {
        let mut raw = ptr::null_mut();
        // SAFETY: `raw` takes the result.
        unsafe { hypercall::mutex_init(&mut raw, flags) };
        HostMutex(made(raw, "mutex"))
    }

    /// As `new`, where the hypervisor leaves the mutex at `place`: a profiler names a lock after the variable there.
    pub fn new_at(place: &AtomicPtr<c_void>, flags: c_int) -> Self {
        // SAFETY: `place` takes the result.
        unsafe { hypercall::mutex_init(place.as_ptr(), flags) };
        // Relaxed: written by this thread.
        HostMutex(made(place.load(Ordering::Relaxed), "mutex"))
    }

    /// The object, for the hypercalls and for the scheduler's interlock.
    #[inline]
    pub fn raw(&self) -> *mut c_void {
        self.0.as_ptr()
    }

    /// Takes it; gives up the virtual CPU while it waits, unless the mutex is a spin mutex.
    #[inline]
    pub fn enter(&self) {
        // SAFETY: the mutex exists; the guest's locks are not recursive.
        unsafe { hypercall::mutex_enter(self.raw()) }
    }

    /// Takes a spin mutex; never touches the virtual CPU.
    #[inline]
    pub fn enter_nowrap(&self) {
        // SAFETY: as in `enter`.
        unsafe { hypercall::mutex_enter_nowrap(self.raw()) }
    }

    /// Takes it if it is free.
    #[inline]
    pub fn try_enter(&self) -> bool {
        // SAFETY: the mutex exists.
        unsafe { hypercall::mutex_tryenter(self.raw()) == 0 }
    }

    /// Gives it back.
    ///
    /// # Safety
    /// The calling thread holds it.
    #[inline]
    pub unsafe fn exit(&self) {
        // SAFETY: the caller holds it.
        unsafe { hypercall::mutex_exit(self.raw()) }
    }

    /// Who has it; null for nobody. Only for mutexes with an owner.
    pub fn owner(&self) -> *mut Lwp {
        let mut owner = ptr::null_mut();
        // SAFETY: the mutex exists, `owner` takes the result.
        unsafe { hypercall::mutex_owner(self.raw(), &mut owner) };
        owner
    }
}

impl Drop for HostMutex {
    fn drop(&mut self) {
        // SAFETY: nobody has a reference any more, so nobody holds it or waits for it.
        unsafe { hypercall::mutex_destroy(self.raw()) }
    }
}

/// A `struct rumpuser_cv`.
#[derive(Debug)]
pub struct HostCondvar(NonNull<c_void>);

// SAFETY: the hypervisor's condition variables are made for use by all threads.
unsafe impl Send for HostCondvar {}
// SAFETY: as above.
unsafe impl Sync for HostCondvar {}

impl HostCondvar {
    /// A new condition variable.
    pub fn new() -> Self {
        let mut raw = ptr::null_mut();
        // SAFETY: `raw` takes the result.
        unsafe { hypercall::cv_init(&mut raw) };
        HostCondvar(made(raw, "condition variable"))
    }

    /// As `new`, left at `place`; see [`HostMutex::new_at`].
    pub fn new_at(place: &AtomicPtr<c_void>) -> Self {
        // SAFETY: `place` takes the result.
        unsafe { hypercall::cv_init(place.as_ptr()) };
        // Relaxed: written by this thread.
        HostCondvar(made(place.load(Ordering::Relaxed), "condition variable"))
    }

    /// Waits, off the virtual CPU. May return without a signal.
    ///
    /// # Safety
    /// The caller holds `mutex`, or it is the mutex of its virtual CPU, which the scheduler takes on the way out.
    pub unsafe fn wait(&self, mutex: &HostMutex) {
        // SAFETY: both exist; the caller holds the mutex.
        unsafe { hypercall::cv_wait(self.0.as_ptr(), mutex.raw()) }
    }

    /// Waits for at most `timeout`, off the virtual CPU. False: that time has passed.
    ///
    /// # Safety
    /// As for [`wait`](Self::wait).
    pub unsafe fn wait_for(&self, mutex: &HostMutex, timeout: Duration) -> bool {
        let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
        // SAFETY: both exist; the caller holds the mutex.
        unsafe {
            hypercall::cv_timedwait(self.0.as_ptr(), mutex.raw(), seconds, i64::from(timeout.subsec_nanos())) == 0
        }
    }

    /// Waits and keeps the virtual CPU, if there is one.
    ///
    /// # Safety
    /// The caller holds `mutex`.
    pub unsafe fn wait_nowrap(&self, mutex: &HostMutex) {
        // SAFETY: both exist; the caller holds the mutex.
        unsafe { hypercall::cv_wait_nowrap(self.0.as_ptr(), mutex.raw()) }
    }

    /// Wakes one waiter.
    pub fn signal(&self) {
        // SAFETY: it exists.
        unsafe { hypercall::cv_signal(self.0.as_ptr()) }
    }

    /// Wakes all waiters.
    pub fn broadcast(&self) {
        // SAFETY: it exists.
        unsafe { hypercall::cv_broadcast(self.0.as_ptr()) }
    }

    /// Whether somebody waits.
    pub fn has_waiters(&self) -> bool {
        let mut waiters = 0;
        // SAFETY: it exists, `waiters` takes the result.
        unsafe { hypercall::cv_has_waiters(self.0.as_ptr(), &mut waiters) };
        waiters != 0
    }
}

impl Drop for HostCondvar {
    fn drop(&mut self) {
        // SAFETY: nobody has a reference any more, so nobody waits.
        unsafe { hypercall::cv_destroy(self.0.as_ptr()) }
    }
}

/// The interface has no error for the constructors of locks: no object means no memory.
fn made(raw: *mut c_void, what: &str) -> NonNull<c_void> {
    NonNull::new(raw).unwrap_or_else(|| console::panic(format_args!("the hypervisor made no {what}: out of memory?")))
}
