//! `rumpscope run`: starts a guest in a process of its own, waits for its end and prints its profile.

use crate::child::{self, Outcome, TimeUp};
use crate::cli::RunArgs;
use crate::output::Output;
use crate::segment_folder::SegmentFolder;
use crate::{absence, exit, preload, signal};
use anyhow::Context;
use rumpscope_probes::{ENV_SEGMENT, ENV_TIMING, Snapshot};
use rumpscope_reports::{Ended, Host, Ran, Run, Summary, json, table};
use rumpuser::host::backend;
use rumpuser::host::block::choice;
use std::io::{self, ErrorKind};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

/// Runs the guest; the result is the exit status.
///
/// # Errors
/// When the profile cannot be taken or written.
pub fn run(args: &RunArgs) -> anyhow::Result<i32> {
    // Made before the run: a wrong name is not found out after it.
    let output = Output::new(args.json.as_deref(), args.ascii)?;
    let folder = SegmentFolder::new()?;
    let mut command = guest(args, folder.path())?;
    command.env(ENV_SEGMENT, folder.segment());
    if let Some(mode) = args.timing {
        command.env(ENV_TIMING, mode.name());
    }
    if let Some(backend) = &args.backend {
        command.env(backend::choice::VARIABLE, backend);
    }
    if let Some(engine) = &args.block_io {
        command.env(choice::VARIABLE, engine);
    }
    // The embedded guest looks at the clock itself.
    let limit = args.guest.duration.filter(|_| !args.program.is_empty());
    let outcome = match child::run(&mut command, limit) {
        Ok(outcome) => outcome,
        Err(error) => return Ok(cannot_start(args, &error)),
    };
    if folder.segments() == 0 {
        never_called(args, &outcome);
        return Ok(exit::NO_PROFILE);
    }
    let snapshot = folder.final_snapshot()?;
    remark(&folder, &snapshot, &outcome);
    let summary = Summary::new(&snapshot, description(args, &snapshot, &outcome));
    output.write(|| Ok(json::render(&summary)?), |style| table::render(&summary, style))?;
    Ok(match outcome.time_up {
        // It did as it was told.
        Some(TimeUp::Terminated) if outcome.status.signal() == Some(libc::SIGTERM) => 0,
        _ => exit::like(outcome.status),
    })
}

/// The command that starts the guest.
fn guest(args: &RunArgs, folder: &Path) -> anyhow::Result<Command> {
    let Some((program, arguments)) = args.program.split_first() else {
        let own = std::env::current_exe().context("cannot find the program that this is, to start the guest with")?;
        let mut command = Command::new(own);
        command.arg("guest").args(args.guest.arguments());
        return Ok(command);
    };
    let mut command = Command::new(program);
    command.args(arguments).env("LD_PRELOAD", preload::ld_preload(folder)?);
    if let Some(ncpu) = args.guest.ncpu {
        command.env("RUMP_NCPU", ncpu.to_string());
    }
    Ok(command)
}

/// What runs and how it ended, for the summary.
fn description(args: &RunArgs, snapshot: &Snapshot, outcome: &Outcome) -> Run {
    let ran = if args.program.is_empty() {
        let options = args.guest.options();
        Ran::Embedded { workload: options.workload.name().to_owned(), seed: options.seed }
    } else {
        Ran::Program { command: args.program.iter().map(|word| word.to_string_lossy().into_owned()).collect() }
    };
    let ended = match (outcome.time_up, outcome.status.signal()) {
        _ if goes_on(snapshot, outcome) => Ended::Running,
        (Some(TimeUp::Terminated), _) => Ended::Stopped { killed: false },
        (Some(TimeUp::Killed), _) => Ended::Stopped { killed: true },
        (None, Some(number)) => Ended::Killed { signal: number, name: signal::name(number) },
        (None, None) => Ended::Exited { status: exit::like(outcome.status) },
    };
    Run { ran, ended, host: Host::this() }
}

/// Says what the summary cannot.
fn remark(folder: &SegmentFolder, snapshot: &Snapshot, outcome: &Outcome) {
    if let Some(number) = outcome.status.signal().filter(|_| outcome.time_up.is_none()) {
        let core = if outcome.status.core_dumped() { ", core dumped" } else { "" };
        eprintln!("rumpscope: the guest was killed by {}{core}; this is its profile up to then", signal::name(number));
    }
    if goes_on(snapshot, outcome) {
        eprintln!(
            "rumpscope: process {} goes on in the background; this is its profile up to now. Kept in the \
             foreground (rump_server: -s) it is measured to its end",
            snapshot.process.pid
        );
    }
    let others = folder.segments() - 1;
    if others != 0 {
        eprintln!("rumpscope: {others} more processes with a rump kernel ran; this is the profile of the first");
    }
}

/// The measured process is not the one that was started, and outlives it: it went into the background.
fn goes_on(snapshot: &Snapshot, outcome: &Outcome) -> bool {
    let measured = snapshot.process.pid;
    measured != outcome.pid && Path::new(&format!("/proc/{measured}")).exists()
}

fn cannot_start(args: &RunArgs, error: &io::Error) -> i32 {
    let Some(program) = args.program.first() else {
        eprintln!("rumpscope: cannot start the embedded guest: {error}");
        return exit::NO_PROFILE;
    };
    let name = program.display();
    if error.kind() != ErrorKind::NotFound {
        eprintln!("rumpscope: cannot start {name}: {error}");
        return exit::CANNOT_START;
    }
    if Path::new(program).is_file() {
        eprintln!("rumpscope: cannot start {name}: it is there, but the interpreter or loader that it names is not");
    } else {
        eprintln!("rumpscope: cannot start {name}: there is no such program");
    }
    exit::NOT_FOUND
}

fn never_called(args: &RunArgs, outcome: &Outcome) {
    let end = match outcome.status.signal() {
        Some(number) => format!("was killed by {}", signal::name(number)),
        None => format!("ended with status {}", exit::like(outcome.status)),
    };
    let Some(program) = args.program.first() else {
        eprintln!("rumpscope: no profile: the embedded guest {end} before it started");
        return;
    };
    eprintln!(
        "rumpscope: no profile: {} never called the hypervisor. It {end}. Reasons that it may have:",
        program.display()
    );
    for reason in absence::reasons(program) {
        eprintln!("  - {reason}");
    }
}
