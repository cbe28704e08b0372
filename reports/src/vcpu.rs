//! Where the time of a virtual CPU went.

use rumpscope_probes::{Mode, Place, Quantity, Snapshot};
use serde::Serialize;
use std::collections::BTreeMap;

/// A virtual CPU over the whole measurement, or over an interval.
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

/// Ticks and counts at one virtual CPU, by quantity.
#[derive(Default)]
struct Sums {
    ticks: [u64; Quantity::ALL.len()],
    counts: [u64; Quantity::ALL.len()],
}

impl Sums {
    /// What a forged recording tells may be more than any clock: it stays at the most there is.
    fn add(&mut self, quantity: Quantity, ticks: u64, count: u64) {
        let (all_ticks, all) = (&mut self.ticks[quantity as usize], &mut self.counts[quantity as usize]);
        (*all_ticks, *all) = (all_ticks.saturating_add(ticks), all.saturating_add(count));
    }
}

impl Vcpu {
    /// The virtual CPUs that `snapshot` knows, by index.
    pub fn all(snapshot: &Snapshot) -> Vec<Self> {
        Self::of(snapshot, None)
    }

    /// The same in the time after `earlier`; `added` is what [`interval::between`](crate::interval::between) says of it.
    pub fn between(earlier: &Snapshot, added: &Snapshot) -> Vec<Self> {
        Self::of(added, Some(earlier))
    }

    fn of(snapshot: &Snapshot, earlier: Option<&Snapshot>) -> Vec<Self> {
        let known = snapshot.vcpus.iter().map(|now| (now.index, Sums::default()));
        let mut sums: BTreeMap<u16, Sums> = known.collect();
        for ((place, metric), distribution) in &snapshot.cells {
            if let Place::Vcpu(index) = *place {
                let sums = sums.entry(index).or_default();
                // Exact where all were timed, as runs and gaps are; of fast transitions only a sample is.
                sums.add(metric.quantity, distribution.extrapolated_sum(), distribution.count());
            }
        }
        sums.iter().map(|(index, sums)| Self::new(snapshot, earlier, *index, sums)).collect()
    }

    fn new(snapshot: &Snapshot, earlier: Option<&Snapshot>, index: u16, sums: &Sums) -> Self {
        let (ticks, counts) = (|of: Quantity| sums.ticks[of as usize], |of: Quantity| sums.counts[of as usize]);
        let waited_for = ticks(Quantity::Reschedule).saturating_add(ticks(Quantity::SlowReschedule));
        let timed = matches!(snapshot.mode, Mode::Exact | Mode::Full | Mode::Sampled);
        let time = (timed && snapshot.coverage.guest_transitions_seen).then(|| {
            let (run, gap) = under_way(snapshot, index);
            let (run_before, gap_before) = earlier.map_or((0, 0), |earlier| under_way(earlier, index));
            let running = ticks(Quantity::Run).saturating_add(run).saturating_sub(run_before);
            let idle = ticks(Quantity::Gap).saturating_add(gap).saturating_sub(gap_before);
            // Runs go on while a snapshot is taken, and each part is rounded: no part has more than the others leave.
            let duration_ns = nanoseconds(snapshot, snapshot.taken.saturating_sub(snapshot.began));
            let running_ns = nanoseconds(snapshot, running).min(duration_ns);
            let idle_ns = nanoseconds(snapshot, idle).min(duration_ns - running_ns);
            VcpuTime { running_ns, idle_ns, unused_ns: duration_ns - running_ns - idle_ns }
        });
        Vcpu {
            index,
            time,
            waited_for_ns: nanoseconds(snapshot, waited_for),
            switches: counts(Quantity::Unschedule).saturating_add(counts(Quantity::SlowUnschedule)),
            migrations: counts(Quantity::Migration),
        }
    }
}

/// For how long the run, or the gap, that was under way had lasted when `snapshot` was taken, in ticks.
fn under_way(snapshot: &Snapshot, index: u16) -> (u64, u64) {
    let since = |begin| snapshot.taken.saturating_sub(begin);
    let now = snapshot.vcpus.iter().find(|now| now.index == index);
    let run = now.and_then(|now| now.holder).map_or(0, |(_lane, begin)| since(begin));
    (run, now.and_then(|now| now.free_since).map_or(0, since))
}

fn nanoseconds(snapshot: &Snapshot, ticks: u64) -> u64 {
    snapshot.clock.nanoseconds(ticks).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contention::testing;
    use rumpscope_probes::{Hypercall, Metric};

    /// One virtual CPU's time with these sums of runs and gaps in ticks of half a nanosecond, after so many ticks.
    fn time(run: u64, gap: u64, taken: u64) -> (u64, u64, u64) {
        let mut snapshot = testing::snapshot(testing::contention());
        assert_eq!(snapshot.clock.ticks_per_second, 2e9);
        snapshot.taken = taken;
        snapshot.coverage.guest_transitions_seen = true;
        for (quantity, sum) in [(Quantity::Run, run), (Quantity::Gap, gap), (Quantity::Reschedule, u64::MAX)] {
            let mut cell = testing::spread(1, 1, 2);
            cell.sum = sum;
            snapshot.cells.insert((Place::Vcpu(0), Metric { quantity, call: Hypercall::Bio }), cell);
        }
        let time = Vcpu::all(&snapshot)[0].time.unwrap();
        (time.running_ns, time.idle_ns, time.unused_ns)
    }

    #[test]
    fn parts_add_up_to_the_duration() {
        assert_eq!(time(20, 40, 100), (10, 20, 20));
        // Each part is rounded.
        assert_eq!(time(1, 1, 2), (1, 0, 0));
        assert_eq!(time(3, 1, 6), (2, 1, 0));
        // Runs go on while a sample is taken.
        assert_eq!(time(90, 20, 100), (45, 5, 0));
        assert_eq!(time(120, 20, 100), (50, 0, 0));
        assert_eq!(time(u64::MAX, u64::MAX, 100), (50, 0, 0));
    }
}
