//! The library's own memory: boxes, tables and lists of this library in a process that runs a guest.
//!
//! From the C library, a thread's first allocation takes four system calls, for an arena of its own, and keeps all others that map
//! memory waiting meanwhile; a guest's kernel makes some twenty threads while it boots. Here a few lists of free blocks, cut from
//! [`pages`], serve all threads: what is allocated often is not allocated here.
//!
//! Blocks have the sizes 16, 32, ... 2048. What is larger is from the C library, and so is all that is allocated before
//! there is a guest. Where a block is from is known by its address.
//!
//! A process made by fork may find a list locked for ever, by a thread that it has not: it gets all from the C library, and does
//! not give back what it has from here.

use super::{PAGE, pages};
use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU8, Ordering};
use std::alloc::System;
use std::sync::{Mutex, PoisonError};

/// The allocator of this library; of a program that has it linked in as well, where it begins to differ from [`System`] with the
/// guest.
#[derive(Debug)]
pub struct Heap;

#[cfg(all(feature = "heap", not(any(miri, loom))))]
#[global_allocator]
static HEAP: Heap = Heap;

/// log2 of the smallest block's size, and of the largest one's.
const SMALLEST: u32 = 4;
const LARGEST: u32 = 11;

/// What has become of the lists so far.
static STAGE: AtomicU8 = AtomicU8::new(UNUSED);
/// There is no guest yet, and no block.
const UNUSED: u8 = 0;
/// Blocks are given and taken back.
const IN_USE: u8 = 1;
/// The process was made by fork from one where they were: neither.
const COPIED: u8 = 2;

fn is(stage: u8) -> bool {
    // Relaxed, here and below: a fact by itself.
    STAGE.load(Ordering::Relaxed) == stage
}

/// By size, the free blocks.
static FREE: [Mutex<Free>; (LARGEST - SMALLEST + 1) as usize] =
    [const { Mutex::new(Free(ptr::null_mut())) }; (LARGEST - SMALLEST + 1) as usize];

/// A list of free blocks, each of which begins with the address of the next one.
struct Free(*mut Free);

// SAFETY: the blocks are the list's alone.
unsafe impl Send for Free {}

/// There is a guest from now on.
pub fn begin() {
    if STAGE.compare_exchange(UNUSED, IN_USE, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        // SAFETY: the handler only stores to an atomic. If it cannot be registered, there is no memory for a fork either.
        unsafe { libc::pthread_atfork(None, None, Some(in_forked_child)) };
    }
}

extern "C" fn in_forked_child() {
    STAGE.store(COPIED, Ordering::Relaxed);
}

/// Which blocks hold `layout`; `None`: none do.
#[inline]
fn class(layout: Layout) -> Option<usize> {
    let size = layout.size().max(layout.align()).max(1 << SMALLEST);
    let class = size.next_power_of_two().trailing_zeros() - SMALLEST;
    (size <= 1 << LARGEST).then_some(class as usize)
}

// SAFETY: a block is as large as the power of two that its class stands for, and at a multiple of that; it is in one list or has
// been given, never both. The rest is `System`'s. Nothing here allocates, or panics.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match block_for(layout) {
            Some(block) => block.as_ptr().cast(),
            // SAFETY: the caller's word.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match block_for(layout) {
            Some(block) => {
                let block = block.as_ptr().cast::<u8>();
                // SAFETY: a block of this size at least.
                unsafe { block.write_bytes(0, layout.size()) };
                block
            }
            // Of large pieces the host's pages are zero already.
            // SAFETY: the caller's word.
            None => unsafe { System.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match (NonNull::new(block.cast()).filter(|block| pages::contains(*block)), class(layout)) {
            // SAFETY: from `take`, with this class; the caller gives it up.
            (Some(block), Some(class)) => unsafe { give(class, block) },
            // SAFETY: from `System`, by the caller's word.
            _ => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let is_ours = NonNull::new(block.cast()).is_some_and(pages::contains);
        if !is_ours {
            // SAFETY: the caller's word: from `System`, where it stays.
            return unsafe { System.realloc(block, layout, size) };
        }
        // SAFETY: the caller's word: not zero, and small enough for the alignment.
        let new_layout = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if class(new_layout) == class(layout) {
            return block;
        }
        // SAFETY: the caller's word.
        let new = unsafe { self.alloc(new_layout) };
        if !new.is_null() {
            // SAFETY: two blocks, of these sizes at least; the old one is given up.
            unsafe {
                ptr::copy_nonoverlapping(block, new, size.min(layout.size()));
                self.dealloc(block, layout);
            }
        }
        new
    }
}

