//! `rumpscope record`: a running process, or a program to start, into a file.

use super::run::{description, ran};
use crate::cli::RecordArgs;
use crate::live::{Pace, Sampler};
use crate::recording::{DEPTH, Tape, Writer, recorder};
use crate::{attach, exit, interrupt, measured};
use anyhow::Context;
use rumpscope_probes::reader::Segment;
use rumpscope_reports::recording::About;
use rumpscope_reports::{Ended, Host, Ran};
use std::time::{Duration, Instant};

/// How often it is looked whether there is a reason to end.
const LOOK: Duration = Duration::from_millis(50);

/// Records; the result is the exit status.
///
/// # Errors
/// When there is nothing to record, or the file cannot be written.
pub fn run(args: &RecordArgs) -> anyhow::Result<i32> {
    match args.pid {
        Some(pid) => running(attach::of_process(pid)?, args),
        None => started(args),
    }
}

/// A process that runs, until it ends, the time is up or Ctrl-C.
fn running(segment: Segment, args: &RecordArgs) -> anyhow::Result<i32> {
    let process = segment.process()?;
    let about = About { ran: Ran::Program { command: vec![process.program.clone()] }, host: Host::this() };
    let recorder = recorder(&args.output, &about, args.limit)?;
    interrupt::catch().context("cannot wait for Ctrl-C")?;
    let sampler = Sampler::start(segment, args.interval, Pace::Even)?;
    let writer = Writer::start(recorder, sampler.subscribe(DEPTH), |error| tell!("rumpscope: {error}"));
    let begin = Instant::now();
    let limit = args.measured.guest.duration;
    while !writer.is_over() && !interrupt::arrived() && limit.is_none_or(|limit| begin.elapsed() < limit) {
        std::thread::sleep(LOOK.min(limit.map_or(LOOK, |limit| limit.saturating_sub(begin.elapsed()))));
    }
    // What has been sampled is still written.
    drop(sampler);
    let ended = if process.is_alive() { Ended::Running } else { Ended::Gone };
    match writer.finish(None, &ended)? {
        Some(size) => {
            size.tell(&args.output);
            Ok(0)
        }
        None => Ok(exit::NO_PROFILE),
    }
}

/// A guest that is started, from its beginning to its end.
fn started(args: &RecordArgs) -> anyhow::Result<i32> {
    let about = About { ran: ran(&args.measured), host: Host::this() };
    let mut tape = Tape::new(&args.output, &about, args.interval, args.limit)?;
    let measured = match measured::observe(&args.measured, None, Some(&mut |segment| tape.look(segment)), |_| Ok(()))? {
        Ok(measured) => measured,
        Err(status) => return Ok(status),
    };
    let size = tape.finish(&measured.snapshot, &description(&args.measured, &measured).ended)?;
    if let Some(size) = size {
        size.tell(&args.output);
    }
    Ok(measured.status())
}
