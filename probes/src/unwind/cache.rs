//! The rules of return addresses that were met before, for all threads of the process.
//!
//! One table for all, because threads wait at the same places, and 32 KiB for each of them would be much. An entry is
//! one word, so a reader has all of it or nothing, and nobody waits for anybody:
//!
//! ```text
//!     63                            28 27              0
//!    +--------------------------------+-----------------+
//!    | address, bits 46 to 11         | packed rule     |    0: empty
//!    +--------------------------------+-----------------+
//! ```
//!
//! Bits 10 to 0 of the address are in the entry's position, mixed with the others one to one. Two entries share a
//! position, so that two callers that fall on one do not drive each other out at each chain.

use super::rule::{BITS, Rule};
use core::sync::atomic::{AtomicU64, Ordering};

/// 2^11 positions: a guest waits at some hundreds of places.
const POSITION_BITS: u32 = 11;

static TABLE: [[AtomicU64; 2]; 1 << POSITION_BITS] = [const { [const { AtomicU64::new(0) }; 2] }; 1 << POSITION_BITS];

/// Addresses above are not those of user code. (A process may ask Linux for more than 47 bits; none does for code.)
const LIMIT: u64 = 1 << (64 - BITS + POSITION_BITS);

/// Where the rule of `address` may be, and what tells it from others there.
#[inline]
fn place(address: u64) -> (&'static [AtomicU64; 2], u64) {
    let above = address >> POSITION_BITS;
    // Fibonacci hashing: the golden ratio spreads numbers that follow one another (Knuth, volume 3, 6.4).
    let spread = above.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - POSITION_BITS);
    let position = (address ^ spread) & ((1 << POSITION_BITS) - 1);
    (&TABLE[position as usize], above << BITS)
}

/// The rule of the return address `address`, if it is here.
#[inline]
pub(super) fn get(address: u64) -> Option<Rule> {
    if address >= LIMIT {
        return None;
    }
    let (entries, tag) = place(address);
    // Relaxed, here and below: a word says all, and what it says is never trusted with memory.
    entries
        .iter()
        .map(|entry| entry.load(Ordering::Relaxed))
        .find(|entry| entry >> BITS << BITS == tag && *entry != tag)
        .map(|entry| Rule::unpack(entry & ((1 << BITS) - 1)))
}

/// Keeps the rule of a return address; the one that was kept before the last one at the same position is forgotten.
pub(super) fn put(address: u64, rule: Rule) {
    if let Some(packed) = rule.pack().filter(|_| address < LIMIT) {
        let ([first, second], tag) = place(address);
        second.store(first.load(Ordering::Relaxed), Ordering::Relaxed);
        first.store(tag | packed, Ordering::Relaxed);
    }
}

/// Forgets everything.
pub(super) fn clear() {
    for entry in TABLE.as_flattened() {
        entry.store(0, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::unwind::rule::Saved;
    use std::collections::BTreeSet;

    #[test]
    fn position_and_tag_together_are_the_address() {
        let mut seen = BTreeSet::new();
        // Addresses that differ in the bits of the position, in those above, and in both.
        for high in 0..64 {
            for low in 0..1 << POSITION_BITS {
                let (entries, tag) = place(0x7f12_3400_0000 + (high << POSITION_BITS) + low);
                assert!(seen.insert((entries.as_ptr() as usize, tag)));
            }
        }
    }

    #[test]
    fn no_rule_is_kept_for_addresses_that_cannot_be() {
        let rule = Rule::FromStackPointer { cfa: 16, saved: Saved::InRegister };
        put(LIMIT + 8, rule);
        assert_eq!(get(LIMIT + 8), None);
        assert_eq!(get(8), None);
    }
}
