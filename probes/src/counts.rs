//! The counts of one chunk of a histogram, in words no wider than they need.
//!
//! A reader keeps tens of thousands of chunks of several looks at a segment, and of most of them every count is small.

use crate::buckets::CHUNK_BUCKETS;
use std::sync::Arc;

/// As they are in the segment.
pub(crate) type Wide = [u64; CHUNK_BUCKETS];

/// Shared by all who have the same.
#[derive(Clone, Debug)]
pub(crate) enum Counts {
    /// All are below 2^16.
    U16(Arc<[u16; CHUNK_BUCKETS]>),
    /// All are below 2^32.
    U32(Arc<[u32; CHUNK_BUCKETS]>),
    /// Any, and those that are being added to.
    U64(Arc<Wide>),
}

impl Counts {
    pub(crate) fn new(counts: &Wide) -> Self {
        // It has as many bits as the largest.
        let any = counts.iter().fold(0, |any, count| any | count);
        if any <= u16::MAX.into() {
            Counts::U16(Arc::new(counts.map(|count| count as u16)))
        } else if any <= u32::MAX.into() {
            Counts::U32(Arc::new(counts.map(|count| count as u32)))
        } else {
            Counts::U64(Arc::new(*counts))
        }
    }

    pub(crate) fn wide(&self) -> Wide {
        match self {
            Counts::U16(counts) => counts.map(u64::from),
            Counts::U32(counts) => counts.map(u64::from),
            Counts::U64(counts) => **counts,
        }
    }

    /// To be changed. They stay wide.
    pub(crate) fn make_wide(&mut self) -> &mut Wide {
        if !matches!(self, Counts::U64(_)) {
            *self = Counts::U64(Arc::new(self.wide()));
        }
        match self {
            Counts::U64(counts) => Arc::make_mut(counts),
            Counts::U16(_) | Counts::U32(_) => unreachable!("made wide above"),
        }
    }

    /// Whether both are one; others may have the same counts.
    pub(crate) fn is_same(&self, other: &Counts) -> bool {
        match (self, other) {
            (Counts::U16(one), Counts::U16(other)) => Arc::ptr_eq(one, other),
            (Counts::U32(one), Counts::U32(other)) => Arc::ptr_eq(one, other),
            (Counts::U64(one), Counts::U64(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// All of them; where that is more than 2^64 it wraps.
    pub(crate) fn sum(&self) -> u64 {
        // Wide ones: the processor adds several at a time, and the sum of narrow ones may be wide.
        self.wide().iter().fold(0, |sum, count| sum.wrapping_add(*count))
    }
}

/// Adds counts to others.
pub(crate) fn add(into: &mut Wide, counts: &Wide) {
    for (into, count) in into.iter_mut().zip(counts) {
        *into = into.wrapping_add(*count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_kept_in_words_that_hold_them() {
        for (largest, bytes) in [(0, 2), (0xffff, 2), (0x1_0000, 4), (0xffff_ffff, 4), (1 << 32, 8), (u64::MAX, 8)] {
            let wide: Wide = std::array::from_fn(|bucket| if bucket == 63 { largest } else { bucket as u64 });
            let mut counts = Counts::new(&wide);
            assert_eq!(counts.wide(), wide);
            assert_eq!(counts.sum(), (0..63).sum::<u64>().wrapping_add(largest));
            let kept = match &counts {
                Counts::U16(_) => 2,
                Counts::U32(_) => 4,
                Counts::U64(_) => 8,
            };
            assert_eq!(kept, bytes, "{largest}");

            let before = counts.clone();
            assert!(before.is_same(&counts));
            counts.make_wide()[0] = 7;
            assert!(!before.is_same(&counts));
            assert_eq!((before.wide()[0], counts.wide()[0], counts.wide()[63]), (0, 7, largest));
        }
    }
}
