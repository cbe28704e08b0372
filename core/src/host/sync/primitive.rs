//! What the locks are made of: the real thing, loom's, or one that dawdles.

#[cfg(loom)]
pub(super) use loom::{
    cell::UnsafeCell,
    hint::spin_loop,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    thread::yield_now,
};

#[cfg(not(loom))]
pub(super) use self::real::UnsafeCell;
#[cfg(not(loom))]
pub(super) use self::real::yield_now;
#[cfg(all(delays, not(loom)))]
pub(super) use super::delayed::{AtomicU32, AtomicU64};
#[cfg(not(any(loom, delays)))]
pub(super) use core::sync::atomic::{AtomicU32, AtomicU64};
#[cfg(not(loom))]
pub(super) use core::{hint::spin_loop, sync::atomic::Ordering};

#[cfg(not(loom))]
mod real {
    /// Lets the other fibers go first, and the other threads.
    pub(in super::super) fn yield_now() {
        crate::host::fiber::yield_now();
        std::thread::yield_now();
    }

    /// `core::cell::UnsafeCell` with the access of loom's, which sees the beginning and the end of every use.
    #[derive(Debug)]
    pub(in super::super) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(in super::super) const fn new(value: T) -> Self {
            UnsafeCell(core::cell::UnsafeCell::new(value))
        }

        #[inline(always)]
        pub(in super::super) fn with<R>(&self, look: impl FnOnce(*const T) -> R) -> R {
            look(self.0.get())
        }

        #[inline(always)]
        pub(in super::super) fn with_mut<R>(&self, change: impl FnOnce(*mut T) -> R) -> R {
            change(self.0.get())
        }
    }
}
