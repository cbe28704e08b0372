//! Counters and histograms of a segment, added up over threads.
//!
//! The figures of all cells stand in few places, and are read at every look. Of the histograms, which are many times as much,
//! only those are read whose figures have changed, and only for a whole snapshot; what is the same as before is shared with
//! the distributions that were made of it then.

use super::histograms::{Figures, apart, slots};
use super::tallies::{Counts, Tallies};
use super::words::{Chain, Words};
use crate::buckets::{CHUNK_BUCKETS, CHUNKS};
use crate::catalogue::{Hypercall, Metric, Quantity};
use crate::counts;
use crate::distribution::Distribution;
use crate::layout::{cell, chunk, header, table, tally};
use crate::slot::Slot;
use crate::snapshot::{Place, Thread, ThreadTotals};
use std::collections::BTreeMap;

type Key = (Place, Metric);

/// How many cells may be out of order: each of them is a piece to be read by itself.
const MOST_ASTRAY: usize = 64;

/// All cells and tallies, by place and metric.
#[derive(Debug, Default)]
pub(super) struct Cells {
    tallies: Tallies,
    chain: Chain,
    /// How many of the chain's blocks have been looked at.
    known: usize,
    /// Those of them whose tables were newer than the reading: a cell may have had its place before. They are looked at again.
    put_off: Vec<usize>,
    /// Those of which we know the metric: where they are, what they are of, and what was in them. Apart from each other, since
    /// there are many: what only a whole snapshot looks at is in nobody's way. So many are in the order of their positions.
    in_order: usize,
    positions: Vec<usize>,
    owners: Vec<Owner>,
    before: Vec<Before>,
    /// The sums by what they are of.
    by_key: BTreeMap<Key, usize>,
    sums: Vec<Sum>,
    /// The figures of each.
    figures: Vec<Figures>,
    histograms: Histograms,
}

/// Where the histograms of all sums are.
#[derive(Debug, Default)]
struct Histograms {
    /// The chunks of sums: of which sum, and which of its chunks.
    chunks: Vec<(u32, u8)>,
    /// The chunks of cells, in the order of their positions: where they are, and which of `chunks` each is a part of.
    parts: Vec<(usize, u32)>,
}

/// What a cell is of.
#[derive(Clone, Copy, Debug)]
struct Owner {
    lane: u32,
    /// The sum that it is a part of.
    sum: u32,
    /// What of its thread it adds to.
    total: Option<Total>,
}

/// What a thread has of its own ([`ThreadTotals`]).
#[derive(Clone, Copy, Debug)]
enum Total {
    Calls,
    Run,
    Off,
    Wanted,
    Migrations,
}

/// A cell as it was when a whole snapshot was made last.
#[derive(Debug, Default)]
struct Before {
    figures: Figures,
    /// Which chunks of its histogram are among the parts: bit *n* for chunk *n*.
    chunks: u64,
    /// What it has instead of the others.
    lone: Vec<Lone>,
}

/// The only bucket that a cell has in a chunk.
#[derive(Clone, Copy, Debug)]
struct Lone {
    index: u8,
    bucket: u8,
    count: u32,
}

const _: () = assert!(CHUNKS <= u64::BITS as usize);

