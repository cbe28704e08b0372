//! A bench for people.

use super::bar::bar;
use super::why;
use rumpscope_bench_suite::ab::{Amount, Bench, Comparison, Difference, Outcome, Probes};
use rumpscope_bench_suite::statistics::{median, outliers, quantile};
use rumpscope_reports::Style;
use rumpscope_reports::grid::{Column, Grid};
use rumpscope_reports::paragraph::{alarming, labelled};
use rumpscope_reports::units;

/// What stands where there is no number.
pub(super) const NOTHING: &str = "-";
/// Columns of a label; longer ones lose their beginning, because paths differ at their end.
const LABEL: usize = 16;

/// The bench as text.
pub fn render(bench: &Bench, style: &Style) -> String {
    let mut sections = vec![header(bench, style)];
    let scale = scale(bench.comparisons.iter());
    sections.extend((0..bench.plan.cases.len()).map(|case| load(bench, case, scale, style)));
    sections.push(over_all(bench, scale, style));
    sections.push(remarks(bench, style));
    sections.retain(|section| !section.is_empty());
    sections.join("\n")
}

fn header(bench: &Bench, style: &Style) -> String {
    let plan = &bench.plan;
    let host = &bench.host;
    let on = match plan.guest_cores {
        None => String::new(),
        Some(1) => " on a processor of its own".to_owned(),
        Some(count) => format!(" on {count} processors of its own"),
    };
    let runs = format!(
        "{} of {}, each a process of its own{on}, {}, in random order from seed {}",
        bench.runs.len(),
        plan.order().len(),
        length(plan.amount, plan.warm_up_ns, style),
        plan.seed
    );
    let processor = if host.processor.is_empty() { "processor unknown" } else { &host.processor };
    let mut text = style.title("rumpscope bench") + "\n";
    text += &labelled("host", &format!("{}, {} cores, {processor}", host.system, host.cores), style);
    text += &labelled("runs", &runs, style);
    for (index, variant) in plan.variants.iter().enumerate() {
        let what = match &variant.again {
            Some(label) => format!("{label} a second time: what differs is the machine's noise"),
            None => {
                let env = variant.env.iter().map(|(name, value)| format!(" {name}={value}"));
                let named = backend(bench, index).map_or(String::new(), |name| format!(": {name}"));
                format!("{}{}{named}", variant.library.display(), env.collect::<String>())
            }
        };
        text += &labelled(&short(&variant.label, style), &what, style);
    }
    if bench.debug_build {
        text += &alarming("build", "not optimised: build with --release for figures that mean something", style);
    }
    text
}

/// How long a run is.
pub(super) fn length(amount: Amount, warm_up_ns: u64, style: &Style) -> String {
    let time = |ns: u64| units::time(ns as f64, style.ascii);
    let amount = match amount {
        Amount::DurationNs(ns) => time(ns),
        Amount::Operations(operations) => format!("{} operations", units::count(operations)),
    };
    format!("{amount} after {} of warm-up", time(warm_up_ns))
}

/// What a variant calls itself, which need not be what was asked for: a host may refuse it.
fn backend(bench: &Bench, variant: usize) -> Option<&str> {
    let probes = bench.runs.iter().filter(|run| run.variant == variant).filter_map(|run| Some(&run.measured()?.probes));
    probes.into_iter().find_map(|probes| match probes {
        Probes::Read { backend, .. } => Some(backend.as_str()),
        _ => None,
    })
}

/// A label of at most [`LABEL`] columns.
pub(super) fn short(label: &str, style: &Style) -> String {
    let length = label.chars().count();
    if length <= LABEL {
        return label.to_owned();
    }
    let dots = if style.ascii { "..." } else { "…" };
    let kept = LABEL - dots.chars().count();
    dots.chars().chain(label.chars().skip(length - kept)).collect()
}

/// The ratio at the ends of all bars: what the farthest ratio needs, at least 1.25.
pub(super) fn scale<'a>(comparisons: impl Iterator<Item = &'a Comparison>) -> f64 {
    let far = |comparison: &Comparison| comparison.ratio.max(1.0 / comparison.ratio);
    let farthest = comparisons.map(far).fold(1.0, f64::max);
    [1.25, 2.0, 4.0, 10.0, 100.0].into_iter().find(|scale| farthest <= *scale).unwrap_or(1000.0)
}

