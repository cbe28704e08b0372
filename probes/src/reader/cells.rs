//! Counters and histograms of a segment, added up over threads.
//!
//! Most of them have not changed since they were read last, and most parts of those that have, neither: what is the same
//! is shared with the distributions that were made of it before, instead of being made anew.

use super::words::{Chain, Words};
use crate::buckets::{CHUNK_BUCKETS, CHUNKS};
use crate::catalogue::{Hypercall, Metric, Quantity};
use crate::distribution::{Distribution, add_counts};
use crate::layout::{cell, chunk, header, overflow};
use crate::snapshot::{Place, Thread, ThreadTotals};
use std::collections::BTreeMap;

type Key = (Place, Metric);

/// All cells, by place and metric.
#[derive(Debug, Default)]
pub(super) struct Cells {
    chain: Chain,
    /// How many of the chain's blocks have been assigned to a sum.
    assigned: usize,
    by_key: BTreeMap<Key, Sum>,
    /// How often they were read.
    reads: u32,
}

/// Cells of one metric at one place, one for each thread.
#[derive(Debug, Default)]
struct Sum {
    cells: Vec<Known>,
    /// What they came to last.
    last: Distribution,
    /// Whether a cell had changed when they were added up last. A cell is written one word after the other, so what has
    /// just changed may have been seen in part.
    unsettled: bool,
}

/// A cell that was read before.
#[derive(Debug)]
struct Known {
    position: usize,
    lane: u32,
    /// Its figures without the histogram, which change with nearly every event: not with one that took no tick.
    figures: [u64; FIGURES],
    /// All its events.
    events: u64,
}

/// Untimed events, sum and maximum, which stand side by side.
const FIGURES: usize = 3;
const _: () = assert!(cell::SUM == cell::UNTIMED + 1 && cell::MAX == cell::UNTIMED + 2);

/// So often, all histograms are added up, whether their cells seem to have changed or not: an event that took no tick
/// changes nothing else.
const ALL: u32 = 16;

impl Cells {
    /// What they hold now; what `threads`, which are in the order of their lanes, have of it is added to their totals.
    pub(super) fn read(
        &mut self,
        words: &Words<'_>,
        calls: &[Option<Hypercall>],
        threads: &mut [Thread],
    ) -> Option<BTreeMap<Key, Distribution>> {
        self.chain.extend(words, header::CELLS, cell::SIZE)?;
        for &position in &self.chain.positions()[self.assigned..] {
            let key = words.block(position as u64, cell::SIZE)?[cell::KEY];
            let Some(metric) = metric(calls, usize::from(key as u16)) else { continue };
            let place = Place::from_number((key >> 16) as u16);
            let known = Known { position, lane: (key >> 32) as u32, figures: [0; FIGURES], events: 0 };
            let sum = self.by_key.entry((place, metric)).or_default();
            sum.cells.push(known);
            sum.unsettled = true;
        }
        self.assigned = self.chain.positions().len();
        let all = self.reads.is_multiple_of(ALL);
        self.reads = self.reads.wrapping_add(1);
        let mut adding = Adding::default();
        for (&(_, metric), sum) in &mut self.by_key {
            let mut changed = false;
            for known in &mut sum.cells {
                let block = words.block(known.position as u64, cell::SIZE)?;
                let figures = *block[cell::UNTIMED..].first_chunk()?;
                changed |= std::mem::replace(&mut known.figures, figures) != figures;
            }
            if changed || sum.unsettled || all {
                for known in &mut sum.cells {
                    known.events = adding.add(words, words.block(known.position as u64, cell::SIZE)?)?;
                }
                sum.last = adding.finish(words, &sum.last)?;
            }
            sum.unsettled = changed;
            for known in &sum.cells {
                if let Some(thread) = thread_of(threads, known.lane) {
                    add_to_thread(&mut thread.totals, metric, known.events, known.figures[cell::SUM - cell::UNTIMED]);
                }
            }
        }
        // In the order of the keys, so the map is built in one go.
        let mut cells = self.by_key.iter().map(|(key, sum)| (*key, sum.last.clone())).collect();
        add_overflow(words, calls, &mut cells)?;
        Some(cells)
    }
}

/// What the cell in `block` holds; `last` is what it held when it was read before.
pub(crate) fn distribution(words: &Words<'_>, block: &[u64], last: &Distribution) -> Option<Distribution> {
    let mut adding = Adding::default();
    adding.add(words, block)?;
    adding.finish(words, last)
}

/// The thread that has a lane. Lanes are numbered from 0, so in a segment that is not forged it is at its number.
fn thread_of(threads: &mut [Thread], lane: u32) -> Option<&mut Thread> {
    let at = match threads.get(lane as usize) {
        Some(thread) if thread.lane == lane => lane as usize,
        _ => threads.binary_search_by_key(&lane, |thread| thread.lane).ok()?,
    };
    threads.get_mut(at)
}