/// Cells of one metric at one place, one for each thread.
#[derive(Debug)]
struct Sum {
    /// Which of [`Histograms::chunks`] its chunks are.
    chunks: [u32; CHUNKS],
    /// As it was when a whole snapshot was made last, and how many timed events it had then.
    last: Distribution,
    placed: u64,
    /// A cell has changed since then.
    changed: bool,
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
        self.figures.fill(Figures::default());
        let tallies = self.tallies.read(words, threads)?;
        tallies.into_iter().for_each(|(place, counts)| self.add_tallies(place, &counts));
        self.read_figures(words, threads, whole)?;
        if whole {
            self.read_histograms(words)?;
        }
        // In the order of the keys, so the map is built in one go.
        let distribution = |sum: usize| self.sums[sum].distribution(&self.figures[sum], whole);
        let mut cells = self.by_key.iter().map(|(key, sum)| (*key, distribution(*sum))).collect();
        add_overflow(words, calls, &mut cells)?;
        Some(cells)
    }

    /// Looks for cells that were added.
    fn find(&mut self, words: &mut Words<'_>, calls: &[Option<Hypercall>]) -> Option<()> {
        self.chain.extend(words, header::CELLS, cell::SIZE)?;
        let mut added = core::mem::take(&mut self.put_off);
        added.extend_from_slice(&self.chain.positions()[self.known..]);
        self.known = self.chain.positions().len();
        if added.is_empty() {
            return Some(());
        }
        added.sort_unstable();
        let newer = words.newer();
        let mut tables = Vec::with_capacity(added.len());
        words.each(&added, cell::SIZE, |number, block| {
            let (table, position) = (block[cell::TABLE], *added.get(number)?);
            if newer.contains(&table) {
                self.put_off.push(position);
            } else {
                tables.push((table as usize, position));
            }
            Some(())
        })?;
        tables.sort_unstable();
        let positions: Vec<_> = tables.iter().map(|(table, _)| *table).collect();
        apart(positions.iter().copied(), table::SIZE)?;
        let mut keys = Vec::with_capacity(tables.len());
        words.each(&positions, table::SIZE, |_, block| {
            keys.push(block[table::KEY]);
            Some(())
        })?;
        for ((_, position), key) in tables.into_iter().zip(keys) {
            let Some(metric) = metric(calls, usize::from(key as u16)) else { continue };
            let place = Place::from_number((key >> 16) as u16)?;
            let sum = self.sum((place, metric));
            let owner = Owner { lane: (key >> 32) as u32, sum: sum as u32, total: Total::of(metric.quantity) };
            self.positions.push(position);
            self.owners.push(owner);
            self.before.push(Before::default());
        }
        if self.positions.len() > self.in_order + MOST_ASTRAY {
            self.sort();
        }
        Some(())
    }

    /// The number of the sum of what is of this; 0 in all figures if it is a new one.
    fn sum(&mut self, key: Key) -> usize {
        *self.by_key.entry(key).or_insert_with(|| {
            self.sums.push(Sum::new());
            self.figures.push(Figures::default());
            self.sums.len() - 1
        })
    }

    /// Adds quick calls at `place` that were not timed.
    fn add_tallies(&mut self, place: Place, counts: &Counts) {
        for (call, untimed) in tally::CALLS.into_iter().zip(*counts).filter(|(_, untimed)| *untimed != 0) {
            let sum = self.sum((place, Metric::call(call)));
            self.figures[sum].add(Figures { untimed, ..Figures::default() });
        }
    }

    fn sort(&mut self) {
        let cells = self.positions.drain(..).zip(self.owners.drain(..).zip(self.before.drain(..)));
        let mut cells: Vec<_> = cells.collect();
        cells.sort_by_key(|(position, _)| *position);
        self.in_order = cells.len();
        for (position, (owner, before)) in cells {
            self.positions.push(position);
            self.owners.push(owner);
            self.before.push(before);
        }
    }

    /// Adds the figures of all cells; of those that have changed also, if it is to be `whole`, where their histograms are.
    fn read_figures(&mut self, words: &mut Words<'_>, threads: &mut [Thread], whole: bool) -> Option<()> {
        let Cells { positions, owners, before, sums, figures: all, histograms, .. } = self;
        // The tables of cells that have changed, and which cells these are.
        let mut tables = Vec::new();
        words.each(positions, cell::SIZE, |number, block| {
            let owner = owners.get(number)?;
            let figures = Figures::of(block);
            if whole {
                let before = before.get_mut(number)?;
                if figures != before.figures {
                    before.figures = figures;
                    sums.get_mut(owner.sum as usize)?.changed = true;
                    tables.push((block[cell::TABLE] as usize, number));
                }
            }
            all.get_mut(owner.sum as usize)?.add(figures);
            if let Some(total) = owner.total
                && let Some(thread) = thread_of(threads, owner.lane)
            {
                total.add(&mut thread.totals, figures);
            }
            Some(())
        })?;
        if tables.is_empty() {
            return Some(());
        }
        // What the figures count is in the histograms that are read after them; not in those that were read with them.
        tables.sort_unstable();
        let positions: Vec<_> = tables.iter().map(|(table, _)| *table).collect();
        let newer = words.newer();
        let mut added = Vec::new();
        words.each(&positions, table::SIZE, |number, block| {
            let (_, cell) = *tables.get(number)?;
            let (before, number) = (before.get_mut(cell)?, owners.get(cell)?.sum);
            let sum = sums.get_mut(number as usize)?;
            for (index, slot) in slots(block) {
                match slot {
                    Slot::Empty => {}
                    Slot::Lone { bucket, count } => {
                        histograms.number(number, sum, index);
                        before.count_lone(Lone { index: index as u8, bucket: bucket as u8, count });
                    }
                    Slot::Chunk(position) if newer.contains(&(position as u64)) => added.push((position, cell, index)),
                    Slot::Chunk(position) => histograms.add(before, number, sum, index, position),
                }
            }
            Some(())
        })?;
        if added.is_empty() {
            return Some(());
        }
        words.take_in_newer()?;
        for (position, cell, index) in added {
            let (before, number) = (before.get_mut(cell)?, owners.get(cell)?.sum);
            if words.is_newer(position as u64) {
                // In a file that was copied while it was written. It is looked at again the next time.
                before.figures = Figures::default();
            } else {
                histograms.add(before, number, sums.get_mut(number as usize)?, index, position);
            }
        }
        Some(())
    }

    /// Reads the histograms of all sums of which a cell has changed, in the order in which they lie in the segment.
    fn read_histograms(&mut self, words: &mut Words<'_>) -> Option<()> {
        let Cells { owners, before, sums, figures, histograms: Histograms { chunks, parts }, .. } = self;
        // Nearly all of them are in their order already, which this one makes use of.
        parts.sort();
        apart(parts.iter().map(|(position, _)| *position), chunk::SIZE)?;
        let is_read = |number: u32| chunks.get(number as usize).is_some_and(|(sum, _)| sums[*sum as usize].changed);
        let read = || parts.iter().filter(|(_, number)| is_read(*number));
        let positions: Vec<_> = read().map(|(position, _)| *position).collect();
        // Room for those that have parts: these lie apart, so it is no more than the segment's own.
        let mut places = vec![NONE; chunks.len()];
        let mut counts: Vec<[u64; CHUNK_BUCKETS]> = Vec::new();
        let mut into = read().map(|(_, number)| *number as usize);
        words.each(&positions, chunk::SIZE, |_, block| {
            let place = places.get_mut(into.next()?)?;
            if *place == NONE {
                *place = counts.len() as u32;
                counts.push([0; CHUNK_BUCKETS]);
            }
            counts::add(counts.get_mut(*place as usize)?, block.first_chunk()?);
            Some(())
        })?;
        // Lone buckets: added to those, or for chunks that have nothing else, taken together later.
        let mut lone = Vec::new();
        for (owner, before) in owners.iter().zip(before).filter(|(_, before)| !before.lone.is_empty()) {
            let sum = sums.get(owner.sum as usize)?;
            for Lone { index, bucket, count } in before.lone.iter().filter(|_| sum.changed) {
                let number = sum.chunks[usize::from(*index)];
                match counts.get_mut(*places.get(number as usize)? as usize) {
                    Some(counts) => add_lone(counts, *bucket, *count),
                    None => lone.push((number, *bucket, *count)),
                }
            }
        }
        lone.sort_unstable();
        for (sum, figures) in sums.iter_mut().zip(figures).filter(|(sum, _)| sum.changed) {
            (sum.last.sum, sum.last.max) = (figures.sum, figures.max);
        }
        let mut update = |number: u32, counts: &[u64; CHUNK_BUCKETS]| {
            let (sum, index) = *chunks.get(number as usize)?;
            sums.get_mut(sum as usize)?.last.update_chunk(index.into(), counts);
            Some(())
        };
        for (number, place) in places.iter().enumerate().filter(|(_, place)| **place != NONE) {
            update(number as u32, counts.get(*place as usize)?)?;
        }
        for of_chunk in lone.chunk_by(|one, other| one.0 == other.0) {
            let mut counts = [0; CHUNK_BUCKETS];
            of_chunk.iter().for_each(|&(_, bucket, count)| add_lone(&mut counts, bucket, count));
            update(of_chunk[0].0, &counts)?;
        }
        for sum in sums.iter_mut().filter(|sum| sum.changed) {
            sum.placed = sum.last.timed();
            sum.changed = false;
        }
        Some(())
    }
}

