//! Memory of the host's for the segment.

use crate::clock;
use crate::primitive::AtomicU64;
use core::ptr::NonNull;
use core::sync::atomic::{self, Ordering};

/// Makes sure that these words, from the one position to the other, can be written without a fault; whether they can.
pub(crate) type Provide = fn(words: NonNull<AtomicU64>, from: usize, to: usize) -> bool;

/// After a refusal the host is not asked again for so long, in nanoseconds. A call that finds no counter asks every time, and
/// a full disk's answer may take longer than a thousand such calls.
const PAUSE: u64 = 100_000_000;

/// Asks the host.
#[derive(Debug)]
pub(crate) struct Provider {
    provide: Provide,
    /// When it refused, in ticks; 0: it has not.
    refused: atomic::AtomicU64,
}

impl Provider {
    pub(crate) fn new(provide: Provide) -> Self {
        Provider { provide, refused: atomic::AtomicU64::new(0) }
    }

    /// Whether the host has refused just now, or there is no room in what it may be asked for.
    pub(crate) fn has_refused(&self) -> bool {
        // Relaxed, here and below: nothing depends on it.
        let refused = self.refused.load(Ordering::Relaxed);
        refused != 0 && clock::between(refused, clock::now()) < clock::ticks(PAUSE)
    }

    /// What there is was found to be too little.
    pub(crate) fn has_no_more(&self) {
        self.refused.store(clock::now(), Ordering::Relaxed);
    }

    /// As [`Provide`], but it may be refused without asking.
    pub(crate) fn provide(&self, words: NonNull<AtomicU64>, from: usize, to: usize) -> bool {
        if self.has_refused() {
            return false;
        }
        let agreed = (self.provide)(words, from, to);
        if agreed {
            self.refused.store(0, Ordering::Relaxed);
        } else {
            self.has_no_more();
        }
        agreed
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU32;

    static ASKED: AtomicU32 = AtomicU32::new(0);

    #[test]
    fn who_has_refused_is_not_asked_again_at_once() {
        let refuse = |_: NonNull<AtomicU64>, _: usize, _: usize| {
            ASKED.fetch_add(1, Ordering::Relaxed);
            false
        };
        let provider = Provider::new(refuse);
        let provide = || provider.provide(NonNull::dangling(), 0, 1);
        let begun = clock::now();
        assert!((0..1000).all(|_| !provide()));
        let most = 1 + clock::between(begun, clock::now()) / clock::ticks(PAUSE);
        assert!(u64::from(ASKED.load(Ordering::Relaxed)) <= most);
        // When the time is up it is.
        let before = ASKED.load(Ordering::Relaxed);
        provider.refused.store(clock::now().saturating_sub(clock::ticks(PAUSE)).max(1), Ordering::Relaxed);
        assert!(!provide());
        assert_eq!(ASKED.load(Ordering::Relaxed), before + 1);
    }
}
