//! `rumpscope offcpu`: the time that threads do not run, as folded stacks or as a flame graph.

use crate::cli::OffcpuArgs;
use crate::output::Target;
use crate::waiting::{self, Source};
use anyhow::Context;
use rumpscope_reports::contention::flame::{Caption, draw};
use rumpscope_reports::contention::offcpu::{Stacks, folded, stacks};
use rumpscope_reports::units;
use std::io::ErrorKind;

/// Writes it; the result is the exit status.
///
/// # Errors
/// When there is nothing to look at, or the result cannot be written.
pub fn run(args: &OffcpuArgs) -> anyhow::Result<i32> {
    // Made before the run: a wrong name is not found out after it.
    let (name, output) = match &args.output {
        None => ("standard output".to_owned(), Target::StandardOutput),
        Some(path) => (path.display().to_string(), Target::file(path)?),
    };
    let source = match waiting::of(args.target.as_deref(), &args.source)? {
        Ok(source) => source,
        Err(status) => return Ok(status),
    };
    let stacks = stacks(&source.waiting, args.holders);
    if source.waiting.lost != 0 {
        tell!(
            "rumpscope: {} waits are not in it: the segment had no room for their call chains",
            units::count(source.waiting.lost)
        );
    }
    let text = if args.svg { draw(&stacks, &caption(&source, &stacks, args.holders)) } else { folded(&stacks) };
    match output.write(&text) {
        // Whoever reads it has read enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.with_context(|| format!("cannot write to {name}"))?,
    }
    Ok(source.status)
}

fn caption(source: &Source, stacks: &Stacks, holders: bool) -> Caption {
    let time = |nanoseconds| units::time(nanoseconds, true);
    let title = if holders { "Waiting, and what those did who were waited for" } else { "Time off the processor" };
    let waited: u64 = stacks.values().sum();
    let subtitle = format!(
        "{} (process {}): {} of waiting, added up over threads, in {}",
        source.program,
        source.pid,
        time(waited as f64),
        time(source.waiting.nanoseconds(source.waiting.duration) as f64)
    );
    Caption { title: title.to_owned(), subtitle, root: "all waiting".to_owned() }
}
