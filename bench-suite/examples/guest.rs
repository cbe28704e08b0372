//! Runs the embedded guest in this process: `guest [WORKLOAD] [SECONDS] [THREADS]`, on the library named by the
//! environment variable `RUMPSCOPE_LIBRARY`, or ours.

use rumpscope_bench_suite::guest::{self, GuestOptions};
use rumpscope_bench_suite::hypervisor::{Hypervisor, own_library};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut options = GuestOptions::default();
    let mut arguments = std::env::args().skip(1);
    if let Some(workload) = arguments.next() {
        options.workload = workload.parse()?;
    }
    if let Some(seconds) = arguments.next() {
        options.duration = Some(Duration::try_from_secs_f64(seconds.parse()?)?);
    }
    if let Some(threads) = arguments.next() {
        options.threads = Some(threads.parse()?);
    }
    let library = own_library().ok_or("no librumpuser.so: build rumpscope-core, or set RUMPSCOPE_LIBRARY")?;
    let report = guest::run(&options, Hypervisor::load(&library)?)?;
    println!("{report}");
    for part in &report.parts {
        println!(
            "  {:10} {:>12} operations, {:>12} checks, {} threads",
            part.workload.name(),
            part.operations,
            part.checks,
            part.threads
        );
    }
    for (index, cpu) in report.cpus.iter().enumerate() {
        println!("  cpu{index}: {} fast, {} slow, {} migrations", cpu.fast, cpu.slow, cpu.migrations);
    }
    Ok(())
}