/// A block that holds `layout`; `None` where none is to be given.
#[inline]
fn block_for(layout: Layout) -> Option<NonNull<c_void>> {
    take(class(layout).filter(|_| is(IN_USE))?)
}

/// A block; `None` where memory is short.
fn take(class: usize) -> Option<NonNull<c_void>> {
    let mut free = FREE[class].lock().unwrap_or_else(PoisonError::into_inner);
    if free.0.is_null() {
        cut(&mut free, 1 << (class as u32 + SMALLEST));
    }
    let block = NonNull::new(free.0)?;
    // SAFETY: a free block, as `give` and `cut` leave it.
    free.0 = unsafe { block.read() }.0;
    Some(block.cast())
}

/// # Safety
/// `block` is of this class and nobody's any more.
unsafe fn give(class: usize, block: NonNull<c_void>) {
    if is(COPIED) {
        return;
    }
    let mut free = FREE[class].lock().unwrap_or_else(PoisonError::into_inner);
    let block = block.cast::<Free>();
    // SAFETY: a block is large and aligned enough for an address, and the list's from now on.
    unsafe { block.write(Free(free.0)) };
    free.0 = block.as_ptr();
}

/// Cuts a page into blocks of `size` bytes, if there is one.
fn cut(free: &mut Free, size: usize) {
    let mut taken = [None];
    pages::take(&mut taken);
    let [Some(page)] = taken else { return };
    for at in (0..PAGE).step_by(size) {
        // SAFETY: within the page, which is ours alone, and a multiple of the size, which is one of an address's.
        unsafe {
            let block = page.byte_add(at).cast::<Free>();
            block.write(Free(free.0));
            free.0 = block.as_ptr();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).expect("a layout")
    }

    #[test]
    fn classes_hold_size_and_alignment() {
        for (size, align) in [(1, 1), (16, 8), (17, 8), (48, 16), (1, 64), (2048, 8), (100, 2048)] {
            let block = 1 << (class(layout(size, align)).expect("a class") as u32 + SMALLEST);
            assert!(block >= size && block >= align && block <= 2 * size.max(align).max(8), "{size} {align}");
        }
        assert_eq!((class(layout(2049, 8)), class(layout(8, 4096))), (None, None));
    }

    /// Blocks of all sizes that come, grow, shrink and go keep what is in them.
    #[test]
    fn blocks_are_whole_and_distinct() {
        begin();
        let mut random = 1_u64;
        let mut draw = move |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % below
        };
        let mut given: BTreeMap<*mut u8, (Layout, u8)> = BTreeMap::new();
        for mark in 0..20_000_u32 {
            let mark = mark as u8;
            let nth = draw(given.len() + 1);
            let old = given.iter().nth(nth).map(|(block, rest)| (*block, *rest));
            let size = 1 + draw(3000);
            let block = match old {
                Some((block, (old, was))) => {
                    given.remove(&block);
                    // SAFETY: given with this layout.
                    let bytes = unsafe { core::slice::from_raw_parts(block, old.size()) };
                    assert!(bytes.iter().all(|byte| *byte == was), "{old:?}");
                    if draw(2) == 0 {
                        // SAFETY: as above; it is nobody's any more.
                        unsafe { Heap.dealloc(block, old) };
                        continue;
                    }
                    // SAFETY: as above.
                    let new = unsafe { Heap.realloc(block, old, size) };
                    // SAFETY: so much of the old one is in the new one.
                    let kept = unsafe { core::slice::from_raw_parts(new, size.min(old.size())) };
                    assert!(kept.iter().all(|byte| *byte == was), "{old:?} to {size}");
                    (new, layout(size, old.align()))
                }
                None => {
                    let layout = layout(size, 1 << draw(8));
                    // SAFETY: not of size zero.
                    let block = unsafe { Heap.alloc_zeroed(layout) };
                    // SAFETY: of this size.
                    let bytes = unsafe { core::slice::from_raw_parts(block, size) };
                    assert!(bytes.iter().all(|byte| *byte == 0));
                    (block, layout)
                }
            };
            let (start, layout) = block;
            assert!(!start.is_null() && start.addr().is_multiple_of(layout.align()));
            let before = given.range(..start.wrapping_add(layout.size())).next_back();
            let ends_before =
                |(other, (layout, _)): (&*mut u8, &(Layout, u8))| other.wrapping_add(layout.size()) <= start;
            assert!(before.is_none_or(ends_before), "two have it");
            // SAFETY: ours, of this size.
            unsafe { start.write_bytes(mark, layout.size()) };
            given.insert(start, (layout, mark));
        }
    }
}
