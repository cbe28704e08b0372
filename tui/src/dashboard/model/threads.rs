//! Threads in an interval: what the guest and the host say of each.

use rumpscope_probes::{Activity, Hypercall, Snapshot, Thread, ThreadTotals};
use rumpscope_reports::{Counter, Event, HostThread, Sample};
use std::collections::{BTreeMap, HashMap};

/// A thread in that time.
#[derive(Clone, Debug)]
pub struct ThreadSpan {
    /// Which.
    pub key: ThreadKey,
    /// Its name.
    pub name: String,
    /// The host's number of it; 0: it has ended.
    pub tid: u32,
    /// What it does.
    pub now: Now,
    /// What it did; none of threads that make no hypercalls.
    pub guest: Option<GuestSpan>,
    /// What the host says; none where it says nothing.
    pub host: Option<HostSpan>,
}

/// What tells a thread from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ThreadKey {
    /// It writes this lane.
    Lane(u32),
    /// It makes no hypercalls: its number at the host.
    Host(u32),
}

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Now {
    /// It has a virtual CPU, for so many nanoseconds.
    Running(u16, f64),
    /// It waits in a hypercall, for so many nanoseconds.
    Blocked(Hypercall, f64),
    /// It was in a hypercall and wants a virtual CPU, for so many nanoseconds.
    Wants(Hypercall, f64),
    /// It has told nothing; its state at the host.
    Untold(Option<char>),
    /// It has ended.
    Ended,
}

/// What a thread did in the guest; parts of the time, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GuestSpan {
    /// All of it in numbers and ticks of the clock; what goes on counts as far as it is.
    pub added: ThreadTotals,
    /// Hypercalls in a second.
    pub calls: f64,
    /// On a virtual CPU.
    pub run: f64,
    /// Waiting for one.
    pub wanted: f64,
    /// Off it, in hypercalls or outside.
    pub off: f64,
    /// How often it came to another virtual CPU, in a second.
    pub migrations: f64,
}

/// What the host says of a thread. Rates are in a second.
#[derive(Clone, Debug, PartialEq)]
pub struct HostSpan {
    /// What came to it, as the host counts.
    pub added: HostThread,
    /// On a processor of the host: part of the time.
    pub cpu: f64,
    /// Ready, while there was none for it: part of the time.
    pub ready: f64,
    /// It gave a processor up.
    pub voluntary: f64,
    /// A processor was taken from it.
    pub involuntary: f64,
    /// Page faults without a disk.
    pub minor: f64,
    /// Page faults with one.
    pub major: f64,
    /// Performance counters.
    pub counters: Vec<(Event, Counted)>,
}

/// A performance counter in that time.
#[derive(Clone, Debug, PartialEq)]
pub enum Counted {
    /// It counted.
    Rate {
        /// In a second; where it counted only a part of the time, what it would have counted in all of it.
        per_second: f64,
        /// That part, 0 to 1.
        ratio: f64,
    },
    /// It counted, but only from when somebody began to look, in the middle of this time: there is no rate of it.
    Count {
        /// How much; as for a rate, what it would have counted without taking turns.
        count: f64,
        /// As for a rate.
        ratio: f64,
    },
    /// It was there, and did not get its turn.
    NoTurn,
    /// There is none, and why.
    Missing(String),
}

