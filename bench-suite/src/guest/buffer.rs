//! A block of the disk in memory.

use super::disk::{Disk, Operation};
use super::errno;
use super::kcondvar::KCondvar;
use super::kmutex::{KMutex, KMutexGuard};
use super::pages::{PAGE_SIZE, Page};
use core::ffi::c_int;
use std::sync::Arc;

/// Bytes in a block.
pub const BLOCK_SIZE: usize = PAGE_SIZE;

/// A block in memory, and what is known about it.
#[derive(Debug)]
pub struct Buffer {
    state: KMutex<State>,
    /// A transfer is done.
    done: KCondvar,
}

/// ```text
///            start read          done
///  invalid --------------> busy ------> valid <-------------- busy
///     ^                     |             | write                ^
///     '------- failed ------'             v       start write    |
///                                   valid, dirty ----------------'   (failed: dirty again, with the error)
/// ```
#[derive(Debug)]
pub struct State {
    block: u64,
    page: Page,
    /// The page holds what the block should hold.
    valid: bool,
    /// The disk does not.
    dirty: bool,
    /// A transfer is under way: nobody touches the page.
    busy: bool,
    /// What the last transfer said.
    error: Option<c_int>,
}

impl Buffer {
    /// A buffer for `block`, not read yet.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn new(block: u64) -> Result<Arc<Self>, c_int> {
        let page = Page::allocate()?;
        let state = State { block, page, valid: false, dirty: false, busy: false, error: None };
        Ok(Arc::new(Buffer { state: KMutex::new(state), done: KCondvar::new() }))
    }

    /// The state when no transfer is under way.
    fn idle(&self) -> KMutexGuard<'_, State> {
        let mut state = self.state.enter();
        while state.busy {
            self.done.wait(&mut state);
        }
        state
    }

    /// Whether the disk lacks what is in the buffer.
    pub fn is_dirty(&self) -> bool {
        let state = self.state.enter();
        state.dirty || state.busy
    }

    /// From now on it is for another block. The caller has the only reference.
    pub fn reassign(&self, block: u64) {
        let mut state = self.idle();
        state.block = block;
        state.valid = false;
        state.error = None;
    }

    /// Starts to read the block, unless it is there or on its way.
    pub fn start_read(self: &Arc<Self>, disk: &Disk) {
        let state = self.state.enter();
        if !state.valid && !state.busy {
            self.start(state, disk, Operation::Read);
        }
    }

    /// Starts to write the block, if it is dirty, after the transfer that is under way.
    pub fn start_write(self: &Arc<Self>, disk: &Disk, operation: Operation) {
        let state = self.idle();
        if state.dirty {
            self.start(state, disk, operation);
        }
    }

    fn start(self: &Arc<Self>, mut state: KMutexGuard<'_, State>, disk: &Disk, operation: Operation) {
        state.busy = true;
        state.dirty = false;
        state.error = None;
        let data = state.page.as_mut_ptr();
        let offset = state.block * BLOCK_SIZE as u64;
        // Before the transfer starts: it may be done before `start` returns.
        drop(state);
        let buffer = Arc::clone(self);
        let done = Box::new(move |outcome| buffer.transferred(operation, outcome));
        // SAFETY: the page lives as long as the buffer, which the closure keeps; as long as the buffer is busy nobody
        // touches it.
        unsafe { disk.start(operation, data, BLOCK_SIZE, offset, done) };
    }

    /// A transfer is done: called at interrupt level.
    fn transferred(&self, operation: Operation, outcome: Result<usize, c_int>) {
        // Half a block is as bad as none.
        let error = match outcome {
            Ok(BLOCK_SIZE) => None,
            Ok(_) => Some(errno::EIO),
            Err(errno) => Some(errno),
        };
        let mut state = self.state.enter();
        state.busy = false;
        state.error = error;
        match operation {
            Operation::Read => state.valid = error.is_none(),
            Operation::Write | Operation::WriteThrough => state.dirty |= error.is_some(),
        }
        self.done.broadcast();
    }

    /// Waits for the transfer that is under way.
    ///
    /// # Errors
    /// When it failed, with NetBSD's number.
    pub fn wait(&self) -> Result<(), c_int> {
        match self.idle().error {
            None => Ok(()),
            Some(errno) => Err(errno),
        }
    }

    /// Looks at the block; reads it first if need be.
    ///
    /// # Errors
    /// When it could not be read, with NetBSD's number.
    pub fn with<R>(self: &Arc<Self>, disk: &Disk, look: impl FnOnce(&[u8; BLOCK_SIZE]) -> R) -> Result<R, c_int> {
        let state = self.valid(disk)?;
        Ok(look(&state.page))
    }

    /// Changes the block; if not `whole`, reads it first if need be.
    ///
    /// # Errors
    /// As for [`with`](Self::with).
    pub fn change(
        self: &Arc<Self>,
        disk: &Disk,
        whole: bool,
        change: impl FnOnce(&mut [u8; BLOCK_SIZE]),
    ) -> Result<(), c_int> {
        let mut state = if whole { self.idle() } else { self.valid(disk)? };
        change(&mut state.page);
        state.valid = true;
        state.dirty = true;
        Ok(())
    }

    /// The state, with the block in memory and no transfer under way.
    fn valid(self: &Arc<Self>, disk: &Disk) -> Result<KMutexGuard<'_, State>, c_int> {
        self.start_read(disk);
        let state = self.idle();
        if state.valid { Ok(state) } else { Err(state.error.unwrap_or(errno::EIO)) }
    }
}
