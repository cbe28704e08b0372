//! Why threads left their virtual CPUs, by the hypercall that was the cause.

use super::{Figures, Heat};
use rumpscope_probes::{Distribution, Hypercall, Quantity, Snapshot};
use std::collections::BTreeMap;

/// The transitions that one hypercall caused.
#[derive(Clone, Debug)]
pub struct TransitionSpan {
    /// The cause; `guest_entry` and `guest_own` are the guest's own transitions.
    pub cause: Hypercall,
    /// How often a thread left its virtual CPU or came to one, whichever is more, in a second.
    pub per_second: f64,
    /// Off the virtual CPU, until it asked for one again.
    pub off: Phase,
    /// Waiting for a virtual CPU and taking it.
    pub wait: Phase,
    /// On the virtual CPU, before it was given up.
    pub run: Phase,
    /// How often it came back on another virtual CPU, in a second.
    pub migrations: f64,
}

/// What a thread is in between two transitions.
#[derive(Clone, Debug, Default)]
pub struct Phase {
    /// How long it took.
    pub times: Figures,
    /// Threads in it on average.
    pub threads: f64,
    /// How long it took, by powers of two.
    pub heat: Heat,
}

/// What is needed of a hypercall: each kind is timed by itself.
#[derive(Default)]
struct Kinds {
    off: [Distribution; 1],
    wait: [Distribution; 2],
    run: [Distribution; 1],
    left: u64,
    came: u64,
    migrations: u64,
}

impl Phase {
    fn new(kinds: &[Distribution], snapshot: &Snapshot, seconds: f64) -> Self {
        let kinds: Vec<Distribution> = kinds.iter().filter(|kind| kind.count() != 0).cloned().collect();
        let times = Figures::new(&kinds, &snapshot.clock);
        Phase { times, threads: times.total_ns / 1e9 / seconds, heat: Heat::new(&kinds, &snapshot.clock) }
    }
}

/// The transitions in the counters of `snapshot`, which are of so many seconds; the most frequent cause first.
pub fn transitions(snapshot: &Snapshot, seconds: f64) -> Vec<TransitionSpan> {
    let mut kinds = BTreeMap::<Hypercall, Kinds>::new();
    for ((_, metric), distribution) in &snapshot.cells {
        let of = || distribution.count();
        match metric.quantity {
            Quantity::Off => kinds.entry(metric.call).or_default().off[0].merge(distribution),
            Quantity::Run => kinds.entry(metric.call).or_default().run[0].merge(distribution),
            Quantity::Reschedule | Quantity::SlowReschedule => {
                let kinds = kinds.entry(metric.call).or_default();
                kinds.wait[usize::from(metric.quantity == Quantity::SlowReschedule)].merge(distribution);
                kinds.came += of();
            }
            Quantity::Unschedule | Quantity::SlowUnschedule => kinds.entry(metric.call).or_default().left += of(),
            Quantity::Migration => kinds.entry(metric.call).or_default().migrations += of(),
            _ => {}
        }
    }
    let mut spans: Vec<_> = kinds
        .iter()
        .map(|(cause, kinds)| TransitionSpan {
            cause: *cause,
            per_second: kinds.left.max(kinds.came) as f64 / seconds,
            off: Phase::new(&kinds.off, snapshot, seconds),
            wait: Phase::new(&kinds.wait, snapshot, seconds),
            run: Phase::new(&kinds.run, snapshot, seconds),
            migrations: kinds.migrations as f64 / seconds,
        })
        .filter(|span| span.per_second > 0.0 || span.run.times.count != 0 || span.off.times.count != 0)
        .collect();
    spans.sort_by(|left, right| right.per_second.total_cmp(&left.per_second));
    spans
}

/// How often threads came from one virtual CPU to another.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// The indices of the virtual CPUs, rising: those of lines and of columns.
    pub vcpus: Vec<u16>,
    /// In a second; line by line, each the virtual CPU that they came from.
    pub rates: Vec<Vec<f64>>,
    /// The highest of them.
    pub most: f64,
}

