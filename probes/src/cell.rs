//! One counter with its histogram: where a measurement ends up.

use crate::arena::{Arena, Chain, Kind};
use crate::buckets::{CHUNK_BUCKETS, chunk_and_bucket};
use crate::layout::{cell, chunk, header, table};
use crate::primitive::{AtomicU64, Ordering, add};
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
            let several = |kind: Kind, size: usize| arena.allocate(kind, cell::SIDE_BY_SIDE * size);
            let Some(tables) = several(Kind::Tables, table::SIZE) else { return alone(arena) };
            let Some(cells) = several(Kind::Cells, cell::SIZE) else { return alone(arena) };
            self.table.set(tables);
            self.cell.set(cells);
            self.left.set(cell::SIDE_BY_SIDE);
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
        let (index, place, bucket) = if ticks < LINEAR as u64 {
            (0, self.word(cell::LINEAR), ticks as usize)
        } else {
            let (index, bucket) = chunk_and_bucket(ticks);
            (index, arena.word(self.table() + table::chunk(index)), bucket)
        };
        // Relaxed: written by this thread.
        let mut position = place.load(Ordering::Relaxed) as usize;
        if position == 0 {
            position = match self.add_chunk(arena, index, place) {
                Some(position) => position,
                None => return,
            };
        }
        add(arena.word(position + bucket), 1);
        add(self.word(cell::SUM), ticks);
        let max = self.word(cell::MAX);
        if ticks > max.load(Ordering::Relaxed) {
            max.store(ticks, Ordering::Relaxed);
        }
        let timed = self.word(cell::TIMED);
        // Release: who sees that the event was counted finds it in the histogram.
        timed.store(timed.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }

    /// Gives the histogram its chunk `index`, or the first two, and `place` their position. Where there is no room, counts the
    /// event as untimed and says so.
    #[cold]
    #[inline(never)]
    fn add_chunk(&self, arena: &Arena, index: usize, place: &AtomicU64) -> Option<usize> {
        let chunks = if index < 2 { 2 } else { 1 };
        let Some(position) = arena.allocate(Kind::Chunks, chunks * chunk::SIZE) else {
            self.count();
            // A locked addition: many threads may run out of room at once. Relaxed: a counter.
            arena.word(header::LOST_TIMINGS).fetch_add(1, Ordering::Relaxed);
            return None;
        };
        // Release: a reader that follows the position finds the chunk below USED.
        place.store(position as u64, Ordering::Release);
        Some(position)
    }

    /// Counts one event without a time.
    #[inline(always)]
    pub(crate) fn count(&self) {
        add(self.word(cell::UNTIMED), 1);
    }

    /// How many events were counted without a time, if the next one is to be counted so too; `None`: it is to be timed.
    #[inline(always)]
    pub(crate) fn untimed(&self) -> Option<u64> {
        // Relaxed, here and below: written by this thread.
        let untimed = self.word(cell::UNTIMED).load(Ordering::Relaxed);
        (untimed < self.word(cell::SAMPLE_AT).load(Ordering::Relaxed)).then_some(untimed)
    }

    /// Counts one event without a time, after [`Cell::untimed`].
    #[inline(always)]
    pub(crate) fn count_after(&self, untimed: u64) {
        self.word(cell::UNTIMED).store(untimed + 1, Ordering::Relaxed);
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
        let arena = arena(header::SIZE + cell::SIZE + table::SIZE + 2 * chunk::SIZE);
        let cell = Cell::create(&arena, &Slab::default(), 0, Place::OffCpu, 0).unwrap();
        (0..10).for_each(|_| cell.record(&arena, 5));
        (0..10).for_each(|_| cell.record(&arena, 5_000));
        let distribution = distribution(&arena, 0);
        assert_eq!((distribution.count(), distribution.timed(), distribution.sum), (20, 10, 50));
        assert_eq!(arena.word(header::LOST_TIMINGS).load(Ordering::Relaxed), 10);
        assert!(Cell::create(&arena, &Slab::default(), 0, Place::OffCpu, 1).is_none());
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
