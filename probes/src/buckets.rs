//! The scale of the histograms: log-linear buckets, as in HDR histograms.
//!
//! Values are clock ticks. Below 128 each value has a bucket of its own; above, each power of two (an *octave*) is cut
//! into 64 buckets of equal width. A bucket is at most 1/64 of its lower bound wide, so its middle is off by less than
//! 1/128 = 0.78 % of any value in it. Buckets come in *chunks* of 64: two for the linear part, one an octave above.
//! The method is Gil Tene's HdrHistogram with 64 sub-buckets a half-octave pair, on ticks instead of nanoseconds.

/// Buckets in a chunk.
pub const CHUNK_BUCKETS: usize = 64;

/// log2 of [`CHUNK_BUCKETS`].
const CHUNK_BITS: u32 = 6;

/// The largest value with a bucket of its own: 2^45 - 1 ticks, 1.9 hours at 5 GHz. What is larger is counted there; sum
/// and maximum stay exact.
pub const LARGEST: u64 = (1 << 45) - 1;

/// Chunks of a histogram.
pub const CHUNKS: usize = chunk_and_bucket(LARGEST).0 + 1;

/// The chunk, and the bucket in it, that counts `ticks`.
#[inline(always)]
pub const fn chunk_and_bucket(ticks: u64) -> (usize, usize) {
    let ticks = if ticks > LARGEST { LARGEST } else { ticks };
    // The first octave of the scale starts at 64; `| 64` sends smaller values through the same arithmetic.
    let octave = (ticks | CHUNK_BUCKETS as u64).ilog2() - CHUNK_BITS;
    let scaled = ticks >> octave;
    // Below 64: octave 0 and scaled < 64, chunk 0. From 64 on: scaled is in 64..128, chunk octave + 1.
    let chunk = octave as usize + (scaled >> CHUNK_BITS) as usize;
    (chunk, (scaled % CHUNK_BUCKETS as u64) as usize)
}

/// The values that a bucket counts, as lowest and highest (both inclusive), in ticks.
pub const fn bounds(chunk: usize, bucket: usize) -> (u64, u64) {
    if chunk == 0 {
        return (bucket as u64, bucket as u64);
    }
    let octave = chunk as u32 - 1;
    let low = (CHUNK_BUCKETS as u64 + bucket as u64) << octave;
    (low, low + ((1 << octave) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_scale_has_no_holes() {
        let mut next = 0;
        for chunk in 0..CHUNKS {
            for bucket in 0..CHUNK_BUCKETS {
                let (low, high) = bounds(chunk, bucket);
                assert_eq!(low, next);
                assert_eq!(chunk_and_bucket(low), (chunk, bucket));
                assert_eq!(chunk_and_bucket(high), (chunk, bucket));
                next = high + 1;
            }
        }
        assert_eq!(next, LARGEST + 1);
        assert_eq!(chunk_and_bucket(u64::MAX), (CHUNKS - 1, CHUNK_BUCKETS - 1));
    }

    proptest! {
        #[test]
        fn a_bucket_is_true_within_one_percent(ticks in 0..=LARGEST) {
            let (chunk, bucket) = chunk_and_bucket(ticks);
            let (low, high) = bounds(chunk, bucket);
            prop_assert!(low <= ticks && ticks <= high);
            let middle = low + (high - low) / 2;
            prop_assert!(middle.abs_diff(ticks) as f64 <= 0.01 * ticks as f64);
        }
    }
}