fn load(bench: &Bench, case: usize, scale: f64, style: &Style) -> String {
    let mut rows = Vec::new();
    let mut threads = None;
    for (index, variant) in bench.plan.variants.iter().enumerate() {
        let runs: Vec<_> = bench.measured(case, index).map(|(_, run)| run.figures).collect();
        threads = threads.or(runs.first().map(|figures| figures.threads));
        let speed = median(&runs.iter().map(|figures| figures.per_second()).collect::<Vec<_>>());
        let cores = median(&runs.iter().map(|figures| figures.cores()).collect::<Vec<_>>());
        let comparison = bench.comparisons.iter().find(|found| (found.case, found.variant) == (Some(case), index));
        let mut row = vec![
            short(&variant.label, style),
            speed.map_or(NOTHING.to_owned(), units::rate),
            cores.map_or(NOTHING.to_owned(), |cores| format!("{cores:.2}")),
        ];
        row.extend(verdict(comparison, index == 0, scale, style));
        rows.push(row);
    }
    if threads.is_none() && !bench.runs.iter().any(|run| run.case == case) {
        return String::new();
    }
    let told = bench.plan.cases[case].threads;
    let threads = threads.filter(|_| told.is_none()).map_or(String::new(), |threads| format!(", {threads} threads"));
    let title = style.title(&format!("{}{threads}", bench.plan.cases[case]));
    let columns = [("back end", 0), ("ops/s", 3), ("cores", 4)].into_iter().chain(VERDICT);
    let grid = Grid { columns: columns.map(|(name, drop)| Column::new(name, drop)).collect(), rows };
    let text = format!("{title}\n{}", grid.render(style));
    text + &behind(bench, case, style) + &strays(bench, case, style) + &failures(bench, case, style)
}

fn over_all(bench: &Bench, scale: f64, style: &Style) -> String {
    let all: Vec<_> = bench.comparisons.iter().filter(|comparison| comparison.case.is_none()).collect();
    if all.is_empty() {
        return String::new();
    }
    let row = |comparison: &&Comparison| {
        let label = short(&bench.plan.variants[comparison.variant].label, style);
        [label].into_iter().chain(verdict(Some(comparison), false, scale, style)).collect()
    };
    let columns = [("back end", 0)].into_iter().chain(VERDICT);
    let grid = Grid {
        columns: columns.map(|(name, drop)| Column::new(name, drop)).collect(),
        rows: all.iter().map(row).collect(),
    };
    format!("{}\n{}", style.title("All loads, geometric mean"), grid.render(style))
}

pub(super) const VERDICT: [(&str, u8); 5] =
    [("ratio", 0), ("95% interval", 0), ("p", 2), ("difference", 0), ("slow | fast", 1)];

/// What was found, in the columns of [`VERDICT`].
pub(super) fn verdict(comparison: Option<&Comparison>, first: bool, scale: f64, style: &Style) -> Vec<String> {
    let Some(comparison) = comparison else {
        let ratio = if first { "1" } else { NOTHING };
        return [ratio, "", "", "", ""].map(str::to_owned).to_vec();
    };
    let interval = comparison.interval.map_or(NOTHING.to_owned(), |(low, high)| format!("{low:.3}..{high:.3}"));
    let difference = match comparison.difference {
        Difference::Faster => "faster",
        Difference::Slower => "slower",
        Difference::WithinNoise => "in the noise",
        Difference::NoneSeen => "none seen",
        Difference::TooFewRounds => "too few runs",
    };
    let p = comparison.p_value;
    vec![
        format!("{:.3}", comparison.ratio),
        interval,
        if p < 0.0001 { "<.0001".to_owned() } else { format!("{p:.4}") },
        difference.to_owned(),
        bar(comparison.ratio, comparison.interval, scale, style.ascii),
    ]
}

/// The hypercalls behind the differences that were seen under a load.
fn behind(bench: &Bench, case: usize, style: &Style) -> String {
    let of_case = bench.comparisons.iter().filter(|comparison| comparison.case == Some(case));
    // A control that differs has nothing behind it but the machine.
    let seen = of_case.filter(|comparison| bench.plan.variants[comparison.variant].again.is_none());
    let label = |index: usize| bench.plan.variants[index].label.as_str();
    seen.map(|comparison| why::behind(comparison, label(0), label(comparison.variant), style)).collect()
}

