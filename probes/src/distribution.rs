//! What a reader has of one metric: exact counts and a whole histogram.

use crate::buckets::{CHUNK_BUCKETS, CHUNKS, bounds, chunk_and_bucket};
use crate::counts::{self, Counts, Wide};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Counts, sum, maximum and histogram of one metric, in clock ticks. Distributions add up ([`merge`](Self::merge)) and,
/// since nothing in the segment is ever reset, an interval is a difference ([`since`](Self::since)).
#[derive(Clone, Debug, Default)]
pub struct Distribution {
    /// Events that were counted but not timed.
    pub untimed: u64,
    /// Sum of all timed events, in ticks.
    pub sum: u64,
    /// The longest timed event, in ticks; of those that are not in `unplaced`.
    pub max: u64,
    /// Timed events of which only the sum is known, and not where in the histogram they belong. Those of a segment are all
    /// known; a recording may have put down no more of them.
    pub unplaced: u64,
    /// Shared by all distributions in which they are the same, all together and each by itself; a reader makes many that
    /// differ little. `None`: there are none.
    histogram: Option<Arc<Histogram>>,
}

/// The chunks of a histogram, by their numbers, and how many events are in them, once that was asked for.
#[derive(Clone, Default)]
struct Histogram {
    chunks: Vec<Option<Counts>>,
    events: OnceLock<u64>,
}

impl Distribution {
    /// All events, exactly.
    pub fn count(&self) -> u64 {
        self.untimed.saturating_add(self.timed())
    }

    /// The events that were timed; the histogram holds these, but for `unplaced`.
    pub fn timed(&self) -> u64 {
        let placed = self.histogram.as_ref().map_or(0, |histogram| *histogram.events.get_or_init(|| histogram.count()));
        self.unplaced.saturating_add(placed)
    }

    /// Whether the histogram has all that was timed: otherwise nothing can be said of the longest, or of any percentile.
    pub fn is_placed(&self) -> bool {
        self.unplaced == 0
    }

    /// Adds one timed event; for tests and for readers that build distributions of their own.
    pub fn record(&mut self, ticks: u64) {
        let (chunk, bucket) = chunk_and_bucket(ticks);
        self.chunk_mut(chunk)[bucket] += 1;
        self.sum += ticks;
        self.max = self.max.max(ticks);
    }

    /// The counts of chunk `chunk`, made where it was missing.
    ///
    /// # Panics
    /// Where `chunk` is not below [`CHUNKS`].
    pub fn chunk_mut(&mut self, chunk: usize) -> &mut [u64; CHUNK_BUCKETS] {
        self.place(chunk).get_or_insert_with(|| Counts::new(&[0; CHUNK_BUCKETS])).make_wide()
    }

    /// Gives it these counts as its chunk `chunk`, if it has others there.
    pub(crate) fn update_chunk(&mut self, chunk: usize, counts: &Wide) {
        let place = self.place(chunk);
        if place.as_ref().is_none_or(|own| own.wide() != *counts) {
            *place = Some(Counts::new(counts));
        }
    }

    /// Gives it these counts as its chunk `chunk`.
    ///
    /// # Panics
    /// Where `chunk` is not below [`CHUNKS`].
    pub fn set_chunk(&mut self, chunk: usize, counts: &[u64; CHUNK_BUCKETS]) {
        *self.place(chunk) = Some(Counts::new(counts));
    }

    /// Adds these counts to those of its chunk `chunk`; if it has none, it shares them.
    fn add_chunk(&mut self, chunk: usize, counts: &Counts) {
        match self.place(chunk) {
            Some(own) => counts::add(own.make_wide(), &counts.wide()),
            none => *none = Some(counts.clone()),
        }
    }

    fn chunks(&self) -> &[Option<Counts>] {
        self.histogram.as_ref().map_or(&[], |histogram| &histogram.chunks)
    }

    fn chunks_mut(&mut self) -> &mut Vec<Option<Counts>> {
        let histogram = Arc::make_mut(self.histogram.get_or_insert_default());
        histogram.events.take();
        &mut histogram.chunks
    }

