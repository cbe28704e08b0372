//! What a reader learns from a segment at one moment.

use crate::catalogue::{Hypercall, Metric, Quantity};
use crate::contention::Contention;
use crate::distribution::Distribution;
use crate::layout::{place, vcpu};
use crate::mode::Mode;
use crate::process;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a cell was counted: by which virtual CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// On this virtual CPU.
    Vcpu(u16),
    /// While the thread held no virtual CPU.
    OffCpu,
    /// It could not be learnt which virtual CPU the thread held, or whether it held one.
    Unknown,
}

impl Place {
    /// Its number in the segment.
    pub(crate) fn number(self) -> u16 {
        match self {
            Place::Vcpu(index) => index,
            Place::OffCpu => place::OFF_CPU,
            Place::Unknown => place::UNKNOWN,
        }
    }

    /// The place with this number.
    /// `None`: there is no such place.
    pub(crate) fn from_number(number: u16) -> Option<Self> {
        match number {
            place::OFF_CPU => Some(Place::OffCpu),
            place::UNKNOWN => Some(Place::Unknown),
            index => (usize::from(index) < vcpu::MOST).then_some(Place::Vcpu(index)),
        }
    }
}

/// The clock that the measured process reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockSource {
    /// The time stamp counter of the processor.
    Tsc,
    /// `clock_gettime(CLOCK_MONOTONIC)`; a tick is a nanosecond.
    Monotonic,
}

/// How ticks become time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockInfo {
    /// What is read.
    pub source: ClockSource,
    /// Ticks in a second.
    pub ticks_per_second: f64,
    /// What two reads of the clock cost in the measured process, in nanoseconds (median).
    pub two_reads_ns: f64,
    /// The shortest time that two reads in a row tell apart, in nanoseconds; times are multiples of about that.
    pub step_ns: f64,
}

impl ClockInfo {
    /// A number of ticks in nanoseconds.
    pub fn nanoseconds(&self, ticks: u64) -> f64 {
        ticks as f64 * 1e9 / self.ticks_per_second
    }
}

/// The process that writes the segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks of the host since boot (field 22 of `/proc/PID/stat`): tells it from a later
    /// process with the same number.
    pub start_time: u64,
    /// What runs, as the process's own argument 0; cut at 200 bytes.
    pub program: String,
    /// When measuring began, in nanoseconds since 1970.
    pub began_unix_ns: u64,
}

impl Process {
    /// Whether it runs; one that nobody has waited for yet does not.
    pub fn is_alive(&self) -> bool {
        process::start_time_of(self.pid).is_some_and(|start| start == self.start_time)
    }
}

/// What was seen and what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The guest told which virtual CPU an lwp is on.
    pub vcpus_known: bool,
    /// The guest's own transitions (system call entry) were seen, not only those inside hypercalls.
    pub guest_transitions_seen: bool,
    /// The guest has ended by `rumpuser_exit`.
    pub guest_ended: bool,
    /// Events counted but not timed because the segment was full or the disk was.
    pub lost_timings: u64,
    /// Events counted without thread and virtual CPU for the same reason.
    pub lost_places: u64,
}

/// A virtual CPU, now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuNow {
    /// Its index.
    pub index: u16,
    /// The lane of the host thread that holds it, and since when (ticks); `None`: it is free, or that is not known, as nothing is
    /// timed or it is just changing hands.
    pub holder: Option<(u32, u64)>,
    /// When the last holder gave it up (ticks), where it is free.
    pub free_since: Option<u64>,
}

/// A host thread that makes hypercalls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// The lane that it writes; a lane whose thread has ended is taken over by a later one.
    pub lane: u32,
    /// The host's thread number; 0: the lane is free.
    pub tid: u32,
    /// The name given at `thread_create`, or the host's.
    pub name: String,
    /// What it does now.
    pub now: Activity,
    /// What the lane has counted, of all threads that have written it.
    pub totals: ThreadTotals,
}

/// What a thread does at the moment, as far as it has told. Which threads are on a virtual CPU stands in [`VcpuNow`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activity {
    /// Nothing that it would have told: it is on a virtual CPU, or outside of the guest.
    #[default]
    Untold,
    /// It is off its virtual CPU in this hypercall, since then (ticks).
    Blocked {
        /// What it waits in.
        call: Hypercall,
        /// Since when.
        since: u64,
    },
    /// That is over, and it wants a virtual CPU, since then (ticks).
    WantsVcpu {
        /// What it was off its virtual CPU for.
        call: Hypercall,
        /// Since when.
        since: u64,
    },
}

/// Sums over all hypercalls of a thread; times in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadTotals {
    /// Hypercalls that have returned.
    pub calls: u64,
    /// On virtual CPUs; runs that are over.
    pub run: u64,
    /// Off them.
    pub off: u64,
    /// Waiting for one, where that was timed.
    pub wanted: u64,
    /// How often it came to another virtual CPU than it had before.
    pub migrations: u64,
}

/// Everything in a segment at one moment. Counters are monotonic: a later snapshot of the same segment has no smaller
/// ones, and two readers never disturb each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Who writes.
    pub process: Process,
    /// How it measures time.
    pub clock: ClockInfo,
    /// What it times.
    pub mode: Mode,
    /// The host back end, for people.
    pub backend: String,
    /// When measuring began, in ticks.
    pub began: u64,
    /// When this snapshot was taken, in ticks of the same clock; of a process that has ended, when it was last seen.
    pub taken: u64,
    /// What was seen and what was not.
    pub coverage: Coverage,
    /// The virtual CPUs that the guest has, by index.
    pub vcpus: Vec<VcpuNow>,
    /// How often a thread came from one virtual CPU to another: by the indices of the two. Those that never happened are
    /// left out.
    pub migrations: BTreeMap<(u16, u16), u64>,
    /// The host threads.
    pub threads: Vec<Thread>,
    /// Who waited for what. It is much, and shared by snapshots in which it is the same.
    pub contention: Arc<Contention>,
    /// When `contention` was so, in ticks, where that was before the rest was taken: this is an outline then, from a recording
    /// that did not put down more, or from a reader's [`Extent::Outline`](crate::reader::Extent::Outline).
    pub contention_as_of: Option<u64>,
    /// All counters, by place and metric, added up over threads. Runs and gaps that were under way when the snapshot
    /// was taken are not in it; `vcpus` has them.
    pub cells: BTreeMap<(Place, Metric), Distribution>,
}

impl Snapshot {
    /// The distribution of `metric` over all places.
    pub fn total(&self, metric: Metric) -> Distribution {
        let mut total = Distribution::default();
        for ((_, of), distribution) in &self.cells {
            if *of == metric {
                total.merge(distribution);
            }
        }
        total
    }

    /// When its `contention` was so, in ticks; later than all that is told of waiting.
    pub fn contention_taken(&self) -> u64 {
        self.contention_as_of.unwrap_or(self.taken)
    }

    /// How many calls of `call` have returned; exact.
    pub fn calls(&self, call: Hypercall) -> u64 {
        Quantity::CALLS.map(|quantity| self.total(Metric { quantity, call }).count()).iter().sum()
    }
}
