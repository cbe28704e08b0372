//! The kernel's mutexes: adaptive ones, which give up the virtual CPU while they wait, and spin ones, which do not.

use super::host_lock::HostMutex;
use super::lwp;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use rumpuser::abi::types::mutex::{KMUTEX, SPIN};

/// A mutex and what it protects.
#[derive(Debug)]
pub struct KMutex<T> {
    mutex: HostMutex,
    spin: bool,
    value: UnsafeCell<T>,
}

// SAFETY: the mutex gives the value to one thread at a time.
unsafe impl<T: Send> Send for KMutex<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for KMutex<T> {}

impl<T> KMutex<T> {
    /// An adaptive mutex. It may only be taken by an lwp on a virtual CPU.
    pub fn new(value: T) -> Self {
        KMutex { mutex: HostMutex::new(KMUTEX), spin: false, value: UnsafeCell::new(value) }
    }

    /// A spin mutex, for what is also needed where no virtual CPU can be given up. It may only be taken by an lwp.
    pub fn new_spin(value: T) -> Self {
        KMutex { mutex: HostMutex::new(KMUTEX | SPIN), spin: true, value: UnsafeCell::new(value) }
    }

    /// A spin mutex that threads without an lwp may take too. It has no owner to ask for: owners are lwps.
    pub fn new_ownerless(value: T) -> Self {
        KMutex { mutex: HostMutex::new(SPIN), spin: true, value: UnsafeCell::new(value) }
    }

    /// Takes it.
    #[inline]
    pub fn enter(&self) -> KMutexGuard<'_, T> {
        if self.spin {
            self.mutex.enter_nowrap();
        } else {
            self.mutex.enter();
        }
        KMutexGuard { mutex: self, _not_send: PhantomData }
    }

    /// Takes it if it is free.
    #[inline]
    pub fn try_enter(&self) -> Option<KMutexGuard<'_, T>> {
        self.mutex.try_enter().then(|| KMutexGuard { mutex: self, _not_send: PhantomData })
    }

    /// Whether the calling lwp has it. Not for a mutex without owner.
    pub fn owned(&self) -> bool {
        let owner = self.mutex.owner();
        !owner.is_null() && core::ptr::eq(owner, lwp::current_raw())
    }
}

/// Proof of having a [`KMutex`]; dropping it gives it back.
#[derive(Debug)]
pub struct KMutexGuard<'a, T> {
    mutex: &'a KMutex<T>,
    // A mutex is given back by the thread that took it.
    _not_send: PhantomData<*mut ()>,
}

impl<'a, T> KMutexGuard<'a, T> {
    /// The hypervisor's mutex below.
    pub(super) fn host(&self) -> &'a HostMutex {
        &self.mutex.mutex
    }
}

impl<T> Deref for KMutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard proves that this thread has the mutex.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for KMutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard proves that this thread has the mutex, and it is borrowed mutably.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for KMutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the guard proves that this thread has the mutex, and is gone after this.
        unsafe { self.mutex.mutex.exit() }
    }
}
