//! How figures went over time: a ring of what is left of each interval when its sample is gone.

use super::locks::LockPoint;
use super::{Heat, Shares, Span};
use rumpscope_probes::Hypercall;
use std::collections::{BTreeSet, VecDeque};

/// Intervals that are kept: more than the columns of any screen, two of which fit into a cell of a graph. With the 30
/// hypercalls that a busy kernel makes, this is about 4 MB.
pub const CAPACITY: usize = 720;

/// What is left of an interval.
#[derive(Clone, Debug)]
pub struct Point {
    /// How long it was, in seconds.
    pub seconds: f64,
    /// Hypercalls in a second.
    pub calls_per_second: f64,
    /// Threads in hypercalls on average.
    pub threads_in_calls: f64,
    /// The hypercalls that were made, in the order of their numbers.
    pub calls: Box<[CallPoint]>,
    /// Where the time of each virtual CPU went, as far as that is known; by index.
    pub vcpus: Box<[Option<Shares>]>,
    /// How long all calls took.
    pub heat: Heat,
    /// The locks that were waited for longest, in the order of their numbers.
    pub locks: Box<[LockPoint]>,
}

/// A hypercall in an interval.
#[derive(Clone, Debug)]
pub struct CallPoint {
    /// Which.
    pub call: Hypercall,
    /// Calls in a second.
    pub per_second: f32,
    /// How long they took.
    pub heat: Heat,
}

impl Point {
    /// What is to be kept of `span`.
    pub fn new(span: &Span) -> Self {
        let mut calls: Vec<_> = span
            .calls
            .iter()
            .map(|call| CallPoint { call: call.call, per_second: call.per_second as f32, heat: call.heat.clone() })
            .collect();
        calls.sort_by_key(|call| call.call);
        Point {
            seconds: span.seconds,
            calls_per_second: span.calls_per_second(),
            threads_in_calls: span.threads_in_calls(),
            heat: Heat::sum(calls.iter().map(|call| &call.heat)),
            calls: calls.into(),
            locks: Box::default(),
            vcpus: span.vcpus.iter().map(|vcpu| vcpu.shares).collect(),
        }
    }

    /// That of one hypercall, if it was made.
    pub fn call(&self, call: Hypercall) -> Option<&CallPoint> {
        self.calls.binary_search_by_key(&call, |point| point.call).ok().map(|index| &self.calls[index])
    }

    /// That of one lock, if it was waited for.
    pub fn lock(&self, number: u32) -> Option<&LockPoint> {
        self.locks.binary_search_by_key(&number, |point| point.number).ok().map(|index| &self.locks[index])
    }

    /// How long the waits for these locks took.
    pub fn locks_heat(&self, numbers: &BTreeSet<u32>) -> Heat {
        Heat::sum(self.locks.iter().filter(|point| numbers.contains(&point.number)).map(|point| &point.heat))
    }
}

/// The last intervals, oldest first.
#[derive(Clone, Debug, Default)]
pub struct History {
    points: VecDeque<Point>,
}

impl History {
    /// Adds an interval; the oldest is dropped when there are [`CAPACITY`].
    pub fn push(&mut self, point: Point) {
        if self.points.len() == CAPACITY {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }

    /// The last `count` intervals are known only together, as `span`: what each of them does not tell (how long calls took,
    /// and the `locks` that were waited for) is the average of it.
    pub fn share(&mut self, count: usize, span: &Span, locks: &[LockPoint]) {
        let first = self.points.len().saturating_sub(count);
        for point in self.points.range_mut(first..) {
            for call in &mut point.calls {
                let Some(all) = span.call(call.call) else { continue };
                let calls = f64::from(call.per_second) * point.seconds;
                call.heat = all.heat.part(calls / all.times.count.max(1) as f64);
            }
            point.heat = Heat::sum(point.calls.iter().map(|call| &call.heat));
            let part = point.seconds / span.seconds;
            let lock = |lock: &LockPoint| LockPoint { heat: lock.heat.part(part), ..lock.clone() };
            point.locks = locks.iter().map(lock).collect();
        }
    }

    /// The last `count`, or as many as there are, oldest first.
    pub fn last(&self, count: usize) -> impl ExactSizeIterator<Item = &Point> + DoubleEndedIterator {
        self.points.range(self.points.len().saturating_sub(count)..)
    }

    /// A figure of the last `count` intervals, oldest first.
    pub fn series(&self, count: usize, of: impl Fn(&Point) -> f64) -> Vec<f64> {
        self.last(count).map(of).collect()
    }

    /// A figure of a hypercall in the last `count` intervals, 0 where it was not made.
    pub fn call_series(&self, call: Hypercall, count: usize, of: impl Fn(&CallPoint) -> f32) -> Vec<f64> {
        self.series(count, |point| point.call(call).map_or(0.0, |call| f64::from(of(call))))
    }

    /// Threads that waited for a lock on average, in the last `count` intervals.
    pub fn lock_series(&self, number: u32, count: usize) -> Vec<f64> {
        self.series(count, |point| point.lock(number).map_or(0.0, |lock| f64::from(lock.threads)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::testing;

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let samples = testing::samples(2, 2);
        let point = Point::new(&Span::new(Some(&samples[0]), &samples[1]));
        let mut history = History::default();
        for number in 0..CAPACITY + 5 {
            history.push(Point { seconds: number as f64, ..point.clone() });
        }
        assert_eq!(history.series(3, |point| point.seconds), [722.0, 723.0, 724.0]);
        assert_eq!(history.last(10_000).len(), CAPACITY);
    }

    #[test]
    fn a_call_that_was_not_made_is_nothing() {
        let history = testing::history(2, 4);
        let made = history.call_series(Hypercall::CvWait, 9, |call| call.per_second);
        assert!(made.len() == 4 && made.iter().all(|rate| *rate > 0.0), "{made:?}");
        assert_eq!(history.call_series(Hypercall::Kill, 9, |call| call.per_second), [0.0; 4]);
    }
}