    fn place(&mut self, chunk: usize) -> &mut Option<Counts> {
        assert!(chunk < CHUNKS);
        let chunks = self.chunks_mut();
        if chunks.len() <= chunk {
            chunks.resize_with(chunk + 1, || None);
        }
        &mut chunks[chunk]
    }

    /// The buckets that counted something, smallest first: lowest and highest value (inclusive, in ticks) and count.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        self.chunks().iter().enumerate().filter_map(|(chunk, counts)| Some((chunk, counts.as_ref()?))).flat_map(
            |(chunk, counts)| {
                let counted = counts.wide().into_iter().enumerate().filter(|(_, count)| *count != 0);
                counted.map(move |(bucket, count)| {
                    let (low, high) = bounds(chunk, bucket);
                    (low, high, count)
                })
            },
        )
    }

    /// Whether its histogram is the other's own, as where nothing has changed between two looks of a reader.
    fn shares_all(&self, other: &Distribution) -> bool {
        let same = |(one, other): (&Option<Counts>, &Option<Counts>)| match (one, other) {
            (Some(one), Some(other)) => one.is_same(other),
            (one, other) => one.is_none() && other.is_none(),
        };
        let (own, others) = (self.chunks(), other.chunks());
        std::ptr::eq(own, others) || (own.len() == others.len() && own.iter().zip(others).all(same))
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Distribution) {
        self.untimed = self.untimed.saturating_add(other.untimed);
        self.sum = self.sum.wrapping_add(other.sum);
        self.max = self.max.max(other.max);
        self.unplaced = self.unplaced.saturating_add(other.unplaced);
        if self.histogram.is_none() {
            self.histogram.clone_from(&other.histogram);
            return;
        }
        for (chunk, counts) in other.chunks().iter().enumerate() {
            if let Some(counts) = counts {
                self.add_chunk(chunk, counts);
            }
        }
    }

    /// The same with all events timed: those that were not are taken to be like those that were. Nothing changes where
    /// none was timed.
    pub fn extrapolated(&self) -> Distribution {
        let (timed, count) = (u128::from(self.timed()), u128::from(self.count()));
        if timed == 0 || timed == count {
            return self.clone();
        }
        let scaled = |number: u64| (u128::from(number) * count / timed) as u64;
        let mut whole = Distribution { sum: scaled(self.sum), max: self.max, ..Distribution::default() };
        // Rounded as running totals, so that the buckets add up to the count.
        let (mut seen, mut given) = (0, 0);
        for (chunk, counts) in self.chunks().iter().enumerate() {
            let Some(counts) = counts else { continue };
            let into = whole.chunk_mut(chunk);
            for (into, count) in into.iter_mut().zip(counts.wide()) {
                seen = u64::saturating_add(seen, count);
                *into = scaled(seen).saturating_sub(given);
                given = u64::saturating_add(given, *into);
            }
        }
        whole.unplaced = self.count().saturating_sub(given);
        whole
    }

    /// The sum of [`extrapolated`](Self::extrapolated), which costs less than all of that.
    pub fn extrapolated_sum(&self) -> u64 {
        let (sum, timed) = (u128::from(self.sum), u128::from(self.timed()));
        (sum * (timed + u128::from(self.untimed))).checked_div(timed).map_or(self.sum, |sum| sum as u64)
    }

    /// What was added after `earlier`, a previous state of the same distribution. The maximum of an interval is not
    /// known exactly: it is the upper bound of the highest bucket that grew, and never above the overall maximum.
    ///
    /// Where `earlier` has events that are not placed, some of the buckets that grew did so before it, nobody knows which:
    /// then none of what was added is placed.
    pub fn since(&self, earlier: &Distribution) -> Distribution {
        let mut added = Distribution {
            untimed: self.untimed.saturating_sub(earlier.untimed),
            sum: self.sum.wrapping_sub(earlier.sum),
            ..Distribution::default()
        };
        if !earlier.is_placed() {
            added.unplaced = self.timed().saturating_sub(earlier.timed());
            return added;
        }
        added.unplaced = self.unplaced;
        if std::ptr::eq(self.chunks(), earlier.chunks()) {
            return added;
        }
        for (chunk, counts) in self.chunks().iter().enumerate() {
            let Some(counts) = counts else { continue };
            let before = earlier.chunks().get(chunk).and_then(Option::as_ref);
            if before.is_some_and(|before| before.is_same(counts)) {
                continue;
            }
            let (counts, before) = (counts.wide(), before.map_or([0; CHUNK_BUCKETS], Counts::wide));
            let grown = std::array::from_fn(|bucket| counts[bucket].saturating_sub(before[bucket]));
            if let Some(highest) = grown.iter().rposition(|grown| *grown != 0) {
                let missing = self.chunks().len() - added.chunks().len();
                added.chunks_mut().reserve_exact(missing);
                added.set_chunk(chunk, &grown);
                added.max = bounds(chunk, highest).1.min(self.max);
            }
        }
        added
    }
}

