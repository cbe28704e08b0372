//! A few free pages for each thread, so that most allocations touch nothing shared.
//!
//! After Bonwick and Adams, "Magazines and Vmem" (USENIX 2001), reduced to one magazine: it is filled and emptied by
//! half, so that a thread that allocates and frees around either end does not go to the shared pages each time.

use super::pages;
use core::ffi::c_void;
use core::ptr::NonNull;
use rumpscope_probes::initial_exec;

/// Pages that a thread keeps at most: 128 KiB.
const CAPACITY: usize = 32;
const HALF: usize = CAPACITY / 2;

/// All zero: a thread that never asked for a page.
struct Magazine {
    /// The first free page; its first word points to the next.
    top: *mut Link,
    count: usize,
    stage: Stage,
}

struct Link {
    next: *mut Link,
}

#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nobody empties this magazine when the thread ends. It stays empty.
    New = 0,
    /// In use.
    Open = 1,
    /// The thread is ending. It stays empty.
    Closed = 2,
}

initial_exec! {
    fn magazine() -> *mut Magazine = "scope_page_magazine"
}

/// A page; `None` where memory is short.
#[inline]
pub(super) fn allocate() -> Option<NonNull<c_void>> {
    // SAFETY: this thread's own; nothing below re-enters.
    let magazine = unsafe { &mut *magazine() };
    match magazine.pop() {
        Some(page) => Some(page),
        None => magazine.refill(),
    }
}

/// A page that this thread keeps already, if it keeps one.
#[inline(always)]
pub(super) fn allocate_at_once() -> Option<NonNull<c_void>> {
    // SAFETY: as in `allocate`.
    unsafe { &mut *magazine() }.pop()
}

/// Keeps a page if there is room. Says whether it did.
///
/// # Safety
/// As for [`release`].
#[inline(always)]
pub(super) unsafe fn release_at_once(page: NonNull<c_void>) -> bool {
    // SAFETY: as in `allocate`.
    let magazine = unsafe { &mut *magazine() };
    let room = magazine.stage == Stage::Open && magazine.count != CAPACITY;
    if room {
        // SAFETY: the caller's promise.
        unsafe { magazine.push(page) };
    }
    room
}

/// Takes a page back.
///
/// # Safety
/// A page from [`allocate`] that nobody uses any more.
#[inline]
pub(super) unsafe fn release(page: NonNull<c_void>) {
    // SAFETY: as in `allocate`.
    let magazine = unsafe { &mut *magazine() };
    if magazine.stage != Stage::Open || magazine.count == CAPACITY {
        magazine.make_room();
    }
    if magazine.stage == Stage::Open {
        // SAFETY: the caller's promise.
        unsafe { magazine.push(page) };
    } else {
        pages::give(core::iter::once(page));
    }
}

impl Magazine {
    #[inline]
    fn pop(&mut self) -> Option<NonNull<c_void>> {
        let page = NonNull::new(self.top)?;
        // SAFETY: a free page, written by `push`.
        self.top = unsafe { page.read() }.next;
        self.count -= 1;
        Some(page.cast())
    }

    /// # Safety
    /// `page` is a page, and this magazine's alone from now on.
    #[inline]
    unsafe fn push(&mut self, page: NonNull<c_void>) {
        let link: NonNull<Link> = page.cast();
        // SAFETY: the caller's promise; a page is large and aligned enough.
        unsafe { link.write(Link { next: self.top }) };
        self.top = link.as_ptr();
        self.count += 1;
    }

    #[cold]
    fn refill(&mut self) -> Option<NonNull<c_void>> {
        self.open();
        if self.stage != Stage::Open {
            let mut taken = [None; 1];
            pages::take(&mut taken);
            return taken[0];
        }
        let mut taken = [None; HALF];
        pages::take(&mut taken);
        let mut taken = taken.into_iter().flatten();
        let page = taken.next()?;
        for page in taken {
            // SAFETY: just taken.
            unsafe { self.push(page) };
        }
        Some(page)
    }

    #[cold]
    fn make_room(&mut self) {
        self.open();
        self.drain(self.count.saturating_sub(HALF));
    }

    /// Gives back `count` pages.
    fn drain(&mut self, count: usize) {
        if count > 0 {
            pages::give(core::iter::from_fn(|| self.pop()).take(count));
        }
    }

    fn open(&mut self) {
        if self.stage == Stage::New {
            // Fails where the thread is so far gone that it runs no more destructors.
            let emptied = AT_THREAD_END.try_with(|_| ()).is_ok();
            self.stage = if emptied { Stage::Open } else { Stage::Closed };
        }
    }
}

/// Empties the thread's magazine when the thread ends.
struct Emptier;

impl Drop for Emptier {
    fn drop(&mut self) {
        // SAFETY: as in `allocate`.
        let magazine = unsafe { &mut *magazine() };
        magazine.drain(magazine.count);
        magazine.stage = Stage::Closed;
    }
}

std::thread_local! {
    static AT_THREAD_END: Emptier = const { Emptier };
}
