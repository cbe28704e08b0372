//! Counters and histograms of a segment, added up over threads.
//!
//! The figures of all cells stand in few places, and are read at every look. Of the histograms, which are many times as much,
//! only those are read whose figures have changed, and only for a whole snapshot; what is the same as before is shared with
//! the distributions that were made of it then.

use super::words::{Chain, Words};
use crate::buckets::{CHUNK_BUCKETS, CHUNKS};
use crate::catalogue::{Hypercall, Metric, Quantity};
use crate::counts;
use crate::distribution::Distribution;
use crate::layout::{cell, chunk, header, overflow, table};
use crate::snapshot::{Place, Thread, ThreadTotals};
use std::collections::BTreeMap;
use std::ops::Range;

type Key = (Place, Metric);

/// All cells, by place and metric.
#[derive(Debug, Default)]
pub(super) struct Cells {
    chain: Chain,
    /// How many of the chain's blocks have been looked at.
    known: usize,
    /// Those of which we know the metric, in the order of their positions.
    cells: Vec<Known>,
    positions: Vec<usize>,
    /// The sums by what they are of.
    by_key: BTreeMap<Key, usize>,
    sums: Vec<Sum>,
}

/// A cell that was read before.
#[derive(Debug)]
struct Known {
    position: usize,
    lane: u32,
    /// The sum that it is a part of.
    sum: usize,
    figures: Figures,
    /// Which chunks of the histogram there were when it was read last, and where they are.
    chunks: Box<[(u8, usize)]>,
    /// It has changed since then, or had a chunk that was newer than the reading.
    changed: bool,
}

/// Cells of one metric at one place, one for each thread.
#[derive(Debug)]
struct Sum {
    metric: Metric,
    figures: Figures,
    /// As it was when a whole snapshot was made last, and how many timed events it had then.
    last: Distribution,
    placed: u64,
    /// A cell has changed since then.
    changed: bool,
}

/// The figures of a cell, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Figures {
    untimed: u64,
    timed: u64,
    sum: u64,
    max: u64,
}

impl Figures {
    fn of(block: &[u64]) -> Self {
        let [untimed, timed, sum, max] = [cell::UNTIMED, cell::TIMED, cell::SUM, cell::MAX].map(|word| block[word]);
        Figures { untimed, timed, sum, max }
    }

    fn add(&mut self, other: Figures) {
        self.untimed = self.untimed.saturating_add(other.untimed);
        self.timed = self.timed.saturating_add(other.timed);
        self.sum = self.sum.wrapping_add(other.sum);
        self.max = self.max.max(other.max);
    }

    fn events(&self) -> u64 {
        self.untimed.saturating_add(self.timed)
    }
}

impl Cells {
    /// What they hold now; what `threads`, which are in the order of their lanes, have of it is added to their totals. Where
    /// it is not to be `whole`, the histograms are those of the last time that it was.
    pub(super) fn read(
        &mut self,
        words: &mut Words<'_>,
        calls: &[Option<Hypercall>],
        threads: &mut [Thread],
        whole: bool,
    ) -> Option<BTreeMap<Key, Distribution>> {
        self.find(words, calls)?;
        self.read_figures(words, threads, whole)?;
        if whole {
            self.read_histograms(words)?;
        }
        // In the order of the keys, so the map is built in one go.
        let mut cells = self.by_key.iter().map(|(key, sum)| (*key, self.sums[*sum].distribution(whole))).collect();
        add_overflow(words, calls, &mut cells)?;
        Some(cells)
    }

