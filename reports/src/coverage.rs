//! What a profile does not show.

use crate::summary::HypercallTimes;
use crate::transitions::Transition;
use rumpscope_probes::{CATALOGUE, Snapshot};
use serde::Serialize;

/// What was seen and what was not. Hypercalls are named without their `rumpuser_` prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// The guest told which virtual CPU a thread is on.
    pub vcpus_known: bool,
    /// The guest's own transitions were seen, not only those inside hypercalls.
    pub guest_transitions_seen: bool,
    /// The guest ended by `rumpuser_exit`.
    pub guest_ended: bool,
    /// Events that were counted but, for lack of room, not timed.
    pub lost_timings: u64,
    /// Events that were counted without thread and virtual CPU for the same reason.
    pub lost_places: u64,
    /// The hypercalls that the guest never made.
    pub never_called: Vec<&'static str>,
    /// Those that were made and never returned. Calls are counted when they return, so that one that was under way at
    /// the end is in no row; but it may have left its virtual CPU, and then it is among the transitions.
    pub never_returned: Vec<&'static str>,
    /// Those that were made, and of which only a part was timed.
    pub sampled: Vec<&'static str>,
    /// Those that were made, and never timed.
    pub untimed: Vec<&'static str>,
}

impl Coverage {
    pub(crate) fn new(snapshot: &Snapshot, hypercalls: &[HypercallTimes], transitions: &[Transition]) -> Self {
        let times = |name| hypercalls.iter().find(|row| row.name == name).map(|row| &row.times.all);
        let has_left = |name| transitions.iter().any(|transition| transition.cause == name);
        let mut coverage = Coverage {
            vcpus_known: snapshot.coverage.vcpus_known,
            guest_transitions_seen: snapshot.coverage.guest_transitions_seen,
            guest_ended: snapshot.coverage.guest_ended,
            lost_timings: snapshot.coverage.lost_timings,
            lost_places: snapshot.coverage.lost_places,
            never_called: Vec::new(),
            never_returned: Vec::new(),
            sampled: Vec::new(),
            untimed: Vec::new(),
        };
        for entry in CATALOGUE.iter().filter(|entry| entry.call.is_exported()) {
            match times(entry.name) {
                None if has_left(entry.name) => coverage.never_returned.push(entry.name),
                None => coverage.never_called.push(entry.name),
                Some(times) if times.timed == 0 => coverage.untimed.push(entry.name),
                Some(times) if times.estimated => coverage.sampled.push(entry.name),
                Some(_) => {}
            }
        }
        coverage
    }

    /// How many hypercalls there are.
    pub fn hypercalls() -> usize {
        CATALOGUE.iter().filter(|entry| entry.call.is_exported()).count()
    }
}