impl HostSpan {
    /// What came from `earlier` to `later`; `whole`: all since measuring began, which counters have not seen.
    fn new(earlier: Option<&HostThread>, later: &HostThread, seconds: f64, whole: bool) -> Self {
        // Who has had less time than before is another thread of the same number: all that it did is new.
        let earlier = earlier.filter(|earlier| earlier.cpu_ns <= later.cpu_ns);
        let since = |of: fn(&HostThread) -> u64| of(later).saturating_sub(earlier.map_or(0, of));
        let before = |index: usize| earlier.and_then(|earlier| earlier.counters.get(index));
        // What an outline does not tell was not nothing.
        let told = if earlier.is_some_and(|earlier| earlier.counters.is_empty()) { &[] } else { &later.counters[..] };
        let counters = told.iter().enumerate().map(|(index, counter)| counter_since(before(index), counter));
        let added = HostThread {
            cpu_ns: since(|thread| thread.cpu_ns),
            ready_ns: since(|thread| thread.ready_ns),
            voluntary_switches: since(|thread| thread.voluntary_switches),
            involuntary_switches: since(|thread| thread.involuntary_switches),
            minor_faults: since(|thread| thread.minor_faults),
            major_faults: since(|thread| thread.major_faults),
            counters: counters.collect(),
            name: later.name.clone(),
            ..*later
        };
        let rate = |count: u64| count as f64 / seconds;
        let counted = |counter| Counted::new(counter, earlier.is_none(), (!whole).then_some(seconds));
        HostSpan {
            cpu: rate(added.cpu_ns) / 1e9,
            ready: rate(added.ready_ns) / 1e9,
            voluntary: rate(added.voluntary_switches),
            involuntary: rate(added.involuntary_switches),
            minor: rate(added.minor_faults),
            major: rate(added.major_faults),
            counters: Event::ALL.into_iter().zip(added.counters.iter().map(counted)).collect(),
            added,
        }
    }

    /// A counter's rate in a second, and for which part of the time it counted.
    pub fn rate(&self, event: Event) -> Option<(f64, f64)> {
        self.counters.iter().find_map(|(of, counted)| match counted {
            Counted::Rate { per_second, ratio } if *of == event => Some((*per_second, *ratio)),
            _ => None,
        })
    }

    /// How much a counter has counted, in the time or in a second as all of them, and for which part of the time it did.
    pub fn amount(&self, event: Event) -> Option<(f64, f64)> {
        self.counters.iter().find_map(|(of, counted)| match counted {
            Counted::Rate { per_second: amount, ratio } | Counted::Count { count: amount, ratio } if *of == event => {
                Some((*amount, *ratio))
            }
            _ => None,
        })
    }

    /// Instructions in a cycle, where both are counted.
    pub fn instructions_per_cycle(&self) -> Option<f64> {
        let [(instructions, _), (cycles, _)] = [self.amount(Event::Instructions)?, self.amount(Event::Cycles)?];
        (cycles > 0.0).then(|| instructions / cycles)
    }
}

/// What came to a counter; odd figures of the host are nothing.
fn counter_since(earlier: Option<&Counter>, later: &Counter) -> Counter {
    match (earlier, later) {
        (
            Some(&Counter::Counts { value: value_before, enabled_ns: enabled_before, running_ns: running_before }),
            &Counter::Counts { value, enabled_ns, running_ns },
        ) => Counter::Counts {
            value: value.saturating_sub(value_before),
            enabled_ns: enabled_ns.saturating_sub(enabled_before),
            running_ns: running_ns.saturating_sub(running_before),
        },
        (_, later) => later.clone(),
    }
}

impl Counted {
    /// What `counter`, of which only this time is told, says; `new`: nothing was known before. `seconds`: for how long it has
    /// been there, if that is known.
    fn new(counter: &Counter, new: bool, seconds: Option<f64>) -> Self {
        let (value, enabled, running) = match counter {
            Counter::Missing(reason) => return Counted::Missing(reason.clone()),
            Counter::Counts { value, enabled_ns, running_ns } => {
                (*value as f64, *enabled_ns as f64, *running_ns as f64)
            }
        };
        if enabled > 0.0 && running <= 0.0 {
            // A thread that did not run has not had its counters on a processor either; that is no reason for a question mark.
            return if value > 0.0 || new { Counted::NoTurn } else { Counted::nothing() };
        }
        let ratio = if enabled > 0.0 { (running / enabled).min(1.0) } else { 1.0 };
        let count = value / ratio;
        match seconds {
            Some(seconds) => Counted::Rate { per_second: count / seconds, ratio },
            None => Counted::Count { count, ratio },
        }
    }

