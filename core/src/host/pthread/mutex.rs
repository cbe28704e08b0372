//! Mutual exclusion: the C library's mutex, with its owner beside it.

use super::primitive::Raw;
use crate::host::backend;
use crate::host::sync::{NotOwner, Owner};
use core::sync::atomic::{AtomicU64, Ordering};

/// A mutex that knows its owner.
#[derive(Debug)]
pub struct Mutex {
    raw: Raw,
    // ```text
    //  63            3   2   1   0
    // +---------------+---+---+---+
    // |     owner     |   0   | L |   L: locked, by `owner`
    // +---------------+---+---+---+
    // ```
    // Written by who has locked `raw` only, so exact for the owner itself.
    holder: AtomicU64,
}

const LOCKED: u64 = 1;

impl Mutex {
    fn taken(&self, owner: Owner) {
        // Relaxed: others get the owner as a hint only.
        self.holder.store(owner.to_word() | LOCKED, Ordering::Relaxed);
    }
}

impl backend::Mutex for Mutex {
    fn new() -> Self {
        Mutex { raw: Raw::new(), holder: AtomicU64::new(0) }
    }

    fn try_lock(&self, owner: Owner) -> bool {
        let locked = self.raw.try_lock();
        if locked {
            self.taken(owner);
        }
        locked
    }

    fn lock_in_place(&self, owner: Owner) {
        self.raw.lock();
        self.taken(owner);
    }

    fn lock_waiting(&self, owner: Owner, announce: impl FnOnce(), _: &dyn Fn() -> u32) -> u64 {
        announce();
        self.lock_in_place(owner);
        // The C library's mutex sleeps at once.
        0
    }

    fn try_unlock(&self, owner: Owner) -> bool {
        // Relaxed: only the owner itself can find its own name here.
        if self.holder.load(Ordering::Relaxed) != owner.to_word() | LOCKED {
            return false;
        }
        self.holder.store(0, Ordering::Relaxed);
        // SAFETY: locked by this owner, as it says itself.
        unsafe { self.raw.unlock() };
        true
    }

    fn unlock_contended(&self, owner: Owner) -> Result<(), NotOwner> {
        if self.try_unlock(owner) { Ok(()) } else { Err(NotOwner) }
    }

    fn owner(&self) -> Option<Owner> {
        // Relaxed: see `taken`.
        let word = self.holder.load(Ordering::Relaxed);
        (word & LOCKED != 0).then(|| Owner::from_word(word))
    }
}
