//! Load `files`: names are looked up, vnodes made and destroyed, under locks that all threads contend for.

use super::super::kernel::{CREATE, ENOENT, EXCLUSIVE, Failed, Kernel, READ_WRITE};
use super::super::load::{Kind, Run};
use super::super::worker::Worker;
use super::check;
use crate::workload::rng::{has_pattern, pattern};
use std::ffi::CString;
use std::sync::Arc;

pub const KIND: Kind = Kind {
    name: "files",
    description: "files of a tmpfs are made, written, closed and removed, some also read",
    threads: 4,
    multiple: 1,
    components: &["librumpvfs", "librumpfs_tmpfs"],
    setup: |kernel, _| {
        kernel.mount_tmpfs(c"/bench")?;
        Ok(Arc::new(Files))
    },
};

/// Bytes of a file.
const SIZE: usize = 512;
/// One file in so many is read, and found to be gone in the end.
const CHECKED: u64 = 16;

struct Files;

impl Run for Files {
    fn run(&self, kernel: &Kernel, worker: &mut Worker) -> Result<(), String> {
        let (mut data, mut read) = ([0; SIZE], [0; SIZE]);
        pattern(worker.index as u64, &mut data);
        let path = CString::new(format!("/bench/file{}", worker.index)).map_err(|error| error.to_string())?;
        while worker.more() {
            let checked = worker.rng.one_in(CHECKED);
            let file = kernel.open(&path, READ_WRITE | CREATE | EXCLUSIVE)?;
            let written = kernel.write(file, &data)?;
            check(written == SIZE, || format!("write took {written} bytes of {SIZE}"))?;
            if checked {
                let size = kernel.pread(file, &mut read, 0)?;
                let right = size == SIZE && has_pattern(worker.index as u64, &read);
                check(right, || format!("{size} bytes were read that are not those that were written"))?;
            }
            kernel.close(file)?;
            kernel.unlink(&path)?;
            if checked {
                let opened = kernel.open(&path, READ_WRITE);
                let gone = matches!(opened, Err(Failed { errno: ENOENT, .. }));
                check(gone, || format!("opening a removed file: {opened:?} instead of error {ENOENT}"))?;
            }
            worker.done();
        }
        Ok(())
    }
}
