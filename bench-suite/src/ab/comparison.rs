//! A variant against the first one.

use super::bench::Bench;
use super::latency::LatencyPair;
use super::run::Measured;
use crate::statistics::{center, interval, p_value, rank_sum};
use serde::{Deserialize, Serialize};

/// The chance that the interval holds the true ratio; 1 less this is the chance to see a difference where none is.
const CONFIDENCE: f64 = 0.95;

/// What may be said of two variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// The variant is faster than the first.
    Faster,
    /// It is slower.
    Slower,
    /// It differs, but no more than the first may differ from itself on this machine.
    WithinNoise,
    /// No difference was seen.
    NoneSeen,
    /// There are too few rounds to see one.
    TooFewRounds,
}

/// A variant against the first one, in operations per second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The load, by its index in the plan; `None`: the geometric mean over all of them.
    pub case: Option<usize>,
    /// The variant, by its index in the plan.
    pub variant: usize,
    /// Rounds in which both ran to their end.
    pub rounds: usize,
    /// The variant's operations per second divided by the first one's; above 1 is faster.
    pub ratio: f64,
    /// It lies between these with a chance of 95 %; `None`: too few rounds to say.
    pub interval: Option<(f64, f64)>,
    /// How likely such a ratio or one farther from 1 is between equals.
    pub p_value: f64,
    /// The ratio that the first variant may have to itself: the end of the interval of its repetition that is farther
    /// from 1, above 1. `None`: this is the repetition, or it is not known.
    pub noise: Option<f64>,
    /// What may be said.
    pub difference: Difference,
    /// Where a difference was seen: the hypercalls behind it.
    pub hypercalls: Vec<LatencyPair>,
}

/// How two variants' speeds stand to each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Estimate {
    rounds: usize,
    ratio: f64,
    interval: Option<(f64, f64)>,
    p_value: f64,
}

impl Estimate {
    /// From the logarithms of their ratios, pair by pair. `None` of nothing.
    fn of_pairs(logs: &[f64]) -> Option<Self> {
        let interval = interval(logs, CONFIDENCE);
        Some(Self::new(logs.len(), center(logs)?, interval, p_value(logs)))
    }

    /// From the logarithms of their speeds, which are no pairs. `None` of nothing.
    pub(super) fn of_samples(one: &[f64], two: &[f64]) -> Option<Self> {
        let interval = rank_sum::shift_interval(one, two, CONFIDENCE);
        let rounds = one.len().min(two.len());
        Some(Self::new(rounds, rank_sum::shift(one, two)?, interval, rank_sum::p_value(one, two)))
    }

    fn new(rounds: usize, log: f64, interval: Option<(f64, f64)>, p_value: f64) -> Self {
        let interval = interval.map(|(low, high)| (low.exp(), high.exp()));
        Estimate { rounds, ratio: log.exp(), interval, p_value }
    }
}

impl Comparison {
    /// All comparisons of a bench.
    pub(super) fn all(bench: &Bench) -> Vec<Comparison> {
        let cases = bench.plan.cases.len();
        let each = (0..cases).flat_map(|case| Self::at(bench, Some(case), |variant| log_ratios(bench, case, variant)));
        let over_all = if cases > 1 { Self::at(bench, None, |variant| means(bench, variant)) } else { Vec::new() };
        each.chain(over_all).collect()
    }

    /// All variants but the first, by the logarithms of their ratios to it.
    fn at(bench: &Bench, case: Option<usize>, logs: impl Fn(usize) -> Vec<f64>) -> Vec<Comparison> {
        let mut noise = None;
        let mut comparisons = Vec::new();
        for (variant, what) in bench.plan.variants.iter().enumerate().skip(1) {
            let Some(estimate) = Estimate::of_pairs(&logs(variant)) else { continue };
            let mut comparison = Self::new(case, variant, &estimate, noise);
            if what.again.is_some() {
                noise = comparison.own_noise();
            }
            if let Some(case) = case {
                let runs = |variant| bench.measured(case, variant).map(|(_, run)| run).collect::<Vec<&Measured>>();
                comparison.explain(&runs(0), &runs(variant));
            }
            comparisons.push(comparison);
        }
        comparisons
    }

    /// What an estimate says, where the first variant may have the ratio `noise` to itself.
    pub(super) fn new(case: Option<usize>, variant: usize, estimate: &Estimate, noise: Option<f64>) -> Self {
        let &Estimate { rounds, ratio, interval, p_value } = estimate;
        let difference = match noise {
            _ if interval.is_none() => Difference::TooFewRounds,
            _ if p_value > 1.0 - CONFIDENCE => Difference::NoneSeen,
            Some(noise) if ratio.max(1.0 / ratio) <= noise => Difference::WithinNoise,
            _ if ratio > 1.0 => Difference::Faster,
            _ => Difference::Slower,
        };
        Comparison { case, variant, rounds, ratio, interval, p_value, noise, difference, hypercalls: Vec::new() }
    }

    /// Finds the hypercalls behind a difference that was seen.
    pub(super) fn explain(&mut self, baseline: &[&Measured], variant: &[&Measured]) {
        if self.is_seen() {
            self.hypercalls = LatencyPair::most_different(baseline, variant);
        }
    }

    /// Of a repetition: the ratio that the first variant may have to itself, above 1.
    fn own_noise(&self) -> Option<f64> {
        self.interval.map(|(low, high)| (1.0 / low).max(high))
    }

    /// Whether the variant is faster or slower than the first.
    pub fn is_seen(&self) -> bool {
        matches!(self.difference, Difference::Faster | Difference::Slower)
    }
}

/// Round by round, where both ran to their end: the logarithm of the variant's speed divided by the first one's.
fn log_ratios(bench: &Bench, case: usize, variant: usize) -> Vec<f64> {
    by_round(bench, case, variant).into_iter().map(|(_, log)| log).collect()
}

fn by_round(bench: &Bench, case: usize, variant: usize) -> Vec<(u32, f64)> {
    let first: Vec<_> = bench.measured(case, 0).collect();
    let pair = |(round, run): (u32, &Measured)| {
        let (_, other) = first.iter().find(|(other, _)| *other == round)?;
        Some((round, (run.figures.per_second() / other.figures.per_second()).ln()))
    };
    bench.measured(case, variant).filter_map(pair).collect()
}

/// The mean over all loads of each round that has all of them.
fn means(bench: &Bench, variant: usize) -> Vec<f64> {
    let cases = bench.plan.cases.len();
    let all: Vec<_> = (0..cases).flat_map(|case| by_round(bench, case, variant)).collect();
    let of_round = |round| {
        let logs: Vec<_> = all.iter().filter(|(of, _)| *of == round).map(|(_, log)| log).collect();
        (logs.len() == cases).then(|| logs.into_iter().sum::<f64>() / cases as f64)
    };
    (0..bench.plan.rounds).filter_map(of_round).collect()
}

impl Bench {
    /// The ratio that the first variant may have to itself under a load, or over all, as its repetition shows.
    pub(super) fn noise(&self, case: Option<usize>) -> Option<f64> {
        let is_again =
            |found: &&Comparison| self.plan.variants.get(found.variant).is_some_and(|what| what.again.is_some());
        self.comparisons.iter().filter(|found| found.case == case).find(is_again)?.own_noise()
    }
}
