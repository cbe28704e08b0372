//! `rumpscope guest`: the embedded guest, in the process that `run` or `bench` made for it.

use crate::cli::GuestCommand;
use anyhow::Context;
use rumpscope_bench_suite::ab::Figures;
use rumpscope_bench_suite::guest::{self, GuestReport};
use rumpscope_bench_suite::hypervisor::{Hypervisor, own_library};

/// Runs it; the result is the exit status: 0, or 1 where it failed or a check of its workload did.
pub fn run(args: &GuestCommand) -> i32 {
    match boot(args) {
        Ok(report) => {
            // Standard output is the profile's.
            tell!("rumpscope guest: {report}");
            0
        }
        Err(error) => {
            tell!("rumpscope guest: {error:#}");
            1
        }
    }
}

fn boot(args: &GuestCommand) -> anyhow::Result<GuestReport> {
    let library = own_library().context(
        "librumpuser.so is not beside this program: build it (`cargo build`), or name it in RUMPSCOPE_LIBRARY",
    )?;
    let report = guest::run(&args.options(), Hypervisor::load(&library)?)?;
    if let Some(path) = &args.figures {
        let figures = serde_json::to_string(&Figures::new(&report))?;
        std::fs::write(path, figures).with_context(|| format!("cannot write the figures to {}", path.display()))?;
    }
    Ok(report)
}
