//! What a cell's table has of a chunk of its histogram: where it is, or, as long as there is little in it, all of it.
//!
//! Of most histograms few values are ever counted: a thread that boots and then sleeps has made many calls once. A chunk for
//! each would take most of the memory of a segment, and of the time to make one. So a chunk gets its room when there is a
//! second bucket to count in, or when there is so much in the first one that counting must be quick.

use crate::buckets::CHUNK_BUCKETS;

/// A slot of a table.
///
/// ```text
///  31  30     25 24                     0
/// +---+---------+------------------------+
/// | 1 | bucket  |         count          |   all that is counted in the chunk
/// +---+---------+------------------------+
/// | 0 |            position              |   where the chunk is; 0: nothing is counted there
/// +---+----------------------------------+
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Nothing is counted there.
    Empty,
    /// So much in one bucket.
    Lone { bucket: usize, count: u32 },
    /// It has room of its own at this position.
    Chunk(usize),
}

/// Bits of a slot.
pub const BITS: u32 = 32;
/// A position is below this.
pub const POSITIONS: usize = 1 << 31;
/// A lone bucket counts to this at most.
pub const MOST: u32 = 16;

const LONE: u32 = 1 << 31;
const BUCKET_SHIFT: u32 = 25;
const COUNT: u32 = (1 << BUCKET_SHIFT) - 1;

const _: () = assert!(CHUNK_BUCKETS << BUCKET_SHIFT == LONE as usize && MOST <= COUNT);

impl Slot {
    /// As it is in a table.
    pub const fn pack(self) -> u32 {
        match self {
            Slot::Empty => 0,
            Slot::Lone { bucket, count } => LONE | (bucket as u32) << BUCKET_SHIFT | count,
            Slot::Chunk(position) => position as u32,
        }
    }

    /// What that says; the position may be any.
    pub const fn unpack(packed: u32) -> Self {
        if packed & LONE != 0 {
            let bucket = (packed & !LONE) >> BUCKET_SHIFT;
            Slot::Lone { bucket: bucket as usize, count: packed & COUNT }
        } else if packed != 0 {
            Slot::Chunk(packed as usize)
        } else {
            Slot::Empty
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_slot_fits_into_its_bits(bucket in 0..CHUNK_BUCKETS, count in 1..=MOST, position in 1..POSITIONS) {
            for slot in [Slot::Empty, Slot::Lone { bucket, count }, Slot::Chunk(position)] {
                prop_assert_eq!(Slot::unpack(slot.pack()), slot);
            }
        }

        #[test]
        fn no_slot_has_a_bucket_that_is_not(packed in any::<u32>()) {
            if let Slot::Lone { bucket, .. } = Slot::unpack(packed) {
                prop_assert!(bucket < CHUNK_BUCKETS);
            }
        }
    }
}
