//! Where in the segment a thread's charges are added up.
//!
//! A charge is as a rule made when its row is in no near cache: a thread has hundreds of them, and others run between. So
//! this table is small (4 bytes a row, 16 in a line of the processor's cache), and does not repeat what the row says
//! itself, in the same line as its figures. The rows of a thread stand together: else nearly each would be on a page of
//! its own, whose translation is to be looked up as well.

use super::hash;
use crate::arena::{Arena, Chain, Kind};
use crate::layout::wait;
use crate::primitive::Ordering;
use core::ops::Range;

/// What tells a row from others: the words of the segment, from [`wait::WHAT`] on.
pub(super) type Key = [u64; 4];

// ```text
//  31           24 23                               0
// +---------------+----------------------------------+
// | bits of hash  | position / size of a row         |    0: free
// +---------------+----------------------------------+
// ```
// Open addressing with linear probing (Knuth, volume 3, 6.4, algorithm L), never more than half full.
type Slot = u32;

const POSITION_BITS: u32 = 24;
const POSITION: Slot = (1 << POSITION_BITS) - 1;
/// Slots of the first table: most threads have few rows.
const FIRST: usize = 32;
/// How many rows a thread takes room for at a time, at least and at most: as many as it has. 32 are a page.
const GROUP: [usize; 2] = [1, 32];

/// The rows that a thread writes.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// A power of two of them; or none.
    slots: Vec<Slot>,
    rows: usize,
    /// Words for the next ones.
    room: Range<usize>,
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// The position of the row of `key`, whose hash is `hash`.
    #[inline]
    pub(super) fn find(&self, arena: &Arena, hash: u64, key: &Key) -> Option<usize> {
        // There is a free one in the end.
        let mut place = hash as usize;
        loop {
            let slot = *self.slots.get(place & self.slots.len().wrapping_sub(1))?;
            if slot == 0 {
                return None;
            }
            let position = (slot & POSITION) as usize * wait::SIZE;
            if slot >> POSITION_BITS == tag(hash) && differs(arena, position, key) == 0 {
                return Some(position);
            }
            place = place.wrapping_add(1);
        }
    }

    /// Appends a row for `key`, for which there is none. `None`: there is no room.
    #[cold]
    pub(super) fn add(&mut self, arena: &Arena, key: &Key) -> Option<usize> {
        if self.room.is_empty() {
            let [least, most] = GROUP;
            let wanted = self.rows.next_power_of_two().clamp(least, most) * wait::SIZE;
            let mut words = [wanted, wait::SIZE].into_iter();
            self.room = words.find_map(|words| arena.allocate(Kind::Waits, words).map(|start| start..start + words))?;
        }
        let position = self.room.start;
        let slot = Slot::try_from(position / wait::SIZE).ok().filter(|slot| *slot <= POSITION)?;
        self.room.start += wait::SIZE;
        for (word, value) in (wait::WHAT..).zip(key) {
            // Relaxed: published by `append`.
            arena.word(position + word).store(*value, Ordering::Relaxed);
        }
        arena.append(Chain::Waits, position);
        if 2 * (self.rows + 1) > self.slots.len() {
            self.grow(arena);
        }
        self.enter(hash::of_words(key), slot);
        self.rows += 1;
        Some(position)
    }

    fn grow(&mut self, arena: &Arena) {
        let more = vec![0; (2 * self.slots.len()).max(FIRST)];
        for slot in core::mem::replace(&mut self.slots, more).into_iter().filter(|slot| *slot != 0) {
            let position = slot & POSITION;
            self.enter(hash::of_words(&read(arena, position as usize * wait::SIZE)), position);
        }
    }

    fn enter(&mut self, hash: u64, position: Slot) {
        let places = self.slots.len();
        let mut probes = (0..places).map(|step| (hash as usize).wrapping_add(step) & (places - 1));
        if let Some(free) = probes.find(|place| self.slots[*place] == 0) {
            self.slots[free] = tag(hash) << POSITION_BITS | position;
        }
    }
}

fn tag(hash: u64) -> Slot {
    (hash >> 56) as Slot
}

/// In which bits the key of the row at `position` is another one: in one go, since it hardly ever is.
#[inline(always)]
fn differs(arena: &Arena, position: usize, key: &Key) -> u64 {
    // Relaxed: as in `read`.
    let word = |word: usize| arena.word(position + wait::WHAT + word).load(Ordering::Relaxed);
    (0..key.len()).fold(0, |bits, nth| bits | word(nth) ^ key[nth])
}

fn read(arena: &Arena, position: usize) -> Key {
    // Relaxed: written by this thread.
    core::array::from_fn(|word| arena.word(position + wait::WHAT + word).load(Ordering::Relaxed))
}

const _: () = assert!(wait::SIZE.is_multiple_of(crate::layout::BLOCK_ALIGN));

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::layout::header;
    use crate::testing::{arena, blocks};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn each_key_has_a_row_of_its_own(keys in prop::collection::vec(prop::array::uniform4(0..3u64), 1..200)) {
            let arena = arena(header::SIZE + 256 * wait::SIZE);
            let (mut rows, mut known) = (Rows::default(), BTreeMap::new());
            for key in keys {
                let hash = hash::of_words(&key);
                let position = rows.find(&arena, hash, &key).or_else(|| rows.add(&arena, &key)).unwrap();
                prop_assert_eq!(*known.entry(key).or_insert(position), position);
                prop_assert_eq!(rows.len(), known.len());
            }
            let written = blocks(&arena, header::WAITS).into_iter().map(|block| (read(&arena, block), block));
            prop_assert_eq!(known, written.collect());
        }
    }

    #[test]
    fn without_room_there_is_no_row() {
        let arena = arena(header::SIZE + 3 * wait::SIZE);
        let mut rows = Rows::default();
        for key in 1..=3 {
            assert!(rows.add(&arena, &[key; 4]).is_some());
        }
        assert_eq!(rows.add(&arena, &[4; 4]), None);
        assert_eq!((rows.find(&arena, hash::of_words(&[4; 4]), &[4; 4]), rows.len()), (None, 3));
    }
}
