//! One counter with its histogram: where a measurement ends up.

use crate::arena::{Arena, Chain};
use crate::buckets::{CHUNK_BUCKETS, chunk_and_bucket};
use crate::layout::{cell, chunk, header};
use crate::primitive::{AtomicU64, Ordering, add};
use crate::snapshot::Place;
use core::ptr::NonNull;

/// Values below this have a bucket each, in the first two chunks.
const LINEAR: usize = 2 * CHUNK_BUCKETS;

/// A cell in the segment, from its writer's side. Exactly one thread at a time may call the methods that write; that is
/// what makes them plain additions. A signal handler that makes hypercalls would be a second writer; rump kernels have
/// none.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Cell(NonNull<AtomicU64>);

impl Cell {
    /// A new cell for `metric` of `lane` at `place`; `None` when there is no room.
    pub(crate) fn create(arena: &Arena, lane: u32, place: Place, metric: usize) -> Option<Self> {
        let position = arena.allocate(cell::SIZE)?;
        let key = u64::from(lane) << 32 | u64::from(place.number()) << 16 | metric as u64;
        arena.word(position + cell::KEY).store(key, Ordering::Relaxed);
        arena.append(Chain::Cells, position);
        Some(Cell(NonNull::from(arena.word(position))))
    }

    /// A new cell that is in no chain, and its position.
    pub(crate) fn create_apart(arena: &Arena) -> Option<(Self, usize)> {
        let position = arena.allocate(cell::SIZE)?;
        Some((Cell(NonNull::from(arena.word(position))), position))
    }

    #[inline(always)]
    fn word(&self, index: usize) -> &AtomicU64 {
        debug_assert!(index < cell::SIZE);
        // SAFETY: a cell is `cell::SIZE` words of a segment that is never unmapped while it has writers.
        unsafe { self.0.add(index).as_ref() }
    }

    /// Counts one event that took `ticks`.
    #[inline(always)]
    pub(crate) fn record(&self, arena: &Arena, ticks: u64) {
        // The first two chunks are one linear scale and stand side by side: most calls are short, and their bucket is
        // found without any arithmetic that the next clock read would have to wait for.
        let (index, bucket) = if ticks < LINEAR as u64 { (0, ticks as usize) } else { chunk_and_bucket(ticks) };
        // Relaxed: written by this thread.
        let mut position = self.word(cell::CHUNKS + index).load(Ordering::Relaxed) as usize;
        if position == 0 {
            position = match self.add_chunk(arena, index) {
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
    }

    /// Gives the histogram its chunk `index`, or the first two. Where there is no room, counts the event as untimed and
    /// says so.
    #[cold]
    #[inline(never)]
    fn add_chunk(&self, arena: &Arena, index: usize) -> Option<usize> {
        let chunks = if index < 2 { 0..2 } else { index..index + 1 };
        let Some(position) = arena.allocate(chunks.len() * chunk::SIZE) else {
            self.count();
            // A locked addition: many threads may run out of room at once. Relaxed: a counter.
            arena.word(header::LOST_TIMINGS).fetch_add(1, Ordering::Relaxed);
            return None;
        };
        for (nth, chunk) in chunks.enumerate() {
            // Release: a reader that follows the position finds the chunk below USED.
            self.word(cell::CHUNKS + chunk).store((position + nth * chunk::SIZE) as u64, Ordering::Release);
        }
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
            let cell = Cell::create(&arena, 0, Place::OffCpu, 0).unwrap();
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
        let arena = arena(header::SIZE + cell::SIZE + 2 * chunk::SIZE);
        let cell = Cell::create(&arena, 0, Place::OffCpu, 0).unwrap();
        (0..10).for_each(|_| cell.record(&arena, 5));
        (0..10).for_each(|_| cell.record(&arena, 5_000));
        let distribution = distribution(&arena, 0);
        assert_eq!((distribution.count(), distribution.timed(), distribution.sum), (20, 10, 50));
        assert_eq!(arena.word(header::LOST_TIMINGS).load(Ordering::Relaxed), 10);
        assert!(Cell::create(&arena, 0, Place::OffCpu, 1).is_none());
    }

    #[test]
    fn a_sample_counts_all() {
        let arena = arena(1 << 12);
        let cell = Cell::create(&arena, 0, Place::OffCpu, 0).unwrap();
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