    /// Looks for cells that were added.
    fn find(&mut self, words: &mut Words<'_>, calls: &[Option<Hypercall>]) -> Option<()> {
        self.chain.extend(words, header::CELLS, cell::SIZE)?;
        let added = &self.chain.positions()[self.known..];
        if added.is_empty() {
            return Some(());
        }
        let mut added = added.to_vec();
        added.sort_unstable();
        let mut tables = Vec::with_capacity(added.len());
        words.each(&added, cell::SIZE, |number, block| {
            tables.push((block[cell::TABLE] as usize, *added.get(number)?));
            Some(())
        })?;
        tables.sort_unstable();
        let positions: Vec<_> = tables.iter().map(|(table, _)| *table).collect();
        let mut keys = Vec::with_capacity(tables.len());
        words.each(&positions, table::SIZE, |_, block| {
            keys.push(block[table::KEY]);
            Some(())
        })?;
        for ((_, position), key) in tables.into_iter().zip(keys) {
            let Some(metric) = metric(calls, usize::from(key as u16)) else { continue };
            let place = Place::from_number((key >> 16) as u16);
            let sum = *self.by_key.entry((place, metric)).or_insert_with(|| {
                self.sums.push(Sum::new(metric));
                self.sums.len() - 1
            });
            let (lane, figures, chunks) = ((key >> 32) as u32, Figures::default(), Box::default());
            self.cells.push(Known { position, lane, sum, figures, chunks, changed: false });
        }
        self.known = self.chain.positions().len();
        self.cells.sort_unstable_by_key(|cell| cell.position);
        self.positions = self.cells.iter().map(|cell| cell.position).collect();
        Some(())
    }

    /// Reads the figures of all cells; of those that have changed also, if it is to be `whole`, where their histograms are.
    fn read_figures(&mut self, words: &mut Words<'_>, threads: &mut [Thread], whole: bool) -> Option<()> {
        self.sums.iter_mut().for_each(|sum| sum.figures = Figures::default());
        let Cells { cells, positions, sums, .. } = self;
        // The tables of cells that have changed, and which cells these are.
        let mut tables = Vec::new();
        words.each(positions, cell::SIZE, |number, block| {
            let cell = cells.get_mut(number)?;
            let sum = sums.get_mut(cell.sum)?;
            let figures = Figures::of(block);
            if figures != cell.figures {
                cell.figures = figures;
                cell.changed = true;
            }
            sum.changed |= cell.changed;
            if whole && cell.changed {
                tables.push((block[cell::TABLE] as usize, number, block[cell::LINEAR]));
            }
            sum.figures.add(figures);
            if let Some(thread) = thread_of(threads, cell.lane) {
                add_to_thread(&mut thread.totals, sum.metric, figures);
            }
            Some(())
        })?;
        if tables.is_empty() {
            return Some(());
        }
        // What the figures count is in the histograms that are read after them; not in those that were read with them.
        words.renew();
        tables.sort_unstable();
        let positions: Vec<_> = tables.iter().map(|(table, ..)| *table).collect();
        let newer = words.newer();
        words.each(&positions, table::SIZE, |number, block| {
            let (_, cell, linear) = *tables.get(number)?;
            let cell = cells.get_mut(cell)?;
            cell.chunks = chunks(linear, block, &newer).map(|(index, position)| (index as u8, position)).collect();
            // What its figures count there is read the next time, whether they change by then or not.
            cell.changed = newer.contains(&linear) || block.iter().skip(1).any(|position| newer.contains(position));
            Some(())
        })
    }

    /// Reads the histograms of all sums of which a cell has changed, in the order in which they lie in the segment.
    fn read_histograms(&mut self, words: &mut Words<'_>) -> Option<()> {
        let Cells { cells, sums, .. } = self;
        // The chunks of the sums, and where in the segment the parts of each of them are.
        let mut numbers = vec![[None; CHUNKS]; sums.len()];
        let mut chunks: Vec<(usize, u8)> = Vec::new();
        let mut parts: Vec<(usize, usize)> = Vec::new();
        for cell in cells.iter().filter(|cell| sums[cell.sum].changed) {
            for (index, position) in &cell.chunks {
                let number = *numbers[cell.sum][usize::from(*index)].get_or_insert_with(|| {
                    chunks.push((cell.sum, *index));
                    chunks.len() - 1
                });
                parts.push((*position, number));
            }
        }
        parts.sort_unstable();
        let positions: Vec<_> = parts.iter().map(|(position, _)| *position).collect();
        // No chunk is a part of two cells: a segment in which one is could have us add up far more than it holds.
        if positions.windows(2).any(|pair| pair[1] - pair[0] < chunk::SIZE) {
            return None;
        }
        let mut counts = vec![[0; CHUNK_BUCKETS]; chunks.len()];
        words.each(&positions, chunk::SIZE, |number, block| {
            counts::add(&mut counts[parts.get(number)?.1], block.first_chunk()?);
            Some(())
        })?;
        for sum in sums.iter_mut().filter(|sum| sum.changed) {
            (sum.last.untimed, sum.last.sum, sum.last.max) = (sum.figures.untimed, sum.figures.sum, sum.figures.max);
        }
        for ((sum, index), counts) in chunks.into_iter().zip(&counts) {
            sums[sum].last.update_chunk(usize::from(index), counts);
        }
        for sum in sums.iter_mut().filter(|sum| sum.changed) {
            sum.placed = sum.last.timed();
            sum.changed = false;
        }
        Some(())
    }
}

