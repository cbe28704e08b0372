//! How long a hypercall took in the runs of a variant: what stands behind a difference.

use super::run::Measured;
use crate::statistics::median;
use rumpscope_reports::{HypercallTimes, Percentiles};
use serde::{Deserialize, Serialize};

/// A hypercall in one run, from boot to end, the warm-up included.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it; times are in nanoseconds")]
pub struct Latency {
    pub name: String,
    pub count: u64,
    pub total_ns: u64,
    /// Quick calls are timed in part: all but the count are estimates.
    #[serde(default)]
    pub estimated: bool,
    pub p50_ns: u64,
    pub p90_ns: u64,
    pub p99_ns: u64,
    pub p99_9_ns: u64,
    pub max_ns: u64,
}

impl Latency {
    /// What a summary says of a hypercall; `None` where nothing was timed.
    pub fn new(call: &HypercallTimes) -> Option<Self> {
        let times = &call.times.all;
        let &Percentiles { p50_ns, p90_ns, p99_ns, p99_9_ns, max_ns } = times.percentiles.as_ref()?;
        let (name, count, total_ns) = (call.name.to_owned(), times.count, times.total_ns);
        Some(Latency { name, count, total_ns, estimated: times.estimated, p50_ns, p90_ns, p99_ns, p99_9_ns, max_ns })
    }
}

/// A hypercall in the runs of one variant: medians over these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it; times are in nanoseconds")]
#[serde(default)]
pub struct Typical {
    /// Time of all threads in it, for one operation of the workload.
    pub per_operation_ns: f64,
    /// How often it was called for one operation.
    pub calls_per_operation: f64,
    /// Its part of the time of all threads in hypercalls, 0 to 1.
    pub share: f64,
    pub p50_ns: f64,
    pub p99_ns: f64,
    /// Not all of its calls were timed in at least one run.
    pub estimated: bool,
}

impl Typical {
    fn of(name: &str, runs: &[&Measured]) -> Option<Self> {
        let timed = runs.iter().filter(|run| !run.probes.latencies().is_empty());
        let calls: Vec<_> = timed.clone().filter_map(|run| Some((*run, run.probes.latency(name)?))).collect();
        // What is not in half of the runs is not typical of them.
        if calls.len() < timed.count().div_ceil(2) {
            return None;
        }
        let median = |value: fn(&Measured, &Latency) -> f64| {
            median(&calls.iter().map(|(run, call)| value(run, call)).collect::<Vec<_>>())
        };
        // Of all that was measured, boot and warm-up included, as much as falls on the time of one operation.
        fn per_operation(run: &Measured, all: u64) -> f64 {
            all as f64 / run.probes.duration_ns().max(1) as f64 * 1e9 / run.figures.per_second()
        }
        Some(Typical {
            per_operation_ns: median(|run, call| per_operation(run, call.total_ns))?,
            calls_per_operation: median(|run, call| per_operation(run, call.count))?,
            share: median(|run, call| {
                let all: u64 = run.probes.latencies().iter().map(|call| call.total_ns).sum();
                call.total_ns as f64 / all.max(1) as f64
            })?,
            p50_ns: median(|_, call| call.p50_ns as f64)?,
            p99_ns: median(|_, call| call.p99_ns as f64)?,
            estimated: calls.iter().any(|(_, call)| call.estimated),
        })
    }

    /// How long a call takes on average.
    fn mean_ns(&self) -> f64 {
        self.per_operation_ns / self.calls_per_operation
    }
}

/// How much faster one side has to do its operations before a call can be told to go by the clock.
const FASTER: f64 = 1.02;

/// A call that comes less often than this for an operation is not of the operation.
const SELDOM: f64 = 0.01;

/// A hypercall under two variants; `None`: it was not timed there, or in few runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyPair {
    /// Its name.
    pub name: String,
    /// Under the first variant.
    pub baseline: Option<Typical>,
    /// Under the other.
    pub variant: Option<Typical>,
}

impl LatencyPair {
    /// How much more of its time the variant gives to an operation than the first, in nanoseconds; below 0: less.
    pub fn difference_ns(&self) -> Option<f64> {
        Some(self.variant?.per_operation_ns - self.baseline?.per_operation_ns)
    }

    /// How much of a difference in speed may come from this call, in nanoseconds for an operation.
    ///
    /// Some calls go by the clock and not by the work: idle threads wait, clock ticks come. An operation that takes
    /// longer sees more of these, which is not why it takes longer. They are known by their number, which is alike in a
    /// second where it differs for an operation (`seconds` are those of an operation on either side), and count by how
    /// much longer each takes. Where only one side was timed, those that come once in many operations do not count.
    fn weight(&self, seconds: [f64; 2]) -> f64 {
        let (Some(one), Some(two)) = (&self.baseline, &self.variant) else {
            let side = self.baseline.or(self.variant).filter(|side| side.calls_per_operation >= SELDOM);
            return side.map_or(0.0, |side| side.per_operation_ns);
        };
        let ratio = |one: f64, two: f64| (two / one).ln().abs();
        let calls = ratio(one.calls_per_operation, two.calls_per_operation);
        let a_second = ratio(one.calls_per_operation / seconds[0], two.calls_per_operation / seconds[1]);
        if ratio(seconds[0], seconds[1]) > FASTER.ln() && a_second < calls {
            let calls = one.calls_per_operation.min(two.calls_per_operation);
            return (two.mean_ns() - one.mean_ns()).abs() * calls;
        }
        (two.per_operation_ns - one.per_operation_ns).abs()
    }

    /// The hypercalls that a difference between the runs of two variants may come from, by the time that they take for one
    /// operation; the most different first.
    pub fn most_different(baseline: &[&Measured], variant: &[&Measured]) -> Vec<LatencyPair> {
        /// More would hide what matters.
        const SHOWN: usize = 4;
        let runs = || baseline.iter().chain(variant);
        let mut names: Vec<_> = runs().flat_map(|run| run.probes.latencies()).map(|call| call.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let pair = |name: &str| LatencyPair {
            name: name.to_owned(),
            baseline: Typical::of(name, baseline),
            variant: Typical::of(name, variant),
        };
        let mut pairs: Vec<_> = names.into_iter().map(pair).collect();
        let second = |runs: &[&Measured]| {
            median(&runs.iter().map(|run| 1.0 / run.figures.per_second()).collect::<Vec<_>>()).unwrap_or(1.0)
        };
        let seconds = [second(baseline), second(variant)];
        pairs.sort_by(|one, two| two.weight(seconds).total_cmp(&one.weight(seconds)));
        pairs.truncate(SHOWN);
        pairs
    }
}
