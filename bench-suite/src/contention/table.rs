//! Back ends side by side under the same loads.

use super::figures::{Figures, Waits};
use super::load::{Kind, Load};
use crate::statistics::median;
use rumpscope_reports::Style;
use rumpscope_reports::grid::{Column, Grid};
use rumpscope_reports::units;

/// A load on one back end: its label, and what came of it in each round.
pub type Line<'a> = (&'a Load, &'a str, &'a [Figures]);

/// The lines as a table: medians over the rounds; of the longest waits the longest, of the fairness the least. Readers
/// and writers have a line each.
pub fn table(lines: &[Line<'_>], style: &Style) -> String {
    let mut text = String::new();
    for lines in lines.chunk_by(|(one, ..), (two, ..)| same_section(one, two)) {
        let (load, ..) = lines[0];
        let time = |ns: u64| units::time(ns as f64, style.ascii);
        let title = format!("{}: {} inside, {} outside", load.kind, time(load.section_ns), time(load.outside_ns));
        text += &format!("{}\n", style.title(&title));
        let columns = [
            "threads",
            "back end",
            "sections/s",
            "of best",
            "cores",
            "useful",
            "fairness",
            "who",
            "waits",
            "p50",
            "p99",
            "p99.9",
            "max",
            "max/p50",
            "max apart",
        ];
        let columns = columns.map(|name| Column::new(name, 0)).into();
        let rows = lines.iter().flat_map(|(load, label, rounds)| rows(load, label, rounds, style)).collect();
        text += &format!("{}\n", Grid { columns, rows }.render(style));
    }
    text
}

fn same_section(one: &Load, two: &Load) -> bool {
    (one.kind, one.section_ns, one.outside_ns) == (two.kind, two.section_ns, two.outside_ns)
}

fn rows(load: &Load, label: &str, rounds: &[Figures], style: &Style) -> Vec<Vec<String>> {
    let middle = |of: fn(&Figures) -> f64| median(&rounds.iter().map(of).collect::<Vec<_>>()).unwrap_or_default();
    let fairness = rounds.iter().map(Figures::fairness).fold(1.0, f64::min);
    let first = vec![
        load.threads.to_string(),
        label.to_owned(),
        units::rate(middle(|figures| figures.per_second)),
        units::percent(middle(Figures::reached)),
        format!("{:.2}", middle(|figures| figures.cores)),
        units::percent(middle(Figures::useful)),
        format!("{fairness:.3}"),
    ];
    let sections = middle(|figures| figures.sections.iter().sum::<u64>() as f64).max(1.0);
    let with = |mut first: Vec<String>, who: &str, waits: &[Waits]| {
        first.push(who.to_owned());
        first.extend(times(waits, sections, style));
        first
    };
    let waits: Vec<Waits> = rounds.iter().map(|figures| figures.waits).collect();
    let writers: Vec<Waits> = rounds.iter().filter_map(|figures| figures.writers).collect();
    let who = match load.kind {
        Kind::Mutex | Kind::Handoff => "all",
        Kind::Rwlock => "readers",
    };
    let mut rows = vec![with(first, who, &waits)];
    // As of the longest waits, the longest.
    let apart = rounds.iter().filter_map(|figures| figures.apart).reduce(f64::max);
    rows[0].push(apart.map_or(String::new(), |ns| units::time(ns, style.ascii)));
    if !writers.is_empty() {
        let mut row = with(vec![String::new(); 7], "writers", &writers);
        row.push(String::new());
        rows.push(row);
    }
    rows
}

/// The columns from "waits" on.
fn times(rounds: &[Waits], sections: f64, style: &Style) -> Vec<String> {
    let middle = |of: fn(&Waits) -> f64| median(&rounds.iter().map(of).collect::<Vec<_>>()).unwrap_or_default();
    let count = middle(|waits| waits.count as f64);
    let part = units::percent(count / sections);
    if count == 0.0 {
        return [part].into_iter().chain([const { String::new() }; 5]).collect();
    }
    let p50 = middle(|waits| waits.p50);
    let max = rounds.iter().map(|waits| waits.max).fold(0.0, f64::max);
    let all = [p50, middle(|waits| waits.p99), middle(|waits| waits.p99_9), max];
    let times = all.map(|ns| units::time(ns, style.ascii));
    [part].into_iter().chain(times).chain([format!("{:.0}", max / p50)]).collect()
}
