//! Contention for people: rows of locks, or of whatever else waits are merged by.

use super::chains::{self, Weighed};
use super::coverage;
use super::figures::Figures;
use super::group::{By, Group, Key, Realm, Spent};
use super::names::{Frame, site};
use super::ranking::{self, Ranked};
use super::short::{is_library, short};
use super::waiting::{Waiting, kind_name};
use crate::grid::{Column, Grid};
use crate::paragraph::wrapped;
use crate::style::Style;
use crate::times::{Percentiles, Times};
use crate::units;

/// What stands where there is no number.
const NOTHING: &str = "-";
/// Longer names are cut.
const LONGEST_NAME: usize = 36;

/// What is shown.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What waits are merged by.
    pub by: By,
    /// Rows of each table.
    pub top: usize,
    /// Chains of waiters and of holders below each row.
    pub chains: usize,
}

/// The tables, and what they do not show.
pub fn render(waiting: &Waiting, options: &Options, style: &Style) -> String {
    let tables = match options.by {
        By::Lock | By::Class => {
            [Realm::Locks, Realm::Conditions].map(|realm| locks(waiting, options, realm, style)).to_vec()
        }
        // Nobody holds what a sleeper waits for.
        By::Holder | By::Edge => {
            [Realm::Locks, Realm::Conditions].map(|realm| others(waiting, options, realm, style)).to_vec()
        }
        _ => {
            [Realm::Locks, Realm::Conditions, Realm::Other].map(|realm| others(waiting, options, realm, style)).to_vec()
        }
    };
    let mut sections: Vec<_> = tables.into_iter().filter(|table| !table.is_empty()).collect();
    if sections.is_empty() {
        sections.push("Nobody has waited for a lock or a condition variable.\n".to_owned());
    }
    sections.push(coverage::render(waiting, options.by, style));
    sections.join("\n")
}

fn title(realm: Realm, by: By) -> String {
    let what = match realm {
        Realm::Locks => "Locks",
        Realm::Conditions => "Condition variables",
        Realm::Other => "Sleeps, disks and ends of threads",
    };
    match by {
        By::Lock => format!("{what}, longest waits in sum first"),
        By::Class => format!("{what}, by the place where they were made"),
        By::Site => format!("{what}, by the function that waited"),
        By::Stack => format!("{what}, by the waiter's call chain"),
        By::Cpu => format!("{what}, by the virtual CPU that the waiter was on"),
        By::Thread => format!("{what}, by the thread that waited"),
        By::Holder if realm == Realm::Conditions => format!("{what}, by the call chain of who gave the signal"),
        By::Holder => format!("{what}, by the holder's call chain"),
        By::Edge => format!("{what}, by who made whom wait"),
    }
}

/// The name and, where rows are left out, how many there are.
fn titled(realm: Realm, by: By, shown: usize, all: usize, style: &Style) -> String {
    let mut title = title(realm, by);
    if shown < all {
        title.push_str(&format!(" (the first {shown} of {all})"));
    }
    style.title(&title)
}

