//! Call chains in the segment, each once.

use super::hash::Quick;
use super::model::StackId;
use crate::arena::{Arena, Chain, Kind};
use crate::layout::stack;
use crate::primitive::{Mutex, Ordering};
use core::ops::DerefMut;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::PoisonError;

/// How many different chains are kept: 64 thousand take some 12 MiB of the segment. What comes after has no chain.
const MOST: u32 = 1 << 16;

/// The chains that are in the segment, by their hash. Two chains with the same hash of 64 bits would be taken for one;
/// with `MOST` of them that is less likely than one in a thousand million.
#[derive(Debug, Default)]
pub(crate) struct Stacks {
    known: Mutex<HashMap<u64, StackId, Quick>>,
}

impl Stacks {
    /// The number of the chain with this hash; 0 where there is no room for another.
    pub(super) fn number(&self, arena: &Arena, hash: u64, frames: &[u64]) -> StackId {
        let known = self.known();
        let (number, is_full) = (known.get(&hash).copied(), known.len() as u32 == MOST);
        drop(known);
        match number {
            Some(number) => number,
            None if is_full => 0,
            None => self.add(arena, hash, frames),
        }
    }

    fn add(&self, arena: &Arena, hash: u64, frames: &[u64]) -> StackId {
        // Without the lock: the host may be asked for memory. If another thread adds this chain meanwhile, the block is never used.
        let Some(position) = arena.allocate(Kind::Stacks, stack::FRAMES + frames.len()) else { return 0 };
        let mut known = self.known();
        let number = known.len() as u32 + 1;
        match known.entry(hash) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(_) if number > MOST => 0,
            Entry::Vacant(entry) => {
                // Relaxed: published by `append`.
                arena.word(position + stack::NUMBER).store(u64::from(number), Ordering::Relaxed);
                arena.word(position + stack::DEPTH).store(frames.len() as u64, Ordering::Relaxed);
                for (nth, frame) in frames.iter().enumerate() {
                    arena.word(position + stack::FRAMES + nth).store(*frame, Ordering::Relaxed);
                }
                arena.append(Chain::Stacks, position);
                *entry.insert(number)
            }
        }
    }

    fn known(&self) -> impl DerefMut<Target = HashMap<u64, StackId, Quick>> + '_ {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
