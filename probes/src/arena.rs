//! The words of a segment, from the writer's side: handed out once, never moved, never taken back.

use crate::layout::{BLOCK_ALIGN, LINK, header};
use crate::primitive::{AtomicU64, Mutex, Ordering};
use crate::provider::{Provide, Provider};
use core::ops::{DerefMut, Range};
use core::ptr::NonNull;

/// A mapped segment that blocks are taken from.
#[derive(Debug)]
pub(crate) struct Arena {
    words: NonNull<AtomicU64>,
    capacity: usize,
    provider: Provider,
    room: Mutex<Room>,
}

#[derive(Debug)]
struct Room {
    /// Words that may be written: provided by the host, at least those in use.
    provided: usize,
    /// The word that will link to the next block of each chain.
    chain_ends: [usize; CHAINS.len()],
    runs: [Run; Kind::Other as usize + 1],
}

/// What a block is. Those of a kind lie in runs, so that who reads all of them again and again has few pieces to read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Lanes = 0,
    /// Cells of lanes.
    Cells = 1,
    /// Their tables.
    Tables = 2,
    /// Cells of locks, with their tables.
    CellsApart = 3,
    Chunks = 4,
    Locks = 5,
    Waits = 6,
    Stacks = 7,
    Tallies = 8,
    /// What there is little of.
    Other = 9,
}

/// Room for blocks of a kind, and how much there has been of it.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    next: usize,
    end: usize,
    total: usize,
}

/// How long a run is: half of what its kind has already, so that no more than a third is never used; but 64 KiB at most, which
/// a reader reads at once.
const SHARE: usize = 2;
const LONGEST: usize = 64 * 1024 / 8;

/// The chains of blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Chain {
    Cells = 0,
    Lanes = 1,
    Vcpus = 2,
    Stacks = 3,
    Locks = 4,
    Waits = 5,
    Modules = 6,
    Tallies = 7,
}

/// Where each of them begins.
const CHAINS: [usize; 8] = [
    header::CELLS,
    header::LANES,
    header::VCPUS,
    header::STACKS,
    header::LOCKS,
    header::WAITS,
    header::MODULES,
    header::TALLIES,
];

// SAFETY: the words are atomics, shared by design; everything else is plain data or behind a lock.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

/// How much is asked of the host at a time: 16 KiB, in some 10 µs. Few enough calls, and little that is never used.
const STEP: usize = 16 * 1024 / 8;

impl Arena {
    /// An arena of `capacity` words at `words`, all zero, of which only the header is in use.
    ///
    /// # Safety
    /// `words` must stay mapped for as long as the arena lives. What `provide` has agreed to must be writable.
    pub(crate) unsafe fn new(words: NonNull<AtomicU64>, capacity: usize, provide: Provide) -> Option<Self> {
        let first = header::SIZE.next_multiple_of(STEP).min(capacity);
        if first < header::SIZE || !provide(words, 0, first) {
            return None;
        }
        let room = Room { provided: first, chain_ends: CHAINS, runs: Default::default() };
        let arena = Arena { words, capacity, provider: Provider::new(provide), room: Mutex::new(room) };
        arena.word(header::CAPACITY).store(capacity as u64, Ordering::Relaxed);
        arena.word(header::USED).store(header::SIZE as u64, Ordering::Relaxed);
        Some(arena)
    }

    /// The word at `position`, which must lie in the header or in a block that was allocated.
    #[inline(always)]
    pub(crate) fn word(&self, position: usize) -> &AtomicU64 {
        debug_assert!(position < self.capacity);
        // SAFETY: positions come from this file's own blocks, which lie in the mapping. (The words live as long as
        // the arena, by `new`'s contract.)
        unsafe { self.words.add(position).as_ref() }
    }

    /// Whether there was no more room just now. Every thread that finds no place for what it counts asks at every call then: what
    /// little room there may be is not worth their waiting for each other.
    pub(crate) fn is_full(&self) -> bool {
        self.provider.has_refused()
    }