/// Runs that stand far from the others of their variant; they count like all others.
fn strays(bench: &Bench, case: usize, style: &Style) -> String {
    let mut text = String::new();
    for (index, variant) in bench.plan.variants.iter().enumerate() {
        let runs: Vec<_> = bench.measured(case, index).map(|(round, run)| (round, run.figures.per_second())).collect();
        let logs: Vec<_> = runs.iter().map(|(_, speed)| speed.ln()).collect();
        let Some(middle) = median(&logs) else { continue };
        let tell =
            |stray: usize| format!("{:.2} x its median in round {}", (logs[stray] - middle).exp(), runs[stray].0 + 1);
        let strays: Vec<_> = outliers(&logs).into_iter().map(tell).collect();
        if !strays.is_empty() {
            text += &labelled("outliers", &format!("{}: {}", variant.label, strays.join(", ")), style);
        }
    }
    text
}

fn failures(bench: &Bench, case: usize, style: &Style) -> String {
    let mut text = String::new();
    for run in bench.runs.iter().filter(|run| run.case == case) {
        let (what, reason) = match &run.outcome {
            Outcome::Failed { reason } => ("failed", reason.as_str()),
            Outcome::Measured(run) if run.figures.operations == 0 => {
                ("starved", "no operation; it counts as half of one")
            }
            _ => continue,
        };
        let label = &bench.plan.variants[run.variant].label;
        text += &alarming(what, &format!("{label} in round {}: {reason}", run.round + 1), style);
    }
    text
}

/// What is to be said where a difference was seen that may be the machine's own.
pub(super) fn noise_unknown<'a>(comparisons: impl Iterator<Item = &'a Comparison>, style: &Style) -> String {
    match comparisons.filter(|comparison| comparison.is_seen() && comparison.noise.is_none()).count() {
        0 => String::new(),
        count => alarming("noise", &format!("not known for {count} of the differences: they rest on p alone"), style),
    }
}

fn remarks(bench: &Bench, style: &Style) -> String {
    let mut text = style.title("How to read this") + "\n";
    let first = bench.plan.variants.first().map_or("", |variant| variant.label.as_str());
    text += &labelled("ratio", &format!("operations per second, divided by those of {first} in the same round"), style);
    if bench.comparisons.iter().any(|comparison| !comparison.hypercalls.is_empty()) {
        text += &labelled("/op, share", why::LEGEND, style);
    }
    let tested = bench.comparisons.iter().filter(|comparison| comparison.interval.is_some()).count();
    if tested != 0 {
        let chance = format!("of {tested} comparisons, 1 in 20 looks like a difference where there is none");
        text += &labelled("chance", &chance, style);
    }
    let again = |comparison: &&Comparison| bench.plan.variants[comparison.variant].again.is_some();
    let floor: Vec<_> = bench.comparisons.iter().filter(again).filter_map(|comparison| comparison.interval).collect();
    let floor: Vec<_> = floor.into_iter().map(|(low, high)| (1.0 / low).max(high) - 1.0).collect();
    if let (Some(typical), Some(worst)) = (median(&floor), quantile(&floor, 1.0)) {
        let [typical, worst] = [typical, worst].map(units::percent);
        text += &labelled(
            "noise",
            &format!("{first} differs from itself by up to {typical} (median load) or {worst}"),
            style,
        );
    }
    text += &noise_unknown(bench.comparisons.iter().filter(|comparison| !again(comparison)), style);
    let lying = bench.comparisons.iter().filter(again).filter(|comparison| comparison.is_seen()).count();
    if lying != 0 {
        let note =
            format!("{first} was different from itself in {lying} comparisons: chance, or the machine is disturbed");
        text += &alarming("noise", &note, style);
    }
    if let Err(mismatch) = bench.check() {
        text += &alarming("forced", &format!("these runs should not be compared: {mismatch}"), style);
    }
    if !bench.complete {
        text += &alarming("incomplete", "the bench was ended early; this is what there was", style);
    }
    text
}
