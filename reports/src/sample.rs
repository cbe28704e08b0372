//! What a reader has of a guest at one moment: its segment, and what the host says of its threads.
//!
//! Samples are what the dashboard shows, what recordings hold, and what a recording is played back as: whoever takes
//! them does not know which. All figures only grow, so an interval is the difference of any two samples of a process.

use crate::precision::Precision;
use rumpscope_probes::Snapshot;

/// A guest at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its segment.
    pub snapshot: Snapshot,
    /// Whether its process ran then.
    pub state: State,
    /// Its host threads, by number; none where the host does not let us see them.
    pub threads: Vec<HostThread>,
    /// Samples that were taken since measuring began and never came to where this one did, because whoever takes them was
    /// too slow.
    pub missed: u64,
    /// How far its figures are rounded: those of a whole sample, and of a guest that runs, are exact.
    pub precision: Precision,
}

impl Sample {
    /// Whether it is the outline of a sample, where there was no room or no time for all of it: who waited for what, and where in
    /// the histograms events lie that came since the last whole sample, is not known. From a recording, counts and sums of times
    /// are rounded down, no more than its room asked for ([`Sample::precision`]), and performance counters are missing.
    pub fn is_outline(&self) -> bool {
        self.snapshot.contention_as_of.is_some()
    }
}

/// Whether the process of a segment runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Alive,
    /// It has ended, or was replaced; figures change no more.
    Dead,
}

/// What the host says of a thread; everything since the thread began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostThread {
    /// Its number.
    pub tid: u32,
    /// Its name at the host.
    pub name: String,
    /// Its state as the host writes it: `R` runs or could, `S` sleeps, `D` sleeps without being disturbed, `T` stopped,
    /// and so on.
    pub state: char,
    /// On a processor of the host, in nanoseconds.
    pub cpu_ns: u64,
    /// Ready to run, while the host's processors were taken, in nanoseconds.
    pub ready_ns: u64,
    /// How often it gave a processor up.
    pub voluntary_switches: u64,
    /// How often a processor was taken from it.
    pub involuntary_switches: u64,
    /// Page faults that needed no disk.
    pub minor_faults: u64,
    /// Page faults that did.
    pub major_faults: u64,
    /// Performance counters, in the order of [`Event::ALL`].
    pub counters: Vec<Counter>,
}

/// What a performance counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Event {
    /// Cycles of the processor.
    Cycles,
    /// Instructions that were completed.
    Instructions,
    /// Accesses to the last level of cache that went to memory.
    CacheMisses,
    /// Branches that went another way than was guessed.
    BranchMisses,
    /// Moves to another processor of the host.
    Migrations,
}

impl Event {
    /// All of them.
    pub const ALL: [Event; 5] =
        [Event::Cycles, Event::Instructions, Event::CacheMisses, Event::BranchMisses, Event::Migrations];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Event::Cycles => "cycles",
            Event::Instructions => "instructions",
            Event::CacheMisses => "cache misses",
            Event::BranchMisses => "branch misses",
            Event::Migrations => "migrations",
        }
    }
}

/// A performance counter of one thread, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Counter {
    /// It counts.
    Counts {
        /// What was counted while it was counting.
        value: u64,
        /// How long it was to count, in nanoseconds.
        enabled_ns: u64,
        /// How long of that it did: less where several counters take turns on one register.
        running_ns: u64,
    },
    /// It does not: in words, for people.
    Missing(String),
}
