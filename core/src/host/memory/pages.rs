//! The pages of all threads: one reserved range of addresses, cut into pages from its start.
//!
//! The C library puts a header before each allocation, so every aligned page costs it most of another one, and two
//! searches of its lists. Here a page costs a page, and whether an address is a page is a comparison.
//!
//! ```text
//! base                        next          committed                        end
//!  | pages, given out or free  | not yet used | reserved, costs no memory ... |
//!
//! free: | returned to the host | resident |       a stack of page numbers
//!        0             returned       count
//! ```
//!
//! Free pages are a stack of numbers beside the range and not a list through the pages, so that the host can have the
//! memory of free pages back. Up to [`RESIDENT`] of them stay at hand.

use super::PAGE;
use crate::host::errno::Errno;
use core::ffi::c_void;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The range grows by so many bytes: a huge page of x86-64 and AArch64, so that the host can use one where it wants to.
const STEP: usize = 2 << 20;

/// Free pages that keep their memory: 16 MiB. More are returned to the host.
const RESIDENT: usize = 4096;

/// Pages returned to the host at a time.
const RETURNED_AT_ONCE: usize = 64;

/// The start of the range; 0 before there is one, and for ever where the host grants none.
static BASE: AtomicUsize = AtomicUsize::new(0);
/// Its size in bytes.
static SIZE: AtomicUsize = AtomicUsize::new(0);

struct Pages {
    state: State,
    base: NonNull<u8>,
    /// Sizes in bytes, from `base`.
    next: usize,
    committed: usize,
    size: usize,
    /// Room for as many page numbers as there can be pages; the host gives it memory as it is used.
    free: NonNull<u32>,
    count: usize,
    returned: usize,
}

#[derive(PartialEq, Eq)]
enum State {
    /// Nobody asked for a page yet.
    New,
    Ready,
    /// The host grants no range.
    None,
}

// SAFETY: the pointers are to memory that belongs to this value alone (the stack) or is only handed out (the range).
unsafe impl Send for Pages {}

static PAGES: Mutex<Pages> = Mutex::new(Pages::new());

fn pages() -> MutexGuard<'static, Pages> {
    PAGES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether `memory` is a page of the range.
#[inline]
pub(super) fn contains(memory: NonNull<c_void>) -> bool {
    // Acquire: whoever sees the size sees the base, which is stored before it.
    let size = SIZE.load(Ordering::Acquire);
    (memory.as_ptr() as usize).wrapping_sub(BASE.load(Ordering::Relaxed)) < size
}

/// Takes up to `N` pages into `taken` and returns how many; fewer than asked only where memory is short.
pub(super) fn take<const N: usize>(taken: &mut [Option<NonNull<c_void>>; N]) -> usize {
    let mut pages = pages();
    let before = pages.next;
    let mut count = 0;
    for place in taken {
        *place = pages.take_one();
        if place.is_none() {
            break;
        }
        count += 1;
    }
    if count > 0 {
        pages.publish();
    }
    let (base, fresh) = (pages.base, pages.next - before);
    drop(pages);
    if fresh > PAGE {
        // SAFETY: the caller's pages that nobody has had before.
        unsafe { fill(base.add(before), fresh) };
    }
    count
}

/// Has the host give memory to pages that are about to be written to, in two thirds of the time that it takes to give it to each
/// of them then.
///
/// # Safety
/// They are mapped, and nobody uses them yet.
unsafe fn fill(start: NonNull<u8>, length: usize) {
    static CAN: AtomicBool = AtomicBool::new(true);
    // Relaxed, here and below: a hint.
    if CAN.load(Ordering::Relaxed) {
        // SAFETY: the caller's word; nothing else is changed. A host that cannot do it (before Linux 5.14) is not asked again.
        let failed = unsafe { libc::madvise(start.as_ptr().cast(), length, libc::MADV_POPULATE_WRITE) } != 0;
        if failed {
            CAN.store(false, Ordering::Relaxed);
        }
    }
}

/// Takes back `given`, all of them pages of the range that nobody uses any more.
pub(super) fn give(given: impl Iterator<Item = NonNull<c_void>>) {
    let mut pages = pages();
    for page in given {
        pages.give_one(page);
    }
    while pages.count - pages.returned > RESIDENT {
        pages.return_some();
    }
}

impl Pages {
    const fn new() -> Self {
        Pages {
            state: State::New,
            base: NonNull::dangling(),
            next: 0,
            committed: 0,
            size: 0,
            free: NonNull::dangling(),
            count: 0,
            returned: 0,
        }
    }

    fn take_one(&mut self) -> Option<NonNull<c_void>> {
        if self.count > 0 {
            self.count -= 1;
            self.returned = self.returned.min(self.count);
            // SAFETY: below the count of numbers pushed.
            let number = unsafe { self.free.add(self.count).read() };
            // SAFETY: the number of a page of the range.
            return Some(unsafe { self.base.add(number as usize * PAGE) }.cast());
        }
        if self.next == self.committed {
            self.grow().ok()?;
        }
        // SAFETY: below `committed`, so in the range.
        let page = unsafe { self.base.add(self.next) };
        self.next += PAGE;
        Some(page.cast())
    }

