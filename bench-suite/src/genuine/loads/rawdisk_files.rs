//! Load `rawdisk-files`: half of the threads read a raw disk, the others make files.

use super::super::kernel::Kernel;
use super::super::load::{Kind, Run};
use super::super::worker::Worker;
use super::{files, rawdisk};
use std::sync::Arc;

pub const KIND: Kind = Kind {
    name: "rawdisk-files",
    description: "half of the threads do what those of rawdisk do, half what those of files do",
    threads: 4,
    multiple: 1,
    components: &["librumpvfs", "librumpfs_tmpfs", "librumpdev", "librumpdev_disk"],
    setup: |kernel, threads| {
        Ok(Arc::new(Both([(files::KIND.setup)(kernel, threads)?, (rawdisk::KIND.setup)(kernel, threads)?])))
    },
};

struct Both([Arc<dyn Run>; 2]);

impl Run for Both {
    fn run(&self, kernel: &Kernel, worker: &mut Worker) -> Result<(), String> {
        self.0[worker.index % 2].run(kernel, worker)
    }
}
