//! One run of a bench: a fresh process with the guest on one library.
//!
//! Back ends are blind: the process is told the library and the environment of its variant, and otherwise the same in
//! every run. It learns neither labels, nor the round, nor what else is compared.

use super::cores::Cores;
use crate::child::{self, TimeUp};
use crate::live::{News, Pace, Sampler};
use crate::segment_folder::SegmentFolder;
use crate::{exit, signal};
use anyhow::Context;
use crossbeam_channel::Receiver;
use rumpscope_bench_suite::ab::{Amount, Case, Figures, Guest, Load, Measured, Outcome, Plan, Probes, Slot, Variant};
use rumpscope_bench_suite::genuine::Libraries;
use rumpscope_probes::ENV_SEGMENT;
use rumpscope_probes::reader::Segment;
use rumpscope_reports::{Ended, Host, Ran, Run, Summary};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// No run takes this much longer than it should, unless it hangs.
const HANGS: Duration = Duration::from_secs(30);
/// The same where a number of operations decides.
const HANGS_BY_OPERATIONS: Duration = Duration::from_secs(300);

/// How often a variant that is watched is read, and how many readings may wait to be dropped.
const READ: Duration = Duration::from_millis(100);
const DEPTH: usize = 8;

/// Lines of a failed run that are told: the hypervisor's, the guest's and our own.
const LAST_WORDS: usize = 3;

/// Makes the run; `None`: it was interrupted.
///
/// # Errors
/// When no process can be started, or no folder be made for its files.
pub fn launch(plan: &Plan, cores: Option<&Cores>, slot: Slot) -> anyhow::Result<Option<Outcome>> {
    let (case, variant) = (&plan.cases[slot.case], &plan.variants[slot.variant]);
    let seed = plan.seed.wrapping_add(slot.round.into());
    let folder = SegmentFolder::new()?;
    let figures = folder.path().join("figures");
    let errors = folder.path().join("errors");
    let mut command = command(plan, case, variant, seed)?;
    if let Some(cores) = cores {
        cores.bind(&mut command);
    }
    command.arg("--figures").arg(&figures).env(ENV_SEGMENT, folder.segment());
    let said = File::create(&errors).with_context(|| format!("cannot make {}", errors.display()))?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
    let warm_up = Duration::from_nanos(plan.warm_up_ns);
    let limit = warm_up.saturating_add(match plan.amount {
        Amount::DurationNs(ns) => Duration::from_nanos(ns).saturating_add(HANGS),
        Amount::Operations(_) => HANGS_BY_OPERATIONS,
    });
    let segment = folder.segment();
    let mut reader = Watcher::default();
    let mut look = || reader.look(&segment);
    let look = variant.watched.then_some(&mut look as &mut dyn FnMut());
    let ended = child::run_looking(&mut command, Some(limit), look).context("cannot start the guest")?;
    if ended.asked_to_end {
        return Ok(None);
    }
    Ok(Some(match figures_of(&ended, limit, &figures) {
        Ok(figures) => Outcome::Measured(Measured { figures, probes: probes(&folder, case, seed) }),
        Err(how) => Outcome::Failed { reason: with_last_words(how, &errors) },
    }))
}

/// The figures of a run that came to its end, or how it ended otherwise.
fn figures_of(ended: &child::Outcome, limit: Duration, figures: &Path) -> Result<Figures, String> {
    match (ended.time_up, ended.status.signal()) {
        (Some(TimeUp::Terminated | TimeUp::Killed), _) => Err(format!("it was not done in {limit:.1?} and was ended")),
        (None, Some(number)) => Err(format!("killed by {}", signal::name(number))),
        (None, None) if !ended.status.success() => Err(format!("ended with status {}", exit::like(ended.status))),
        (None, None) => {
            // A library or a kernel may call exit().
            let text = fs::read_to_string(figures).map_err(|error| format!("ended without figures ({error})"))?;
            serde_json::from_str(&text).map_err(|error| format!("ended with figures that are none ({error})"))
        }
    }
}

