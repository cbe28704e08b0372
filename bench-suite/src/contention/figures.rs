//! What came of a load.

use rumpscope_probes::Distribution;
use serde::{Deserialize, Serialize};

/// Times of those who had to wait, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Waits {
    pub count: u64,
    pub p50: f64,
    pub p99: f64,
    pub p99_9: f64,
    pub max: f64,
}

impl Waits {
    /// Those of a distribution of ticks.
    pub(super) fn new(waits: &Distribution, ticks_per_ns: f64) -> Self {
        let part = |part: f64| quantile(waits, part) as f64 / ticks_per_ns;
        let max = waits.max as f64 / ticks_per_ns;
        Waits { count: waits.timed(), p50: part(0.5), p99: part(0.99), p99_9: part(0.999), max }
    }
}

/// The value (to within a bucket) below which the part `part` lies; 0 of nothing.
fn quantile(waits: &Distribution, part: f64) -> u64 {
    let below = (waits.timed() as f64 * part) as u64;
    let mut seen = 0;
    let reached = waits.buckets().find(|(_, _, count)| {
        seen += count;
        seen > below
    });
    reached.map_or(waits.max, |(_, high, _)| high.min(waits.max))
}

/// Throughput, fairness and waits of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Sections per second.
    pub per_second: f64,
    /// What the best schedule would have made.
    pub best_per_second: f64,
    /// What one thread alone makes.
    pub alone_per_second: f64,
    /// Processors that were used, on average.
    pub cores: f64,
    /// Sections of each thread.
    pub sections: Vec<u64>,
    /// The waits of all threads: for a reader/writer lock, the readers'; for a token, from its being handed on.
    pub waits: Waits,
    /// The writers' waits for a reader/writer lock.
    pub writers: Option<Waits>,
    /// The longest round of as many threads with a mutex each, in nanoseconds: for so long the host alone keeps a thread off the
    /// processors. Of a token, which most threads sleep for, there is none.
    pub apart: Option<f64>,
}

impl Figures {
    /// The part of the best schedule that was reached.
    pub fn reached(&self) -> f64 {
        self.per_second / self.best_per_second
    }

    /// Of the processor time that was used, the part that one thread alone would have needed for the same sections. It
    /// does not see what was lost by nobody running; but other programs on the machine do not change it.
    pub fn useful(&self) -> f64 {
        self.per_second / self.alone_per_second / self.cores
    }

    /// Of all sections, the part that had to wait.
    pub fn waited(&self) -> f64 {
        let waits = self.waits.count + self.writers.map_or(0, |writers| writers.count);
        waits as f64 / self.sections.iter().sum::<u64>().max(1) as f64
    }

    /// How evenly the sections fell to the threads: 1 where all had as many, 1/n where one had all (Jain, Chiu and Hawe,
    /// "A quantitative measure of fairness and discrimination for resource allocation in shared computer systems", 1984).
    pub fn fairness(&self) -> f64 {
        let sum: f64 = self.sections.iter().map(|count| *count as f64).sum();
        let squares: f64 = self.sections.iter().map(|count| (*count as f64).powi(2)).sum();
        if squares == 0.0 { 1.0 } else { sum * sum / (self.sections.len() as f64 * squares) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_what_was_recorded() {
        let mut waits = Distribution::default();
        (1..=1000).for_each(|value| waits.record(value * 100));
        let waits = Waits::new(&waits, 2.0);
        let near = |is: f64, should: f64| (is / should - 1.0).abs() < 0.02;
        assert!(near(waits.p50, 25_000.0) && near(waits.p99, 49_500.0) && near(waits.p99_9, 49_950.0), "{waits:?}");
        assert_eq!((waits.count, waits.max), (1000, 50_000.0));
        assert_eq!(Waits::new(&Distribution::default(), 2.0), Waits::default());
    }

    #[test]
    fn fairness_is_one_for_equals_and_one_in_n_where_one_has_all() {
        let figures = |sections: &[u64]| Figures {
            per_second: 50.0,
            best_per_second: 100.0,
            alone_per_second: 40.0,
            cores: 2.0,
            sections: sections.to_vec(),
            waits: Waits { count: 3, ..Waits::default() },
            writers: None,
            apart: None,
        };
        assert_eq!(figures(&[5, 5, 5, 5]).fairness(), 1.0);
        assert_eq!(figures(&[12, 0, 0, 0]).fairness(), 0.25);
        let even = figures(&[6, 6]);
        assert_eq!((even.waited(), even.reached(), even.useful()), (0.25, 0.5, 0.625));
        assert_eq!(figures(&[0, 0]).fairness(), 1.0);
    }
}
