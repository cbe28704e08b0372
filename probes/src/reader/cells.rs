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
}

/// A cell that was read before.
#[derive(Debug)]
struct Known {
    position: usize,
    lane: u32,
    /// Its figures without the histogram, which change with nearly every event: not with one that took no tick.
    figures: [u64; FIGURES],
    /// The events in each chunk of its histogram. Counts only grow: a chunk that has as many as before is as it was.
    timed: [u64; CHUNKS],
    /// All its events.
    events: u64,
    /// Whether it had changed when it was read last. A cell is written one word after the other, so what has just changed
    /// may have been seen in part.
    unsettled: bool,
}

/// Untimed events, sum and maximum, which stand side by side.
const FIGURES: usize = 3;
const _: () = assert!(cell::SUM == cell::UNTIMED + 1 && cell::MAX == cell::UNTIMED + 2);

/// Chunks of a histogram, as bits.
type Chunks = u64;
const _: () = assert!(CHUNKS <= Chunks::BITS as usize);

/// So often, all histograms are looked at, whether their cells seem to have changed or not: an event that took no tick
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
            let lane = (key >> 32) as u32;
            self.by_key.entry((place, metric)).or_default().cells.push(Known::new(position, lane));
        }
        self.assigned = self.chain.positions().len();
        let all = self.reads.is_multiple_of(ALL);
        self.reads = self.reads.wrapping_add(1);
        for (&(_, metric), sum) in &mut self.by_key {
            sum.read(words, all)?;
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

impl Sum {
    /// Brings it up to date; `all`: also cells that do not seem to have changed.
    fn read(&mut self, words: &Words<'_>, all: bool) -> Option<()> {
        let (mut looked, mut changed) = (false, 0);
        for known in &mut self.cells {
            let block = words.block(known.position as u64, cell::SIZE)?;
            let figures = *block[cell::UNTIMED..].first_chunk()?;
            let differs = std::mem::replace(&mut known.figures, figures) != figures;
            if differs || known.unsettled || all {
                looked = true;
                changed |= known.look(words, block)?;
            }
            known.unsettled = differs;
        }
        if looked {
            self.add_up(words, changed)?;
        }
        Some(())
    }

    /// Adds the cells up, and of their histograms those chunks that have `changed`; the others are shared with what was
    /// made of it before.
    fn add_up(&mut self, words: &Words<'_>, mut changed: Chunks) -> Option<()> {
        let Sum { cells, last } = self;
        (last.untimed, last.sum, last.max) = (0, 0, 0);
        for Known { figures: [untimed, sum, max], .. } in cells.iter() {
            last.untimed = last.untimed.saturating_add(*untimed);
            last.sum = last.sum.wrapping_add(*sum);
            last.max = last.max.max(*max);
        }
        while changed != 0 {
            let index = changed.trailing_zeros() as usize;
            changed &= changed - 1;
            let mut counts = [0; CHUNK_BUCKETS];
            for known in cells.iter() {
                let position = words.block(known.position as u64, cell::SIZE)?[cell::CHUNKS + index];
                if position != 0 && !words.is_newer(position) {
                    add_counts(&mut counts, chunk(words, position)?);
                }
            }
            last.set_chunk(index, counts);
        }
        Some(())
    }
}

impl Known {
    fn new(position: usize, lane: u32) -> Self {
        Known { position, lane, figures: [0; FIGURES], timed: [0; CHUNKS], events: 0, unsettled: true }
    }

    /// Looks at the histogram of the cell, which is in `block`: which chunks have changed.
    fn look(&mut self, words: &Words<'_>, block: &[u64]) -> Option<Chunks> {
        let mut changed = 0;
        for (index, position) in chunks(words, block) {
            let timed = chunk(words, position)?.iter().fold(0, |timed, count| count.wrapping_add(timed));
            if std::mem::replace(&mut self.timed[index], timed) != timed {
                changed |= 1 << index;
            }
        }
        self.events = self.timed.iter().fold(block[cell::UNTIMED], |events, timed| events.wrapping_add(*timed));
        Some(changed)
    }
}

/// What the cell in `block` holds; what of it is as in `last` is shared with that.
pub(crate) fn distribution(words: &Words<'_>, block: &[u64], last: &Distribution) -> Option<Distribution> {
    let [untimed, sum, max] = *block[cell::UNTIMED..].first_chunk()?;
    let mut distribution = Distribution::without_histogram(untimed, sum, max);
    for (index, position) in chunks(words, block) {
        distribution.share_chunk(index, chunk(words, position)?, last);
    }
    Some(distribution)
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