    /// The position of a new block of `size` zero words; `None` when the segment or the disk below it is full.
    pub(crate) fn allocate(&self, kind: Kind, size: usize) -> Option<usize> {
        if self.is_full() {
            return None;
        }
        let size = size.next_multiple_of(BLOCK_ALIGN);
        // Where there is no room for a whole run there may be some for the block.
        let found = [LONGEST, 0].into_iter().find_map(|longest| self.allocate_in_run(kind, size, longest));
        if found.is_none() {
            self.give_up_the_rest();
        }
        found
    }

    /// The same; if a new run is needed, it is of `longest` words at most, or just the block.
    fn allocate_in_run(&self, kind: Kind, size: usize, longest: usize) -> Option<usize> {
        loop {
            let missing = match self.room().allocate(self, kind, size, longest) {
                Ok(position) => return Some(position),
                Err(missing) => missing?,
            };
            // Without the lock: this is a system call, and who sleeps for the lock meanwhile, with a virtual CPU perhaps, would lose
            // more than that takes. Others may ask for the same words, which does no harm. All that is missing before them is asked
            // for as well, so that what is provided has no gaps.
            if !self.provider.provide(self.words, missing.start, missing.end) {
                return None;
            }
            let mut room = self.room();
            room.provided = room.provided.max(missing.end);
        }
    }

    /// Where too little is left for nearly all that may be asked for, nothing is handed out for a while.
    fn give_up_the_rest(&self) {
        let left = self.capacity - self.word(header::USED).load(Ordering::Relaxed) as usize;
        if left < BLOCK_ALIGN.max(self.capacity / 1024) {
            self.provider.has_no_more();
        }
    }

    /// Appends the filled block at `block` to `chain`.
    pub(crate) fn append(&self, chain: Chain, block: usize) {
        let mut room = self.room();
        let end = core::mem::replace(&mut room.chain_ends[chain as usize], block + LINK);
        // Release: whoever follows the link sees the block filled.
        self.word(end).store(block as u64, Ordering::Release);
    }

    fn room(&self) -> impl DerefMut<Target = Room> + '_ {
        // Nothing panics while the lock is held.
        self.room.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Writes `text` into `words` words at `position`, cut to fit at a character's boundary, padded with zeros.
    pub(crate) fn write_text(&self, position: usize, words: usize, text: &str) {
        let mut bytes = text.as_bytes();
        if bytes.len() > words * 8 {
            bytes = &bytes[..text.floor_char_boundary(words * 8)];
        }
        for word in 0..words {
            let mut eight = [0; 8];
            let rest = bytes.get(word * 8..).unwrap_or_default();
            let length = rest.len().min(8);
            eight[..length].copy_from_slice(&rest[..length]);
            self.word(position + word).store(u64::from_ne_bytes(eight), Ordering::Relaxed);
        }
    }
}

impl Room {
    /// The position of a new block. `Err`: which words must be provided first; `None`: there is no room.
    fn allocate(
        &mut self,
        arena: &Arena,
        kind: Kind,
        size: usize,
        longest: usize,
    ) -> Result<usize, Option<Range<usize>>> {
        let Run { next, end, total } = self.runs[kind as usize];
        if size <= end - next {
            self.runs[kind as usize].next += size;
            return Ok(next);
        }
        let length = (total / SHARE).min(longest).next_multiple_of(BLOCK_ALIGN).max(size);
        let start = self.take(arena, length)?;
        self.runs[kind as usize] = Run { next: start + size, end: start + length, total: total + length };
        Ok(start)
    }

