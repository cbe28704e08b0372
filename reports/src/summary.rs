//! The whole of a measurement, as it is to be read.

use crate::Gathered;
use crate::contention::Waiting;
use crate::coverage::Coverage;
use crate::run::Run;
use crate::times::Totals;
use crate::transitions::Transition;
use crate::vcpu::Vcpu;
use rumpscope_probes::{CATALOGUE, ClockSource, Entry, Metric, Quantity, Snapshot};
use serde::Serialize;

/// How time was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Clock {
    /// `tsc` or `monotonic`.
    pub source: &'static str,
    /// Its rate.
    pub ticks_per_second: f64,
    /// What two reads of it cost in the measured process, in nanoseconds (median): the floor below any timed call.
    pub two_reads_ns: f64,
    /// The shortest time that two reads in a row tell apart, in nanoseconds; times are multiples of about that.
    pub step_ns: f64,
}

/// A hypercall.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HypercallTimes {
    /// Its name, without the `rumpuser_` prefix.
    pub name: &'static str,
    /// What it is about.
    pub family: &'static str,
    /// Calls in a second, over the whole measurement.
    pub per_second: f64,
    /// Its part of the time spent in all hypercalls together, 0 to 1. Threads wait side by side, so this time may be
    /// longer than the measurement.
    pub share: f64,
    /// From entry to return.
    #[serde(flatten)]
    pub times: Totals,
    /// Of a call that is usually over at once: the calls that were not, because the lock was held, threads had to be woken
    /// or no memory was at hand.
    pub slow: Totals,
    /// The active part of its waits: the thread used a processor to look for the end.
    pub active: Totals,
}

impl HypercallTimes {
    /// The part of the call's time that was active waiting, 0 to 1; `None`: the call never waited actively.
    pub fn active_share(&self) -> Option<f64> {
        let (active, all) = (self.active.all.total_ns as f64, self.times.all.total_ns as f64);
        (active > 0.0 && all > 0.0).then(|| (active / all).min(1.0))
    }
}

/// The whole of a measurement.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// What ran and how it ended.
    pub run: Run,
    /// The measured process.
    pub pid: u32,
    /// When measuring began, in nanoseconds since 1970.
    pub began_unix_ns: u64,
    /// How long was measured, in nanoseconds.
    pub duration_ns: u64,
    /// The timing mode: `exact`, `full`, `sampled`, `counts` or `off`.
    pub timing: &'static str,
    /// The host back end.
    pub backend: String,
    /// The clock.
    pub clock: Clock,
    /// The virtual CPUs that were used, by index.
    pub vcpus: Vec<Vcpu>,
    /// The hypercalls that were made, by their total time, longest first.
    pub hypercalls: Vec<HypercallTimes>,
    /// Transitions by cause, most frequent first.
    pub transitions: Vec<Transition>,
    /// For how long the guest's threads were gathered on one processor of the host, or each group of them on one.
    pub gathered: Gathered,
    /// Who waited for what; `null` where that was not recorded.
    pub contention: Option<Waiting>,
    /// What is missing.
    pub coverage: Coverage,
}

impl Summary {
    /// Sums up `snapshot`, which was taken of `run`.
    pub fn new(snapshot: &Snapshot, run: Run) -> Self {
        let duration_ns = snapshot.clock.nanoseconds(snapshot.taken.saturating_sub(snapshot.began)).round() as u64;
        let hypercalls = hypercalls(snapshot, duration_ns);
        let mut transitions: Vec<_> =
            CATALOGUE.iter().filter_map(|entry| Transition::new(snapshot, entry.call)).collect();
        transitions.sort_by_key(|transition| std::cmp::Reverse(transition.times()));
        Summary {
            run,
            pid: snapshot.process.pid,
            began_unix_ns: snapshot.process.began_unix_ns,
            duration_ns,
            timing: snapshot.mode.name(),
            backend: snapshot.backend.clone(),
            clock: Clock {
                source: match snapshot.clock.source {
                    ClockSource::Tsc => "tsc",
                    ClockSource::Monotonic => "monotonic",
                },
                ticks_per_second: snapshot.clock.ticks_per_second,
                two_reads_ns: snapshot.clock.two_reads_ns,
                step_ns: snapshot.clock.step_ns,
            },
            vcpus: Vcpu::all(snapshot),
            coverage: Coverage::new(snapshot, &hypercalls, &transitions),
            hypercalls,
            transitions,
            gathered: Gathered::of(snapshot),
            contention: None,
        }
    }

    /// Sums up the time after `earlier`; `added` is what [`interval::between`](crate::interval::between) says of it.
    pub fn between(earlier: &Snapshot, added: &Snapshot, run: Run) -> Self {
        Summary { vcpus: Vcpu::between(earlier, added), ..Summary::new(added, run) }
    }

    /// The same with who waited for what, if that was recorded.
    pub fn with_contention(self, waiting: Waiting) -> Self {
        Summary { contention: waiting.recorded.then_some(waiting), ..self }
    }
}

fn hypercalls(snapshot: &Snapshot, duration_ns: u64) -> Vec<HypercallTimes> {
    let row = |entry: &Entry| {
        let metric = |quantity| Metric { quantity, call: entry.call };
        let times = Totals::new(snapshot, &Quantity::CALLS.map(metric));
        HypercallTimes {
            name: entry.name,
            family: entry.family.name(),
            per_second: if duration_ns == 0 { 0.0 } else { times.all.count as f64 * 1e9 / duration_ns as f64 },
            share: 0.0,
            times,
            slow: Totals::new(snapshot, &[metric(Quantity::Slow)]),
            active: Totals::new(snapshot, &[metric(Quantity::Spin)]),
        }
    };
    let mut rows: Vec<_> = CATALOGUE.iter().map(row).filter(|row| row.times.all.count != 0).collect();
    let all_ns: f64 = rows.iter().map(|row| row.times.all.total_ns as f64).sum();
    if all_ns > 0.0 {
        rows.iter_mut().for_each(|row| row.share = row.times.all.total_ns as f64 / all_ns);
    }
    rows.sort_by_key(|row| std::cmp::Reverse((row.times.all.total_ns, row.times.all.count)));
    rows
}
