//! What happened between a sample and the one before: what a recording is searched by.

use crate::sample::Sample;
use rumpscope_probes::Quantity;
use rumpscope_probes::contention::LockKind;
use std::time::Duration;

/// The time that ends with a sample. A player finds the busiest one by these without reading the samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    /// From the first sample of the recording to the one that ends this interval.
    pub elapsed: Duration,
    /// From the sample before; zero for the first.
    pub length: Duration,
    /// Hypercalls that returned.
    pub calls: u64,
    /// How long threads waited for locks, of the waits that ended in `waited_in`, all threads together.
    pub waited: Duration,
    /// The time since the last whole sample; zero where the sample is an outline, which does not tell of waiting.
    pub waited_in: Duration,
}

impl Interval {
    /// Hypercalls in a second.
    pub fn calls_per_second(&self) -> f64 {
        per_second(self.calls as f64, self.length)
    }

    /// Waiting for locks, in seconds in a second: how many threads waited on average.
    pub fn waiting(&self) -> f64 {
        per_second(self.waited.as_secs_f64(), self.waited_in)
    }
}

fn per_second(figure: f64, length: Duration) -> f64 {
    if length.is_zero() { 0.0 } else { figure / length.as_secs_f64() }
}

/// What intervals are differences of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    calls: u64,
    waited: u64,
    taken: u64,
}

impl Sums {
    /// Those of `sample`, since measuring began.
    pub fn of(sample: &Sample) -> Self {
        let snapshot = &sample.snapshot;
        let calls = snapshot.cells.iter().filter(|((_, metric), _)| Quantity::CALLS.contains(&metric.quantity));
        let locks = snapshot.contention.locks.values().filter(|lock| lock.kind != LockKind::Condvar);
        Sums {
            calls: calls.fold(0, |sum, (_, of)| sum.saturating_add(of.count())),
            waited: locks.fold(0, |sum, lock| sum.saturating_add(lock.wait.sum)),
            taken: snapshot.taken,
        }
    }

    /// The same, with all but the waiting as it is later.
    pub fn with_calls_of(self, later: Sums) -> Self {
        Sums { waited: self.waited, ..later }
    }

    /// From `earlier` on: nanoseconds, calls, nanoseconds waited. `sample` has the clock.
    pub fn since(&self, earlier: &Sums, sample: &Sample) -> [u64; 3] {
        let nanoseconds = |ticks: u64| sample.snapshot.clock.nanoseconds(ticks).round() as u64;
        [
            nanoseconds(self.taken.saturating_sub(earlier.taken)),
            self.calls.saturating_sub(earlier.calls),
            nanoseconds(self.waited.saturating_sub(earlier.waited)),
        ]
    }
}
