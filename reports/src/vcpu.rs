//! Where the time of a virtual CPU went.

use rumpscope_probes::{Mode, Place, Quantity, Snapshot};
use serde::Serialize;
use std::collections::BTreeSet;

/// A virtual CPU over the whole measurement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vcpu {
    /// Its index in the guest.
    pub index: u16,
    /// Where its time went; `null` where the guest's own transitions were not seen: a thread may then have come to it
    /// and gone without anybody knowing.
    pub time: Option<VcpuTime>,
    /// How long threads that then got it had waited for it, in nanoseconds, added up over threads.
    pub waited_for_ns: u64,
    /// How often a thread gave it up.
    pub switches: u64,
    /// How often a thread came to it from another virtual CPU.
    pub migrations: u64,
}

/// The time of a virtual CPU, in nanoseconds; the parts add up to the duration of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct VcpuTime {
    /// A thread held it; the run under way at the end included.
    pub running_ns: u64,
    /// It was free, between two runs or after the last.
    pub idle_ns: u64,
    /// Before its first run.
    pub unused_ns: u64,
}

impl Vcpu {
    /// The virtual CPUs that `snapshot` knows, by index.
    pub(crate) fn all(snapshot: &Snapshot) -> Vec<Self> {
        let at = snapshot.cells.keys().filter_map(|(place, _)| match place {
            Place::Vcpu(index) => Some(*index),
            Place::OffCpu | Place::Unknown => None,
        });
        let indices: BTreeSet<u16> = snapshot.vcpus.iter().map(|now| now.index).chain(at).collect();
        indices.into_iter().map(|index| Self::new(snapshot, index)).collect()
    }

    fn new(snapshot: &Snapshot, index: u16) -> Self {
        let mut ticks = [0; Quantity::ALL.len()];
        let mut counts = [0; Quantity::ALL.len()];
        for ((place, metric), distribution) in &snapshot.cells {
            if *place == Place::Vcpu(index) {
                // Exact where all were timed, as runs and gaps are; of fast transitions only a sample is.
                ticks[metric.quantity as usize] += distribution.extrapolated().sum;
                counts[metric.quantity as usize] += distribution.count();
            }
        }
        let (ticks, counts) = (|of: Quantity| ticks[of as usize], |of: Quantity| counts[of as usize]);
        let timed = matches!(snapshot.mode, Mode::Exact | Mode::Full | Mode::Sampled);
        let time = (timed && snapshot.coverage.guest_transitions_seen)
            .then(|| VcpuTime::new(snapshot, index, ticks(Quantity::Run), ticks(Quantity::Gap)));
        Vcpu {
            index,
            time,
            waited_for_ns: nanoseconds(snapshot, ticks(Quantity::Reschedule) + ticks(Quantity::SlowReschedule)),
            switches: counts(Quantity::Unschedule) + counts(Quantity::SlowUnschedule),
            migrations: counts(Quantity::Migration),
        }
    }
}

impl VcpuTime {
    /// `runs` and `gaps`: the ticks of those that are over.
    fn new(snapshot: &Snapshot, index: u16, runs: u64, gaps: u64) -> Self {
        let now = snapshot.vcpus.iter().find(|now| now.index == index);
        let since = |begin| snapshot.taken.saturating_sub(begin);
        let running = runs + now.and_then(|now| now.holder).map_or(0, |(_lane, begin)| since(begin));
        let idle = gaps + now.and_then(|now| now.free_since).map_or(0, since);
        VcpuTime {
            running_ns: nanoseconds(snapshot, running),
            idle_ns: nanoseconds(snapshot, idle),
            unused_ns: nanoseconds(snapshot, since(snapshot.began).saturating_sub(running + idle)),
        }
    }
}

fn nanoseconds(snapshot: &Snapshot, ticks: u64) -> u64 {
    snapshot.clock.nanoseconds(ticks).round() as u64
}
