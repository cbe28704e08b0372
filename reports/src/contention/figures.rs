//! The figures of a lock, or of several together.

use crate::times::Times;
use rumpscope_probes::contention::{Lock, LockKind};
use rumpscope_probes::{ClockInfo, Distribution};
use serde::Serialize;

/// How often it was taken and waited for, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// How often it was taken since it was made, as told last (reader/writer locks: since it was first waited for); of a condition variable, how many signals found a waiter.
    pub acquisitions: u64,
    /// `acquisitions` is an estimate: readers are not all counted.
    pub acquisitions_estimated: bool,
    /// How often it was waited for.
    pub contended: u64,
    /// Of these, how often waiting actively was enough.
    pub spun: u64,
    /// How many wait now.
    pub waiters: u64,
    /// How many waited at the same time at most, for any one of the locks.
    pub most_waiters: u32,
    /// The waits.
    pub wait: Times,
    /// For how long it was held. Who had waited for it is timed each time, of the others a sample.
    pub held: Times,
}

impl Figures {
    /// Those of all of `locks`, by a clock of this rate.
    pub fn new<'a>(locks: impl Iterator<Item = &'a Lock> + Clone, clock: &ClockInfo) -> Self {
        let sum = |of: fn(&Lock) -> u64| locks.clone().map(of).fold(0, u64::saturating_add);
        let merged = |of: fn(&Lock) -> Distribution| {
            locks.clone().map(of).fold(Distribution::default(), |mut all, one| {
                all.merge(&one);
                all
            })
        };
        let held = [merged(|lock| lock.held_after_wait.clone()), merged(held_without_wait)];
        Figures {
            acquisitions: sum(|lock| lock.acquisitions),
            acquisitions_estimated: locks.clone().any(|lock| lock.kind == LockKind::Rwlock),
            contended: sum(|lock| lock.contended),
            spun: sum(|lock| lock.spun),
            waiters: sum(|lock| lock.waiters.into()),
            most_waiters: locks.clone().map(|lock| lock.most_waiters).max().unwrap_or(0),
            wait: Times::new([&merged(|lock| lock.wait.clone())], clock),
            held: Times::new(&held, clock),
        }
    }

    /// Which part of the acquisitions had to wait, 0 to 1; `None` where none was counted.
    pub fn contended_share(&self) -> Option<f64> {
        (self.acquisitions != 0).then(|| (self.contended as f64 / self.acquisitions as f64).min(1.0))
    }
}

/// How long those held it who had not waited, or for a moment: the sample stands for all of them.
fn held_without_wait(lock: &Lock) -> Distribution {
    let all = lock.acquisitions.saturating_sub(lock.held_after_wait.count());
    let mut held = lock.held.clone();
    held.untimed = all.saturating_sub(held.timed());
    held
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contention::testing;

    #[test]
    fn a_sample_of_hold_times_stands_for_all() {
        let waiting = testing::waiting();
        let lock = &waiting.locks[&1].lock;
        let figures = Figures::new([lock].into_iter(), &waiting.clock);
        assert_eq!((figures.contended, figures.acquisitions, figures.contended_share()), (100, 1_000, Some(0.1)));
        assert_eq!((figures.held.count, figures.held.timed, figures.held.estimated), (1_000, 111, true));
    }

    #[test]
    fn figures_of_several_locks_add_up() {
        let waiting = testing::waiting();
        let of =
            |numbers: &[u32]| Figures::new(numbers.iter().map(|number| &waiting.locks[number].lock), &waiting.clock);
        let (both, one, other) = (of(&[2, 3]), of(&[2]), of(&[3]));
        assert_eq!(both.contended, one.contended + other.contended);
        assert_eq!(both.wait.count, one.wait.count + other.wait.count);
        assert!(both.wait.total_ns.abs_diff(one.wait.total_ns + other.wait.total_ns) <= 1);
        assert!(both.acquisitions_estimated);
        assert_eq!(of(&[]).contended_share(), None);
    }
}