    const fn nothing() -> Self {
        Counted::Rate { per_second: 0.0, ratio: 1.0 }
    }
}

/// Times of a thread that go on, in ticks.
#[derive(Clone, Copy, Default)]
struct UnderWay {
    run: u64,
    off: u64,
    wanted: u64,
}

/// What goes on at the end of `snapshot`: sums count times when they are over.
fn under_way(snapshot: &Snapshot) -> HashMap<u32, UnderWay> {
    let ago = |since: u64| snapshot.taken.saturating_sub(since);
    let mut all = HashMap::<u32, UnderWay>::new();
    for (lane, since) in snapshot.vcpus.iter().filter_map(|vcpu| vcpu.holder) {
        all.entry(lane).or_default().run = ago(since);
    }
    for thread in &snapshot.threads {
        match thread.now {
            Activity::Blocked { since, .. } => all.entry(thread.lane).or_default().off = ago(since),
            Activity::WantsVcpu { since, .. } => all.entry(thread.lane).or_default().wanted = ago(since),
            Activity::Untold => {}
        }
    }
    all
}

/// The threads of `later`, and what they did from `earlier` (or the start) on, in the order of their lanes, then those
/// that make no hypercalls.
pub fn threads(earlier: Option<&Sample>, later: &Sample, seconds: f64) -> Vec<ThreadSpan> {
    let snapshot = &later.snapshot;
    let ticks = (snapshot.clock.ticks_per_second * seconds).max(1.0);
    let (before_way, way) =
        (earlier.map(|earlier| under_way(&earlier.snapshot)).unwrap_or_default(), under_way(snapshot));
    let before: HashMap<u32, &Thread> =
        earlier.into_iter().flat_map(|earlier| &earlier.snapshot.threads).map(|thread| (thread.lane, thread)).collect();
    let host: BTreeMap<u32, HostSpan> = {
        let before: HashMap<u32, &HostThread> =
            earlier.into_iter().flat_map(|earlier| &earlier.threads).map(|thread| (thread.tid, thread)).collect();
        let span = |thread: &HostThread| {
            (thread.tid, HostSpan::new(before.get(&thread.tid).copied(), thread, seconds, earlier.is_none()))
        };
        later.threads.iter().map(span).collect()
    };
    let mut lanes_of = HashMap::<u32, usize>::new();
    snapshot.threads.iter().for_each(|thread| *lanes_of.entry(thread.tid).or_default() += 1);
    let guest = |thread: &Thread| {
        let none = ThreadTotals::default();
        let totals = before.get(&thread.lane).map_or(none, |before| before.totals);
        let goes_on = |ways: &HashMap<u32, UnderWay>| ways.get(&thread.lane).copied().unwrap_or_default();
        let (now_way, was_way) = (goes_on(&way), goes_on(&before_way));
        let part = |sum: fn(&ThreadTotals) -> u64, on: fn(&UnderWay) -> u64| {
            let (now, was) = (sum(&thread.totals) + on(&now_way), sum(&totals) + on(&was_way));
            now.saturating_sub(was)
        };
        let added = ThreadTotals {
            calls: thread.totals.calls.saturating_sub(totals.calls),
            run: part(|totals| totals.run, |way| way.run),
            wanted: part(|totals| totals.wanted, |way| way.wanted),
            off: part(|totals| totals.off, |way| way.off),
            migrations: thread.totals.migrations.saturating_sub(totals.migrations),
        };
        GuestSpan {
            calls: added.calls as f64 / seconds,
            run: added.run as f64 / ticks,
            wanted: added.wanted as f64 / ticks,
            off: added.off as f64 / ticks,
            migrations: added.migrations as f64 / seconds,
            added,
        }
    };
    let host_of = |tid: u32| later.threads.iter().find(|thread| thread.tid == tid);
    let mut spans: Vec<_> = snapshot
        .threads
        .iter()
        .map(|thread| ThreadSpan {
            key: ThreadKey::Lane(thread.lane),
            name: match (thread.name.as_str(), host_of(thread.tid)) {
                ("", Some(host)) => host.name.clone(),
                ("", None) => format!("thread of lane {}", thread.lane),
                (name, _) => name.to_owned(),
            },
            tid: thread.tid,
            now: now(snapshot, thread, host_of(thread.tid).map(|host| host.state)),
            guest: Some(guest(thread)),
            // Where several threads of the guest share one of the host, its times are nobody's.
            host: if lanes_of[&thread.tid] == 1 { host.get(&thread.tid).cloned() } else { None },
        })
        .collect();
    let others = later.threads.iter().filter(|thread| lanes_of.get(&thread.tid).is_none_or(|lanes| *lanes != 1));
    spans.extend(others.map(|thread| ThreadSpan {
        key: ThreadKey::Host(thread.tid),
        name: thread.name.clone(),
        tid: thread.tid,
        now: Now::Untold(Some(thread.state)),
        guest: None,
        host: host.get(&thread.tid).cloned(),
    }));
    spans
}