fn locks(waiting: &Waiting, options: &Options, realm: Realm, style: &Style) -> String {
    let all = ranking::locks(waiting, options.by, realm);
    let total: f64 = all.iter().map(|row| row.figures.wait.total_ns as f64).sum();
    let shown = &all[..all.len().min(options.top)];
    if shown.is_empty() {
        return String::new();
    }
    let wait = |name: &str, drop| Column { drop, ..Column::grouped(name, "wait") };
    let held = |name: &str, drop| Column { drop, ..Column::grouped(name, "held") };
    let (taken, contended) = if realm == Realm::Conditions { ("signals", "waits") } else { ("taken", "contended") };
    let mut columns = vec![
        Column::new(if options.by == By::Lock { "name" } else { "class" }, 0),
        Column::new("kind", 6),
        Column::new(taken, 7),
        Column::new(contended, 0),
        Column::new("of all", 8),
        Column::new("spun", 9),
        wait("total", 0),
        wait("share", 2),
        wait("p50", 0),
        wait("p99", 0),
        wait("max", 3),
        held("p50", 4),
        held("p99", 5),
        held("max", 10),
        Column::new("waiting", 11),
    ];
    let mut rows: Vec<Vec<String>> = shown.iter().map(|row| lock_cells(row, total, style)).collect();
    if realm == Realm::Conditions {
        // Signals are not held, and whoever waits for one has to.
        let has_no = |column: &Column| column.group == "held" || ["kind", "of all"].contains(&column.name.as_str());
        for index in (0..columns.len()).rev() {
            if has_no(&columns[index]) {
                columns.remove(index);
                rows.iter_mut().for_each(|row| drop(row.remove(index)));
            }
        }
    }
    let grid = Grid { columns, rows };
    let below = |index: usize| chains_below(waiting, &shown[index].group, options, realm, style);
    format!("{}\n{}", titled(realm, options.by, shown.len(), all.len(), style), grid.render_with(style, below))
}

fn lock_cells(row: &Ranked, total: f64, style: &Style) -> Vec<String> {
    let Figures { wait, held, .. } = &row.figures;
    let share = |part: f64| if total > 0.0 { units::percent(part / total) } else { NOTHING.to_owned() };
    let estimate = |estimated: bool| if estimated { "~" } else { "" };
    let kinds: Vec<_> = row.kinds.iter().map(|kind| kind_name(*kind)).collect();
    let name = match row.locks.saturating_add(row.merged) {
        0 | 1 => cut(&row.name, style),
        several => format!("{} ({several} locks)", cut(&row.name, style)),
    };
    // The most of each lock were not there at the same time.
    let waiting = match row.locks {
        0 | 1 => format!("{}/{}", row.figures.waiters, row.figures.most_waiters),
        _ => row.figures.waiters.to_string(),
    };
    vec![
        name,
        kinds.join(", "),
        format!("{}{}", estimate(row.figures.acquisitions_estimated), units::count(row.figures.acquisitions)),
        units::count(row.figures.contended),
        row.figures.contended_share().map_or_else(|| NOTHING.to_owned(), units::percent),
        units::count(row.figures.spun),
        units::time(wait.total_ns as f64, style.ascii),
        share(wait.total_ns as f64),
        point(wait, |times| times.p50_ns, style),
        point(wait, |times| times.p99_ns, style),
        point(wait, |times| times.max_ns, style),
        point(held, |times| times.p50_ns, style),
        point(held, |times| times.p99_ns, style),
        point(held, |times| times.max_ns, style),
        waiting,
    ]
}

fn others(waiting: &Waiting, options: &Options, realm: Realm, style: &Style) -> String {
    let all = ranking::others(waiting, options.by, realm);
    let total: f64 = all.iter().map(|(_, group)| group.spent.total() as f64).sum();
    let shown = &all[..all.len().min(options.top)];
    if shown.is_empty() {
        return String::new();
    }
    let spent = |name: &str, drop| Column { drop, ..Column::grouped(name, "spent on") };
    let mut columns = vec![
        Column::new(options.by.name(), 0),
        Column::new("waits", 0),
        Column::new("total", 0),
        Column::new("share", 0),
        Column::new("longest part", 5),
    ];
    // Who waits alone waits for nobody.
    if realm != Realm::Other {
        columns.extend([spent("held", 0), spent("holder waits", 0), spent("hand-over", 0)]);
        // Nobody gives the signal that a thread waits for until its time is up; a lock always has a holder.
        if realm == Realm::Conditions {
            columns.push(spent("alone", 3));
        }
        columns.push(spent("not known", 4));
    }
    let rows = shown.iter().map(|(key, group)| {
        let mut row = vec![
            cut(&group_name(key, group, options.by, waiting), style),
            units::count(group.waits),
            units::time(waiting.nanoseconds(group.spent.total()) as f64, style.ascii),
            if total > 0.0 { units::percent(group.spent.total() as f64 / total) } else { NOTHING.to_owned() },
            units::time(waiting.nanoseconds(group.longest) as f64, style.ascii),
        ];
        if realm != Realm::Other {
            row.extend(parts(&group.spent, realm));
        }
        row
    });
    let grid = Grid { columns, rows: rows.collect() };
    let below = |index: usize| {
        let (key, group) = &shown[index];
        format!("{}{}", whole_chain(key, style), chains_below(waiting, group, options, realm, style))
    };
    format!("{}\n{}", titled(realm, options.by, shown.len(), all.len(), style), grid.render_with(style, below))
}

