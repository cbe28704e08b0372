//! What the tests of several modules need: an arena in plain memory, and what was counted in it.

use crate::arena::Arena;
use crate::catalogue::Hypercall;
use crate::distribution::Distribution;
use crate::layout::{LINK, cell, header, table, tally};
use crate::primitive::{AtomicU64, Ordering};
use crate::slot::Slot;
use core::ptr::NonNull;

/// An arena of so many words. Leaked, as a process's own is; loom's run only for a model.
pub(crate) fn arena(words: usize) -> Arena {
    let words: Vec<AtomicU64> = (0..words).map(|_| AtomicU64::new(0)).collect();
    let words = words.leak();
    // SAFETY: leaked and zero.
    unsafe { Arena::new(NonNull::from(&words[0]), words.len(), |_, _, _| true) }.expect("room for a header")
}

/// The positions of the blocks in the chain that begins at header word `head`.
pub(crate) fn blocks(arena: &Arena, head: usize) -> Vec<usize> {
    let follow = |position: usize| match arena.word(position).load(Ordering::Acquire) as usize {
        0 => None,
        next => Some(next),
    };
    core::iter::successors(follow(head), |block| follow(block + LINK)).collect()
}

/// How much of a histogram is looked at: in a model only as much as it counts in, since loom follows every read.
const CHUNKS_READ: usize = if cfg!(loom) { 2 } else { crate::buckets::CHUNKS };
const BUCKETS_READ: usize = if cfg!(loom) { 4 } else { crate::buckets::CHUNK_BUCKETS };

/// What the cells and tallies of the metric with this number hold, added up.
pub(crate) fn distribution(arena: &Arena, metric: u64) -> Distribution {
    let read = |position: usize| arena.word(position).load(Ordering::Acquire);
    let mut total = Distribution::default();
    if let Some(word) = Hypercall::from_number(metric as usize).and_then(tally::word) {
        for position in blocks(arena, header::TALLIES) {
            total.untimed += tally::count(read(position + word));
        }
    }
    for position in blocks(arena, header::CELLS) {
        let table = read(position + cell::TABLE) as usize;
        if read(table + table::KEY) & 0xffff == metric {
            total.untimed += read(position + cell::UNTIMED);
            total.sum += read(position + cell::SUM);
            total.max = total.max.max(read(position + cell::MAX));
            for index in 0..CHUNKS_READ {
                let (word, shift) = table::slot(index);
                match Slot::unpack((read(table + word) >> shift) as u32) {
                    Slot::Empty => {}
                    Slot::Lone { bucket, count } => total.chunk_mut(index)[bucket] += u64::from(count),
                    Slot::Chunk(chunk) => {
                        for (bucket, count) in total.chunk_mut(index).iter_mut().enumerate().take(BUCKETS_READ) {
                            *count += read(chunk + bucket);
                        }
                    }
                }
            }
        }
    }
    total
}
