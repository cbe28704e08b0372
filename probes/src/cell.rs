//! One counter with its histogram: where a measurement ends up.

use crate::arena::{Arena, Chain, Kind};
use crate::buckets::{CHUNK_BUCKETS, chunk_and_bucket};
use crate::layout::{cell, chunk, header, table};
use crate::primitive::{AtomicU64, Ordering, add};
use crate::slot::{self, Slot};
use crate::snapshot::Place;
use core::ptr::NonNull;

/// Values below this have a bucket each, in the first two chunks.
const LINEAR: usize = 2 * CHUNK_BUCKETS;

/// Room for cells of one lane, and their tables, which lie side by side as far as there is room for several.
#[derive(Debug, Default)]
pub(crate) struct Slab {
    cell: core::cell::Cell<usize>,
    table: core::cell::Cell<usize>,
    left: core::cell::Cell<usize>,
}

impl Slab {
    /// The position of a new cell with its table.
    fn allocate(&self, arena: &Arena) -> Option<usize> {
        if self.left.get() == 0 {
            let count = if self.table.get() == 0 { cell::FIRST_SIDE_BY_SIDE } else { cell::SIDE_BY_SIDE };
            let several = |kind: Kind, size: usize| arena.allocate(kind, count * size);
            let Some(tables) = several(Kind::Tables, table::SIZE) else { return alone(arena) };
            let Some(cells) = several(Kind::Cells, cell::SIZE) else { return alone(arena) };
            self.table.set(tables);
            self.cell.set(cells);
            self.left.set(count);
        }
        let (position, table) = (self.cell.get(), self.table.get());
        self.cell.set(position + cell::SIZE);
        self.table.set(table + table::SIZE);
        self.left.set(self.left.get() - 1);
        // Relaxed: published by `append`.
        arena.word(position + cell::TABLE).store(table as u64, Ordering::Relaxed);
        Some(position)
    }
}

/// The position of a new cell with its table and nothing else.
fn alone(arena: &Arena) -> Option<usize> {
    let position = arena.allocate(Kind::CellsApart, cell::SIZE + table::SIZE)?;
    // Relaxed: published by who says where the cell is.
    arena.word(position + cell::TABLE).store((position + cell::SIZE) as u64, Ordering::Relaxed);
    Some(position)
}

/// A cell in the segment, from its writer's side. Exactly one thread at a time may call the methods that write; that is
/// what makes them plain additions. A signal handler that makes hypercalls would be a second writer; rump kernels have
/// none.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Cell(NonNull<AtomicU64>);

impl Cell {
    /// A new cell for `metric` of `lane` at `place`, in the lane's `slab`; `None` when there is no room.
    pub(crate) fn create(arena: &Arena, slab: &Slab, lane: u32, place: Place, metric: usize) -> Option<Self> {
        let position = slab.allocate(arena)?;
        let key = u64::from(lane) << 32 | u64::from(place.number()) << 16 | metric as u64;
        let cell = Cell(NonNull::from(arena.word(position)));
        arena.word(cell.table() + table::KEY).store(key, Ordering::Relaxed);
        arena.append(Chain::Cells, position);
        Some(cell)
    }

    /// A new cell that is in no chain, and its position.
    pub(crate) fn create_apart(arena: &Arena) -> Option<(Self, usize)> {
        let position = alone(arena)?;
        Some((Cell(NonNull::from(arena.word(position))), position))
    }

    #[inline(always)]
    fn word(&self, index: usize) -> &AtomicU64 {
        debug_assert!(index < cell::SIZE);
        // SAFETY: a cell is `cell::SIZE` words of a segment that is never unmapped while it has writers.
        unsafe { self.0.add(index).as_ref() }
    }

    /// The position of its table.
    #[inline(always)]
    fn table(&self) -> usize {
        // Relaxed: as it was when the cell was made.
        self.word(cell::TABLE).load(Ordering::Relaxed) as usize
    }

