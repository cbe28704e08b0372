//! Load `null`: the way into the kernel and out of it.

use super::super::kernel::Kernel;
use super::super::load::{Kind, Run};
use super::super::worker::Worker;
use super::check;
use std::sync::Arc;

pub const KIND: Kind = Kind {
    name: "null",
    description: "getpid, a system call that does next to nothing",
    threads: 1,
    multiple: 1,
    components: &[],
    setup: |_, _| Ok(Arc::new(Null)),
};

struct Null;

impl Run for Null {
    fn run(&self, kernel: &Kernel, worker: &mut Worker) -> Result<(), String> {
        while worker.more() {
            let pid = kernel.getpid();
            check(pid == worker.pid, || format!("getpid said {pid} in process {}", worker.pid))?;
            worker.done();
        }
        Ok(())
    }
}
