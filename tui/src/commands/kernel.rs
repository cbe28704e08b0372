//! `rumpscope kernel`: a genuine kernel, in the process that `bench` made for it.

use crate::cli::KernelCommand;
use anyhow::Context;
use rumpscope_bench_suite::genuine::{self, Libraries, Options};
use rumpscope_bench_suite::hypervisor::own_library;

/// Runs it; the result is the exit status: 0, or 1 where it failed or a check of its load did.
pub fn run(args: &KernelCommand) -> i32 {
    match boot(args) {
        Ok(()) => 0,
        Err(error) => {
            tell!("rumpscope kernel: {error:#}");
            1
        }
    }
}

fn boot(args: &KernelCommand) -> anyhow::Result<()> {
    let library = own_library().context(
        "librumpuser.so is not beside this program: build it (`cargo build`), or name it in RUMPSCOPE_LIBRARY",
    )?;
    let KernelCommand { load, threads, duration, operations, warm_up, seed, .. } = *args;
    let options = Options { load, threads, duration, operations, warm_up, seed };
    let figures = genuine::run(&options, &Libraries::find(&args.libraries)?, &library)?;
    let figures = serde_json::to_string(&figures)?;
    std::fs::write(&args.figures, figures)
        .with_context(|| format!("cannot write the figures to {}", args.figures.display()))
}
