//! What came of one run.

use super::latency::Latency;
use crate::guest::GuestReport;
use rumpscope_reports::Summary;
use serde::{Deserialize, Serialize};

/// What the guest's process says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Operations done.
    pub operations: u64,
    /// How long they took, by the host's clock.
    pub wall_ns: u64,
    /// Processor time of the process meanwhile.
    pub cpu_ns: u64,
    /// Client threads.
    pub threads: usize,
}

impl Figures {
    /// The figures of a guest that ran.
    pub fn new(report: &GuestReport) -> Self {
        let ns = |time: core::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Figures {
            operations: report.operations(),
            wall_ns: ns(report.host_time.wall),
            cpu_ns: ns(report.host_time.cpu),
            threads: report.parts.iter().map(|part| part.threads).sum(),
        }
    }

    /// Operations in a second. A run that came to none counts as half of one: there is no ratio to nothing, and left out it
    /// would flatter its back end.
    pub fn per_second(&self) -> f64 {
        (self.operations as f64).max(0.5) * 1e9 / self.wall_ns.max(1) as f64
    }

    /// Processors of the host that were busy with it, on average.
    pub fn cores(&self) -> f64 {
        self.cpu_ns as f64 / self.wall_ns.max(1) as f64
    }
}

/// What the library's probes saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Probes {
    /// The library has none.
    None,
    /// They are of another version.
    Unreadable {
        /// What the reader says.
        reason: String,
    },
    /// They were read.
    Read {
        /// `tsc` or `monotonic`.
        clock: String,
        /// The clock's rate.
        ticks_per_second: f64,
        /// The timing mode.
        timing: String,
        /// The host back end, as it calls itself.
        backend: String,
        /// How long was measured, boot and warm-up included.
        duration_ns: u64,
        /// The hypercalls that were timed.
        hypercalls: Vec<Latency>,
    },
}

impl Probes {
    /// What `summary` says of hypercalls.
    pub fn new(summary: &Summary) -> Self {
        Probes::Read {
            clock: summary.clock.source.to_owned(),
            ticks_per_second: summary.clock.ticks_per_second,
            timing: summary.timing.to_owned(),
            backend: summary.backend.clone(),
            duration_ns: summary.duration_ns,
            hypercalls: summary.hypercalls.iter().filter_map(Latency::new).collect(),
        }
    }

    /// The hypercalls that were timed.
    pub fn latencies(&self) -> &[Latency] {
        match self {
            Probes::Read { hypercalls, .. } => hypercalls,
            _ => &[],
        }
    }

    /// The hypercall of this name, if it was timed.
    pub fn latency(&self, name: &str) -> Option<&Latency> {
        self.latencies().iter().find(|call| call.name == name)
    }

    /// How long was measured, in nanoseconds; 0 where nothing was.
    pub fn duration_ns(&self) -> u64 {
        match self {
            Probes::Read { duration_ns, .. } => *duration_ns,
            _ => 0,
        }
    }
}

/// A run that came to its end, with all checks of its workload held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// What the guest's process says.
    pub figures: Figures,
    /// What the library's probes say.
    pub probes: Probes,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should.
    Measured(Measured),
    /// Otherwise.
    Failed {
        /// What is known of it.
        reason: String,
    },
    /// Not at all: the variant had failed under this load before.
    Skipped,
}

/// A run; indices are those of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The round.
    pub round: u32,
    /// The load.
    pub case: usize,
    /// The variant.
    pub variant: usize,
    /// What came of it.
    pub outcome: Outcome,
}

impl Run {
    /// The figures of a run that came to its end.
    pub fn measured(&self) -> Option<&Measured> {
        match &self.outcome {
            Outcome::Measured(measured) => Some(measured),
            _ => None,
        }
    }
}
