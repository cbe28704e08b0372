//! Virtual CPUs in the segment: who holds each, since when.

use crate::arena::{Arena, Chain, Kind};
use crate::layout::vcpu;
use crate::primitive::{AtomicU64, Mutex, Ordering, fence};
use core::ptr::NonNull;

/// For how many virtual CPUs there is room; in models one is enough.
pub(crate) const MOST: usize = if cfg!(loom) { 1 } else { vcpu::MOST };

/// The positions of the virtual CPUs' blocks, by index; 0 where there is none yet.
#[derive(Debug)]
pub(crate) struct Vcpus {
    positions: [AtomicU64; MOST],
    adding: Mutex<()>,
}

/// A virtual CPU's block, from the side of the thread that holds it or is about to give it up. The guest's scheduler
/// orders one holder after the other, so the words have one writer at a time.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Vcpu(NonNull<AtomicU64>);

impl Vcpus {
    pub(crate) fn new() -> Self {
        Vcpus { positions: core::array::from_fn(|_| AtomicU64::new(0)), adding: Mutex::new(()) }
    }

    /// The virtual CPU with this index, added where it is new; `None` when there is no room for it.
    pub(crate) fn get(&self, arena: &Arena, index: u16) -> Option<Vcpu> {
        let slot = self.positions.get(usize::from(index))?;
        // Acquire: whoever has the position may write the block.
        let position = match slot.load(Ordering::Acquire) as usize {
            0 => self.add(arena, index, slot)?,
            position => position,
        };
        Some(Vcpu(NonNull::from(arena.word(position))))
    }

    #[cold]
    fn add(&self, arena: &Arena, index: u16, slot: &AtomicU64) -> Option<usize> {
        let _adding = self.adding.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // Relaxed: only stored under the lock.
        let position = slot.load(Ordering::Relaxed) as usize;
        if position != 0 {
            return Some(position);
        }
        let position = arena.allocate(Kind::Other, vcpu::SIZE)?;
        arena.word(position + vcpu::INDEX).store(u64::from(index), Ordering::Relaxed);
        arena.append(Chain::Vcpus, position);
        // Release: pairs with the load in `get`.
        slot.store(position as u64, Ordering::Release);
        Some(position)
    }
}

impl Vcpu {
    #[inline(always)]
    fn word(&self, index: usize) -> &AtomicU64 {
        debug_assert!(index < vcpu::SIZE);
        // SAFETY: a virtual CPU is `vcpu::SIZE` words of a segment that is never unmapped while it has writers.
        unsafe { self.0.add(index).as_ref() }
    }

    /// Lane `lane` holds it since `now`. Returns since when it was free, where that is known.
    #[inline(always)]
    pub(crate) fn hold(&self, lane: u32, now: u64) -> Option<u64> {
        // Relaxed: the guest's scheduler made the last holder's stores visible to this one.
        let free = self.word(vcpu::HOLDER).load(Ordering::Relaxed) == 0;
        let since = self.word(vcpu::SINCE).load(Ordering::Relaxed);
        self.write(u64::from(lane) + 1, now);
        (free && since != 0).then_some(since)
    }

    /// Its holder's lane + 1 (or 0) and since when, as a reader sees them; `None` while they are being changed.
    #[cfg(all(test, loom))]
    pub(crate) fn read(&self) -> Option<(u64, u64)> {
        // Acquire: the words below are not older than the sequence.
        let before = self.word(vcpu::SEQUENCE).load(Ordering::Acquire);
        let words = [vcpu::HOLDER, vcpu::SINCE].map(|word| self.word(word).load(Ordering::Relaxed));
        // Acquire fence: pairs with the writer's release fence; a word that was newer shows a newer sequence.
        fence(Ordering::Acquire);
        let after = self.word(vcpu::SEQUENCE).load(Ordering::Relaxed);
        (before == after && before % 2 == 0).then_some((words[0], words[1]))
    }

    /// The thread that has come to it was on the virtual CPU with index `from` before.
    pub(crate) fn came_from(&self, from: u32) {
        if from < vcpu::MOST as u32 {
            // A locked addition: it is rare, and where the guest does not tell its transitions, nothing says that the thread
            // is still here. Relaxed: a counter.
            self.word(vcpu::CAME_FROM + from as usize).fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Nobody holds it since `now`.
    #[inline(always)]
    pub(crate) fn release(&self, now: u64) {
        self.write(0, now);
    }

    /// A sequence lock with one writer (Boehm, "Can Seqlocks Get Along With Programming Language Memory Models?", 2012).
    #[inline(always)]
    fn write(&self, holder: u64, since: u64) {
        let sequence = self.word(vcpu::SEQUENCE);
        let before = sequence.load(Ordering::Relaxed);
        sequence.store(before.wrapping_add(1), Ordering::Relaxed);
        // Release fence: a reader that sees one of the words below sees the odd sequence too.
        fence(Ordering::Release);
        self.word(vcpu::HOLDER).store(holder, Ordering::Relaxed);
        self.word(vcpu::SINCE).store(since, Ordering::Relaxed);
        // Release: a reader that sees the even sequence sees both words.
        sequence.store(before.wrapping_add(2), Ordering::Release);
    }
}
