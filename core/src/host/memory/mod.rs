//! Memory for the guest.

pub mod heap;
mod magazine;
pub mod mapping;
mod pages;
pub mod slots;

use super::errno::Errno;
use core::ffi::c_void;
use core::ptr::NonNull;

/// The depot of pages.
struct Pages;

magazine::magazines!(page_magazines, Pages, pages::take, pages::give, "scope_page_magazine");

/// The size of a page of the guest, in bytes: of NetBSD on x86-64 and AArch64, whatever the host's pages are.
pub const PAGE: usize = 4096;

/// What `malloc` aligns to without being asked, on all LP64 hosts.
const NATURAL_ALIGNMENT: usize = 16;

/// Allocates `size` bytes at a multiple of `alignment`, or at any place fit for C objects where that is 0. The bytes
/// have no particular value. An allocation of nothing has an address of its own too.
///
/// Single pages, which is what a guest asks for most, come from an allocator that knows their size (`pages`); the rest
/// from the C library.
///
/// # Errors
/// EINVAL: `alignment` is neither 0 nor a power of two. ENOMEM.
pub fn allocate(size: usize, alignment: usize) -> Result<NonNull<c_void>, Errno> {
    if alignment & alignment.wrapping_sub(1) != 0 {
        return Err(Errno(libc::EINVAL));
    }
    if size == PAGE
        && alignment <= PAGE
        && let Some(page) = magazine::allocate::<Pages>()
    {
        return Ok(page);
    }
    allocate_any(size.max(1), alignment)
}

/// The same if it is quick: a page where one is at hand, or less than a page from the C library.
#[inline(always)]
pub fn allocate_at_once(size: usize, alignment: usize) -> Option<NonNull<c_void>> {
    // The alignments up to a page's of which a page is a multiple, 0 included.
    if size == PAGE && alignment <= PAGE && alignment & alignment.wrapping_sub(1) == 0 {
        return magazine::allocate_at_once::<Pages>();
    }
    if size < PAGE && alignment == 0 {
        // SAFETY: no preconditions.
        return NonNull::new(unsafe { libc::malloc(size.max(1)) });
    }
    None
}

fn allocate_any(size: usize, alignment: usize) -> Result<NonNull<c_void>, Errno> {
    let mut memory = core::ptr::null_mut();
    if alignment <= NATURAL_ALIGNMENT {
        // SAFETY: no preconditions.
        memory = unsafe { libc::malloc(size) };
    } else {
        // SAFETY: the alignment is a power of two and a multiple of a pointer's size.
        let failed = unsafe { libc::posix_memalign(&mut memory, alignment, size) };
        if failed != 0 {
            return Err(Errno(failed));
        }
    }
    NonNull::new(memory).ok_or(Errno(libc::ENOMEM))
}

/// The size given with memory to free is not the size that it was allocated with.
#[derive(Debug, PartialEq, Eq)]
pub struct WrongSize;

/// Frees what [`allocate`] gave. A page knows what it is, so a wrong `size` does no harm; it is an error all the same.
///
/// # Errors
/// [`WrongSize`]; the memory is freed nevertheless.
///
/// # Safety
/// `memory` is from [`allocate`], is not freed yet, and nobody uses it any more.
pub unsafe fn release(memory: NonNull<c_void>, size: usize) -> Result<(), WrongSize> {
    if pages::contains(memory) {
        // SAFETY: a page of ours, which the caller gives up.
        unsafe { magazine::release::<Pages>(memory) };
        return if size == PAGE { Ok(()) } else { Err(WrongSize) };
    }
    // SAFETY: all that `allocate` does not take from the pages is from the C library.
    unsafe { libc::free(memory.as_ptr()) };
    Ok(())
}

/// The same if it is quick: a page where there is room to keep it, or less than a page. Says whether it did.
///
/// # Safety
/// As for [`release`].
#[inline(always)]
pub unsafe fn release_at_once(memory: NonNull<c_void>, size: usize) -> bool {
    if pages::contains(memory) {
        // SAFETY: a page of ours, which the caller gives up.
        return size == PAGE && unsafe { magazine::release_at_once::<Pages>(memory) };
    }
    if size < PAGE {
        // SAFETY: as in `release`.
        unsafe { libc::free(memory.as_ptr()) };
    }
    size < PAGE
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn alignment_is_always_honoured() {
        for size in [0, 1, 7, 64, 4095, 4096, 4097, 65_536, 1 << 20] {
            for bit in 0..=20 {
                let alignment = 1usize << bit;
                let memory = allocate(size, alignment).expect("memory");
                assert_eq!(memory.as_ptr() as usize % alignment, 0, "{size} at {alignment}");
                // SAFETY: it is `size` bytes long, and freed once.
                unsafe {
                    memory.as_ptr().cast::<u8>().write_bytes(0xa5, size);
                    assert_eq!(release(memory, size), Ok(()));
                }
            }
        }
        let memory = allocate(100, 0).expect("memory");
        assert_eq!(memory.as_ptr() as usize % NATURAL_ALIGNMENT, 0);
        // SAFETY: freed once.
        assert_eq!(unsafe { release(memory, 100) }, Ok(()));
    }

    #[test]
    fn impossible_wishes_are_errors() {
        for alignment in [3, 12, 4097, usize::MAX] {
            assert_eq!(allocate(4096, alignment), Err(Errno(libc::EINVAL)), "{alignment}");
        }
        assert_eq!(allocate(usize::MAX / 2, 0), Err(Errno(libc::ENOMEM)));
        assert_eq!(allocate(usize::MAX / 2, 4096), Err(Errno(libc::ENOMEM)));
    }

    #[test]
    fn a_wrong_size_is_noticed_and_the_page_is_freed() {
        let page = allocate(PAGE, PAGE).expect("page");
        // SAFETY: freed once.
        assert_eq!(unsafe { release(page, 100) }, Err(WrongSize));
        let again = allocate(PAGE, 0).expect("page");
        assert_eq!(again, page, "the last page freed is the first given again");
        // SAFETY: freed once.
        assert_eq!(unsafe { release(again, PAGE) }, Ok(()));
    }

    struct Handed(NonNull<c_void>, usize);

    // SAFETY: whoever has it has the page.
    unsafe impl Send for Handed {}

    /// Pages that threads hand to each other stay distinct and whole.
    #[test]
    fn pages_that_change_threads_stay_whole() {
        const THREADS: usize = 4;
        const ROUNDS: usize = 200;
        const PAGES: usize = 100;
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let send = send.clone();
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        for number in 0..PAGES {
                            let mark = (thread * ROUNDS + round) * PAGES + number;
                            let page = allocate(PAGE, PAGE).expect("page");
                            // SAFETY: 512 words of a page that is ours.
                            unsafe { core::slice::from_raw_parts_mut(page.as_ptr().cast::<usize>(), 512) }.fill(mark);
                            send.send(Handed(page, mark)).expect("a receiver");
                        }
                    }
                });
            }
            drop(send);
            let mut held = BTreeSet::new();
            for Handed(page, mark) in receive {
                // SAFETY: handed over by its thread.
                let words = unsafe { core::slice::from_raw_parts(page.as_ptr().cast::<usize>(), 512) };
                assert!(words.iter().all(|&word| word == mark), "a page of two owners");
                assert!(held.insert(page), "given twice");
                if held.len() > 50 {
                    let oldest = held.pop_first().expect("not empty");
                    // SAFETY: freed once.
                    assert_eq!(unsafe { release(oldest, PAGE) }, Ok(()));
                }
            }
        });
    }
}
