//! The page allocator: cuts mappings from the hypervisor into pages and keeps those that come back.

use super::kernel::kernel;
use super::kmem::Mapping;
use super::kmutex::KMutex;
use core::ffi::c_int;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

/// Bytes in a page.
pub const PAGE_SIZE: usize = 4096;

/// Bytes asked of the hypervisor at a time: some hundred pages for one system call.
const CHUNK_SIZE: usize = 1 << 20;

/// A page. Its first contents are left over from who had it last.
#[derive(Debug)]
pub struct Page(NonNull<[u8; PAGE_SIZE]>);

// SAFETY: plain memory with one owner.
unsafe impl Send for Page {}
// SAFETY: as above; shared references only read.
unsafe impl Sync for Page {}

impl Page {
    /// A page of the guest's pool.
    ///
    /// # Errors
    /// What the hypervisor says when it has no more memory.
    pub fn allocate() -> Result<Self, c_int> {
        kernel().pages.take()
    }
}

impl Deref for Page {
    type Target = [u8; PAGE_SIZE];
    fn deref(&self) -> &Self::Target {
        // SAFETY: the page belongs to this object, and mappings are initialised.
        unsafe { self.0.as_ref() }
    }
}

impl DerefMut for Page {
    fn deref_mut(&mut self) -> &mut Self::Target {
        // SAFETY: as in `deref`, borrowed mutably.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        kernel().pages.give_back(self.0);
    }
}

#[derive(Debug, Default)]
struct Pool {
    free: Vec<NonNull<[u8; PAGE_SIZE]>>,
    chunks: Vec<Mapping>,
}

// SAFETY: the free pages are parts of the chunks, owned together with them.
unsafe impl Send for Pool {}

/// All pages.
#[derive(Debug)]
pub struct PagePool(KMutex<Pool>);

impl PagePool {
    /// An empty pool.
    pub fn new() -> Self {
        PagePool(KMutex::new_spin(Pool::default()))
    }

    fn take(&self) -> Result<Page, c_int> {
        let mut pool = self.0.enter();
        if let Some(page) = pool.free.pop() {
            return Ok(Page(page));
        }
        let chunk = Mapping::new(CHUNK_SIZE)?;
        let start = chunk.start().cast::<[u8; PAGE_SIZE]>();
        // SAFETY: all of these lie in the chunk.
        let pages = (0..CHUNK_SIZE / PAGE_SIZE).rev().map(|page| unsafe { start.add(page) });
        pool.free.extend(pages);
        pool.chunks.push(chunk);
        pool.free.pop().map(Page).ok_or(super::errno::ENOMEM)
    }

    fn give_back(&self, page: NonNull<[u8; PAGE_SIZE]>) {
        self.0.enter().free.push(page);
    }

    /// How many pages are in use.
    pub fn in_use(&self) -> usize {
        let pool = self.0.enter();
        pool.chunks.len() * (CHUNK_SIZE / PAGE_SIZE) - pool.free.len()
    }
}
