//! A part of the guest's disk, so that several workloads can use one disk.

use crate::guest::cache::Cache;
use core::ffi::c_int;
use std::sync::Arc;

/// A range of the disk. Offsets count from its start; ranges lie within it.
#[derive(Clone, Debug)]
pub(super) struct Partition {
    disk: Arc<Cache>,
    start: u64,
    size: u64,
}

impl Partition {
    /// The `size` bytes of `disk` from `start` on.
    pub fn new(disk: &Arc<Cache>, start: u64, size: u64) -> Self {
        Partition { disk: Arc::clone(disk), start, size }
    }

    /// Bytes in it.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Part `index` of `count` equal ones.
    pub fn part(&self, index: usize, count: usize, granularity: u64) -> Self {
        let size = self.size / count as u64 / granularity * granularity;
        Partition { disk: Arc::clone(&self.disk), start: self.start + index as u64 * size, size }
    }

    /// See [`Cache::read`].
    pub fn read(&self, offset: u64, data: &mut [u8]) -> Result<(), c_int> {
        self.disk.read(self.start + offset, data)
    }

    /// See [`Cache::write`].
    pub fn write(&self, offset: u64, data: &[u8], through: bool) -> Result<(), c_int> {
        self.disk.write(self.start + offset, data, through)
    }

    /// See [`Cache::sync`]; it does the whole disk.
    pub fn sync(&self) -> Result<(), c_int> {
        self.disk.sync()
    }

    /// See [`Cache::purge`]; it does the whole disk.
    pub fn purge(&self) -> Result<(), c_int> {
        self.disk.purge()
    }
}
