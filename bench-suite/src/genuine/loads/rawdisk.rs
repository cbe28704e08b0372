//! Load `rawdisk`: random reads of a disk that the host has in memory, past the kernel's own cache. With `rawdisk-busy` and
//! `rawdisk-idle` the threads leave the kernel between them for longer than a read takes, to run or to sleep.

use super::super::image::{BLOCK, BLOCKS, image, is_block};
use super::super::kernel::{Kernel, READ_WRITE};
use super::super::load::{Kind, Run, Setup};
use super::super::worker::Worker;
use super::check;
use core::ffi::c_int;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const KIND: Kind = Kind {
    name: "rawdisk",
    description: "random reads of 4 KiB from a raw disk that is a file in the host's memory",
    threads: 4,
    multiple: 1,
    components: &["librumpvfs", "librumpdev", "librumpdev_disk"],
    setup: |kernel, _| setup(kernel, || ()),
};

pub const BUSY: Kind = Kind {
    name: "rawdisk-busy",
    description: "the same, and each thread runs outside of the kernel for 30 us after each",
    setup: |kernel, _| {
        setup(kernel, || {
            let end = Instant::now() + Duration::from_micros(30);
            while Instant::now() < end {
                core::hint::spin_loop();
            }
        })
    },
    ..KIND
};

pub const IDLE: Kind = Kind {
    name: "rawdisk-idle",
    description: "the same, and each thread sleeps outside of the kernel for 50 us after each",
    setup: |kernel, _| setup(kernel, || std::thread::sleep(Duration::from_micros(50))),
    ..KIND
};

struct RawDisk {
    /// The kernel's descriptor of the disk.
    file: c_int,
    /// What a thread does between two reads.
    between: fn(),
}

fn setup(kernel: &Kernel, between: fn()) -> Setup {
    let image = image()?;
    let path = CString::new(image.path().as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    kernel.add_raw_disk(c"/rawdisk", &path)?;
    // The hypervisor has the file open from here on; its name goes with the image, so that it is gone however this ends.
    Ok(Arc::new(RawDisk { file: kernel.open(c"/rawdisk", READ_WRITE)?, between }))
}

/// Memory for a block, aligned as one: what is read from a raw disk goes there directly.
#[repr(align(4096))]
struct Block([u8; BLOCK]);

impl Run for RawDisk {
    fn run(&self, kernel: &Kernel, worker: &mut Worker) -> Result<(), String> {
        let mut block = Box::new(Block([0; BLOCK]));
        while worker.more() {
            let number = worker.rng.below(BLOCKS);
            let read = kernel.pread(self.file, &mut block.0, number * BLOCK as u64)?;
            check(is_block(&block.0[..read], number), || {
                format!("{read} bytes were read that are not block {number}")
            })?;
            worker.done();
            (self.between)();
        }
        Ok(())
    }
}
