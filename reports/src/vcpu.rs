//! Where the time of a virtual CPU went.

use rumpscope_probes::{Place, Quantity, Snapshot, VcpuNow};
use serde::Serialize;

/// A virtual CPU over the whole measurement. Running, idle and unused time add up to its duration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vcpu {
    /// Its index in the guest.
    pub index: u16,
    /// How long a thread held it, in nanoseconds; the run under way at the end included.
    pub running_ns: u64,
    /// How long it was free between two runs and after the last, in nanoseconds.
    pub idle_ns: u64,
    /// The rest: before its first run, in nanoseconds.
    pub unused_ns: u64,
    /// How long threads that then got it had waited for it, in nanoseconds, added up over threads.
    pub waited_for_ns: u64,
    /// How often a thread gave it up.
    pub switches: u64,
    /// How often a thread came to it from another virtual CPU.
    pub migrations: u64,
}

impl Vcpu {
    /// What `snapshot` says about virtual CPU `now`.
    pub(crate) fn new(snapshot: &Snapshot, now: &VcpuNow) -> Self {
        let mut ticks = [0; Quantity::ALL.len()];
        let mut counts = [0; Quantity::ALL.len()];
        for ((place, metric), distribution) in &snapshot.cells {
            if *place == Place::Vcpu(now.index) {
                ticks[metric.quantity as usize] += distribution.sum;
                counts[metric.quantity as usize] += distribution.count();
            }
        }
        let since = |begin| snapshot.taken.saturating_sub(begin);
        let run_under_way = now.holder.map_or(0, |(_lane, begin)| since(begin));
        let gap_under_way = now.free_since.map_or(0, since);
        let running = ticks[Quantity::Run as usize] + run_under_way;
        let idle = ticks[Quantity::Gap as usize] + gap_under_way;
        let nanoseconds = |ticks| snapshot.clock.nanoseconds(ticks).round() as u64;
        Vcpu {
            index: now.index,
            running_ns: nanoseconds(running),
            idle_ns: nanoseconds(idle),
            unused_ns: nanoseconds(since(snapshot.began).saturating_sub(running + idle)),
            waited_for_ns: nanoseconds(ticks[Quantity::Reschedule as usize]),
            switches: counts[Quantity::Run as usize],
            migrations: counts[Quantity::Migration as usize],
        }
    }
}