impl Matrix {
    /// That of the counters of `snapshot`, which are of so many seconds.
    pub fn new(snapshot: &Snapshot, seconds: f64) -> Self {
        // Not those that only a counter names: a forged one may name many, and nothing says that they moved.
        let moved = snapshot.migrations.keys().flat_map(|(from, to)| [*from, *to]);
        let mut vcpus: Vec<u16> = snapshot.vcpus.iter().map(|vcpu| vcpu.index).chain(moved).collect();
        vcpus.sort_unstable();
        vcpus.dedup();
        let rate = |from: u16, to: u16| *snapshot.migrations.get(&(from, to)).unwrap_or(&0) as f64 / seconds;
        let rates: Vec<Vec<f64>> = vcpus.iter().map(|from| vcpus.iter().map(|to| rate(*from, *to)).collect()).collect();
        let most = rates.iter().flatten().copied().fold(0.0, f64::max);
        Matrix { vcpus, rates, most }
    }

    /// All of them together, in a second.
    pub fn total(&self) -> f64 {
        self.rates.iter().flatten().sum()
    }

    /// Those that happened, the most frequent first: from, to, in a second.
    pub fn pairs(&self) -> Vec<(u16, u16, f64)> {
        let line = |(from, line): (&u16, &Vec<f64>)| {
            let from = *from;
            self.vcpus.iter().zip(line).map(move |(to, rate)| (from, *to, *rate)).collect::<Vec<_>>()
        };
        let mut pairs: Vec<_> = self.vcpus.iter().zip(&self.rates).flat_map(line).filter(|pair| pair.2 > 0.0).collect();
        pairs.sort_by(|left, right| right.2.total_cmp(&left.2));
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::model::Span;
    use crate::dashboard::testing;
    use rumpscope_probes::{Metric, Place};
    use rumpscope_reports::{Ended, Host, Ran, Run, Summary};

    #[test]
    fn they_are_those_of_the_reports() {
        let samples = testing::samples(2, 3);
        let span = Span::new(Some(&samples[1]), &samples[2]);
        let ours = transitions(&span.snapshot, span.seconds);
        let run = Run { ran: Ran::Program { command: Vec::new() }, ended: Ended::Running, host: Host::this() };
        let theirs = Summary::new(&span.snapshot, run).transitions;
        assert_eq!(ours.len(), theirs.len());
        for theirs in theirs {
            let ours = ours.iter().find(|ours| ours.cause.name() == theirs.cause).unwrap();
            assert_eq!((ours.per_second * span.seconds).round() as u64, theirs.times());
            assert_eq!(ours.off.times.count, theirs.off.all.count);
            assert_eq!(ours.wait.times.count, theirs.reschedule.all.count);
            assert_eq!(ours.run.times.count, theirs.run.all.count);
            assert_eq!((ours.migrations * span.seconds).round() as u64, theirs.migrations);
        }
    }

    #[test]
    fn a_matrix_has_all_migrations() {
        let samples = testing::samples(4, 3);
        let mut span = Span::new(Some(&samples[1]), &samples[2]);
        // A place that is no virtual CPU makes it no larger.
        let call = Metric::call(Hypercall::MutexEnter);
        span.snapshot.cells.insert((Place::Vcpu(60_000), call), Default::default());
        let matrix = Matrix::new(&span.snapshot, span.seconds);
        assert_eq!(matrix.vcpus, [0, 1, 2, 3]);
        let by_cause: f64 = transitions(&span.snapshot, span.seconds).iter().map(|span| span.migrations).sum();
        assert!(matrix.total() > 0.0 && (matrix.total() - by_cause).abs() < 1e-6, "{} of {by_cause}", matrix.total());
        let pairs = matrix.pairs();
        assert_eq!(pairs[0].2, matrix.most);
        assert!(pairs.iter().all(|(from, to, _)| from != to));
    }
}