fn now(snapshot: &Snapshot, thread: &Thread, state: Option<char>) -> Now {
    let ago = |since: u64| snapshot.clock.nanoseconds(snapshot.taken.saturating_sub(since));
    let held =
        snapshot.vcpus.iter().find_map(|vcpu| Some((vcpu.index, vcpu.holder.filter(|held| held.0 == thread.lane)?)));
    match (thread.tid, held, thread.now) {
        (0, ..) => Now::Ended,
        // It has one, whatever it has told before.
        (_, Some((index, (_, since))), _) => Now::Running(index, ago(since)),
        (_, None, Activity::Blocked { call, since }) => Now::Blocked(call, ago(since)),
        (_, None, Activity::WantsVcpu { call, since }) => Now::Wants(call, ago(since)),
        (_, None, Activity::Untold) => Now::Untold(state),
    }
}

/// What the host means by the letter.
pub fn state_name(state: char) -> &'static str {
    match state {
        'R' => "ready at the host",
        'S' => "sleeps at the host",
        'D' => "in the host's I/O",
        'T' | 't' => "stopped",
        'Z' | 'X' => "ended",
        'I' => "idle",
        _ => "at the host",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::testing;

    fn spans() -> Vec<ThreadSpan> {
        let samples = testing::samples(2, 3);
        threads(Some(&samples[1]), &samples[2], 1.0)
    }

    #[test]
    fn parts_of_the_time_are_those_of_the_interval() {
        for span in spans().iter().filter(|span| span.guest.is_some()) {
            let guest = span.guest.unwrap();
            assert!((0.0..=1.2).contains(&(guest.run + guest.off)), "{}: {guest:?}", span.name);
            let host = span.host.as_ref().unwrap();
            assert!(host.cpu > 0.0 && host.cpu < 1.0 && host.voluntary > 0.0);
        }
    }

    #[test]
    fn what_goes_on_counts() {
        let mut samples = testing::samples(1, 2);
        for sample in &mut samples {
            sample.snapshot.threads[0].totals = ThreadTotals::default();
            let taken = sample.snapshot.taken;
            sample.snapshot.vcpus[0].holder = Some((0, taken - 3_000 * testing::MICROSECOND));
        }
        // The same run all the time: it began 3 ms before the first sample.
        samples[1].snapshot.vcpus[0].holder = samples[0].snapshot.vcpus[0].holder;
        let span = &threads(Some(&samples[0]), &samples[1], 1.0)[0];
        assert!((span.guest.unwrap().run - 1.0).abs() < 1e-9);
        assert!(matches!(span.now, Now::Running(0, for_ns) if (for_ns - 1.003e9).abs() < 1.0));
    }

    #[test]
    fn counters_that_took_turns_are_scaled() {
        let counts = |value, enabled_ns, running_ns| Counter::Counts { value, enabled_ns, running_ns };
        let earlier = counts(100, 1_000, 1_000);
        let since = |later: &Counter| Counted::new(&counter_since(Some(&earlier), later), false, Some(1.0));
        assert_eq!(since(&counts(400, 3_000, 1_500)), Counted::Rate { per_second: 1_200.0, ratio: 0.25 });
        assert_eq!(since(&counts(100, 1_000, 1_000)), Counted::nothing());
        assert_eq!(Counted::new(&counts(0, 1_000, 0), true, Some(1.0)), Counted::NoTurn);
        // Odd figures of the kernel: more running than enabled, and less than before.
        assert_eq!(since(&counts(50, 1_100, 9_000)), Counted::Rate { per_second: 0.0, ratio: 1.0 });
        assert_eq!(since(&Counter::Missing("why".to_owned())), Counted::Missing("why".to_owned()));
    }

    /// Counters count since somebody looks; the whole time is longer than that.
    #[test]
    fn of_the_whole_time_counters_have_no_rates() {
        let samples = testing::samples(1, 3);
        let of = |earlier: Option<&Sample>| threads(earlier, &samples[2], 1.0)[0].host.clone().unwrap();
        let (interval, whole) = (of(Some(&samples[1])), of(None));
        assert!(interval.rate(Event::Cycles).is_some() && whole.rate(Event::Cycles).is_none());
        assert_eq!(whole.instructions_per_cycle(), interval.instructions_per_cycle());
        assert!(whole.cpu > 0.0);
    }

    #[test]
    fn threads_of_the_host_alone_are_told_too() {
        let mut samples = testing::samples(1, 2);
        samples[1].threads[0].tid = 9;
        let spans = threads(Some(&samples[0]), &samples[1], 1.0);
        let alone = spans.iter().find(|span| span.key == ThreadKey::Host(9)).unwrap();
        assert!(alone.guest.is_none() && alone.host.is_some());
        assert!(spans[0].host.is_none());
        // Two lanes of one thread: its times are told once, by itself.
        samples[1].snapshot.threads[2].tid = samples[1].snapshot.threads[1].tid;
        let spans = threads(Some(&samples[0]), &samples[1], 1.0);
        assert!(spans[1].host.is_none() && spans[2].host.is_none());
        assert!(spans.iter().any(|span| span.key == ThreadKey::Host(samples[1].threads[1].tid)));
    }

    #[test]
    fn a_later_thread_of_the_same_number_is_another_one() {
        let mut samples = testing::samples(1, 2);
        let cpu_ns = samples[1].threads[0].cpu_ns;
        samples[0].threads[0].cpu_ns = cpu_ns + 1;
        let spans = threads(Some(&samples[0]), &samples[1], 1.0);
        assert_eq!(spans[0].host.as_ref().unwrap().added, samples[1].threads[0]);
        samples[0].threads[0].cpu_ns = cpu_ns - 7;
        let spans = threads(Some(&samples[0]), &samples[1], 1.0);
        assert_eq!(spans[0].host.as_ref().unwrap().added.cpu_ns, 7);
    }

    #[test]
    fn a_thread_without_a_name_has_the_hosts() {
        let mut sample = testing::samples(1, 1).remove(0);
        sample.snapshot.threads[0].name.clear();
        assert_eq!(threads(None, &sample, 1.0)[0].name, sample.threads[0].name);
        sample.threads.clear();
        assert_eq!(threads(None, &sample, 1.0)[0].name, "thread of lane 0");
    }

    #[test]
    fn an_ended_thread_does_nothing() {
        let mut sample = testing::samples(1, 1).remove(0);
        sample.snapshot.threads[1].tid = 0;
        assert_eq!(threads(None, &sample, 1.0)[1].now, Now::Ended);
    }
}