    /// Counts one event that took `ticks`.
    #[inline(always)]
    pub(crate) fn record(&self, arena: &Arena, ticks: u64) {
        // The first two chunks are one linear scale and stand side by side: most calls are short, and their bucket is
        // found without any arithmetic that the next clock read would have to wait for.
        let (position, bucket) = if ticks < LINEAR as u64 {
            // Relaxed, here and below: written by this thread.
            (self.word(cell::LINEAR).load(Ordering::Relaxed) as i64, ticks as usize)
        } else {
            let (index, bucket) = chunk_and_bucket(ticks);
            // Negative where there is a lone bucket.
            (i64::from(self.packed_slot(arena, index) as i32), bucket)
        };
        if position > 0 {
            add(arena.word(position as usize + bucket), 1);
        } else if !self.place(arena, ticks) {
            return;
        }
        add(self.word(cell::SUM), ticks);
        let max = self.word(cell::MAX);
        if ticks > max.load(Ordering::Relaxed) {
            max.store(ticks, Ordering::Relaxed);
        }
        let timed = self.word(cell::TIMED);
        // Release: who sees that the event was counted finds it in the histogram.
        timed.store(timed.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    /// The slot of chunk `index`, as it is in the table.
    #[inline(always)]
    fn packed_slot(&self, arena: &Arena, index: usize) -> u32 {
        let (word, shift) = table::slot(index);
        // Relaxed: written by this thread.
        (arena.word(self.table() + word).load(Ordering::Relaxed) >> shift) as u32
    }

    fn set_slot(&self, arena: &Arena, index: usize, slot: Slot) {
        let (word, shift) = table::slot(index);
        let word = arena.word(self.table() + word);
        let others = word.load(Ordering::Relaxed) & !(u64::from(u32::MAX) << shift);
        // Release: a reader that follows a position finds the chunk below USED, and in it what the slot has counted so far.
        word.store(others | u64::from(slot.pack()) << shift, Ordering::Release);
    }

    /// Puts `ticks` into a chunk that has no room of its own yet. Where there is none to be had, counts the event as untimed
    /// and says `false`.
    #[cold]
    #[inline(never)]
    fn place(&self, arena: &Arena, ticks: u64) -> bool {
        let (index, bucket) = chunk_and_bucket(ticks);
        match Slot::unpack(self.packed_slot(arena, index)) {
            Slot::Empty => self.set_slot(arena, index, Slot::Lone { bucket, count: 1 }),
            Slot::Lone { bucket: same, count } if same == bucket && count < slot::MOST => {
                self.set_slot(arena, index, Slot::Lone { bucket, count: count + 1 });
            }
            _ => match self.add_chunk(arena, index) {
                Some(position) => add(arena.word(position + bucket), 1),
                None => {
                    self.count();
                    // A locked addition: many threads may run out of room at once. Relaxed: a counter.
                    arena.word(header::LOST_TIMINGS).fetch_add(1, Ordering::Relaxed);
                    return false;
                }
            },
        }
        true
    }

    /// Gives chunk `index` room of its own, or the first two; its position.
    fn add_chunk(&self, arena: &Arena, index: usize) -> Option<usize> {
        let (first, count) = if index < 2 { (0, 2) } else { (index, 1) };
        let position = arena.allocate(Kind::Chunks, count * chunk::SIZE)?;
        let chunks = (first..first + count).zip((position..).step_by(chunk::SIZE));
        for (index, position) in chunks {
            if let Slot::Lone { bucket, count } = Slot::unpack(self.packed_slot(arena, index)) {
                // Relaxed: published with the slot.
                arena.word(position + bucket).store(count.into(), Ordering::Relaxed);
            }
            self.set_slot(arena, index, Slot::Chunk(position));
        }
        if first == 0 {
            self.word(cell::LINEAR).store(position as u64, Ordering::Relaxed);
        }
        Some(position + (index - first) * chunk::SIZE)
    }

    /// Counts one event without a time.
    #[inline(always)]
    pub(crate) fn count(&self) {
        add(self.word(cell::UNTIMED), 1);
    }

    /// Whether the next event is to be counted without a time.
    #[inline(always)]
    pub(crate) fn is_left_out(&self) -> bool {
        // Relaxed, here and below: written by this thread.
        self.word(cell::UNTIMED).load(Ordering::Relaxed) < self.word(cell::SAMPLE_AT).load(Ordering::Relaxed)
    }

    /// The next `gap` events are to be counted without a time.
    pub(crate) fn leave_out(&self, gap: u64) {
        let untimed = self.word(cell::UNTIMED).load(Ordering::Relaxed);
        self.word(cell::SAMPLE_AT).store(untimed.saturating_add(gap), Ordering::Relaxed);
    }

    /// Whether the next event is to be timed, when only a sample is; counts it where it is not. `gap` draws how many
    /// events are left out before the one after.
    #[inline(always)]
    pub(crate) fn count_or_sample(&self, gap: impl FnOnce() -> u64) -> bool {
        let untimed = self.word(cell::UNTIMED).load(Ordering::Relaxed);
        let sample_at = self.word(cell::SAMPLE_AT);
        if untimed < sample_at.load(Ordering::Relaxed) {
            self.word(cell::UNTIMED).store(untimed + 1, Ordering::Relaxed);
            return false;
        }
        sample_at.store(untimed + gap(), Ordering::Relaxed);
        true
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::testing::{arena, distribution};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cell_agrees_with_hdrhistogram(values in proptest::collection::vec(1u64..(1 << 42), 1..200)) {
            let arena = arena(1 << 16);
            let cell = Cell::create(&arena, &Slab::default(), 0, Place::OffCpu, 0).unwrap();
            let mut reference = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 1 << 43, 3).unwrap();
            for &value in &values {
                cell.record(&arena, value);
                reference.record(value).unwrap();
            }
            let ours = distribution(&arena, 0);
            prop_assert_eq!(ours.count(), reference.len());
            prop_assert_eq!(ours.sum, values.iter().sum::<u64>());
            prop_assert_eq!(Some(ours.max), values.iter().copied().max());
            // The same scale for both, so that equal quantiles are equal ranks.
            let mut converted = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 1 << 43, 3).unwrap();
            for (low, high, count) in ours.buckets() {
                converted.record_n(low + (high - low) / 2, count).unwrap();
            }
            for quantile in [0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 1.0] {
                let (ours, theirs) = (converted.value_at_quantile(quantile), reference.value_at_quantile(quantile));
                prop_assert!(ours.abs_diff(theirs) as f64 <= 0.01 * theirs as f64, "{} and {}", ours, theirs);
            }
        }
    }

