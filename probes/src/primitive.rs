//! The one place that decides whether atomics and locks are the real ones or loom's, so that the protocols between writers and
//! readers can be checked in all their interleavings.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(loom)]
pub(crate) use loom::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering, fence},
};
#[cfg(not(loom))]
pub(crate) use std::sync::Mutex;

/// Adds to a counter that only the calling thread writes. Two plain accesses and no locked instruction: there is no
/// other writer whose addition could be lost, and a reader sees the old or the new value.
#[inline(always)]
pub(crate) fn add(counter: &AtomicU64, amount: u64) {
    // Relaxed: the value alone is the message; nothing else is published with it.
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}
