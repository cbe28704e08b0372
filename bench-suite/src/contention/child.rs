//! The process in which a load runs: one library, one timing mode.

use super::figures::{Figures, Waits};
use super::load::{Kind, Load};
use super::sections::{Tally, Work};
use super::{handoff, locks};
use crate::bare;
use crate::hypervisor::Hypervisor;
use rumpscope_probes::{Distribution, clock};
use std::error::Error;
use std::path::Path;
use std::process::exit;
use std::time::Duration;

/// First argument of a process that is to run a load; the library and the load follow.
pub(super) const CONTEND: &str = "--contend";

/// For how long one thread alone shows how fast it is, each time.
const ALONE: Duration = Duration::from_millis(10);
/// How many times it does; the fastest counts, because others may run beside.
const TIMES_ALONE: usize = 7;

/// Runs a load if the arguments of this process ask for one, and ends the process; returns otherwise. The first thing
/// that a program which measures has to call.
pub fn child_main() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().is_none_or(|first| first != CONTEND) {
        return;
    }
    let [library, load] = [(); 2].map(|()| arguments.next().unwrap_or_default());
    let outcome = run(Path::new(&library), &load);
    if let Err(error) = &outcome {
        eprintln!("{error}");
    }
    exit(i32::from(outcome.is_err()));
}

/// What the threads do, and with what.
pub(super) struct Setting<'a> {
    pub(super) hypervisor: &'a Hypervisor,
    pub(super) kind: Kind,
    pub(super) threads: usize,
    pub(super) section: Work,
    pub(super) outside: Work,
    pub(super) duration: Duration,
    pub(super) ticks_per_ns: f64,
}

impl Setting<'_> {
    /// When it ends, in ticks, if it begins now.
    pub(super) fn end(&self) -> u64 {
        clock::now() + (self.duration.as_nanos() as f64 * self.ticks_per_ns) as u64
    }

    fn run(&self) -> Vec<Tally> {
        match self.kind {
            Kind::Mutex => locks::mutex(self),
            Kind::Rwlock => locks::rwlock(self),
            Kind::Handoff => handoff::ring(self),
        }
    }

    /// Sections per second.
    fn per_second(&self, tallies: &[Tally]) -> f64 {
        let sections: u64 = tallies.iter().map(|tally| tally.sections).sum();
        let began = tallies.iter().map(|tally| tally.began).min().unwrap_or_default();
        let ended = tallies.iter().map(|tally| tally.ended).max().unwrap_or_default();
        sections as f64 / (ended.saturating_sub(began).max(1) as f64 / self.ticks_per_ns / 1e9)
    }

    /// The speed of one thread alone.
    fn alone(&self, outside: Work) -> f64 {
        let alone = Setting { threads: 1, outside, duration: ALONE, ..*self };
        let speeds = (0..TIMES_ALONE).map(|_| alone.per_second(&alone.run()));
        speeds.fold(0.0, f64::max)
    }

    /// Sections per second of the best schedule, and of one thread alone.
    fn best(&self, step_ns: f64) -> (f64, f64) {
        let processors = std::thread::available_parallelism().map_or(1, |count| count.get()).min(self.threads) as f64;
        let serial = self.alone(Work::new(0, step_ns));
        let alone = self.alone(self.outside);
        let parallel = processors * alone;
        let best = match self.kind {
            Kind::Mutex | Kind::Handoff => serial.min(parallel),
            // Readers side by side, writers alone.
            Kind::Rwlock => {
                let writers = 1.0 / locks::READERS_TO_A_WRITER as f64;
                parallel.min(serial / (writers + (1.0 - writers) / processors))
            }
        };
        (best, alone)
    }
}

fn run(library: &Path, load: &str) -> Result<(), Box<dyn Error>> {
    let load: Load = serde_json::from_str(load)?;
    let hypervisor = Hypervisor::load(library)?;
    bare::boot(&hypervisor)?;
    let ticks_per_ns = clock::calibrate().ticks_per_second / 1e9;
    let step_ns = Work::step_ns(ticks_per_ns);
    let work = |ns| Work::new(ns, step_ns);
    let Load { kind, threads, section_ns, outside_ns, duration } = load;
    let (section, outside) = (work(section_ns), work(outside_ns));
    let setting = Setting { hypervisor: &hypervisor, kind, threads, section, outside, duration, ticks_per_ns };
    let before = setting.best(step_ns);
    let cpu = cpu_time();
    let tallies = setting.run();
    let cpu = cpu_time() - cpu;
    let apart = match kind {
        Kind::Mutex | Kind::Rwlock => locks::apart(&setting),
        Kind::Handoff => Vec::new(),
    };
    // Once more: the machine may have been busier the first time.
    let after = setting.best(step_ns);
    let waits = |tallies: &[Tally], of: fn(&Tally) -> &Distribution| {
        let mut all = Distribution::default();
        tallies.iter().for_each(|tally| all.merge(of(tally)));
        Waits::new(&all, ticks_per_ns)
    };
    let figures = Figures {
        per_second: setting.per_second(&tallies),
        best_per_second: before.0.max(after.0),
        alone_per_second: before.1.max(after.1),
        cores: cpu.as_secs_f64() / duration.as_secs_f64(),
        sections: tallies.iter().map(|tally| tally.sections).collect(),
        waits: waits(&tallies, |tally| &tally.waits),
        writers: (kind == Kind::Rwlock).then(|| waits(&tallies, |tally| &tally.writers)),
        apart: (!apart.is_empty()).then(|| waits(&apart, |tally| &tally.waits).max),
    };
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

/// Processor time that this process has used.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` may be written; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
