//! Load `sleep`: threads that sleep are woken by the kernel's clock.

use super::super::kernel::Kernel;
use super::super::load::{Kind, Run};
use super::super::worker::Worker;
use super::check;
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

pub const KIND: Kind = Kind {
    name: "sleep",
    description: "threads sleep for 1 ms, which the kernel rounds up to its clock ticks",
    threads: 8,
    multiple: 1,
    components: &[],
    setup: |_, _| Ok(Arc::new(Sleep)),
};

/// How long.
const TIME: Duration = Duration::from_millis(1);

struct Sleep;

impl Run for Sleep {
    fn run(&self, kernel: &Kernel, worker: &mut Worker) -> Result<(), String> {
        while worker.more() {
            let start = Instant::now();
            kernel.sleep(TIME)?;
            let slept = start.elapsed();
            check(slept >= TIME, || format!("a sleep of {TIME:?} took {slept:?}"))?;
            worker.done();
        }
        Ok(())
    }
}