impl Sum {
    fn new(metric: Metric) -> Self {
        Sum { metric, figures: Figures::default(), last: Distribution::default(), placed: 0, changed: false }
    }

    /// All of it, if it is `whole`; otherwise its figures with the histogram of before.
    fn distribution(&self, whole: bool) -> Distribution {
        let mut distribution = self.last.clone();
        if !whole {
            let Figures { untimed, timed, sum, .. } = self.figures;
            (distribution.untimed, distribution.sum) = (untimed, sum);
            distribution.unplaced = timed.saturating_sub(self.placed);
        }
        distribution
    }
}

/// What the cell in `block` holds; what of it is as in `last` is shared with that.
pub(crate) fn distribution(words: &mut Words<'_>, position: u64, last: &Distribution) -> Option<Distribution> {
    let block: [u64; cell::SIZE] = *words.block(position, cell::SIZE)?.first_chunk()?;
    let newer = words.newer();
    let Figures { untimed, timed, sum, max } = Figures::of(&block);
    if (untimed, timed, sum, max) == (last.untimed, last.timed(), last.sum, last.max) {
        return Some(last.clone());
    }
    let mut distribution = Distribution::without_histogram(untimed, sum, max);
    // As in `Cells::read_figures`.
    words.renew();
    let table: [u64; table::SIZE] = *words.block(block[cell::TABLE], table::SIZE)?.first_chunk()?;
    for (index, position) in chunks(block[cell::LINEAR], &table, &newer) {
        distribution.share_chunk(index, words.block(position as u64, chunk::SIZE)?.first_chunk()?, last);
    }
    Some(distribution)
}

/// The chunks of a histogram, and where they are: the first two at `linear`, the others by the table of its cell.
fn chunks(linear: u64, table: &[u64], newer: &Range<u64>) -> impl Iterator<Item = (usize, usize)> {
    let is_there = |position: &u64| *position != 0 && !newer.contains(position);
    let first =
        Some(linear).filter(is_there).map(|linear| [(0, linear), (1, linear.saturating_add(chunk::SIZE as u64))]);
    let others = (2..CHUNKS).map(|index| (index, table[table::chunk(index)])).filter(move |(_, at)| is_there(at));
    first.into_iter().flatten().chain(others).map(|(index, position)| (index, position as usize))
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

/// Adds what a cell of `metric` has to the totals of its thread.
fn add_to_thread(totals: &mut ThreadTotals, metric: Metric, figures: Figures) {
    let (total, added) = match metric.quantity {
        Quantity::Call | Quantity::Slow => (&mut totals.calls, figures.events()),
        Quantity::Run => (&mut totals.run, figures.sum),
        Quantity::Off => (&mut totals.off, figures.sum),
        Quantity::Reschedule | Quantity::SlowReschedule => (&mut totals.wanted, figures.sum),
        Quantity::Migration => (&mut totals.migrations, figures.events()),
        _ => return,
    };
    *total = total.saturating_add(added);
}

/// Adds what found no room for a cell.
fn add_overflow(
    words: &mut Words<'_>,
    calls: &[Option<Hypercall>],
    cells: &mut BTreeMap<Key, Distribution>,
) -> Option<()> {
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
