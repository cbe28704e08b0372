//! The block cache: the disk as a range of bytes, of which the blocks used last are in memory.

use super::GuestError;
use super::buffer::{BLOCK_SIZE, Buffer};
use super::disk::{Disk, Operation};
use super::kmutex::KMutex;
use core::ffi::c_int;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

/// Blocks kept in memory: 4 MiB, much less than a disk, so that the disk is really used.
const CAPACITY: usize = 1024;

#[derive(Debug, Default)]
struct Blocks {
    buffers: BTreeMap<u64, Arc<Buffer>>,
    /// In the order in which they came; the first one that is neither used nor dirty goes.
    order: VecDeque<u64>,
}

/// The block cache of a disk.
#[derive(Debug)]
pub struct Cache {
    disk: Disk,
    blocks: KMutex<Blocks>,
}

/// What to do to make room.
enum Room {
    /// There is some.
    Enough,
    /// This buffer is for a new block.
    Reuse(Arc<Buffer>),
    /// This one has to be written first.
    Write(Arc<Buffer>),
}

impl Blocks {
    fn make_room(&mut self) -> Room {
        if self.buffers.len() < CAPACITY {
            return Room::Enough;
        }
        for _ in 0..self.order.len() {
            let Some(block) = self.order.pop_front() else { break };
            let Some(buffer) = self.buffers.get(&block) else { continue };
            // The cache's own reference only: no client and no transfer uses it, and none can come, since clients get
            // theirs under the mutex that the caller has.
            if Arc::strong_count(buffer) > 1 {
                self.order.push_back(block);
                continue;
            }
            if buffer.is_dirty() {
                let buffer = Arc::clone(buffer);
                self.order.push_back(block);
                return Room::Write(buffer);
            }
            if let Some(buffer) = self.buffers.remove(&block) {
                return Room::Reuse(buffer);
            }
        }
        // All are in use: there are as many clients as that, so let there be a few more buffers.
        Room::Enough
    }
}

impl Cache {
    /// The cache of the disk at `path`, empty.
    ///
    /// # Errors
    /// When the disk cannot be opened.
    pub fn open(path: &Path) -> Result<Self, GuestError> {
        Ok(Cache { disk: Disk::open(path)?, blocks: KMutex::new(Blocks::default()) })
    }

    /// Bytes on the disk.
    pub fn size(&self) -> u64 {
        self.disk.size()
    }

    /// The buffer of `block`.
    fn buffer(&self, block: u64) -> Result<Arc<Buffer>, c_int> {
        loop {
            let mut blocks = self.blocks.enter();
            if let Some(buffer) = blocks.buffers.get(&block) {
                return Ok(Arc::clone(buffer));
            }
            let buffer = match blocks.make_room() {
                Room::Enough => Buffer::new(block)?,
                Room::Reuse(buffer) => {
                    buffer.reassign(block);
                    buffer
                }
                Room::Write(victim) => {
                    drop(blocks);
                    victim.start_write(&self.disk, Operation::Write);
                    victim.wait()?;
                    continue;
                }
            };
            blocks.buffers.insert(block, Arc::clone(&buffer));
            blocks.order.push_back(block);
            return Ok(buffer);
        }
    }

    /// Reads `data.len()` bytes from byte `offset` on. Transfers of several blocks go on at once.
    ///
    /// # Errors
    /// NetBSD's number.
    pub fn read(&self, offset: u64, data: &mut [u8]) -> Result<(), c_int> {
        let pieces = pieces(offset, data.len());
        let buffers = self.start_reads(pieces.clone().map(|piece| piece.block))?;
        let mut rest = data;
        for (piece, buffer) in pieces.zip(buffers) {
            let (here, after) = rest.split_at_mut(piece.length);
            rest = after;
            buffer.with(&self.disk, |block| here.copy_from_slice(&block[piece.start..piece.start + piece.length]))?;
        }
        Ok(())
    }

    fn start_reads(&self, blocks: impl Iterator<Item = u64>) -> Result<Vec<Arc<Buffer>>, c_int> {
        blocks
            .map(|block| {
                let buffer = self.buffer(block)?;
                buffer.start_read(&self.disk);
                Ok(buffer)
            })
            .collect()
    }

    /// Writes `data` from byte `offset` on, to memory, and if `through`, to the disk for good.
    ///
    /// # Errors
    /// NetBSD's number.
    pub fn write(&self, offset: u64, data: &[u8], through: bool) -> Result<(), c_int> {
        let mut rest = data;
        let mut buffers = Vec::new();
        for piece in pieces(offset, data.len()) {
            let (here, after) = rest.split_at(piece.length);
            rest = after;
            let buffer = self.buffer(piece.block)?;
            buffer.change(&self.disk, piece.length == BLOCK_SIZE, |block| {
                block[piece.start..piece.start + piece.length].copy_from_slice(here);
            })?;
            if through {
                buffer.start_write(&self.disk, Operation::WriteThrough);
                buffers.push(buffer);
            }
        }
        buffers.iter().try_for_each(|buffer| buffer.wait())
    }

    /// Returns when all that was written before is on the disk for good.
    ///
    /// # Errors
    /// NetBSD's number of the first transfer that failed.
    pub fn sync(&self) -> Result<(), c_int> {
        let buffers: Vec<_> = self.blocks.enter().buffers.values().cloned().collect();
        let dirty: Vec<_> = buffers.into_iter().filter(|buffer| buffer.is_dirty()).collect();
        for buffer in &dirty {
            buffer.start_write(&self.disk, Operation::Write);
        }
        dirty.iter().try_for_each(|buffer| buffer.wait())?;
        self.disk.flush()
    }

    /// Forgets all blocks, after they have been written: what is read next comes from the disk. No client is using the
    /// disk meanwhile.
    ///
    /// # Errors
    /// As for [`sync`](Self::sync).
    pub fn purge(&self) -> Result<(), c_int> {
        self.sync()?;
        let blocks = core::mem::take(&mut *self.blocks.enter());
        drop(blocks);
        Ok(())
    }

    /// Writes what is left and closes the disk.
    ///
    /// # Errors
    /// When that failed.
    pub fn close(self) -> Result<(), GuestError> {
        self.purge().map_err(|errno| GuestError::Hypercall { call: "bio", errno })?;
        self.disk.close()
    }
}

/// A part of a range of bytes that lies in one block.
#[derive(Clone, Copy)]
struct Piece {
    block: u64,
    start: usize,
    length: usize,
}

/// Cuts a range of bytes at the boundaries of blocks.
fn pieces(offset: u64, length: usize) -> impl Iterator<Item = Piece> + Clone {
    let mut at = offset;
    let end = offset + length as u64;
    core::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let start = (at % BLOCK_SIZE as u64) as usize;
        let length = (BLOCK_SIZE - start).min((end - at) as usize);
        let piece = Piece { block: at / BLOCK_SIZE as u64, start, length };
        at += length as u64;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_at_the_blocks() {
        let cut = |offset, length| {
            pieces(offset, length).map(|piece| (piece.block, piece.start, piece.length)).collect::<Vec<_>>()
        };
        assert_eq!(cut(4096, 4096), [(1, 0, 4096)]);
        assert_eq!(cut(4000, 200), [(0, 4000, 96), (1, 0, 104)]);
        assert_eq!(cut(8191, 4098), [(1, 4095, 1), (2, 0, 4096), (3, 0, 1)]);
        assert_eq!(cut(5, 0), []);
    }
}
