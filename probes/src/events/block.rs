//! A block of events, from the side of the one thread that writes it.

use super::packed::Packed;
use crate::layout::event_block::{COUNT, EVENT, EVENTS, FIRST, LANE, MOST, NAME, SEQUENCE, SIZE, TID};
use crate::primitive::{AtomicU64, Ordering, fence};
use core::ptr::NonNull;

/// An event block in the segment. Exactly one thread at a time may call the methods that write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Block(NonNull<AtomicU64>);

/// Whose events a block has, from its first one on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) lane: u32,
    /// Events of the lane before.
    pub(crate) first: u64,
    pub(crate) tid: u64,
    /// 16 bytes of text.
    pub(crate) name: [u64; 2],
}

impl Block {
    /// The block whose first word this is.
    ///
    /// # Safety
    /// It is one of `SIZE` words that are never unmapped.
    pub(crate) unsafe fn new(word: NonNull<AtomicU64>) -> Self {
        Block(word)
    }

    #[inline(always)]
    fn word(&self, index: usize) -> &AtomicU64 {
        debug_assert!(index < SIZE);
        // SAFETY: by `new`'s contract.
        unsafe { self.0.add(index).as_ref() }
    }

    /// How many events it has.
    #[inline(always)]
    pub(crate) fn count(self) -> usize {
        // Relaxed: written by this thread, or given to it under the lock of the store.
        self.word(COUNT).load(Ordering::Relaxed) as usize
    }

    /// How many events its lane had recorded before it was used, and with those in it.
    pub(crate) fn end(self) -> u64 {
        self.word(FIRST).load(Ordering::Relaxed) + self.count() as u64
    }

    /// Forgets what is in it; from now on it has the events of `owner`.
    pub(crate) fn begin(self, owner: &Owner) {
        let sequence = self.word(SEQUENCE);
        let before = sequence.load(Ordering::Relaxed);
        sequence.store(before.wrapping_add(1), Ordering::Relaxed);
        // Release fence: a reader that sees any word written below, events included, sees the odd sequence too (Boehm,
        // "Can Seqlocks Get Along With Programming Language Memory Models?", 2012).
        fence(Ordering::Release);
        let words = [(LANE, u64::from(owner.lane)), (FIRST, owner.first), (COUNT, 0), (TID, owner.tid)];
        for (word, value) in words.into_iter().chain([(NAME, owner.name[0]), (NAME + 1, owner.name[1])]) {
            self.word(word).store(value, Ordering::Relaxed);
        }
        // Release: a reader that sees the even sequence sees whose it is.
        sequence.store(before.wrapping_add(2), Ordering::Release);
    }

    /// Adds an event, if there is room; whether there was.
    #[inline(always)]
    pub(crate) fn push(self, ticks: u64, packed: Packed) -> bool {
        let count = self.count();
        if count >= MOST {
            return false;
        }
        self.word(EVENTS + EVENT * count).store(ticks, Ordering::Relaxed);
        self.word(EVENTS + EVENT * count + 1).store(packed.0, Ordering::Relaxed);
        // Release: a reader that sees the count sees the event.
        self.word(COUNT).store(count as u64 + 1, Ordering::Release);
        true
    }

    /// Lane, number of the first event, and events, as a reader sees them; `None`: they were being replaced.
    #[cfg(all(test, loom))]
    pub(crate) fn read(self) -> Option<(u32, u64, Vec<(u64, u64)>)> {
        // Acquire: the words below are not older than the sequence.
        let before = self.word(SEQUENCE).load(Ordering::Acquire);
        let owner = [LANE, FIRST].map(|word| self.word(word).load(Ordering::Relaxed));
        // Acquire: pairs with `push`.
        let count = self.word(COUNT).load(Ordering::Acquire) as usize;
        let event = |index| [0, 1].map(|word| self.word(EVENTS + EVENT * index + word).load(Ordering::Relaxed));
        let events = (0..count).map(event).map(|[ticks, packed]| (ticks, packed)).collect();
        // Acquire fence: pairs with the release fence in `begin`.
        fence(Ordering::Acquire);
        let after = self.word(SEQUENCE).load(Ordering::Relaxed);
        (before == after && before % 2 == 0).then_some((owner[0] as u32, owner[1], events))
    }
}
