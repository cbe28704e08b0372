//! Running a guest in a process of its own, measured, to its end.

use crate::beside::{self, Request};
use crate::child::{self, Outcome};
use crate::cli::MeasuredArgs;
use crate::segment_folder::SegmentFolder;
use crate::{absence, exit, preload, signal};
use anyhow::Context;
use rumpscope_probes::reader::Segment;
use rumpscope_probes::{ENV_EVENTS, ENV_SEGMENT, ENV_TIMING, Snapshot};
use rumpuser::host::backend;
use rumpuser::host::block::choice;
use std::io::{self, ErrorKind};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

/// A guest that has run.
pub struct Measured {
    /// What was measured.
    pub snapshot: Snapshot,
    /// How it ended.
    pub outcome: Outcome,
}

/// What is called every now and then, with where the guest makes its segment.
type Look<'a> = &'a mut dyn FnMut(&Path);

/// Shows the guest while it runs; what is to become of it when nobody looks any more.
type Show<'a> = &'a mut dyn FnMut(Segment) -> anyhow::Result<Request>;

/// Runs the guest; an exit status where it has no profile, the reasons for which have been printed then.
///
/// # Errors
/// When the profile cannot be taken.
pub fn run(args: &MeasuredArgs) -> anyhow::Result<Result<Measured, i32>> {
    observe(args, None, None, |_| Ok(()))
}

/// The same, and shows the guest by `show` from when it has a segment, if there is one: then it is not let at the terminal.
/// `look` is called at least until it has one.
///
/// # Errors
/// As for [`run`].
pub fn run_shown(
    args: &MeasuredArgs,
    look: Option<Look<'_>>,
    show: Option<Show<'_>>,
) -> anyhow::Result<Result<Measured, i32>> {
    watch(args, None, look, show, |_| Ok(()))
}

/// The same; `look` is called every now and then with where the guest makes its segment, and `last` when it has ended.
/// `events` is how much room there is for events, if that is asked for.
///
/// # Errors
/// As for [`run`], and what `last` says.
pub fn observe(
    args: &MeasuredArgs,
    events: Option<&str>,
    look: Option<Look<'_>>,
    last: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<Result<Measured, i32>> {
    watch(args, events, look, None, last)
}

fn watch(
    args: &MeasuredArgs,
    events: Option<&str>,
    look: Option<Look<'_>>,
    show: Option<Show<'_>>,
    last: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<Result<Measured, i32>> {
    let folder = SegmentFolder::new()?;
    let segment = folder.segment();
    let mut command = guest(args, folder.path())?;
    command.env(ENV_SEGMENT, &segment);
    if let Some(events) = events {
        command.env(ENV_EVENTS, events);
    }
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
    let mut look = look.map(|look| || look(&segment));
    let look = look.as_mut().map(|look| look as &mut dyn FnMut());
    let ran = match show {
        Some(show) => beside::show(&mut command, limit, &segment, look, show)?,
        None => child::run_looking(&mut command, limit, look),
    };
    let outcome = match ran {
        Ok(outcome) => outcome,
        Err(error) => return Ok(Err(cannot_start(args, &error))),
    };
    if folder.segments() == 0 {
        never_called(args, &outcome);
        return Ok(Err(exit::NO_PROFILE));
    }
    let snapshot = folder.final_snapshot()?;
    last(&segment)?;
    remark(&folder, &snapshot, &outcome);
    Ok(Ok(Measured { snapshot, outcome }))
}

impl Measured {
    /// The exit status that tells how the guest ended.
    pub fn status(&self) -> i32 {
        match self.outcome.time_up {
            // It did as it was told.
            Some(child::TimeUp::Terminated) if self.outcome.status.signal() == Some(libc::SIGTERM) => 0,
            _ => exit::like(self.outcome.status),
        }
    }

    /// The measured process is not the one that was started, and outlives it: it went into the background.
    pub fn goes_on(&self) -> bool {
        goes_on(&self.snapshot, &self.outcome)
    }
}

/// The command that starts the guest.
fn guest(args: &MeasuredArgs, folder: &Path) -> anyhow::Result<Command> {
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

/// Says what the summary cannot.
fn remark(folder: &SegmentFolder, snapshot: &Snapshot, outcome: &Outcome) {
    if let Some(number) = outcome.status.signal().filter(|_| outcome.time_up.is_none()) {
        let core = if outcome.status.core_dumped() { ", core dumped" } else { "" };
        tell!("rumpscope: the guest was killed by {}{core}; this is its profile up to then", signal::name(number));
    }
    if goes_on(snapshot, outcome) {
        tell!(
            "rumpscope: process {} goes on in the background; this is its profile up to now. Kept in the \
             foreground (rump_server: -s) it is measured to its end",
            snapshot.process.pid
        );
    }
    let others = folder.segments() - 1;
    if others != 0 {
        tell!("rumpscope: {others} more processes with a rump kernel ran; this is the profile of the first");
    }
}

/// The measured process is not the one that was started, and outlives it: it went into the background.
fn goes_on(snapshot: &Snapshot, outcome: &Outcome) -> bool {
    snapshot.process.pid != outcome.pid && snapshot.process.is_alive()
}

fn cannot_start(args: &MeasuredArgs, error: &io::Error) -> i32 {
    let Some(program) = args.program.first() else {
        tell!("rumpscope: cannot start the embedded guest: {error}");
        return exit::NO_PROFILE;
    };
    let name = program.display();
    if error.kind() != ErrorKind::NotFound {
        tell!("rumpscope: cannot start {name}: {error}");
        return exit::CANNOT_START;
    }
    if Path::new(program).is_file() {
        tell!("rumpscope: cannot start {name}: it is there, but the interpreter or loader that it names is not");
    } else {
        tell!("rumpscope: cannot start {name}: there is no such program");
    }
    exit::NOT_FOUND
}

fn never_called(args: &MeasuredArgs, outcome: &Outcome) {
    let end = match outcome.status.signal() {
        Some(number) => format!("was killed by {}", signal::name(number)),
        None => format!("ended with status {}", exit::like(outcome.status)),
    };
    let Some(program) = args.program.first() else {
        tell!("rumpscope: no profile: the embedded guest {end} before it started");
        return;
    };
    tell!(
        "rumpscope: no profile: {} never called the hypervisor. It {end}. Reasons that it may have:",
        program.display()
    );
    for reason in absence::reasons(program) {
        tell!("  - {reason}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::testing;
    use procfs::FromRead;
    use procfs::process::Stat;

    #[test]
    fn what_has_ended_does_not_go_on_though_nobody_has_waited_for_it() {
        let mut child = Command::new("true").spawn().unwrap();
        let mut snapshot = testing::samples(1, 1).remove(0).snapshot;
        snapshot.process.pid = child.id();
        snapshot.process.start_time = Stat::from_file(format!("/proc/{}/stat", child.id())).unwrap().starttime;
        while snapshot.process.is_alive() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let status = std::process::ExitStatus::from_raw(0);
        let outcome = Outcome { pid: std::process::id(), status, time_up: None, asked_to_end: false };
        assert!(!goes_on(&snapshot, &outcome));
        child.wait().unwrap();
    }
}
