//! What is in a cell: its figures, and the histogram that they go with.

use super::words::Words;
use crate::buckets::{CHUNK_BUCKETS, CHUNKS};
use crate::distribution::Distribution;
use crate::layout::{cell, chunk, table};
use crate::slot::Slot;

/// The figures of a cell, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) untimed: u64,
    pub(super) timed: u64,
    pub(super) sum: u64,
    pub(super) max: u64,
}

impl Figures {
    pub(super) fn of(block: &[u64]) -> Self {
        let [untimed, timed, sum, max] = [cell::UNTIMED, cell::TIMED, cell::SUM, cell::MAX].map(|word| block[word]);
        Figures { untimed, timed, sum, max }
    }

    pub(super) fn add(&mut self, other: Figures) {
        self.untimed = self.untimed.saturating_add(other.untimed);
        self.timed = self.timed.saturating_add(other.timed);
        self.sum = self.sum.wrapping_add(other.sum);
        self.max = self.max.max(other.max);
    }

    pub(super) fn events(&self) -> u64 {
        self.untimed.saturating_add(self.timed)
    }
}

/// What the cells at these positions hold, each with what it was before: what is the same is shared with that.
pub(crate) fn distributions(words: &mut Words<'_>, cells: &[(usize, &Distribution)]) -> Option<Vec<Distribution>> {
    let mut now: Vec<Distribution> = cells.iter().map(|(_, before)| (*before).clone()).collect();
    let mut order: Vec<usize> = (0..cells.len()).collect();
    order.sort_unstable_by_key(|number| cells[*number].0);
    let positions: Vec<_> = order.iter().map(|number| cells[*number].0).collect();
    apart(positions.iter().copied(), cell::SIZE)?;
    let mut tables = Vec::new();
    words.each(&positions, cell::SIZE, |nth, block| {
        let number = *order.get(nth)?;
        let (now, Figures { untimed, timed, sum, max }) = (now.get_mut(number)?, Figures::of(block));
        if (untimed, timed, sum, max) != (now.untimed, now.timed(), now.sum, now.max) {
            (now.untimed, now.sum, now.max) = (untimed, sum, max);
            tables.push((block[cell::TABLE] as usize, number));
        }
        Some(())
    })?;
    tables.sort_unstable();
    let positions: Vec<_> = tables.iter().map(|(table, _)| *table).collect();
    apart(positions.iter().copied(), table::SIZE)?;
    let mut parts: Vec<(usize, usize, usize)> = Vec::new();
    // As in `Cells::read_figures`: only after the figures of all.
    words.each(&positions, table::SIZE, |nth, block| {
        let (_, number) = *tables.get(nth)?;
        for (index, slot) in slots(block) {
            match slot {
                Slot::Empty => {}
                Slot::Lone { bucket, count } => {
                    let mut counts = [0; CHUNK_BUCKETS];
                    counts[bucket] = count.into();
                    now.get_mut(number)?.update_chunk(index, &counts);
                }
                Slot::Chunk(position) => parts.push((position, number, index)),
            }
        }
        Some(())
    })?;
    parts.sort_unstable();
    // Some may have been added only now; in a file that was copied while it was written they stay out of reach.
    if parts.last().is_some_and(|(position, ..)| words.is_newer(*position as u64)) {
        words.take_in_newer()?;
        parts.retain(|(position, ..)| !words.is_newer(*position as u64));
    }
    let positions: Vec<_> = parts.iter().map(|(position, ..)| *position).collect();
    apart(positions.iter().copied(), chunk::SIZE)?;
    words.each(&positions, chunk::SIZE, |nth, block| {
        let (_, number, index) = *parts.get(nth)?;
        now.get_mut(number)?.update_chunk(index, block.first_chunk()?);
        Some(())
    })?;
    Some(now)
}

/// `None`: two of the blocks of `size` words at these positions, which rise, have words in common. With a segment in which a
/// cell, a table or a chunk is part of two things we could be made to add up far more than it holds.
pub(super) fn apart(positions: impl Iterator<Item = usize>, size: usize) -> Option<()> {
    let mut free = 0;
    for position in positions {
        if position < free {
            return None;
        }
        free = position.checked_add(size)?;
    }
    Some(())
}

/// The slots of a cell's table, by the chunks that they are of.
pub(super) fn slots(block: &[u64]) -> impl Iterator<Item = (usize, Slot)> {
    (0..CHUNKS).map(|index| {
        let (word, shift) = table::slot(index);
        (index, Slot::unpack((block[word] >> shift) as u32))
    })
}