/// Reads the segment of a run, as a dashboard does.
#[derive(Default)]
struct Watcher(Option<(Sampler, Receiver<News>)>);

impl Watcher {
    /// To be called now and then: begins when there is a segment, and takes what was read.
    fn look(&mut self, segment: &Path) {
        match &self.0 {
            Some((_, news)) => news.try_iter().for_each(drop),
            // It is not there yet, or not whole yet.
            None => {
                let sampler = Segment::open(segment).and_then(|segment| Sampler::start(segment, READ, Pace::Even));
                self.0 = sampler.ok().map(|sampler| {
                    let news = sampler.subscribe(DEPTH);
                    (sampler, news)
                });
            }
        }
    }
}

fn command(plan: &Plan, case: &Case, variant: &Variant, seed: u64) -> anyhow::Result<Command> {
    let own = std::env::current_exe().context("cannot find the program that this is, to start the guest with")?;
    let mut command = Command::new(own);
    // What is left from the caller's own experiments would be part of ours.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RUMP") {
            command.env_remove(name);
        }
    }
    match &plan.guest {
        Guest::Embedded => {
            command.arg("guest").arg(format!("--workload={}", case.workload.name()));
            command.arg(format!("--ncpu={}", case.ncpu));
        }
        Guest::Genuine(libraries) => {
            command.arg("kernel").arg(format!("--load={}", case.workload.name())).arg("--libraries").arg(libraries);
            command.env("RUMP_NCPU", case.ncpu.to_string());
            // All or none: what is preloaded is found otherwise than what is loaded.
            if let (Load::Genuine(load), Ok(libraries)) = (case.workload, Libraries::find(libraries))
                && plan.variants.iter().all(|variant| libraries.preload(&variant.library, load).is_some())
                && let Some(objects) = libraries.preload(&variant.library, load)
            {
                // What is missing is to be known at once, not in the middle of a run.
                command.env("LD_PRELOAD", objects).env("LD_BIND_NOW", "1");
            }
        }
    }
    command.args([
        format!("--seed={seed}"),
        format!("--warm-up={}ns", plan.warm_up_ns),
        match plan.amount {
            Amount::DurationNs(ns) => format!("--duration={ns}ns"),
            Amount::Operations(operations) => format!("--operations={operations}"),
        },
    ]);
    command.args(case.threads.map(|threads| format!("--threads={threads}")));
    command.env("RUMPSCOPE_LIBRARY", &variant.library).envs(&variant.env);
    Ok(command)
}

/// `how` a run failed, and what was said last.
fn with_last_words(how: String, errors: &Path) -> String {
    let said = fs::read(errors).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<_> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return how;
    }
    let last = lines[lines.len().saturating_sub(LAST_WORDS)..].join(" / ");
    // The loader says it where the kernel was preloaded.
    let versions = last.contains("symbol lookup error") && last.contains("undefined symbol: rumpuser_");
    let versions =
        if versions { ": the kernel and the library are of different versions of the interface" } else { "" };
    format!("{how}; its last words: {last}{versions}")
}

/// What the probes of the run's library saw.
fn probes(folder: &SegmentFolder, case: &Case, seed: u64) -> Probes {
    if folder.segments() == 0 {
        return Probes::None;
    }
    let snapshot = match folder.final_snapshot() {
        Ok(snapshot) => snapshot,
        Err(error) => return Probes::Unreadable { reason: error.to_string() },
    };
    let ran = match case.workload {
        Load::Embedded(workload) => Ran::Embedded { workload: workload.name().to_owned(), seed },
        Load::Genuine(load) => Ran::Program { command: vec![load.name().to_owned()] },
    };
    let run = Run { ran, ended: Ended::Exited { status: 0 }, host: Host::this() };
    Probes::new(&Summary::new(&snapshot, run))
}