/// A chain is told by the function that it stands for; the whole is below it.
fn group_name(key: &Key, group: &Group, by: By, waiting: &Waiting) -> String {
    let Key::Chain(functions) = key else { return key.label(waiting) };
    let chain: Vec<_> = functions.iter().map(|function| Frame { function: function.clone(), source: None }).collect();
    site(&chain).map_or_else(|| group.label(key, by, waiting), |frame| frame.function.clone())
}

fn whole_chain(key: &Key, style: &Style) -> String {
    let Key::Chain(functions) = key else { return String::new() };
    if functions.len() < 2 {
        return String::new();
    }
    let own = functions.iter().filter(|function| !is_library(function));
    let all: Vec<_> = own.map(|function| short(function)).collect();
    let lines = wrapped(&all.join(" < "), style.width.saturating_sub(4));
    lines.iter().map(|line| format!("    {line}\n")).collect()
}

fn parts(spent: &Spent, realm: Realm) -> Vec<String> {
    let total = spent.total().max(1) as f64;
    let mut parts = vec![spent.held, spent.holder_waited, spent.hand_over, spent.unknown];
    if realm == Realm::Conditions {
        parts.insert(3, spent.alone);
    }
    let share = |part| match part {
        0 => NOTHING.to_owned(),
        part => units::percent(part as f64 / total),
    };
    parts.into_iter().map(share).collect()
}

/// The chains behind most of the time of a group, of waiters and of holders, unless they are what it was made by.
fn chains_below(waiting: &Waiting, group: &Group, options: &Options, realm: Realm, style: &Style) -> String {
    let total = group.spent.total().max(1) as f64;
    let line = |label: &str, chain: &Weighed| {
        let begin = format!("    {label:<9} {:>6}  ", units::percent(chain.ticks as f64 / total));
        let width = style.width.saturating_sub(begin.chars().count());
        format!("{}{}\n", style.faint(&begin), chains::line(&chain.chain, width))
    };
    let lines = |label: &str, chains: Vec<Weighed>| -> String {
        chains.iter().take(options.chains).filter(|chain| chain.ticks != 0).map(|chain| line(label, chain)).collect()
    };
    let holder = if realm == Realm::Conditions { "signalled" } else { "held in" };
    let mut text = String::new();
    if options.by != By::Stack {
        text.push_str(&lines("waits in", chains::weighed(waiting, &group.waiters)));
    }
    if options.by != By::Holder {
        text.push_str(&lines(holder, chains::weighed(waiting, &group.holders)));
    }
    text
}

fn cut(name: &str, style: &Style) -> String {
    let name = short(name);
    if name.chars().count() <= LONGEST_NAME {
        return name;
    }
    let end = if style.ascii { "..." } else { "…" };
    let kept: String = name.chars().take(LONGEST_NAME - end.chars().count()).collect();
    kept + end
}