    #[test]
    fn a_full_segment_loses_times_but_no_counts() {
        let cells = cell::FIRST_SIDE_BY_SIDE * (cell::SIZE + table::SIZE);
        let arena = arena(header::SIZE + cells + 2 * chunk::SIZE);
        let cell = Cell::create(&arena, &Slab::default(), 0, Place::OffCpu, 0).unwrap();
        (0..10).for_each(|ticks| cell.record(&arena, ticks));
        (0..30).for_each(|_| cell.record(&arena, 5_000));
        let distribution = distribution(&arena, 0);
        let placed = u64::from(slot::MOST);
        assert_eq!((distribution.count(), distribution.timed()), (40, 10 + placed));
        assert_eq!(distribution.sum, 45 + placed * 5_000);
        assert_eq!(arena.word(header::LOST_TIMINGS).load(Ordering::Relaxed), 30 - placed);
        assert!(Cell::create(&arena, &Slab::default(), 0, Place::OffCpu, 1).is_none());
    }

    #[test]
    fn few_values_take_no_room() {
        let arena = arena(1 << 12);
        let used = || arena.word(header::USED).load(Ordering::Relaxed);
        let cell = Cell::create(&arena, &Slab::default(), 0, Place::OffCpu, 0).unwrap();
        let before = used();
        let few = [7, 100, 300, 5_000, 1 << 40];
        few.iter().for_each(|ticks| (0..slot::MOST).for_each(|_| cell.record(&arena, *ticks)));
        assert_eq!(used(), before);
        // A second bucket, and one time more in the same one. The chunk of 100 lies beside that of 7.
        [8, 300].iter().for_each(|ticks| cell.record(&arena, *ticks));
        assert_eq!(used(), before + 3 * chunk::SIZE as u64);
        let distribution = distribution(&arena, 0);
        let all: Vec<_> = distribution.buckets().map(|(low, _, count)| (low, count)).collect();
        let low = |ticks: u64| {
            let (chunk, bucket) = chunk_and_bucket(ticks);
            crate::buckets::bounds(chunk, bucket).0
        };
        let most = u64::from(slot::MOST);
        assert_eq!(
            all,
            [(7, most), (8, 1), (100, most), (low(300), most + 1), (low(5_000), most), (low(1 << 40), most)]
        );
        assert_eq!(arena.word(header::LOST_TIMINGS).load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_sample_counts_all() {
        let arena = arena(1 << 12);
        let cell = Cell::create(&arena, &Slab::default(), 0, Place::OffCpu, 0).unwrap();
        let mut timed = 0;
        for _ in 0..1000 {
            if cell.count_or_sample(|| 10) {
                cell.record(&arena, 7);
                timed += 1;
            }
        }
        let distribution = distribution(&arena, 0);
        assert_eq!((distribution.count(), distribution.timed()), (1000, timed));
        assert_eq!(timed, 91);
    }
}
