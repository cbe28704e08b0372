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
        Some(Latency { name, count, total_ns, p50_ns, p90_ns, p99_ns, p99_9_ns, max_ns })
    }
}

/// A hypercall in the runs of one variant: medians over these.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it; times are in nanoseconds")]
pub struct Typical {
    /// Time of all threads in it, for one operation of the workload.
    pub per_operation_ns: f64,
    pub p50_ns: f64,
    pub p99_ns: f64,
}

impl Typical {
    fn of(name: &str, runs: &[&Measured]) -> Option<Self> {
        let calls: Vec<_> = runs.iter().filter_map(|run| Some((*run, run.probes.latency(name)?))).collect();
        let median = |value: fn(&Measured, &Latency) -> f64| {
            median(&calls.iter().map(|(run, call)| value(run, call)).collect::<Vec<_>>())
        };
        Some(Typical {
            // Rates of both: the segment counts the warm-up too, the number of operations does not.
            per_operation_ns: median(|run, call| {
                call.total_ns as f64 / run.probes.duration_ns().max(1) as f64 * 1e9 / run.figures.per_second()
            })?,
            p50_ns: median(|_, call| call.p50_ns as f64)?,
            p99_ns: median(|_, call| call.p99_ns as f64)?,
        })
    }
}

/// A hypercall under two variants; `None`: it was not timed there.
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
    /// The hypercalls whose time for one operation differs most between the runs of two variants, the most first.
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
        let time = |typical: Option<Typical>| typical.map_or(0.0, |typical| typical.per_operation_ns);
        let difference = |pair: &LatencyPair| (time(pair.baseline) - time(pair.variant)).abs();
        pairs.sort_by(|one, two| difference(two).total_cmp(&difference(one)));
        pairs.truncate(SHOWN);
        pairs
    }
}
