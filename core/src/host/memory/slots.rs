//! Memory for the guest's locks and condition variables: slots of a cache line, cut from pages.
//!
//! A guest makes and ends some of them with every file that it opens. The C library finds a place for an aligned block in
//! some 50 ns, a thread's magazine in 2.

use super::magazine::{self, Block, magazines};
use super::{PAGE, Pages};
use std::sync::{Mutex, PoisonError};

/// The size and alignment of a slot, in bytes: a cache line, so that neighbours do not slow each other down.
pub const SLOT: usize = 64;

/// The depot of slots.
struct Slots;

magazines!(slot_magazines, Slots, take, give, "scope_slot_magazine");

/// Free slots that no thread keeps, by their addresses. Pages that became slots stay slots.
static FREE: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// A slot; `None` where memory is short.
#[inline]
pub fn allocate() -> Option<Block> {
    magazine::allocate::<Slots>()
}

/// Takes a slot back.
///
/// # Safety
/// A slot from [`allocate`] that nobody uses any more.
#[inline]
pub unsafe fn release(slot: Block) {
    // SAFETY: the caller's promise.
    unsafe { magazine::release::<Slots>(slot) }
}

fn take(taken: &mut [Option<Block>]) {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    if free.len() < taken.len()
        && let Some(page) = magazine::allocate::<Pages>()
    {
        free.extend((0..PAGE / SLOT).map(|slot| page.addr().get() + slot * SLOT));
    }
    for place in taken {
        *place = free.pop().and_then(|slot| Block::new(core::ptr::with_exposed_provenance_mut(slot)));
    }
}

fn give(slots: impl Iterator<Item = Block>) {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    free.extend(slots.map(|slot| slot.as_ptr().expose_provenance()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn slots_are_distinct_aligned_and_used_again() {
        let addresses = |slots: &[Block]| slots.iter().map(|slot| slot.addr().get()).collect::<BTreeSet<_>>();
        // On a thread of its own, so that what it keeps goes back.
        let first = std::thread::spawn(move || {
            let slots: Vec<Block> = (0..500).map(|_| allocate().expect("memory")).collect();
            assert_eq!(addresses(&slots).len(), 500);
            assert!(slots.iter().all(|slot| slot.addr().get() % SLOT == 0));
            let all = addresses(&slots);
            for slot in slots {
                // SAFETY: freed once.
                unsafe { release(slot) };
            }
            all
        });
        let first = first.join().unwrap();
        let second: Vec<Block> = (0..500).map(|_| allocate().expect("memory")).collect();
        let again = addresses(&second).intersection(&first).count();
        // Tests that run beside this one may have some of them.
        assert!(again > 100, "{again} of 500 were used again");
        for slot in second {
            // SAFETY: freed once.
            unsafe { release(slot) };
        }
    }
}
