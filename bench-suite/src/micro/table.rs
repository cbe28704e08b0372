//! Times of all subjects, side by side.

use super::rounds::{Subject, Times};
use super::rows::ROWS;
use crate::statistics::{center, interval, median};
use rumpscope_probes::Mode;
use rumpscope_reports::Style;
use rumpscope_reports::grid::{Column, Grid};

/// The chance that an interval holds the true ratio.
const CONFIDENCE: f64 = 0.95;

/// Rows by subjects. Each time is the median over the rounds, in nanoseconds per hypercall. Beside it, where there is
/// another library among the subjects, its ratio to that one's with the 95 % interval; and what the timing mode adds to
/// mode `off`, in pairs of clock reads.
pub fn table(subjects: &[Subject], times: &[Times], style: &Style) -> String {
    let other = subjects.iter().position(|subject| subject.mode.is_none());
    let off = subjects.iter().position(|subject| subject.mode == Some(Mode::Off));
    let mut columns = vec![Column::new("ns per hypercall", 0)];
    for (index, subject) in subjects.iter().enumerate() {
        let column = |name: &str| Column::grouped(name, &subject.label);
        columns.push(column("ns"));
        if other.is_some_and(|other| other != index) {
            columns.extend(["ratio", "95 %"].map(column));
        }
        if adds(subject) {
            columns.push(column("+reads"));
        }
    }
    let mut rows = Vec::new();
    for (row, what) in ROWS.iter().enumerate() {
        let mut cells = vec![what.name.to_owned()];
        for (index, subject) in subjects.iter().enumerate() {
            let own = of_row(&times[index], row);
            cells.push(median(&own).map_or(String::new(), |ns| format!("{ns:.2}")));
            if let Some(other) = other.filter(|other| *other != index) {
                cells.extend(ratio(&own, &of_row(&times[other], row)));
            }
            if adds(subject) {
                let added = off.map(|off| added(&own, &of_row(&times[off], row), &of_row(&times[index], 0)));
                cells.push(added.filter(|_| row != 0).flatten().map_or(String::new(), |reads| format!("{reads:+.2}")));
            }
        }
        rows.push(cells);
    }
    Grid { columns, rows }.render(style)
}

/// Whether the subject's mode measures anything that mode `off` does not.
fn adds(subject: &Subject) -> bool {
    subject.mode.is_some_and(|mode| mode != Mode::Off)
}

/// A row's times, round by round.
fn of_row(times: &Times, row: usize) -> Vec<f64> {
    times.iter().map(|round| round[row]).collect()
}

/// The ratio of two times and its interval: from the ratios of the rounds, in which both were measured in turn.
fn ratio(own: &[f64], others: &[f64]) -> [String; 2] {
    let logs: Vec<f64> = own.iter().zip(others).map(|(own, other)| (own / other).ln()).collect();
    let ratio = center(&logs).map_or(String::new(), |log| format!("{:.2}", log.exp()));
    let range = |(low, high): (f64, f64)| format!("{:.2}-{:.2}", low.exp(), high.exp());
    // Too few rounds.
    [ratio, interval(&logs, CONFIDENCE).map_or("?".to_owned(), range)]
}

/// What `own` is more than `off`, in units of the clock reads of the same rounds.
fn added(own: &[f64], off: &[f64], reads: &[f64]) -> Option<f64> {
    let more: Vec<f64> = own.iter().zip(off).zip(reads).map(|((own, off), reads)| (own - off) / reads).collect();
    median(&more)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds in which every row takes `ns`, and two clock reads take 20.
    fn subject(label: &str, mode: Option<Mode>, ns: f64) -> (Subject, Times) {
        let round = [20.0].into_iter().chain(core::iter::repeat(ns)).take(ROWS.len()).collect();
        (Subject { label: label.to_owned(), library: label.into(), mode }, vec![round; 6])
    }

    #[test]
    fn ratios_are_to_the_other_library_and_added_is_what_is_added_to_off() {
        let (subjects, times): (Vec<_>, Vec<_>) = [
            subject("stock", None, 10.0),
            subject("off", Some(Mode::Off), 5.0),
            subject("full", Some(Mode::Full), 30.0),
        ]
        .into_iter()
        .unzip();
        let text = table(&subjects, &times, &Style { width: 200, colour: false, ascii: true });
        let curlwp: Vec<_> = text.lines().find(|line| line.starts_with("curlwp")).unwrap().split_whitespace().collect();
        assert_eq!(curlwp, ["curlwp", "10.00", "5.00", "0.50", "0.50-0.50", "30.00", "3.00", "3.00-3.00", "+1.25"]);
        let alone = table(&subjects[1..], &times[1..], &Style { width: 200, colour: false, ascii: true });
        assert!(alone.lines().any(|line| line.split_whitespace().eq(["curlwp", "5.00", "30.00", "+1.25"])), "{alone}");
    }
}
