//! The worst contention points, for the summary.

use super::chains;
use super::group::{By, Realm};
use super::ranking::{self, Ranked};
use super::short::short;
use super::waiting::{Waiting, kind_name};
use crate::grid::{Column, Grid};
use crate::style::Style;
use crate::times::Percentiles;
use crate::units;

/// How many are shown.
const WORST: usize = 5;

/// The locks that were waited for longest, those made at one place together, each with where it was waited for and held; empty where there is none.
/// Condition variables are left out: who waits for one may just have nothing to do.
pub fn render(waiting: &Waiting, style: &Style) -> String {
    let mut locks = ranking::locks(waiting, By::Class, Realm::Locks);
    locks.retain(|row| row.figures.wait.total_ns != 0);
    if locks.is_empty() {
        return String::new();
    }
    let all: f64 = locks.iter().map(|row| row.figures.wait.total_ns as f64).sum();
    let count = locks.len();
    locks.truncate(WORST);
    let columns = [
        ("lock", 0),
        ("kind", 2),
        ("waits", 0),
        ("of all", 3),
        ("total", 0),
        ("share", 1),
        ("p50", 0),
        ("p99", 0),
        ("max", 0),
    ];
    let grid = Grid {
        columns: columns.into_iter().map(|(name, drop)| Column::new(name, drop)).collect(),
        rows: locks.iter().map(|row| cells(row, all, style)).collect(),
    };
    let title = match count {
        _ if count > WORST => format!("Contention: the worst {WORST} of {count} (`rumpscope locks` shows all)"),
        _ => "Contention".to_owned(),
    };
    format!("{}\n{}", style.title(&title), grid.render_with(style, |row| places(waiting, &locks[row], style)))
}

fn cells(row: &Ranked, all: f64, style: &Style) -> Vec<String> {
    let figures = &row.figures;
    let point = |of: fn(&Percentiles) -> u64| {
        figures
            .wait
            .percentiles
            .as_ref()
            .map_or_else(|| "-".to_owned(), |points| units::time(of(points) as f64, style.ascii))
    };
    let kinds: Vec<_> = row.kinds.iter().map(|kind| kind_name(*kind)).collect();
    let name = match row.locks.saturating_add(row.merged) {
        0 | 1 => short(&row.name),
        several => format!("{} ({several} locks)", short(&row.name)),
    };
    vec![
        name,
        kinds.join(", "),
        units::count(figures.contended),
        figures.contended_share().map_or_else(|| "-".to_owned(), units::percent),
        units::time(figures.wait.total_ns as f64, style.ascii),
        units::percent(figures.wait.total_ns as f64 / all),
        point(|points| points.p50_ns),
        point(|points| points.p99_ns),
        point(|points| points.max_ns),
    ]
}

/// The chain that waited for it longest, and the one that made it wait longest.
fn places(waiting: &Waiting, row: &Ranked, style: &Style) -> String {
    let line = |label: &str, times| {
        let first = chains::weighed(waiting, times).into_iter().next();
        first.filter(|first| first.ticks != 0).map_or_else(String::new, |first| {
            let begin = format!("    {label:<9} ");
            let width = style.width.saturating_sub(begin.chars().count());
            format!("{}{}\n", style.faint(&begin), chains::line(&first.chain, width))
        })
    };
    line("waits in", &row.group.waiters) + &line("held in", &row.group.holders)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contention::{NamedLock, testing};

    fn shown(waiting: &Waiting) -> String {
        render(waiting, &Style { width: 100, colour: false, ascii: true })
    }

    #[test]
    fn each_lock_with_its_places() {
        testing::check("points.txt", &shown(&testing::waiting()));
    }

    #[test]
    fn the_worst_are_shown_and_the_others_counted() {
        let mut waiting = testing::waiting();
        let lock = waiting.locks[&3].clone();
        for number in 10..20 {
            let lock = NamedLock { class: format!("class {number}"), ..lock.clone() };
            waiting.locks.insert(number, lock);
        }
        let text = shown(&waiting);
        assert!(text.contains("the worst 5 of 12 "), "{text}");
        assert!(text.contains("made in vcache_alloc (2 locks)") && !text.contains("condvar"), "{text}");
        waiting.locks.clear();
        assert_eq!(shown(&waiting), "");
    }
}
