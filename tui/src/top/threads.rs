//! Threads in an interval: what the guest and what the host say of them.

use crate::dashboard::model::Span;
use rumpscope_probes::{Activity, Thread, ThreadTotals};
use rumpscope_reports::{Counter, Event, HostThread, Sample};
use std::collections::BTreeMap;

/// A thread in an interval.
#[derive(Debug)]
pub struct ThreadSpan {
    /// The host's number of it.
    pub tid: u32,
    /// Its name: the guest's, or else the host's.
    pub name: String,
    /// What the guest says; `None`: it has never called the hypervisor.
    pub guest: Option<GuestSide>,
    /// What the host says; `None`: it does not let us see it.
    pub host: Option<HostThread>,
}

/// What the guest says of a thread.
#[derive(Debug)]
pub struct GuestSide {
    /// Its lane.
    pub lane: u32,
    /// What it does now.
    pub now: Doing,
    /// What it did, in ticks of the clock and in numbers.
    pub totals: ThreadTotals,
}

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Doing {
    /// It has this virtual CPU, for so many nanoseconds.
    Holds(u16, f64),
    /// It is in this hypercall, off its virtual CPU, for so many nanoseconds.
    Blocked(&'static str, f64),
    /// It wants a virtual CPU, for so many nanoseconds.
    WantsVcpu(f64),
    /// Nothing that it told.
    Untold,
}

impl ThreadSpan {
    /// Those that there are in `later`, those that the host gave most time first.
    pub fn all(earlier: Option<&Sample>, later: &Sample, span: &Span) -> Vec<Self> {
        let before = earlier.map_or(&[][..], |earlier| earlier.threads.as_slice());
        let before: BTreeMap<u32, &HostThread> = before.iter().map(|thread| (thread.tid, thread)).collect();
        let added = |thread: &HostThread| added(before.get(&thread.tid).copied(), thread);
        let mut host: BTreeMap<u32, HostThread> =
            later.threads.iter().map(|thread| (thread.tid, added(thread))).collect();
        let guest = span.snapshot.threads.iter().filter(|thread| thread.tid != 0);
        let mut threads: Vec<_> = guest
            .map(|thread| {
                let host = host.remove(&thread.tid);
                let host_name = host.as_ref().map(|host| host.name.clone()).unwrap_or_default();
                ThreadSpan {
                    tid: thread.tid,
                    name: if thread.name.is_empty() { host_name } else { thread.name.clone() },
                    guest: Some(GuestSide { lane: thread.lane, now: doing(thread, span), totals: thread.totals }),
                    host,
                }
            })
            .collect();
        threads.extend(host.into_values().map(|host| ThreadSpan {
            tid: host.tid,
            name: host.name.clone(),
            guest: None,
            host: Some(host),
        }));
        let time = |thread: &ThreadSpan| thread.host.as_ref().map_or(0, |host| host.cpu_ns);
        threads.sort_by_key(|thread| (std::cmp::Reverse(time(thread)), thread.tid));
        threads
    }
}

fn doing(thread: &Thread, span: &Span) -> Doing {
    let snapshot = &span.snapshot;
    let ago = |since: u64| snapshot.clock.nanoseconds(snapshot.taken.saturating_sub(since));
    let held = snapshot.vcpus.iter().find_map(|vcpu| {
        let (_, since) = vcpu.holder.filter(|(lane, _)| *lane == thread.lane)?;
        Some(Doing::Holds(vcpu.index, ago(since)))
    });
    held.unwrap_or(match thread.now {
        Activity::Untold => Doing::Untold,
        Activity::Blocked { call, since } => Doing::Blocked(call.name(), ago(since)),
        Activity::WantsVcpu { since, .. } => Doing::WantsVcpu(ago(since)),
    })
}

/// What came to `thread` since `before`; a thread of another name is another one, whose figures all are new.
fn added(before: Option<&HostThread>, thread: &HostThread) -> HostThread {
    let Some(before) = before.filter(|before| before.cpu_ns <= thread.cpu_ns) else { return thread.clone() };
    let counters = Event::ALL.iter().enumerate().filter_map(|(index, _)| {
        let later = thread.counters.get(index)?;
        Some(match (before.counters.get(index), later) {
            (
                Some(&Counter::Counts { value: value_before, enabled_ns: enabled_before, running_ns: running_before }),
                &Counter::Counts { value, enabled_ns, running_ns },
            ) => Counter::Counts {
                value: value.saturating_sub(value_before),
                enabled_ns: enabled_ns.saturating_sub(enabled_before),
                running_ns: running_ns.saturating_sub(running_before),
            },
            (_, later) => later.clone(),
        })
    });
    HostThread {
        cpu_ns: thread.cpu_ns - before.cpu_ns,
        ready_ns: thread.ready_ns.saturating_sub(before.ready_ns),
        voluntary_switches: thread.voluntary_switches.saturating_sub(before.voluntary_switches),
        involuntary_switches: thread.involuntary_switches.saturating_sub(before.involuntary_switches),
        minor_faults: thread.minor_faults.saturating_sub(before.minor_faults),
        major_faults: thread.major_faults.saturating_sub(before.major_faults),
        counters: counters.collect(),
        ..thread.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::testing;

    fn thread(cpu_ns: u64, value: u64, running_ns: u64) -> HostThread {
        HostThread {
            tid: 7,
            name: "seven".to_owned(),
            state: 'R',
            cpu_ns,
            ready_ns: 2 * cpu_ns,
            voluntary_switches: cpu_ns,
            involuntary_switches: 0,
            minor_faults: 3,
            major_faults: 0,
            counters: vec![
                Counter::Counts { value, enabled_ns: 2 * running_ns, running_ns },
                Counter::Missing("no such counter".to_owned()),
            ],
        }
    }

    #[test]
    fn what_is_told_of_a_thread_is_what_came_to_it() {
        let added = added(Some(&thread(100, 10, 50)), &thread(150, 14, 60));
        assert_eq!((added.cpu_ns, added.ready_ns, added.voluntary_switches, added.minor_faults), (50, 100, 50, 0));
        let counts = Counter::Counts { value: 4, enabled_ns: 20, running_ns: 10 };
        assert_eq!(added.counters, [counts, Counter::Missing("no such counter".to_owned())]);
        // Who has had less time than before is somebody else.
        assert_eq!(super::added(Some(&thread(200, 10, 50)), &thread(150, 14, 60)), thread(150, 14, 60));
    }

    #[test]
    fn every_thread_is_there_once() {
        let samples = testing::samples(2, 2);
        let span = Span::new(Some(&samples[0]), &samples[1]);
        let threads = ThreadSpan::all(Some(&samples[0]), &samples[1], &span);
        let mut numbers: Vec<_> = threads.iter().map(|thread| thread.tid).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), threads.len());
        let later = &samples[1];
        for tid in later.snapshot.threads.iter().map(|thread| thread.tid).filter(|tid| *tid != 0) {
            assert!(threads.iter().any(|thread| thread.tid == tid && thread.guest.is_some()));
        }
        for host in &later.threads {
            assert!(threads.iter().any(|thread| thread.tid == host.tid && thread.host.is_some()));
        }
    }
}
