//! `rumpscope run`: starts a guest in a process of its own, waits for its end and prints its profile.

use crate::beside::Request;
use crate::child::TimeUp;
use crate::cli::{DEFAULT_LIMIT, MeasuredArgs, RunArgs};
use crate::dashboard::{self, Options};
use crate::live::Watched;
use crate::measured::{self, Measured};
use crate::output::Output;
use crate::recording::Tape;
use crate::{exit, signal, viewer};
use rumpscope_probes::reader::Segment;
use rumpscope_reports::contention::Waiting;
use rumpscope_reports::recording::About;
use rumpscope_reports::symbols::Symbols;
use rumpscope_reports::{Ended, Host, Ran, Run, Summary, json, table};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Between two samples of a recording, and of the dashboard at first.
const INTERVAL: Duration = Duration::from_secs(1);

/// Runs the guest; the result is the exit status.
///
/// # Errors
/// When the profile cannot be taken or written.
pub fn run(args: &RunArgs) -> anyhow::Result<i32> {
    // Made before the run: a wrong name is not found out after it.
    let output = Output::new(args.json.as_deref(), args.look.ascii)?;
    let alone = args.no_tui || args.json.as_deref().is_some_and(|path| path.as_os_str() == "-");
    let options = if !alone && viewer::is_possible() { Some(viewer::options(&args.look)?) } else { None };
    let about = About { ran: ran(&args.measured), host: Host::this() };
    let tape = args.record.as_ref().map(|path| Tape::new(path, &about, INTERVAL, DEFAULT_LIMIT)).transpose()?;
    let mut tape = tape.map(|tape| if options.is_some() { tape.quiet() } else { tape });
    let trouble = tape.as_ref().map(Tape::trouble);
    let mut look = tape.as_mut().map(|tape| |segment: &Path| tape.look(segment));
    let look = look.as_mut().map(|look| look as &mut dyn FnMut(&Path));
    let mut show = options.map(|options| move |segment| show(segment, trouble.clone(), options.clone()));
    let show = show.as_mut().map(|show| show as &mut dyn FnMut(Segment) -> anyhow::Result<Request>);
    let measured = match measured::run_shown(&args.measured, look, show)? {
        Ok(measured) => measured,
        Err(status) => return Ok(status),
    };
    let snapshot = &measured.snapshot;
    let waiting = Waiting::new(snapshot, &mut Symbols::new(&snapshot.contention.modules));
    let run = description(&args.measured, &measured);
    match tape.map(|tape| tape.finish(snapshot, &run.ended)).transpose() {
        Err(error) => tell!("rumpscope: {error}"),
        Ok(size) => {
            if let (Some(path), Some(size)) = (&args.record, size.flatten().filter(|size| !size.is_whole())) {
                tell!("rumpscope: {}: {}", path.display(), size.in_short());
            }
        }
    }
    let summary = Summary::new(snapshot, run).with_contention(waiting);
    output.write(|| Ok(json::render(&summary)?), |style| table::render(&summary, style))?;
    Ok(measured.status())
}

/// The dashboard on the guest, which tells `trouble` when it comes; what becomes of the guest then.
fn show(segment: Segment, trouble: Option<Arc<OnceLock<String>>>, options: Options) -> anyhow::Result<Request> {
    Ok(match viewer::show(Watched::start(segment, INTERVAL)?.with_trouble(trouble), options)? {
        dashboard::Outcome::Quit => Request::Leave,
        dashboard::Outcome::Signal(number) => Request::Signal(number),
    })
}

/// What runs.
pub(super) fn ran(args: &MeasuredArgs) -> Ran {
    if args.program.is_empty() {
        let options = args.guest.options();
        Ran::Embedded { workload: options.workload.name().to_owned(), seed: options.seed }
    } else {
        Ran::Program { command: args.program.iter().map(|word| word.to_string_lossy().into_owned()).collect() }
    }
}

/// What ran and how it ended, for the summary.
pub(super) fn description(args: &MeasuredArgs, measured: &Measured) -> Run {
    let outcome = &measured.outcome;
    let ended = match (outcome.time_up, outcome.status.signal()) {
        _ if measured.goes_on() => Ended::Running,
        (Some(TimeUp::Terminated), _) => Ended::Stopped { killed: false },
        (Some(TimeUp::Killed), _) => Ended::Stopped { killed: true },
        (None, Some(number)) => Ended::Killed { signal: number, name: signal::name(number) },
        (None, None) => Ended::Exited { status: exit::like(outcome.status) },
    };
    Run { ran: ran(args), ended, host: Host::this() }
}