impl Histograms {
    /// Which of `chunks` is the chunk `index` of `sum`, which is the one with that number.
    fn number(&mut self, number: u32, sum: &mut Sum, index: usize) -> u32 {
        if sum.chunks[index] == NONE {
            sum.chunks[index] = self.chunks.len() as u32;
            self.chunks.push((number, index as u8));
        }
        sum.chunks[index]
    }

    /// The chunk `index` of a cell that was so before, a part of `sum`, which is the one with that number, is at `position`.
    fn add(&mut self, before: &mut Before, number: u32, sum: &mut Sum, index: usize, position: usize) {
        if before.chunks & 1 << index == 0 {
            before.chunks |= 1 << index;
            before.lone.retain(|lone| usize::from(lone.index) != index);
            let number = self.number(number, sum, index);
            self.parts.push((position, number));
        }
    }
}

impl Before {
    /// A lone bucket has this now.
    fn count_lone(&mut self, now: Lone) {
        match self.lone.iter_mut().find(|lone| lone.index == now.index) {
            Some(lone) => *lone = now,
            None => self.lone.push(now),
        }
    }
}

fn add_lone(counts: &mut [u64; CHUNK_BUCKETS], bucket: u8, count: u32) {
    let counted = &mut counts[usize::from(bucket)];
    *counted = counted.wrapping_add(count.into());
}

/// In place of a chunk's number.
const NONE: u32 = u32::MAX;

impl Sum {
    fn new() -> Self {
        Sum { chunks: [NONE; CHUNKS], last: Distribution::default(), placed: 0, changed: false }
    }

