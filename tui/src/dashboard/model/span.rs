//! What happened in a time: the last interval, or all since the start.

use super::{Figures, Heat};
use rumpscope_probes::{Distribution, Hypercall, Quantity, Snapshot};
use rumpscope_reports::{Sample, Vcpu, interval};
use std::collections::BTreeMap;

/// What happened between two samples, or up to one.
#[derive(Clone, Debug)]
pub struct Span {
    /// The counters of this time alone: whatever reports make of a snapshot can be made of this. Who waited for what is
    /// in it only where the time is the whole (`Waiting::between` of the two samples has it otherwise).
    pub snapshot: Snapshot,
    /// How long it was.
    pub seconds: f64,
    /// Virtual CPUs, by index.
    pub vcpus: Vec<VcpuSpan>,
    /// Hypercalls that were made, by their total time, longest first.
    pub calls: Vec<CallSpan>,
}

/// A hypercall in that time.
#[derive(Clone, Debug)]
pub struct CallSpan {
    /// Which.
    pub call: Hypercall,
    /// From entry to return.
    pub times: Figures,
    /// Calls in a second.
    pub per_second: f64,
    /// Threads in it on average: its time by that of the clock. More than 1 where threads wait side by side.
    pub threads: f64,
    /// Its part of the time in all hypercalls, 0 to 1.
    pub share: f64,
    /// How long its calls took, by powers of two.
    pub heat: Heat,
}

/// A virtual CPU in that time.
#[derive(Clone, Debug)]
pub struct VcpuSpan {
    /// Its index in the guest.
    pub index: u16,
    /// Where its time went; `None` where the guest's own transitions are not seen.
    pub shares: Option<Shares>,
    /// Threads that waited for it on average.
    pub wanted: f64,
    /// How often a thread gave it up, in a second.
    pub switches: f64,
    /// How often a thread came to it from another one, in a second.
    pub migrations: f64,
    /// The thread that had it at the end: its name, and for how long, in nanoseconds.
    pub holder: Option<(String, f64)>,
}

/// Parts of a virtual CPU's time; they add up to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shares {
    /// A thread held it, and no other wanted it.
    pub running: f64,
    /// A thread held it while at least one other waited for it; as far as that is known: the time of the waiters together,
    /// but no more than it was held.
    pub wanted: f64,
    /// It was free, or not used yet.
    pub idle: f64,
}

impl Span {
    /// What happened from `earlier`, or from the start, to `later`.
    pub fn new(earlier: Option<&Sample>, later: &Sample) -> Self {
        let (snapshot, vcpus) = match earlier {
            None => (later.snapshot.clone(), Vcpu::all(&later.snapshot)),
            Some(earlier) => {
                let added = interval::between(&earlier.snapshot, &later.snapshot);
                let vcpus = Vcpu::between(&earlier.snapshot, &added);
                (added, vcpus)
            }
        };
        // A time of no length has no rates; this keeps them finite.
        let seconds = (snapshot.clock.nanoseconds(snapshot.taken.saturating_sub(snapshot.began)) / 1e9).max(1e-9);
        Span {
            vcpus: vcpus.iter().map(|vcpu| VcpuSpan::new(vcpu, &snapshot, seconds)).collect(),
            calls: calls(&snapshot, seconds),
            seconds,
            snapshot,
        }
    }

    /// Has the percentiles of hypercalls of which it is not known how long each call took from `other`.
    pub fn take_percentiles(&mut self, other: &Span) {
        for call in self.calls.iter_mut().filter(|call| call.times.is_timed() && !call.times.has_percentiles()) {
            let Some(CallSpan { times: other, .. }) = other.call(call.call) else { continue };
            let Figures { placed, p50_ns, p99_ns, p99_9_ns, max_ns, .. } = *other;
            call.times = Figures { placed, p50_ns, p99_ns, p99_9_ns, max_ns, ..call.times };
        }
    }

    /// That of one hypercall.
    pub fn call(&self, call: Hypercall) -> Option<&CallSpan> {
        self.calls.iter().find(|span| span.call == call)
    }

    /// Hypercalls in a second.
    pub fn calls_per_second(&self) -> f64 {
        self.calls.iter().map(|call| call.per_second).sum()
    }

    /// Threads in hypercalls on average.
    pub fn threads_in_calls(&self) -> f64 {
        self.calls.iter().map(|call| call.threads).sum()
    }
}

