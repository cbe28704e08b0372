//! Load `churn`: threads and processes that come, do one thing, and go.

use super::super::kernel::{Kernel, Lwp};
use super::super::load::{Kind, Run};
use super::super::worker::Worker;
use super::check;
use std::sync::Arc;

pub const KIND: Kind = Kind {
    name: "churn",
    description: "new host threads enter the kernel, as one more of a process or as a new one, and end",
    threads: 2,
    multiple: 1,
    components: &[],
    setup: |_, _| Ok(Arc::new(Churn)),
};

struct Churn;

/// The life of a thread: in process `pid`, or in one of its own.
fn life(kernel: &Kernel, pid: i32, own: bool) -> Result<(), String> {
    let _lwp: Lwp = if own { kernel.new_process()? } else { kernel.new_lwp(pid)? };
    let found = kernel.getpid();
    check((found != pid) == own, || {
        format!("getpid said {found} to a thread {} process {pid}", if own { "out of" } else { "of" })
    })
}

impl Run for Churn {
    fn run(&self, kernel: &Kernel, worker: &mut Worker) -> Result<(), String> {
        while worker.more() {
            let (kernel, pid, own) = (*kernel, worker.pid, worker.rng.one_in(2));
            let thread = std::thread::Builder::new().spawn(move || life(&kernel, pid, own));
            let thread = thread.map_err(|error| format!("cannot start a thread: {error}"))?;
            thread.join().map_err(|_| "a thread panicked".to_owned())??;
            worker.done();
        }
        Ok(())
    }
}