/// A point of a distribution; `~` marks an estimate.
fn point(times: &Times, of: fn(&Percentiles) -> u64, style: &Style) -> String {
    let Some(percentiles) = &times.percentiles else { return NOTHING.to_owned() };
    let nanoseconds = of(percentiles);
    // The longest that was seen was seen.
    let mark = if times.estimated && nanoseconds != percentiles.max_ns { "~" } else { "" };
    format!("{mark}{}", units::time(nanoseconds as f64, style.ascii))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contention::testing;
    use rumpscope_probes::contention::{Part, Wait};

    fn plain(width: usize) -> Style {
        Style { width, colour: false, ascii: true }
    }

    fn shown(by: By, width: usize) -> String {
        render(&testing::waiting(), &Options { by, top: 10, chains: 1 }, &plain(width))
    }

    #[test]
    fn locks_in_wide_and_narrow_columns() {
        testing::check("locks-160.txt", &shown(By::Lock, 160));
        testing::check("locks-80.txt", &shown(By::Lock, 80));
    }

    #[test]
    fn waits_by_everything_else() {
        let all = By::ALL[1..].iter().map(|by| format!("==== {}\n{}", by.name(), shown(*by, 100)));
        testing::check("locks-by.txt", &all.collect::<String>());
    }

    #[test]
    fn no_line_is_wider_than_the_screen() {
        for by in By::ALL {
            for line in shown(by, 80).lines() {
                assert!(line.chars().count() <= 80, "{}: {line}", by.name());
            }
        }
    }

    #[test]
    fn a_signal_that_did_not_come_in_time_has_its_part() {
        let mut waiting = testing::waiting();
        waiting.waits.retain(|wait| wait.lock == 4);
        waiting.waits[1].part = Part::Alone;
        let text = render(&waiting, &Options { by: By::Thread, top: 10, chains: 0 }, &plain(120));
        let parts = |line: usize| -> Vec<&str> { text.lines().nth(line).unwrap().split_whitespace().collect() };
        assert_eq!(&parts(2)[6..], ["held", "holder", "waits", "hand-over", "alone", "not", "known"], "{text}");
        assert_eq!(&parts(3)[5..], ["-", "90.0%", "-", "10.0%", "-"], "{text}");
    }

    #[test]
    fn a_hand_over_is_known_without_its_holder() {
        let mut waiting = testing::waiting();
        let of = |waiting: &Waiting| {
            let text = render(waiting, &Options { by: By::Holder, top: 10, chains: 0 }, &plain(120));
            text.lines().nth(3).unwrap().split("  ").next().unwrap().to_owned()
        };
        waiting.waits.retain(|wait| wait.part == Part::HandOver && wait.lock == 2);
        // The function that gave the lock up, not the innermost one.
        assert_eq!(of(&waiting), "ffs_update");
        waiting.waits[0].holder = 0;
        assert_eq!(of(&waiting), "(hand-over)");
        let unknown = Wait { part: Part::Unknown, ..waiting.waits[0].clone() };
        waiting.waits.push(unknown);
        assert_eq!(of(&waiting), "(hand-over, not known)");
    }

    #[test]
    fn how_many_waited_at_once_is_known_of_each_lock_alone() {
        let mut waiting = testing::waiting();
        for number in [2, 3] {
            waiting.locks.get_mut(&number).unwrap().lock.waiters = 2;
        }
        let last = |by| {
            let text = render(&waiting, &Options { by, top: 10, chains: 0 }, &plain(200));
            let row = text.lines().find(|line| line.contains("vcache_alloc")).unwrap().to_owned();
            row.split_whitespace().last().unwrap().to_owned()
        };
        assert_eq!((last(By::Lock).as_str(), last(By::Class).as_str()), ("2/3", "4"));
    }

    #[test]
    fn rows_that_are_left_out_are_counted() {
        let options = Options { by: By::Lock, top: 1, chains: 0 };
        let text = render(&testing::waiting(), &options, &plain(100));
        assert!(text.contains("(the first 1 of 3)") && !text.contains("vn_lock"), "{text}");
    }

    #[test]
    fn what_was_lost_is_said() {
        let mut waiting = testing::waiting_of(Vec::new());
        waiting.locks.clear();
        waiting.lost = 12_345;
        let text = render(&waiting, &Options { by: By::Lock, top: 10, chains: 1 }, &plain(100));
        assert!(text.starts_with("Nobody has waited") && text.contains("12.3k waits are"), "{text}");
    }
}