    fn give_one(&mut self, page: NonNull<c_void>) {
        let number = (page.as_ptr() as usize - self.base.as_ptr() as usize) / PAGE;
        // SAFETY: the stack has room for every page of the range, and a page is on it once. The number fits: see
        // `largest`.
        unsafe { self.free.add(self.count).write(number as u32) };
        self.count += 1;
    }

    /// Gives the host the memory of the free pages that have waited longest.
    fn return_some(&mut self) {
        let oldest = RETURNED_AT_ONCE.min(self.count - self.returned);
        // SAFETY: numbers on the stack, which nobody else reads.
        let numbers = unsafe { core::slice::from_raw_parts_mut(self.free.add(self.returned).as_ptr(), oldest) };
        // Neighbours go in one call.
        numbers.sort_unstable();
        for run in numbers.chunk_by(|one, other| other - one == 1) {
            let Some(&first) = run.first() else { continue };
            // SAFETY: free pages of the range. Where the host refuses (its pages may be larger) they just stay.
            unsafe {
                let start = self.base.add(first as usize * PAGE);
                libc::madvise(start.as_ptr().cast(), run.len() * PAGE, libc::MADV_DONTNEED);
            }
        }
        self.returned += oldest;
    }

    fn grow(&mut self) -> Result<(), Errno> {
        if self.state == State::New {
            self.state = if self.reserve().is_ok() { State::Ready } else { State::None };
        }
        if self.state == State::None || self.committed == self.size {
            return Err(Errno(libc::ENOMEM));
        }
        // SAFETY: the next step of the range, which nobody uses yet.
        let failed = unsafe {
            let start = self.base.add(self.committed);
            libc::mprotect(start.as_ptr().cast(), STEP, libc::PROT_READ | libc::PROT_WRITE)
        };
        if failed != 0 {
            return Err(Errno::last());
        }
        self.committed += STEP;
        Ok(())
    }

    fn reserve(&mut self) -> Result<(), Errno> {
        let mut size = largest();
        // A process may have less address space than the machine has memory.
        let range = loop {
            match map(size + STEP, libc::PROT_NONE) {
                Ok(range) => break range,
                Err(errno) if size <= STEP => return Err(errno),
                Err(_) => size = (size / 2).next_multiple_of(STEP),
            }
        };
        self.free = map(size / PAGE * size_of::<u32>(), libc::PROT_READ | libc::PROT_WRITE)?.cast();
        let unaligned = (range.as_ptr() as usize).next_multiple_of(STEP) - range.as_ptr() as usize;
        // SAFETY: at most `STEP`, which was added to the size.
        self.base = unsafe { range.add(unaligned) };
        self.size = size;
        Ok(())
    }

    /// Makes the range known to [`contains`].
    fn publish(&self) {
        BASE.store(self.base.as_ptr().addr(), Ordering::Relaxed);
        // Release: see `contains`.
        SIZE.store(self.size, Ordering::Release);
    }
}

/// The size of the range: twice the machine's memory, in whole steps, and at most what 32-bit page numbers can name.
fn largest() -> usize {
    // SAFETY: no preconditions.
    let (count, size) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    let memory = usize::try_from(count).unwrap_or(0).saturating_mul(usize::try_from(size).unwrap_or(0));
    memory.saturating_mul(2).clamp(1 << 30, 1 << 43).next_multiple_of(STEP)
}

/// Maps `size` bytes that cost no memory until they are used.
fn map(size: usize, protection: libc::c_int) -> Result<NonNull<u8>, Errno> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at an address of the host's choice.
    let start = unsafe { libc::mmap(core::ptr::null_mut(), size, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    NonNull::new(start.cast()).ok_or(Errno(libc::ENOMEM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_distinct_and_come_again() {
        let mut first = [None; 300];
        assert_eq!(take(&mut first), 300);
        let mut addresses: Vec<usize> = first.iter().flatten().map(|page| page.as_ptr() as usize).collect();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), 300);
        assert!(addresses.iter().all(|address| address % PAGE == 0));
        assert!(first.iter().flatten().all(|&page| contains(page)));
        give(first.into_iter().flatten());
    }

    #[test]
    fn addresses_of_others_are_not_pages() {
        static APART: u64 = 0;
        let on_the_stack = 0u64;
        assert!(!contains(NonNull::from(&on_the_stack).cast()));
        assert!(!contains(NonNull::from(&APART).cast()));
    }

    #[test]
    fn free_pages_beyond_the_reserve_are_empty_when_they_come_again() {
        const MANY: usize = RESIDENT + 2 * RETURNED_AT_ONCE;
        // An own range, so that other tests' pages do not mix in.
        let mut own = Pages::new();
        let taken: Vec<_> = (0..MANY).map(|_| own.take_one().expect("a page")).collect();
        for page in &taken {
            // SAFETY: a page of ours.
            unsafe { page.cast::<u64>().write(7) };
        }
        for &page in taken.iter().rev() {
            own.give_one(page);
        }
        while own.count - own.returned > RESIDENT {
            own.return_some();
        }
        assert_eq!(own.returned, 2 * RETURNED_AT_ONCE);
        let values: Vec<u64> = (0..MANY)
            // SAFETY: a page of ours, zero or as it was written.
            .map(|_| unsafe { own.take_one().expect("a page").cast::<u64>().read() })
            .collect();
        assert_eq!(values.iter().filter(|&&value| value == 0).count(), 2 * RETURNED_AT_ONCE);
        assert_eq!((own.count, own.returned), (0, 0));
    }
}
