//! Load `rawdisk`: random reads of a disk that the host has in memory, past the kernel's own cache.

use super::super::image::{BLOCK, BLOCKS, image, is_block};
use super::super::kernel::{Kernel, READ_WRITE};
use super::super::load::{Kind, Run, Setup};
use super::super::worker::Worker;
use super::check;
use core::ffi::c_int;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

pub const KIND: Kind = Kind {
    name: "rawdisk",
    description: "random reads of 4 KiB from a raw disk that is a file in the host's memory",
    threads: 4,
    multiple: 1,
    components: &["librumpvfs", "librumpdev", "librumpdev_disk"],
    setup,
};

/// The kernel's descriptor of the disk.
struct RawDisk(c_int);

fn setup(kernel: &Kernel, _: usize) -> Setup {
    let image = image()?;
    let path = CString::new(image.path().as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    kernel.add_raw_disk(c"/rawdisk", &path)?;
    // The hypervisor has the file open from here on; its name goes with the image, so that it is gone however this ends.
    Ok(Arc::new(RawDisk(kernel.open(c"/rawdisk", READ_WRITE)?)))
}

/// Memory for a block, aligned as one: what is read from a raw disk goes there directly.
#[repr(align(4096))]
struct Block([u8; BLOCK]);

impl Run for RawDisk {
    fn run(&self, kernel: &Kernel, worker: &mut Worker) -> Result<(), String> {
        let mut block = Box::new(Block([0; BLOCK]));
        while worker.more() {
            let number = worker.rng.below(BLOCKS);
            let read = kernel.pread(self.0, &mut block.0, number * BLOCK as u64)?;
            check(is_block(&block.0[..read], number), || {
                format!("{read} bytes were read that are not block {number}")
            })?;
            worker.done();
        }
        Ok(())
    }
}