/// Without what was found out of it.
impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chunks.fmt(f)
    }
}

impl Histogram {
    fn count(&self) -> u64 {
        self.chunks.iter().flatten().fold(0, |events, counts| u64::saturating_add(events, counts.sum()))
    }
}

/// A chunk in which nothing was counted is as good as none.
impl PartialEq for Distribution {
    fn eq(&self, other: &Self) -> bool {
        (self.untimed, self.sum, self.max, self.unplaced) == (other.untimed, other.sum, other.max, other.unplaced)
            && (self.shares_all(other) || self.buckets().eq(other.buckets()))
    }
}

impl Eq for Distribution {}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = u64>) -> Distribution {
        let mut distribution = Distribution::default();
        values.into_iter().for_each(|value| distribution.record(value));
        distribution
    }

    #[test]
    fn merging_is_recording_both() {
        let mut merged = of([1, 70, 5000]);
        merged.merge(&of([70, 1 << 40]));
        assert_eq!(merged, of([1, 70, 5000, 70, 1 << 40]));
        assert_eq!((merged.count(), merged.sum, merged.max), (5, 5141 + (1 << 40), 1 << 40));
    }

    #[test]
    fn what_was_not_timed_is_like_what_was() {
        let mut sample = of([10, 10, 300]);
        assert_eq!(sample.extrapolated(), sample);
        sample.untimed = 7;
        let whole = sample.extrapolated();
        assert_eq!((whole.count(), whole.untimed, whole.sum, whole.max), (10, 0, 320 * 10 / 3, 300));
        assert_eq!(sample.extrapolated_sum(), whole.sum);
        assert_eq!(whole.buckets().map(|(_, _, count)| count).collect::<Vec<_>>(), [6, 4]);
        let untimed = Distribution { untimed: 5, ..Distribution::default() };
        assert_eq!(untimed.extrapolated(), untimed);
    }

    #[test]
    fn an_interval_is_the_difference() {
        let earlier = of([10, 300]);
        let mut later = earlier.clone();
        later.merge(&of([10, 200]));
        let added = later.since(&earlier);
        assert_eq!((added.count(), added.sum), (2, 210));
        assert!((200..=203).contains(&added.max));
    }

    #[test]
    fn what_is_not_placed_is_counted() {
        let whole = of([10, 300]);
        let mut outline = whole.clone();
        (outline.unplaced, outline.sum) = (2, whole.sum + 210);
        assert_eq!((outline.count(), outline.timed(), outline.is_placed()), (4, 4, false));
        let added = outline.since(&whole);
        assert_eq!((added.count(), added.sum, added.unplaced, added.buckets().count()), (2, 210, 2, 0));
        // Of the next whole state, two events are in buckets that the outline knew nothing of.
        let mut later = whole.clone();
        later.merge(&of([10, 200, 7]));
        let added = later.since(&outline);
        assert_eq!((added.count(), added.sum, added.unplaced, added.buckets().count()), (1, 7, 1, 0));
        assert_eq!(later.since(&whole).unplaced, 0);
        // As many as there are, and none of them lost.
        outline.untimed = 4;
        let all = outline.extrapolated();
        assert_eq!((all.count(), all.unplaced, all.sum), (8, 4, outline.sum * 2));
        let mut merged = outline.clone();
        merged.merge(&outline);
        assert_eq!((merged.unplaced, merged.count()), (4, 16));
    }
}
