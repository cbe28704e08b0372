//! The hypercalls behind a difference: why one is faster.

use super::table::{NOTHING, short};
use rumpscope_bench_suite::ab::{Comparison, LatencyPair, Typical};
use rumpscope_reports::Style;
use rumpscope_reports::grid::{Column, Grid};
use rumpscope_reports::paragraph::labelled;
use rumpscope_reports::units;

/// What the columns mean.
pub const LEGEND: &str = "time of all threads in a hypercall, for one operation, and its part of all time in hypercalls; \
    waiting kernel threads count as well. Calls that go by the clock come last. ~: partly estimated";

/// What stands behind a difference between the variants `first` and `other`; nothing where none was seen.
pub fn behind(comparison: &Comparison, first: &str, other: &str, style: &Style) -> String {
    if !comparison.is_seen() {
        return String::new();
    }
    if comparison.hypercalls.is_empty() {
        return labelled("why", &format!("{other} against {first}: neither timed its hypercalls"), style);
    }
    let blind =
        |side: fn(&LatencyPair) -> Option<Typical>| comparison.hypercalls.iter().all(|pair| side(pair).is_none());
    let mut text = String::new();
    for (label, is_blind) in [(first, blind(|pair| pair.baseline)), (other, blind(|pair| pair.variant))] {
        if is_blind {
            text += &labelled("why", &format!("{label} has no probes, or did not time: its columns are empty"), style);
        }
    }
    text + &latencies(comparison, &short(first, style), &short(other, style), style)
}

/// Hypercalls under two variants, side by side.
fn latencies(comparison: &Comparison, first: &str, other: &str, style: &Style) -> String {
    let time = |ns: f64| units::time(ns, style.ascii);
    let side = |typical: Option<Typical>| match typical {
        Some(typical) => {
            let mark = if typical.estimated { "~" } else { "" };
            let per_operation = format!("{mark}{}", time(typical.per_operation_ns));
            [per_operation, units::percent(typical.share), time(typical.p50_ns), time(typical.p99_ns)]
        }
        None => [NOTHING; 4].map(str::to_owned),
    };
    let rows = comparison.hypercalls.iter().map(|pair| {
        let change = pair.difference_ns().map_or(NOTHING.to_owned(), |difference| {
            format!("{}{}", if difference < 0.0 { "-" } else { "+" }, time(difference.abs()))
        });
        let cells = side(pair.baseline).into_iter().chain(side(pair.variant)).chain([change]);
        [format!("  {}", pair.name)].into_iter().chain(cells).collect::<Vec<_>>()
    });
    // What a narrow screen does without comes first: the share, then the change, which the eye can take itself.
    let names = [("/op", 0), ("share", 3), ("p50", 0), ("p99", 0)];
    let columns = |group: &str| names.map(|(name, drop)| Column { drop, ..Column::grouped(name, group) });
    let [columns, more] = [first, other].map(columns);
    let columns = [Column::new("  hypercall", 0)].into_iter().chain(columns).chain(more);
    let columns = columns.chain([Column::new("change", 2)]).collect();
    Grid { columns, rows: rows.collect() }.render(style)
}
