//! File descriptors that samplers may keep open: all samplers together, since the limit is that of the process.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many may be kept open for one purpose.
#[derive(Debug)]
pub(super) struct Budget {
    /// The part of those that the process may have, and what there may be at most.
    part: u64,
    most: u64,
    used: AtomicU64,
}

/// A place for as many file descriptors; others may have it when this is dropped.
#[derive(Debug)]
pub(super) struct Place(&'static Budget, u64);

impl Budget {
    /// As many as one in `part` of those that the process may have, but no more than `most`.
    pub(super) const fn new(part: u64, most: u64) -> Self {
        Budget { part, most, used: AtomicU64::new(0) }
    }

    /// Takes a place for `count`, if there are so many left.
    pub(super) fn take(&'static self, count: u64) -> Option<Place> {
        let allowed = (limit() / self.part).min(self.most);
        let after = |used: u64| used.checked_add(count).filter(|used| *used <= allowed);
        // Relaxed: nothing else is told by it.
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after);
        taken.ok().map(|_| Place(self, count))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.used.fetch_sub(self.1, Ordering::Relaxed);
    }
}

/// How many file descriptors the process may have.
fn limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid; where the call fails, it stays as it is, and there are none.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    limit.rlim_cur
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_who_take_share_what_there_is() {
        static BUDGET: Budget = Budget::new(1, 7);
        let (first, second) = (BUDGET.take(3), BUDGET.take(4));
        assert!(first.is_some() && second.is_some() && BUDGET.take(1).is_none());
        drop(first);
        assert!(BUDGET.take(4).is_none() && BUDGET.take(3).is_some());
    }
}
