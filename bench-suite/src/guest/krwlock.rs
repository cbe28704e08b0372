//! The kernel's reader/writer locks.

use super::{console, hypercall};
use core::cell::UnsafeCell;
use core::ffi::{c_int, c_void};
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};
use rumpuser::abi::types::rw::{READER, WRITER};

/// A reader/writer lock and what it protects. It may only be taken by an lwp on a virtual CPU.
#[derive(Debug)]
pub struct KRwLock<T> {
    raw: NonNull<c_void>,
    value: UnsafeCell<T>,
}

// SAFETY: the lock gives the value to one writer or to many readers.
unsafe impl<T: Send> Send for KRwLock<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for KRwLock<T> {}

impl<T> KRwLock<T> {
    /// A new lock.
    pub fn new(value: T) -> Self {
        let mut raw = ptr::null_mut();
        // SAFETY: `raw` takes the result.
        unsafe { hypercall::rw_init(&mut raw) };
        let raw = NonNull::new(raw)
            .unwrap_or_else(|| console::panic(format_args!("the hypervisor made no rwlock: out of memory?")));
        KRwLock { raw, value: UnsafeCell::new(value) }
    }

    fn enter(&self, how: c_int) {
        // SAFETY: the lock exists; the guest's locks are not recursive.
        unsafe { hypercall::rw_enter(how, self.raw.as_ptr()) }
    }

    fn try_enter(&self, how: c_int) -> bool {
        // SAFETY: the lock exists.
        unsafe { hypercall::rw_tryenter(how, self.raw.as_ptr()) == 0 }
    }

    fn held(&self, how: c_int) -> bool {
        let mut held = 0;
        // SAFETY: the lock exists, `held` takes the result.
        unsafe { hypercall::rw_held(how, self.raw.as_ptr(), &mut held) };
        held != 0
    }

    /// Takes it together with other readers.
    pub fn read(&self) -> ReadGuard<'_, T> {
        self.enter(READER);
        ReadGuard { lock: self, _not_send: PhantomData }
    }

    /// Takes it alone.
    pub fn write(&self) -> WriteGuard<'_, T> {
        self.enter(WRITER);
        WriteGuard { lock: self, _not_send: PhantomData }
    }

    /// Takes it together with other readers, if that needs no waiting.
    pub fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        self.try_enter(READER).then(|| ReadGuard { lock: self, _not_send: PhantomData })
    }

    /// Takes it alone, if that needs no waiting.
    pub fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        self.try_enter(WRITER).then(|| WriteGuard { lock: self, _not_send: PhantomData })
    }

    /// Whether there is a reader. (The interface does not say which.)
    pub fn read_held(&self) -> bool {
        self.held(READER)
    }

    /// Whether the calling lwp is the writer.
    pub fn write_held(&self) -> bool {
        self.held(WRITER)
    }
}

impl<T> Drop for KRwLock<T> {
    fn drop(&mut self) {
        // SAFETY: nobody has a reference any more, so nobody holds it or waits for it.
        unsafe { hypercall::rw_destroy(self.raw.as_ptr()) }
    }
}

/// Proof of being a reader; dropping it gives the lock back.
#[derive(Debug)]
pub struct ReadGuard<'a, T> {
    lock: &'a KRwLock<T>,
    // A lock is given back by the thread that took it.
    _not_send: PhantomData<*mut ()>,
}

impl<'a, T> ReadGuard<'a, T> {
    /// Becomes the writer, if there is no other reader.
    pub fn try_upgrade(self) -> Result<WriteGuard<'a, T>, Self> {
        let lock = self.lock;
        // SAFETY: the guard proves that this thread is a reader.
        if unsafe { hypercall::rw_tryupgrade(lock.raw.as_ptr()) } == 0 {
            let _ = ManuallyDrop::new(self);
            Ok(WriteGuard { lock, _not_send: PhantomData })
        } else {
            Err(self)
        }
    }
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard proves that there is no writer.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> Drop for ReadGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: the guard proves that this thread is a reader, and is gone after this.
        unsafe { hypercall::rw_exit(self.lock.raw.as_ptr()) }
    }
}

/// Proof of being the writer; dropping it gives the lock back.
#[derive(Debug)]
pub struct WriteGuard<'a, T> {
    lock: &'a KRwLock<T>,
    // A lock is given back by the thread that took it.
    _not_send: PhantomData<*mut ()>,
}

impl<'a, T> WriteGuard<'a, T> {
    /// Becomes a reader; no other writer gets in between.
    pub fn downgrade(self) -> ReadGuard<'a, T> {
        let lock = ManuallyDrop::new(self).lock;
        // SAFETY: the guard proved that this thread is the writer.
        unsafe { hypercall::rw_downgrade(lock.raw.as_ptr()) };
        ReadGuard { lock, _not_send: PhantomData }
    }
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard proves that this thread is the writer.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the guard is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: the guard proves that this thread is the writer, and is gone after this.
        unsafe { hypercall::rw_exit(self.lock.raw.as_ptr()) }
    }
}
