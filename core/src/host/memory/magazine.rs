//! A few free blocks for each thread, so that most allocations touch nothing shared.
//!
//! After Bonwick and Adams, "Magazines and Vmem" (USENIX 2001), reduced to one magazine: it is filled and emptied by
//! half, so that a thread that allocates and frees around either end does not go to the depot each time. Blocks of each
//! kind have a depot of their own.

use core::ffi::c_void;
use core::marker::PhantomData;
use core::ptr::NonNull;

/// Blocks that a thread keeps at most.
const CAPACITY: usize = 32;
pub(super) const HALF: usize = CAPACITY / 2;

/// A block: memory of one size, large and aligned enough for a pointer.
pub(super) type Block = NonNull<c_void>;

/// Where the blocks of one kind come from.
pub(super) trait Depot: Sized + 'static {
    /// Takes as many blocks as there is room for; fewer where memory is short.
    fn take<const N: usize>(taken: &mut [Option<Block>; N]);

    /// Takes blocks back.
    fn give(blocks: impl Iterator<Item = Block>);

    /// The calling thread's magazine.
    fn magazine() -> *mut Magazine<Self>;

    /// Sees to it that [`Magazine::close`] is called when the thread ends. Says whether it could: a thread may be past that.
    fn empty_at_thread_end() -> bool;
}

/// All zero: a thread that never asked for a block.
pub(super) struct Magazine<D> {
    /// The first free block; its first word points to the next.
    top: *mut Link,
    count: usize,
    stage: Stage,
    depot: PhantomData<D>,
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

/// A block; `None` where memory is short.
#[inline]
pub(super) fn allocate<D: Depot>() -> Option<Block> {
    // SAFETY: this thread's own; nothing below re-enters.
    let magazine = unsafe { &mut *D::magazine() };
    match magazine.pop() {
        Some(block) => Some(block),
        None => magazine.refill(),
    }
}

/// A block that this thread keeps already, if it keeps one.
#[inline(always)]
pub(super) fn allocate_at_once<D: Depot>() -> Option<Block> {
    // SAFETY: as in `allocate`.
    unsafe { &mut *D::magazine() }.pop()
}

/// Keeps a block if there is room. Says whether it did.
///
/// # Safety
/// As for [`release`].
#[inline(always)]
pub(super) unsafe fn release_at_once<D: Depot>(block: Block) -> bool {
    // SAFETY: as in `allocate`.
    let magazine = unsafe { &mut *D::magazine() };
    let room = magazine.stage == Stage::Open && magazine.count != CAPACITY;
    if room {
        // SAFETY: the caller's promise.
        unsafe { magazine.push(block) };
    }
    room
}

/// Takes a block back.
///
/// # Safety
/// A block from [`allocate`] with the same depot that nobody uses any more.
#[inline]
pub(super) unsafe fn release<D: Depot>(block: Block) {
    // SAFETY: as in `allocate`.
    let magazine = unsafe { &mut *D::magazine() };
    if magazine.stage != Stage::Open || magazine.count == CAPACITY {
        magazine.make_room();
    }
    if magazine.stage == Stage::Open {
        // SAFETY: the caller's promise.
        unsafe { magazine.push(block) };
    } else {
        D::give(core::iter::once(block));
    }
}

impl<D: Depot> Magazine<D> {
    #[inline]
    fn pop(&mut self) -> Option<Block> {
        let block = NonNull::new(self.top)?;
        // SAFETY: a free block, written by `push`.
        self.top = unsafe { block.read() }.next;
        self.count -= 1;
        Some(block.cast())
    }

    /// # Safety
    /// `block` is a block, and this magazine's alone from now on.
    #[inline]
    unsafe fn push(&mut self, block: Block) {
        let link: NonNull<Link> = block.cast();
        // SAFETY: the caller's promise; a block is large and aligned enough.
        unsafe { link.write(Link { next: self.top }) };
        self.top = link.as_ptr();
        self.count += 1;
    }

    #[cold]
    fn refill(&mut self) -> Option<Block> {
        self.open();
        if self.stage != Stage::Open {
            let mut taken = [None; 1];
            D::take(&mut taken);
            return taken[0];
        }
        let mut taken = [None; HALF];
        D::take(&mut taken);
        let mut taken = taken.into_iter().flatten();
        let block = taken.next()?;
        for block in taken {
            // SAFETY: just taken.
            unsafe { self.push(block) };
        }
        Some(block)
    }

    #[cold]
    fn make_room(&mut self) {
        self.open();
        self.drain(self.count.saturating_sub(HALF));
    }

    /// Gives back `count` blocks.
    fn drain(&mut self, count: usize) {
        if count > 0 {
            D::give(core::iter::from_fn(|| self.pop()).take(count));
        }
    }

    fn open(&mut self) {
        if self.stage == Stage::New {
            self.stage = if D::empty_at_thread_end() { Stage::Open } else { Stage::Closed };
        }
    }

    /// Empties it: the thread ends.
    pub(super) fn close(&mut self) {
        self.drain(self.count);
        self.stage = Stage::Closed;
    }
}

/// Makes the type a [`Depot`] by its functions `take` and `give`, with a magazine for each thread under this name; in a
/// module, because assembly needs one.
macro_rules! magazines {
    ($module:ident, $depot:ident, $take:path, $give:path, $name:literal) => {
        mod $module {
            use super::*;
            use rumpscope_probes::thread::{self, AtEnd};
            use $crate::host::memory::magazine::{Block, Depot, Magazine};

            rumpscope_probes::initial_exec! {
                fn magazine() -> *mut Magazine<$depot> = $name
            }

            /// Empties the thread's magazine when the thread ends.
            static EMPTY: AtEnd = AtEnd(|| {
                // SAFETY: this thread's own, which nobody uses now.
                unsafe { &mut *magazine() }.close();
            });

            impl Depot for $depot {
                fn take<const N: usize>(taken: &mut [Option<Block>; N]) {
                    $take(taken);
                }

                fn give(blocks: impl Iterator<Item = Block>) {
                    $give(blocks);
                }

                #[inline(always)]
                fn magazine() -> *mut Magazine<Self> {
                    magazine()
                }

                fn empty_at_thread_end() -> bool {
                    thread::at_end(&EMPTY)
                }
            }
        }
    };
}
pub(super) use magazines;
