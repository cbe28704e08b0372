//! The big kernel lock: for code that is not safe with itself on two virtual CPUs. Recursive; given up around every wait.

use super::host_lock::HostMutex;
use super::lwp::{self, Lwp};
use super::scheduler;
use core::ffi::c_int;
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicPtr, Ordering};
use rumpuser::abi::types::mutex::SPIN;

/// The lock. Its words are written by the owner only, and others only ask whether they are the owner: relaxed
/// accesses are enough, the mutex orders the rest.
#[derive(Debug)]
pub struct BigLock {
    mutex: HostMutex,
    owner: AtomicPtr<Lwp>,
    count: AtomicI32,
}

impl BigLock {
    /// A free lock.
    pub fn new() -> Self {
        BigLock { mutex: HostMutex::new(SPIN), owner: AtomicPtr::new(ptr::null_mut()), count: AtomicI32::new(0) }
    }

    fn owned_by(&self, lwp: &Lwp) -> bool {
        self.owner.load(Ordering::Relaxed) == lwp.raw()
    }

    /// Takes it `times` times. Gives up the virtual CPU while it waits.
    pub fn enter(&self, lwp: &Lwp, times: c_int) {
        if times == 0 {
            return;
        }
        if self.owned_by(lwp) {
            self.count.fetch_add(times, Ordering::Relaxed);
            return;
        }
        if !self.mutex.try_enter() {
            // The owner may need this virtual CPU to come to its end.
            scheduler::release(lwp, ptr::null_mut());
            self.mutex.enter_nowrap();
            scheduler::schedule(lwp, ptr::null_mut());
        }
        self.owner.store(lwp.raw(), Ordering::Relaxed);
        self.count.store(times, Ordering::Relaxed);
    }

    /// Gives it back once.
    pub fn exit(&self, lwp: &Lwp) {
        if self.owned_by(lwp) && self.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.release();
        }
    }

    /// Gives it back, however often it was taken; says how often that was.
    pub fn exit_all(&self, lwp: &Lwp) -> c_int {
        if !self.owned_by(lwp) {
            return 0;
        }
        let times = self.count.swap(0, Ordering::Relaxed);
        self.release();
        times
    }

    fn release(&self) {
        self.owner.store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: only called by the owner.
        unsafe { self.mutex.exit() };
    }

    /// Does `work` with the lock.
    pub fn with<R>(&self, work: impl FnOnce() -> R) -> R {
        let lwp = lwp::me();
        self.enter(lwp, 1);
        let result = work();
        self.exit(lwp);
        result
    }
}
