//! `rumpscope top`: a kernel that runs, in the dashboard, as text, or as JSON.

use super::ls;
use crate::cli::TopArgs;
use crate::dashboard::{self, Chosen, Options};
use crate::live::kernels::{Found, Kernel, Kernels};
use crate::live::{News, Pace, Sampler, Watched};
use crate::top::{Interval, json, text};
use crate::{attach, exit, interrupt, terminal, viewer};
use anyhow::{Context, bail};
use crossbeam_channel::RecvTimeoutError;
use rumpscope_probes::reader::Segment;
use rumpscope_reports::symbols::Symbols;
use rumpscope_reports::{Sample, State, Style};
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether Ctrl-C was pressed.
const LOOK: Duration = Duration::from_millis(100);

/// Intervals that a slow reader of the text may be behind before samples are left out.
const DEPTH: usize = 4;

/// Shows it; the result is the exit status.
///
/// # Errors
/// When there is no such kernel, or it cannot be read or shown.
pub fn run(args: &TopArgs) -> anyhow::Result<i32> {
    let as_text = args.once || args.json || args.count.is_some() || !viewer::is_possible();
    let options = if as_text { None } else { Some(viewer::options(&args.look)?) };
    let segment = match &args.target {
        Some(target) => attach::open(target)?,
        None => match the_only_one(options.as_ref(), args.look.ascii)? {
            Ok(segment) => segment,
            Err(status) => return Ok(status),
        },
    };
    if let Some(options) = options {
        return viewer::show(Watched::start(segment, args.interval)?, options).map(viewer::status);
    }
    interrupt::catch().context("cannot wait for Ctrl-C")?;
    print(args, segment)
}

/// The segment of the only kernel that runs, or of the one that is chosen of several. Without a dashboard, several are listed;
/// an exit status where none is to be shown.
fn the_only_one(options: Option<&Options>, ascii: bool) -> anyhow::Result<Result<Segment, i32>> {
    let mut looks = Kernels::default();
    let kernels = running(&mut looks);
    match (kernels.as_slice(), options) {
        ([], _) => bail!("no instrumented kernel runs; `rumpscope run` starts one"),
        ([kernel], _) => Ok(Ok(Segment::open(&kernel.path)?)),
        (_, Some(options)) => Ok(match dashboard::choose(|| running(&mut looks), options)? {
            Chosen::Kernel(segment) => Ok(segment),
            Chosen::None(outcome) => Err(viewer::status(outcome)),
        }),
        (several, None) => {
            let style = Style { colour: false, ..terminal::style(ascii) };
            let list = ls::render(several, &[], &style);
            tell!("rumpscope: {} kernels run; name one: rumpscope top PID\n{}", several.len(), list.trim_end());
            Ok(Err(exit::BAD_USAGE))
        }
    }
}

/// Those that run now.
fn running(looks: &mut Kernels) -> Vec<Kernel> {
    let kernel = |found| match found {
        Found::Kernel(kernel) if kernel.alive => Some(kernel),
        _ => None,
    };
    looks.look().into_iter().filter_map(kernel).collect()
}

fn print(args: &TopArgs, segment: Segment) -> anyhow::Result<i32> {
    let mut names = Symbols::new(&segment.snapshot()?.contention.modules);
    let sampler = Sampler::start(segment, args.interval, Pace::Even)?;
    let news = sampler.subscribe(DEPTH);
    let mut left = if args.once { Some(1) } else { args.count };
    let mut earlier: Option<Arc<Sample>> = None;
    let mut trouble: Option<Arc<str>> = None;
    while left != Some(0) && !interrupt::arrived() {
        let sample = match news.recv_timeout(LOOK) {
            Ok(News::Sample(sample)) => sample,
            Ok(News::Trouble(problem)) => {
                if trouble.as_ref() != Some(&problem) {
                    tell!("rumpscope: {problem}");
                }
                if args.once {
                    return Ok(exit::NO_PROFILE);
                }
                trouble = Some(problem);
                continue;
            }
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        trouble = None;
        let before = earlier.replace(Arc::clone(&sample));
        // Of one that had ended before anybody looked, all that it has done is shown.
        if before.is_none() && sample.state == State::Alive {
            continue;
        }
        names.learn(&sample.snapshot.contention.modules);
        let interval = Interval::new(before.as_deref(), sample, &mut names);
        let text = if args.json {
            json::render(&interval)
        } else {
            text::render(&interval, &terminal::style(args.look.ascii))
        };
        let separator = if args.json || left == Some(1) { "" } else { "\n" };
        let mut out = io::stdout().lock();
        match out
            .write_all(text.as_bytes())
            .and_then(|()| out.write_all(separator.as_bytes()))
            .and_then(|()| out.flush())
        {
            // Whoever reads it has read enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => break,
            written => written.context("cannot write to standard output")?,
        }
        left = left.map(|left| left - 1);
    }
    // The segment became unreadable, and stayed so until the end.
    Ok(if trouble.is_some() { exit::NO_PROFILE } else { 0 })
}