/// The metric with the writer's number; `None`: we do not know it.
fn metric(calls: &[Option<Hypercall>], number: usize) -> Option<Metric> {
    let quantity = *Quantity::ALL.get(number.checked_div(calls.len())?)?;
    let call = (*calls.get(number % calls.len())?)?;
    Some(Metric { quantity, call })
}

/// The chunk at a position.
fn chunk<'a>(words: &Words<'a>, position: u64) -> Option<&'a [u64; CHUNK_BUCKETS]> {
    words.block(position, chunk::SIZE)?.first_chunk()
}

/// The chunks of a cell, and which of its histogram they are.
fn chunks(words: &Words<'_>, block: &[u64]) -> impl Iterator<Item = (usize, u64)> {
    let words = *words;
    let positions = block[cell::CHUNKS..cell::SIZE].iter().copied().enumerate();
    positions.filter(move |(_, position)| *position != 0 && !words.is_newer(*position))
}

/// Adds a cell of `metric`, that many events and ticks, to the totals of its thread.
fn add_to_thread(totals: &mut ThreadTotals, metric: Metric, events: u64, ticks: u64) {
    let (total, added) = match metric.quantity {
        Quantity::Call | Quantity::Slow => (&mut totals.calls, events),
        Quantity::Run => (&mut totals.run, ticks),
        Quantity::Off => (&mut totals.off, ticks),
        Quantity::Reschedule | Quantity::SlowReschedule => (&mut totals.wanted, ticks),
        Quantity::Migration => (&mut totals.migrations, events),
        _ => return,
    };
    *total = total.saturating_add(added);
}

/// Adds up cells.
struct Adding {
    untimed: u64,
    sum: u64,
    max: u64,
    /// For each chunk of the histogram, where its counts are.
    chunks: [Counts; CHUNKS],
    /// Counts of more than one cell.
    added: Vec<[u64; CHUNK_BUCKETS]>,
}

#[derive(Clone, Copy)]
enum Counts {
    None,
    /// Of one cell: in the copy, at this position.
    One(u64),
    /// Of several: in `added`, at this index.
    Several(usize),
}

impl Default for Adding {
    fn default() -> Self {
        Adding { untimed: 0, sum: 0, max: 0, chunks: [Counts::None; CHUNKS], added: Vec::new() }
    }
}

impl Adding {
    /// Adds the cell in `block`; how many events that were.
    fn add(&mut self, words: &Words<'_>, block: &[u64]) -> Option<u64> {
        let mut events = block[cell::UNTIMED];
        self.untimed = self.untimed.saturating_add(block[cell::UNTIMED]);
        self.sum = self.sum.wrapping_add(block[cell::SUM]);
        self.max = self.max.max(block[cell::MAX]);
        for (index, position) in chunks(words, block) {
            let counts = chunk(words, position)?;
            events = counts.iter().fold(events, |events, count| events.wrapping_add(*count));
            match self.chunks[index] {
                Counts::None => self.chunks[index] = Counts::One(position),
                Counts::One(first) => {
                    let mut added = *chunk(words, first)?;
                    add_counts(&mut added, counts);
                    self.chunks[index] = Counts::Several(self.added.len());
                    self.added.push(added);
                }
                Counts::Several(index) => add_counts(&mut self.added[index], counts),
            }
        }
        Some(events)
    }

    /// The sum; begins anew. What is as in `last` is shared with it.
    fn finish(&mut self, words: &Words<'_>, last: &Distribution) -> Option<Distribution> {
        let mut sum = Distribution::without_histogram(self.untimed, self.sum, self.max);
        for (index, counts) in self.chunks.iter_mut().enumerate() {
            match std::mem::replace(counts, Counts::None) {
                Counts::None => {}
                Counts::One(position) => sum.share_chunk(index, chunk(words, position)?, last),
                Counts::Several(added) => sum.share_chunk(index, &self.added[added], last),
            }
        }
        (self.untimed, self.sum, self.max) = (0, 0, 0);
        self.added.clear();
        Some(sum)
    }
}

/// Adds what found no room for a cell.
fn add_overflow(words: &Words<'_>, calls: &[Option<Hypercall>], cells: &mut BTreeMap<Key, Distribution>) -> Option<()> {
    if words.header(header::LOST_PLACES) == 0 || words.header(header::OVERFLOW) == 0 {
        return Some(());
    }
    for (number, &count) in words.block(words.header(header::OVERFLOW), overflow::SIZE)?.iter().enumerate() {
        if let (Some(metric), 1..) = (metric(calls, number), count) {
            let distribution = cells.entry((Place::Unknown, metric)).or_default();
            distribution.untimed = distribution.untimed.saturating_add(count);
        }
    }
    Some(())
}