    /// All of it, if it is `whole`; otherwise its `figures` with the histogram of before.
    fn distribution(&self, figures: &Figures, whole: bool) -> Distribution {
        let Figures { untimed, timed, sum, .. } = *figures;
        let mut distribution = self.last.clone();
        distribution.untimed = untimed;
        if !whole {
            distribution.sum = sum;
            distribution.unplaced = timed.saturating_sub(self.placed);
        }
        distribution
    }
}

/// The thread that has a lane. Lanes are numbered from 0, so in a segment that is not forged it is at its number.
pub(super) fn thread_of(threads: &mut [Thread], lane: u32) -> Option<&mut Thread> {
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

impl Total {
    fn of(quantity: Quantity) -> Option<Self> {
        match quantity {
            Quantity::Call | Quantity::Slow | Quantity::First => Some(Total::Calls),
            Quantity::Run => Some(Total::Run),
            Quantity::Off => Some(Total::Off),
            Quantity::Reschedule | Quantity::SlowReschedule => Some(Total::Wanted),
            Quantity::Migration => Some(Total::Migrations),
            _ => None,
        }
    }

    /// Adds what a cell has to `totals`.
    fn add(self, totals: &mut ThreadTotals, figures: Figures) {
        let (total, added) = match self {
            Total::Calls => (&mut totals.calls, figures.events()),
            Total::Run => (&mut totals.run, figures.sum),
            Total::Off => (&mut totals.off, figures.sum),
            Total::Wanted => (&mut totals.wanted, figures.sum),
            Total::Migrations => (&mut totals.migrations, figures.events()),
        };
        *total = total.saturating_add(added);
    }
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
    // By the writer's numbers: there is one for each of its metrics.
    let quantities = usize::try_from(words.header(header::QUANTITIES)).ok()?;
    let size = calls.len().checked_mul(quantities)?;
    for (number, &count) in words.block(words.header(header::OVERFLOW), size)?.iter().enumerate() {
        if let (Some(metric), 1..) = (metric(calls, number), count) {
            let distribution = cells.entry((Place::Unknown, metric)).or_default();
            distribution.untimed = distribution.untimed.saturating_add(count);
        }
    }
    Some(())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::cell::{Cell, Slab};
    use crate::distribution::Distribution;
    use crate::reader::{Segment, distributions};
    use crate::testing::{arena, blocks};
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_chunk_that_was_added_after_the_header_was_read_is_seen() {
        const WORDS: usize = 1 << 14;
        let (arena, call) = (arena(WORDS), Hypercall::Getrandom);
        let path = std::env::temp_dir().join(format!("rumpscope-newer-{}", std::process::id()));
        let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let write = || {
            let words =
                (0..WORDS).flat_map(|word| arena.word(word).load(crate::primitive::Ordering::Relaxed).to_ne_bytes());
            file.write_all_at(&words.collect::<Vec<_>>(), 0).unwrap();
        };
        let cell = Cell::create(&arena, &Slab::default(), 0, Place::OffCpu, Metric::call(call).number()).unwrap();
        cell.record(&arena, 10_000);
        write();
        let segment = Segment { path, file: file.try_clone().unwrap() };
        let mut head = segment.read_at(0, header::SIZE).unwrap();
        head[header::CAPACITY] = WORDS as u64;
        cell.record(&arena, 10_100);
        write();

        let mut copy = Vec::new();
        let mut words = Words::new(&segment, &head, &mut copy).unwrap();
        let calls: Vec<_> = (0..Hypercall::COUNT).map(Hypercall::from_number).collect();
        let cells = Cells::default().read(&mut words, &calls, &mut [], true).expect("no damage");
        assert_eq!(cells[&(Place::OffCpu, Metric::call(call))].timed(), 2);
        let mut words = Words::new(&segment, &head, &mut copy).unwrap();
        let of_cell = (blocks(&arena, header::CELLS)[0], &Distribution::default());
        let distribution = distributions(&mut words, &[of_cell]).expect("no damage");
        assert_eq!(distribution[0].timed(), 2);

        // In a copy of a file that was written meanwhile, whose header is older than the rest, it is left out.
        file.write_all_at(&head[header::USED].to_ne_bytes(), 8 * header::USED as u64).unwrap();
        let mut words = Words::new(&segment, &head, &mut copy).unwrap();
        let mut cells = Cells::default();
        assert!(cells.read(&mut words, &calls, &mut [], true).is_some());
        assert!(distributions(&mut words, &[of_cell]).is_some());
        write();
        let mut words = Words::new(&segment, &head, &mut copy).unwrap();
        let cells = cells.read(&mut words, &calls, &mut [], true).expect("no damage");
        assert_eq!(cells[&(Place::OffCpu, Metric::call(call))].timed(), 2, "once it can be read");
    }
}
