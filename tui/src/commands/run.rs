//! `rumpscope run`: starts a guest in a process of its own, waits for its end and prints its profile.

use crate::child::TimeUp;
use crate::cli::{MeasuredArgs, RunArgs};
use crate::measured::{self, Measured};
use crate::output::Output;
use crate::{exit, signal};
use rumpscope_reports::contention::Waiting;
use rumpscope_reports::symbols::Symbols;
use rumpscope_reports::{Ended, Host, Ran, Run, Summary, json, table};
use std::os::unix::process::ExitStatusExt;

/// Runs the guest; the result is the exit status.
///
/// # Errors
/// When the profile cannot be taken or written.
pub fn run(args: &RunArgs) -> anyhow::Result<i32> {
    // Made before the run: a wrong name is not found out after it.
    let output = Output::new(args.json.as_deref(), args.ascii)?;
    let measured = match measured::run(&args.measured)? {
        Ok(measured) => measured,
        Err(status) => return Ok(status),
    };
    let snapshot = &measured.snapshot;
    let waiting = Waiting::new(snapshot, &mut Symbols::new(&snapshot.contention.modules));
    let summary = Summary::new(snapshot, description(&args.measured, &measured)).with_contention(waiting);
    output.write(|| Ok(json::render(&summary)?), |style| table::render(&summary, style))?;
    Ok(measured.status())
}

/// What runs and how it ended, for the summary.
fn description(args: &MeasuredArgs, measured: &Measured) -> Run {
    let ran = if args.program.is_empty() {
        let options = args.guest.options();
        Ran::Embedded { workload: options.workload.name().to_owned(), seed: options.seed }
    } else {
        Ran::Program { command: args.program.iter().map(|word| word.to_string_lossy().into_owned()).collect() }
    };
    let outcome = &measured.outcome;
    let ended = match (outcome.time_up, outcome.status.signal()) {
        _ if measured.goes_on() => Ended::Running,
        (Some(TimeUp::Terminated), _) => Ended::Stopped { killed: false },
        (Some(TimeUp::Killed), _) => Ended::Stopped { killed: true },
        (None, Some(number)) => Ended::Killed { signal: number, name: signal::name(number) },
        (None, None) => Ended::Exited { status: exit::like(outcome.status) },
    };
    Run { ran, ended, host: Host::this() }
}
