//! Two stored benches: what is faster in the second than in the first.
//!
//! Their runs share no blocks, so the speeds of a variant under a load are two samples without pairs. What changed between
//! the two sittings beside what is meant (other programs, heat) is part of the difference.

use super::bench::Bench;
use super::case::Case;
use super::comparison::{Comparison, Estimate};
use super::consistency::Mismatch;
use super::plan::Amount;
use super::run::Measured;
use crate::statistics::median;
use rumpscope_reports::Host;
use serde::{Deserialize, Serialize};

/// What the file says it is.
const SCHEMA: &str = "rumpscope.bench-across";
/// Goes up when a field changes its meaning or goes away.
const VERSION: u32 = 1;

/// A bench that is one side of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// Where it was read from.
    pub name: String,
    /// The version of rumpscope that made it.
    pub rumpscope: String,
    /// Where it ran.
    pub host: Host,
    /// When it began, in nanoseconds since 1970.
    pub began_unix_ns: u64,
    /// How often every variant ran under every load.
    pub rounds: u32,
    /// How much a run did.
    pub amount: Amount,
    /// How long it did the same before that, in nanoseconds.
    pub warm_up_ns: u64,
}

/// A variant of both under a load of both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The load; `None`: the geometric mean over all that both have.
    pub case: Option<Case>,
    /// The variant.
    pub label: String,
    /// Operations per second in each, medians over runs; `None` over all loads.
    pub speeds: Option<[f64; 2]>,
    /// The second against the first; its indices are those of the first bench.
    pub comparison: Comparison,
}

/// Two benches, compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Across {
    /// `rumpscope.bench-across`.
    pub schema: String,
    /// The version of this form.
    pub version: u32,
    /// The first and the second.
    pub sides: [Side; 2],
    /// Why they should not be compared, and are nevertheless.
    pub mismatch: Option<String>,
    /// Load by load, then over all loads.
    pub rows: Vec<Row>,
}

impl Across {
    /// Compares two benches, with the names that they are to have. Only loads and variants that both have are compared, by
    /// what runs and by label; repetitions for the sake of noise are left out.
    ///
    /// # Errors
    /// Where they were not made on one host, by one clock, with one version of segments, by like builds and for guests with as
    /// many processors of the host. With `force` that is only told.
    pub fn new(benches: [(&str, &Bench); 2], force: bool) -> Result<Self, Mismatch> {
        let [(_, one), (_, two)] = benches;
        let mismatch = one.check().and(two.check()).and(one.check_with(two)).err();
        if let Some(mismatch) = mismatch.as_ref().filter(|_| !force) {
            return Err(mismatch.clone());
        }
        let side = |(name, bench): (&str, &Bench)| Side {
            name: name.to_owned(),
            rumpscope: bench.rumpscope.clone(),
            host: bench.host.clone(),
            began_unix_ns: bench.began_unix_ns,
            rounds: bench.plan.rounds,
            amount: bench.plan.amount,
            warm_up_ns: bench.plan.warm_up_ns,
        };
        let schema = SCHEMA.to_owned();
        let mismatch = mismatch.map(|mismatch| mismatch.to_string());
        Ok(Across { schema, version: VERSION, sides: benches.map(side), mismatch, rows: rows(one, two) })
    }

    /// It as one line of JSON.
    ///
    /// # Errors
    /// As `serde_json` has them; none is known for this data.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self).map(|text| text + "\n")
    }
}

/// A thing of both benches, by its index in each.
type Both = [usize; 2];

fn rows(one: &Bench, two: &Bench) -> Vec<Row> {
    let same_guest = one.plan.guest == two.plan.guest;
    let cases = one.plan.cases.iter().enumerate().filter(|_| same_guest);
    let cases = cases.filter_map(|(index, case)| Some([index, two.plan.cases.iter().position(|other| other == case)?]));
    let cases: Vec<Both> = cases.collect();
    let variants = one.plan.variants.iter().enumerate().filter(|(_, variant)| variant.again.is_none());
    let variants: Vec<Both> = variants
        .filter_map(|(index, variant)| {
            Some([index, two.plan.variants.iter().position(|other| other.label == variant.label)?])
        })
        .collect();
    let mut rows = Vec::new();
    for &case in &cases {
        rows.extend(variants.iter().filter_map(|&variant| under(one, two, case, variant)));
    }
    if cases.len() > 1 {
        rows.extend(variants.iter().filter_map(|&variant| over_all(one, two, &cases, variant)));
    }
    rows
}

/// A variant under a load.
fn under(one: &Bench, two: &Bench, case: Both, variant: Both) -> Option<Row> {
    let runs = |bench: &'_ Bench, side: usize| -> Vec<Measured> {
        bench.measured(case[side], variant[side]).map(|(_, run)| run.clone()).collect()
    };
    let runs = [runs(one, 0), runs(two, 1)];
    let speeds = runs.each_ref().map(|runs| runs.iter().map(|run| run.figures.per_second()).collect::<Vec<_>>());
    let logs = speeds.each_ref().map(|speeds| speeds.iter().map(|speed| speed.ln()).collect::<Vec<_>>());
    let noise = [one.noise(Some(case[0])), two.noise(Some(case[1]))].into_iter().flatten().reduce(f64::max);
    let mut comparison = Comparison::new(Some(case[0]), variant[0], &Estimate::of_samples(&logs[0], &logs[1])?, noise);
    comparison.explain(&runs[0].iter().collect::<Vec<_>>(), &runs[1].iter().collect::<Vec<_>>());
    let speeds = [median(&speeds[0])?, median(&speeds[1])?];
    let label = one.plan.variants[variant[0]].label.clone();
    Some(Row { case: Some(one.plan.cases[case[0]]), label, speeds: Some(speeds), comparison })
}

/// A variant over all loads: each round that has all of them is one value, the mean of its logarithms.
fn over_all(one: &Bench, two: &Bench, cases: &[Both], variant: Both) -> Option<Row> {
    let means = |bench: &Bench, side: usize| -> Vec<f64> {
        let of_round = |round| {
            let log = |case: &Both| {
                let run = bench.measured(case[side], variant[side]).find(|(of, _)| *of == round);
                run.map(|(_, run)| run.figures.per_second().ln())
            };
            let logs = cases.iter().map(log).collect::<Option<Vec<_>>>()?;
            Some(logs.iter().sum::<f64>() / logs.len() as f64)
        };
        (0..bench.plan.rounds).filter_map(of_round).collect()
    };
    let noise = [one.noise(None), two.noise(None)].into_iter().flatten().reduce(f64::max);
    let estimate = Estimate::of_samples(&means(one, 0), &means(two, 1))?;
    let comparison = Comparison::new(None, variant[0], &estimate, noise);
    Some(Row { case: None, label: one.plan.variants[variant[0]].label.clone(), speeds: None, comparison })
}
