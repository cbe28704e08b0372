//! What a reader learns from the event blocks.

use crate::catalogue::Hypercall;
use crate::snapshot::{ClockInfo, Place};

/// What is left of what a process did lately, thread by thread.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Its process.
    pub pid: u32,
    /// What runs: the process's own argument 0.
    pub program: String,
    /// How ticks become time.
    pub clock: ClockInfo,
    /// A moment on the writer's clock (ticks) ...
    pub began: u64,
    /// ... and the same on `CLOCK_MONOTONIC` of the host, in nanoseconds.
    pub began_monotonic: u64,
    /// Up to here it tells (ticks). Of a process that has ended: its end, or the last sign of life.
    pub taken: u64,
    /// The guest's own transitions are seen: between a schedule and the next unschedule the thread held its virtual CPU.
    pub guest_transitions_seen: bool,
    /// What each lane recorded, by its number.
    pub lanes: Vec<LaneEvents>,
    /// Events that were not recorded, because there are more threads than blocks.
    pub lost: u64,
}

/// What a lane recorded.
#[derive(Clone, Debug, Default)]
pub struct LaneEvents {
    /// Its number.
    pub lane: u32,
    /// How many events are not there any more (see [`Tenure::gaps`]).
    pub overwritten: u64,
    /// Its threads, in the order in which they had the lane.
    pub tenures: Vec<Tenure>,
}

/// What one thread recorded, from when it had the lane until another one had it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenure {
    /// The host's number of the thread. All coroutines on a host thread have the same one.
    pub tid: u32,
    /// Its name.
    pub name: String,
    /// Oldest first, by their ends.
    pub events: Vec<Event>,
    /// Indices in `events` before which some are missing; 0: the oldest ones.
    pub gaps: Vec<usize>,
}

/// Something that happened. Times are in ticks; where nothing lasts, both are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it began.
    pub begin: u64,
    /// When it was over.
    pub end: u64,
    /// What it was.
    pub what: What,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A hypercall, from entry to return; of one that usually ends at once, from when it had to wait.
    Call(Hypercall),
    /// The thread gave up the virtual CPU at `place`, on account of `cause`. From the end on it is off. Where it took no
    /// time, only the beginning was read of the clock.
    Unschedule {
        /// Why.
        cause: Hypercall,
        /// Where it was.
        place: Place,
    },
    /// The thread asked for a virtual CPU, on account of `cause`, and had it in the end. Where it took no time, only the
    /// end was read of the clock.
    Schedule {
        /// Why.
        cause: Hypercall,
        /// Where it is.
        place: Place,
    },
    /// The thread made another one go on, that of `lane`.
    Wake {
        /// By this call.
        call: Hypercall,
        /// Which one.
        lane: u32,
    },
    /// The thread, of the host, is done with the guest and waits for nothing.
    Away,
}
