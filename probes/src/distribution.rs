//! What a reader has of one metric: exact counts and a whole histogram.

use crate::buckets::{CHUNK_BUCKETS, CHUNKS, bounds, chunk_and_bucket};

/// Counts, sum, maximum and histogram of one metric, in clock ticks. Distributions add up ([`merge`](Self::merge)) and,
/// since nothing in the segment is ever reset, an interval is a difference ([`since`](Self::since)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Events that were counted but not timed.
    pub untimed: u64,
    /// Sum of all timed events, in ticks.
    pub sum: u64,
    /// The longest timed event, in ticks.
    pub max: u64,
    chunks: Vec<Option<Box<[u64; CHUNK_BUCKETS]>>>,
}

impl Distribution {
    /// All events, exactly.
    pub fn count(&self) -> u64 {
        self.untimed + self.timed()
    }

    /// The events that were timed; the histogram holds these.
    pub fn timed(&self) -> u64 {
        self.buckets().map(|(_, _, count)| count).sum()
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
        assert!(chunk < CHUNKS);
        if self.chunks.len() <= chunk {
            self.chunks.resize_with(chunk + 1, || None);
        }
        self.chunks[chunk].get_or_insert_with(|| Box::new([0; CHUNK_BUCKETS]))
    }

    /// The buckets that counted something, smallest first: lowest and highest value (inclusive, in ticks) and count.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        self.chunks.iter().enumerate().filter_map(|(chunk, counts)| Some((chunk, counts.as_ref()?))).flat_map(
            |(chunk, counts)| {
                counts.iter().enumerate().filter(|(_, count)| **count != 0).map(move |(bucket, &count)| {
                    let (low, high) = bounds(chunk, bucket);
                    (low, high, count)
                })
            },
        )
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Distribution) {
        self.untimed += other.untimed;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
        for (chunk, counts) in other.chunks.iter().enumerate() {
            if let Some(counts) = counts {
                for (into, count) in self.chunk_mut(chunk).iter_mut().zip(counts.iter()) {
                    *into += count;
                }
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
        let mut whole = Distribution { untimed: 0, sum: scaled(self.sum), max: self.max, chunks: Vec::new() };
        // Rounded as running totals, so that the buckets add up to the count.
        let (mut seen, mut given) = (0, 0);
        for (chunk, counts) in self.chunks.iter().enumerate() {
            let Some(counts) = counts else { continue };
            let into = whole.chunk_mut(chunk);
            for (into, &count) in into.iter_mut().zip(counts.iter()) {
                seen += count;
                *into = scaled(seen) - given;
                given += *into;
            }
        }
        whole
    }

    /// What was added after `earlier`, a previous state of the same distribution. The maximum of an interval is not
    /// known exactly: it is the upper bound of the highest bucket that grew, and never above the overall maximum.
    pub fn since(&self, earlier: &Distribution) -> Distribution {
        let mut added = Distribution {
            untimed: self.untimed.saturating_sub(earlier.untimed),
            sum: self.sum.wrapping_sub(earlier.sum),
            ..Distribution::default()
        };
        for (chunk, counts) in self.chunks.iter().enumerate() {
            let Some(counts) = counts else { continue };
            let before = earlier.chunks.get(chunk).and_then(Option::as_ref);
            for (bucket, &count) in counts.iter().enumerate() {
                let grown = count.saturating_sub(before.map_or(0, |before| before[bucket]));
                if grown != 0 {
                    added.chunk_mut(chunk)[bucket] = grown;
                    added.max = bounds(chunk, bucket).1.min(self.max);
                }
            }
        }
        added
    }
}

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
}