impl VcpuSpan {
    fn new(vcpu: &Vcpu, snapshot: &Snapshot, seconds: f64) -> Self {
        let wanted = vcpu.waited_for_ns as f64 / 1e9 / seconds;
        let shares = vcpu.time.map(|time| {
            let held = (time.running_ns as f64 / 1e9 / seconds).min(1.0);
            let contended = wanted.min(held);
            Shares { running: held - contended, wanted: contended, idle: 1.0 - held }
        });
        let now = snapshot.vcpus.iter().find(|now| now.index == vcpu.index);
        let holder = now.and_then(|now| now.holder).map(|(lane, since)| {
            let thread = snapshot.threads.iter().find(|thread| thread.lane == lane);
            let name = thread.map(|thread| thread.name.clone()).filter(|name| !name.is_empty());
            let name = name.unwrap_or_else(|| format!("thread of lane {lane}"));
            (name, snapshot.clock.nanoseconds(snapshot.taken.saturating_sub(since)))
        });
        VcpuSpan {
            index: vcpu.index,
            shares,
            wanted,
            switches: vcpu.switches as f64 / seconds,
            migrations: vcpu.migrations as f64 / seconds,
            holder,
        }
    }
}

/// The kinds of calls of one hypercall, over all places: each is timed by a rule of its own, and must be weighed apart.
fn kinds(snapshot: &Snapshot) -> BTreeMap<Hypercall, [Distribution; Quantity::CALLS.len()]> {
    let mut kinds = BTreeMap::<_, [Distribution; Quantity::CALLS.len()]>::new();
    for ((_, metric), distribution) in &snapshot.cells {
        if let Some(kind) = Quantity::CALLS.iter().position(|kind| *kind == metric.quantity) {
            kinds.entry(metric.call).or_default()[kind].merge(distribution);
        }
    }
    kinds
}

fn calls(snapshot: &Snapshot, seconds: f64) -> Vec<CallSpan> {
    let mut calls: Vec<_> = kinds(snapshot)
        .into_iter()
        .map(|(call, kinds)| {
            let times = Figures::new(&kinds, &snapshot.clock);
            CallSpan {
                call,
                times,
                per_second: times.count as f64 / seconds,
                threads: times.total_ns / 1e9 / seconds,
                share: 0.0,
                heat: Heat::new(&kinds, &snapshot.clock),
            }
        })
        .filter(|call| call.times.count != 0)
        .collect();
    let all_ns: f64 = calls.iter().map(|call| call.times.total_ns).sum();
    if all_ns > 0.0 {
        calls.iter_mut().for_each(|call| call.share = call.times.total_ns / all_ns);
    }
    calls.sort_by(|left, right| {
        right.times.total_ns.total_cmp(&left.times.total_ns).then(right.times.count.cmp(&left.times.count))
    });
    calls
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::testing;

    #[test]
    fn the_time_of_a_virtual_cpu_adds_up() {
        let samples = testing::samples(4, 3);
        for span in [Span::new(None, &samples[2]), Span::new(Some(&samples[1]), &samples[2])] {
            assert_eq!(span.vcpus.len(), 4);
            for vcpu in &span.vcpus {
                let shares = vcpu.shares.unwrap();
                assert!((shares.running + shares.wanted + shares.idle - 1.0).abs() < 1e-9, "{shares:?}");
            }
        }
    }

    #[test]
    fn an_interval_has_what_happened_in_it() {
        let samples = testing::samples(2, 3);
        let whole = Span::new(None, &samples[2]);
        let parts = [None, Some(&samples[0]), Some(&samples[1])];
        let parts: Vec<_> = parts.into_iter().zip(&samples).map(|(earlier, later)| Span::new(earlier, later)).collect();
        for call in &whole.calls {
            let same = parts.iter().flat_map(|part| &part.calls).filter(|part| part.call == call.call);
            let sum: u64 = same.map(|part| part.times.count).sum();
            assert_eq!(sum, call.times.count, "{}", call.call.name());
        }
        assert!((whole.seconds - parts.iter().map(|part| part.seconds).sum::<f64>()).abs() < 1e-6);
        assert!((whole.calls.iter().map(|call| call.share).sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn the_same_sample_twice_is_nothing() {
        let sample = &testing::samples(2, 1)[0];
        let span = Span::new(Some(sample), sample);
        assert_eq!(span.calls.len(), 0);
        assert!(span.vcpus.iter().all(|vcpu| vcpu.switches == 0.0 && vcpu.wanted.is_finite()));
    }
}