    /// The position of `length` more words in use. `Err` as above.
    fn take(&mut self, arena: &Arena, length: usize) -> Result<usize, Option<Range<usize>>> {
        // Relaxed: only changed under the lock.
        let position = arena.word(header::USED).load(Ordering::Relaxed) as usize;
        let end = position.checked_add(length).filter(|end| *end <= arena.capacity).ok_or(None)?;
        if end > self.provided {
            return Err(Some(self.provided..end.next_multiple_of(STEP).min(arena.capacity)));
        }
        // Release: a reader that copies up to USED finds zeros there or what the owner has written since.
        arena.word(header::USED).store(end as u64, Ordering::Release);
        Ok(position)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::testing::arena;

    #[test]
    fn blocks_of_a_kind_lie_together() {
        let arena = arena(1 << 18);
        let (mut cells, mut waits) = (Vec::new(), Vec::new());
        for _ in 0..1000 {
            cells.push(arena.allocate(Kind::Cells, 128).unwrap());
            waits.push(arena.allocate(Kind::Waits, 10).unwrap());
        }
        let pieces = |blocks: &[usize], size| 1 + blocks.windows(2).filter(|pair| pair[1] != pair[0] + size).count();
        assert!(pieces(&cells, 128) < 30 && pieces(&waits, 16) < 30, "{cells:?} {waits:?}");
        let used = arena.word(header::USED).load(Ordering::Relaxed) as usize;
        assert!(used < header::SIZE + 1000 * (128 + 16) * 3 / 2, "{used}");
        let mut all: Vec<_> =
            cells.iter().map(|cell| (*cell, 128)).chain(waits.iter().map(|wait| (*wait, 16))).collect();
        all.sort_unstable();
        assert!(all[0].0 >= header::SIZE && all.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0));
    }

    #[test]
    fn little_room_is_used_to_its_end() {
        let arena = arena(header::SIZE + 10 * BLOCK_ALIGN);
        let blocks = std::iter::from_fn(|| arena.allocate(Kind::Chunks, 3)).count();
        assert_eq!((blocks, arena.allocate(Kind::Other, 1)), (10, None));
    }

    /// What a host has agreed to, as ranges of words.
    static AGREED: std::sync::Mutex<Vec<Range<usize>>> = std::sync::Mutex::new(Vec::new());

    /// One that is slow, and has words up to a limit.
    fn slow_host(_: NonNull<AtomicU64>, from: usize, to: usize) -> bool {
        const LIMIT: usize = 1 << 16;
        std::thread::yield_now();
        let agrees = to <= LIMIT;
        if agrees {
            AGREED.lock().unwrap().push(from..to);
        }
        agrees
    }

    #[test]
    fn what_several_threads_take_is_provided_and_distinct() {
        let words: Vec<AtomicU64> = (0..1 << 17).map(|_| AtomicU64::new(0)).collect();
        let words = words.leak();
        // SAFETY: leaked and zero.
        let arena = unsafe { Arena::new(NonNull::from(&words[0]), words.len(), slow_host) }.unwrap();
        // Blocks without padding, so that all that is used is counted below, whoever takes most of it.
        let sizes = [1, 2, 7, 44].map(|blocks| blocks * BLOCK_ALIGN);
        let take = |nth: usize| {
            let one = || arena.allocate(Kind::Chunks, sizes[nth]).map(|at| at..at + sizes[nth]);
            std::iter::from_fn(one).collect::<Vec<_>>()
        };
        let mut taken: Vec<Range<usize>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|nth| scope.spawn(move || take(nth))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        taken.sort_by_key(|block| block.start);
        assert!(taken.windows(2).all(|pair| pair[0].end <= pair[1].start), "two have it");
        // Without gaps: each range begins where words are provided already.
        let mut agreed = AGREED.lock().unwrap().clone();
        agreed.sort_by_key(|range| range.start);
        let provided = agreed.iter().fold(0, |until, range| {
            assert!(range.start <= until, "a gap before {range:?}");
            until.max(range.end)
        });
        assert!(taken.last().is_some_and(|last| last.end <= provided), "{provided} words");
        assert!(taken.iter().map(|block| block.len()).sum::<usize>() > provided / 2, "most of what there is");
    }
}
