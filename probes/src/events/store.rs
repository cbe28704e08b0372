//! The blocks of all lanes: a budget, and which one is used again next.

use super::block::{Block, Owner};
use crate::layout::event_block::SIZE;
use crate::primitive::{AtomicU64, Mutex, Ordering};
use crate::provider::{Provide, Provider};
use core::ptr::NonNull;
use std::collections::VecDeque;

/// How much is asked of the host at a time; also the least that events can have.
pub(crate) const STEP_BYTES: usize = 64 * 1024;
const STEP: usize = STEP_BYTES / 8;

/// The event blocks of a segment.
#[derive(Debug)]
pub(crate) struct Store {
    /// The first word of the segment.
    words: NonNull<AtomicU64>,
    /// The position of the first block.
    first: usize,
    /// How many blocks there can be.
    most: usize,
    provider: Provider,
    pool: Mutex<Pool>,
}

#[derive(Debug)]
struct Pool {
    /// Blocks that have been used.
    made: usize,
    /// Words behind `first` that may be written.
    provided: usize,
    /// Blocks that are full, and that their lanes have left: the one that was left first is in front. Since a block is left
    /// when its last event is recorded, that one has the oldest events.
    left: VecDeque<Block>,
}

// SAFETY: the words are atomics, shared by design; which lane writes a block is decided under the lock.
unsafe impl Send for Store {}
// SAFETY: as above.
unsafe impl Sync for Store {}

impl Store {
    /// A store of as many blocks as there is room for in `size` words at `first`; `None`: for none.
    ///
    /// # Safety
    /// These words, counted from `words`, belong to nobody else, are zero, and stay mapped for as long as the store lives.
    /// What `provide` has agreed to must be writable.
    pub(crate) unsafe fn new(words: NonNull<AtomicU64>, first: usize, size: usize, provide: Provide) -> Option<Self> {
        let most = size / SIZE;
        // All that there will ever be: on the way of an event nothing is allocated.
        let pool = Pool { made: 0, provided: 0, left: VecDeque::with_capacity(most) };
        (most != 0).then(|| Store { words, first, most, provider: Provider::new(provide), pool: Mutex::new(pool) })
    }

    /// The position of the first block.
    pub(crate) fn position(&self) -> usize {
        self.first
    }

    /// An empty block for `owner`, whose block so far was `full`; `None`: there are fewer blocks than lanes. `used` is told
    /// how many blocks have ever been used.
    ///
    /// Nobody waits here. A lane that finds another one at it begins its own block anew, and loses what is in that.
    pub(crate) fn next(&self, full: Option<Block>, owner: &Owner, used: &AtomicU64) -> Option<Block> {
        let Ok(mut pool) = self.pool.try_lock() else {
            let own = full?;
            own.begin(owner);
            return Some(own);
        };
        let block = match self.make(&mut pool) {
            Some(block) => {
                pool.left.extend(full);
                block.begin(owner);
                // Release: a reader that sees the number sees the block begun.
                used.store(pool.made as u64, Ordering::Release);
                return Some(block);
            }
            None => {
                pool.left.extend(full);
                pool.left.pop_front()?
            }
        };
        drop(pool);
        block.begin(owner);
        Some(block)
    }

    /// A block that was never used, while there are some.
    fn make(&self, pool: &mut Pool) -> Option<Block> {
        if pool.made == self.most {
            return None;
        }
        let end = (pool.made + 1) * SIZE;
        if end > pool.provided {
            let step = end.next_multiple_of(STEP).min(self.most * SIZE);
            if !self.provider.provide(self.words, self.first + pool.provided, self.first + step) {
                return None;
            }
            pool.provided = step;
        }
        let block = self.block(pool.made);
        pool.made += 1;
        Some(block)
    }

    /// Block number `index`.
    pub(crate) fn block(&self, index: usize) -> Block {
        debug_assert!(index < self.most);
        // SAFETY: inside of the store's own words, by `new`'s contract.
        unsafe { Block::new(self.words.add(self.first + index * SIZE)) }
    }
}
