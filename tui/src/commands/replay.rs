//! `rumpscope replay`: a recording, as if it were now.

use crate::cli::ReplayArgs;
use crate::dashboard;
use crate::dashboard::source::Source;
use crate::output::Output;
use crate::{exit, viewer};
use rumpscope_probes::Snapshot;
use rumpscope_reports::contention::Waiting;
use rumpscope_reports::recording::{Player, Recording};
use rumpscope_reports::symbols::Symbols;
use rumpscope_reports::{Ended, Run, Sample, State, Summary, interval, json, table, units};

/// Shows it; the result is the exit status.
///
/// # Errors
/// When it cannot be read, or the result cannot be written.
pub fn run(args: &ReplayArgs) -> anyhow::Result<i32> {
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from >= to
    {
        tell!("rumpscope: --from must be before --to");
        return Ok(exit::BAD_USAGE);
    }
    let output = Output::new(args.json.as_deref(), args.look.ascii)?;
    let mut recording = Recording::open(&args.file)?;
    if let Some(damage) = recording.damage() {
        let cut = if damage.cut { "was cut off" } else { "is damaged" };
        tell!("rumpscope: {} {cut} {damage}", args.file.display());
    }
    let as_text = args.text || args.json.is_some() || args.from.is_some() || args.to.is_some();
    if !as_text && viewer::is_possible() {
        let options = viewer::options(&args.look)?;
        return dashboard::run(Source::Replay(Box::new(Player::new(recording)?)), options).map(viewer::status);
    }
    let (first, last) = part(args, &recording);
    let earlier = first.map(|first| recording.at(first)).transpose()?;
    let later = recording.at(last)?;
    if later.is_outline() {
        let precision = earlier.iter().fold(later.precision, |of, earlier| of.and(earlier.precision));
        let file = args.file.display();
        tell!("rumpscope: {file} has only outlines there ({precision}): percentiles and waiting are not in them");
    }
    let run = description(&recording, &later);
    let summary = summary(earlier.as_deref().map(|sample| &sample.snapshot), &later.snapshot, run);
    output.write(|| Ok(json::render(&summary)?), |style| table::render(&summary, style))?;
    Ok(0)
}

/// The samples that the profile is the difference of; without an earlier one it is of all since measuring began. These are
/// whole samples, where the part has two, and that is said where they are not those that were asked for.
fn part(args: &ReplayArgs, recording: &Recording) -> (Option<usize>, usize) {
    let end = recording.len() - 1;
    let last = args.to.map_or(end, |to| recording.index_at(to));
    // An interval needs two samples.
    let first = args.from.map(|from| recording.index_at(from).min(last.saturating_sub(1)));
    let last = if first == Some(last) { (last + 1).min(end) } else { last };
    let whole = (first.map(|first| recording.last_whole(first)), recording.last_whole(last));
    if whole == (first, last) {
        return whole;
    }
    let file = args.file.display();
    let at = |index: usize| units::time(recording.intervals()[index].elapsed.as_nanos() as f64, args.look.ascii);
    if whole.0.is_some_and(|first| first >= whole.1) {
        // As will be said of the last one.
        return (first, last);
    }
    let from = whole.0.map_or_else(String::new, |first| format!("from {} ", at(first)));
    tell!("rumpscope: {file}: this is the part {from}to {}, where it has whole samples", at(whole.1));
    whole
}

/// As `run` says it, of what was recorded.
fn description(recording: &Recording, last: &Sample) -> Run {
    let about = recording.about();
    let unsaid = match last.state {
        State::Alive => Ended::Running,
        State::Dead => Ended::Gone,
    };
    let ended = recording.ended().cloned().unwrap_or(unsaid);
    Run { ran: about.ran.clone(), ended, host: about.host.clone() }
}

fn summary(earlier: Option<&Snapshot>, later: &Snapshot, run: Run) -> Summary {
    let mut names = Symbols::new(&later.contention.modules);
    match earlier {
        Some(earlier) => {
            let waiting = Waiting::between(earlier, later, &mut names);
            Summary::between(earlier, &interval::between(earlier, later), run).with_contention(waiting)
        }
        None => Summary::new(later, run).with_contention(Waiting::new(later, &mut names)),
    }
}
