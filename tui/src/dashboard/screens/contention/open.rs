//! What is behind a line: where it is waited for, by whom, and because of what.

use super::Opened;
use crate::dashboard::draw::{line, put, put_right, split, split_columns};
use crate::dashboard::model::{Figures, Heat, brief, seconds};
use crate::dashboard::picture::{self, Part, histogram, parts, wrapped};
use crate::dashboard::screen::View;
use crate::dashboard::theme::{Role, Theme};
use crate::dashboard::widgets::heatmap::{Map, columns_in};
use crate::dashboard::widgets::title::section;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use rumpscope_probes::Distribution;
use rumpscope_probes::contention::{Lock, LockKind, StackId, Wait};
use rumpscope_reports::contention::group::{By, Group, Key, Realm, Spent, groups_where};
use rumpscope_reports::contention::{Figures as LockFigures, Frame, Waiting, chains, kind_name, why};
use rumpscope_reports::units;
use std::collections::{BTreeMap, BTreeSet};

/// Draws it.
pub fn draw(area: Rect, buffer: &mut Buffer, view: &View<'_>, waiting: &Waiting, opened: &Opened) {
    let theme = view.theme;
    let is_meant =
        |wait: &Wait| Realm::of(wait, waiting) == opened.realm && Key::new(opened.by, wait, waiting) == opened.key;
    let numbers = locks_of(waiting, opened);
    let is_lock = matches!(opened.by, By::Lock | By::Class);
    let group = groups_where(waiting, By::Lock, is_meant).into_values().fold(Group::default(), merged);
    let rest = section(area, buffer, theme, &name(waiting, opened, &numbers), "");
    let (top, below) = split(rest, if is_lock { 3 } else { 1 });
    draw_figures(top, buffer, view, waiting, opened, &numbers, &group);
    let (bar, below) = split(below, 2);
    draw_parts(bar, buffer, theme, &group.spent);
    let below = split(below, u16::from(below.height > 16)).1;
    // Two columns: where and who, and how long. What does not fit is left out from the end.
    let right = if area.width >= 140 { area.width * 2 / 5 } else { 32.max(area.width / 3) };
    let (left, right) = split_columns(below, below.width.saturating_sub(right + 2), 2);
    draw_who(left, buffer, view, waiting, &group, &is_meant);
    if is_lock {
        draw_times(right, buffer, view, waiting, &numbers);
    } else {
        draw_locks(right, buffer, theme, waiting, &is_meant);
    }
}

fn merged(mut all: Group, one: Group) -> Group {
    all.waits += one.waits;
    all.longest = all.longest.max(one.longest);
    all.spent.merge(&one.spent);
    for (into, from) in [(&mut all.waiters, &one.waiters), (&mut all.holders, &one.holders)] {
        from.iter().for_each(|(stack, ticks)| *into.entry(*stack).or_default() += ticks);
    }
    all.locks.extend(&one.locks);
    all
}

/// The locks that are meant, also where nobody has waited for them in this time.
fn locks_of(waiting: &Waiting, opened: &Opened) -> BTreeSet<u32> {
    let is_meant = |number: &u32| match &opened.key {
        Key::Lock(meant) => meant == number,
        Key::Class(class) => waiting.locks[number].class == *class,
        _ => false,
    };
    waiting.locks.keys().filter(|number| is_meant(number)).copied().collect()
}

fn name(waiting: &Waiting, opened: &Opened, numbers: &BTreeSet<u32>) -> String {
    let label = brief(&opened.key.label(waiting));
    match (&opened.key, numbers.first().and_then(|number| waiting.locks.get(number))) {
        (Key::Lock(_), Some(named)) => format!("{label}, a {}", kind_name(named.lock.kind)),
        (Key::Class(_), Some(_)) => format!("{label} ({} locks)", numbers.len()),
        (Key::Lock(_), None) => "the lock, for which nobody has waited in this time".to_owned(),
        (Key::Site(_), _) => format!("waits in {label}"),
        (Key::Thread(_), _) => format!("waits of {label}"),
        _ => label,
    }
}

/// Three lines of figures.
fn draw_figures(
    area: Rect,
    buffer: &mut Buffer,
    view: &View<'_>,
    waiting: &Waiting,
    opened: &Opened,
    numbers: &BTreeSet<u32>,
    group: &Group,
) {
    let theme = view.theme;
    let seconds = seconds(waiting);
    let time = |nanoseconds: f64| units::time(nanoseconds, theme.ascii);
    if !matches!(opened.by, By::Lock | By::Class) {
        let average = waiting.clock.nanoseconds(group.spent.total()) / 1e9 / seconds;
        let text = format!(
            "{} threads waiting   {} waits/s   longest part {}",
            picture::threads(average),
            units::rate(group.waits as f64 / seconds),
            time(waiting.clock.nanoseconds(group.longest)),
        );
        picture::figures(line(area, 0), buffer, &text, theme.style(Role::Text));
        return;
    }
    let locks: Vec<&Lock> =
        numbers.iter().filter_map(|number| waiting.locks.get(number)).map(|named| &named.lock).collect();
    let wait = wait_figures(&locks, waiting);
    let now = locks.iter().map(|lock| lock.waiters).fold(0, u32::saturating_add);
    // The most of each lock were not there at the same time.
    let most = if let [lock] = locks[..] { format!(", at most {}", lock.most_waiters) } else { String::new() };
    let point = |value: f64| picture::time(theme, &wait, value);
    let waits = format!(
        "{} threads waiting   {} waits/s   p50 {}   p99 {}   max {}",
        picture::threads(wait.total_ns / 1e9 / seconds),
        units::rate(wait.count as f64 / seconds),
        point(wait.p50_ns),
        point(wait.p99_ns),
        point(wait.max_ns),
    );
    picture::figures(line(area, 0), buffer, &waits, theme.style(Role::Text));
    let holder = holder(waiting, &locks);
    let spun = locks.iter().map(|lock| lock.spun).fold(0, u64::saturating_add);
    let contended = locks.iter().map(|lock| lock.contended).fold(0, u64::saturating_add);
    let active = if contended == 0 { 0.0 } else { spun as f64 / contended as f64 };
    let who = format!("{now} wait now{most}   {holder}   {} ended by looking", units::percent(active));
    picture::figures(line(area, 1), buffer, &who, theme.style(if now == 0 { Role::Text } else { Role::Wanted }));
    let held = LockFigures::new(locks.iter().copied(), &waiting.clock);
    let is_condvar = opened.realm == Realm::Conditions;
    let text = match (&held.held.percentiles, is_condvar) {
        (_, true) => format!("{} signals/s found a waiter", units::rate(held.acquisitions as f64 / seconds)),
        (Some(points), false) => format!(
            "taken {}{}/s, {} after a wait   held: p50 {}{}   p99 {}   max {}",
            if held.acquisitions_estimated { "~" } else { "" },
            units::rate(held.acquisitions as f64 / seconds),
            held.contended_share().map_or_else(|| "-".to_owned(), units::percent),
            if held.held.estimated { "~" } else { "" },
            time(points.p50_ns as f64),
            time(points.p99_ns as f64),
            time(points.max_ns as f64),
        ),
        (None, false) => format!("taken {}/s", units::rate(held.acquisitions as f64 / seconds)),
    };
    picture::figures(line(area, 2), buffer, &text, theme.style(Role::Text));
}

fn wait_figures(locks: &[&Lock], waiting: &Waiting) -> Figures {
    let mut all = Distribution::default();
    locks.iter().for_each(|lock| all.merge(&lock.wait));
    Figures::new(&[all], &waiting.clock)
}

/// Who has it now.
fn holder(waiting: &Waiting, locks: &[&Lock]) -> String {
    match locks {
        [lock] if lock.kind == LockKind::Condvar => String::new(),
        [lock] if lock.merged == 0 => match lock.holder {
            Some(lane) => format!("held now by {}", waiting.thread(lane)),
            None if lock.waiters == 0 => "nobody who waited holds it now".to_owned(),
            None => "held by somebody who did not wait for it".to_owned(),
        },
        _ => String::new(),
    }
}

/// What the waiting was spent on.
fn draw_parts(area: Rect, buffer: &mut Buffer, theme: &Theme, spent: &Spent) {
    let symbols = theme.symbols();
    let all = [
        ("held", spent.held, Role::Running, symbols.running),
        ("holder waits", spent.holder_waited, Role::Waiting, symbols.waiting),
        ("hand-over", spent.hand_over, Role::Wanted, symbols.wanted),
        ("alone", spent.alone, Role::Idle, symbols.rule),
        ("not known", spent.unknown, Role::Faint, symbols.idle),
    ];
    let all = all.map(|(name, ticks, role, symbol)| Part { name, share: ticks as f64, role, symbol });
    parts(area, buffer, theme, &all);
}

/// How many lines each list of `wanted` gets of `height`, so that none takes what others need.
fn divide<const N: usize>(height: u16, wanted: [usize; N]) -> [u16; N] {
    let mut given = [0; N];
    let mut left = height;
    while left > 0 {
        let hungry: Vec<_> = (0..N).filter(|index| usize::from(given[*index]) < wanted[*index]).collect();
        if hungry.is_empty() {
            break;
        }
        for index in hungry {
            if left > 0 {
                given[index] += 1;
                left -= 1;
            }
        }
    }
    given
}

/// Where it is waited for, where it is held, who makes whom wait, and what is behind it.
fn draw_who(
    area: Rect,
    buffer: &mut Buffer,
    view: &View<'_>,
    waiting: &Waiting,
    group: &Group,
    is_meant: &dyn Fn(&Wait) -> bool,
) {
    let theme = view.theme;
    let all = group.spent.total().max(1) as f64;
    let [waiters, holders] = [&group.waiters, &group.holders].map(|by| weighed(waiting, by));
    let mut edges: Vec<_> = groups_where(waiting, By::Edge, is_meant).into_iter().collect();
    edges.sort_by_key(|(_, group)| std::cmp::Reverse(group.spent.total()));
    let reasons = why::reasons(waiting, is_meant);
    // Titles take a line each; a sentence takes two.
    let width = usize::from(area.width.saturating_sub(8));
    let chain = |chain: &chains::Weighed| (chain.ticks as f64, chain_line(&chain.chain, width));
    let edge = |(key, group): &(Key, Group)| (group.spent.total() as f64, edge_label(waiting, key));
    let lists = [
        ("Waited for in", alike(waiters.iter().map(chain))),
        ("Held in", alike(holders.iter().map(chain))),
        ("Who makes whom wait", edges.iter().map(edge).collect()),
    ];
    let count = |lines: usize| if lines == 0 { 0 } else { lines + 1 };
    let [waiters, holders, edges] = [0, 1, 2].map(|list: usize| count(lists[list].1.len()));
    let heights = divide(area.height, [waiters, holders, edges, count(reasons.len() * 2)]);
    let mut rest = area;
    for ((name, lines), height) in lists.into_iter().zip(heights) {
        let (place, after) = split(rest, height);
        draw_shares(place, buffer, theme, name, &lines, all);
        rest = after;
    }
    draw_reasons(rest, buffer, theme, &reasons);
}

/// A chain in a line; functions that compilers have taken apart are one.
fn chain_line(chain: &[Frame], width: usize) -> String {
    let mut frames: Vec<Frame> = chain.to_vec();
    frames.iter_mut().for_each(|frame| frame.function = frame.function.replace("::{{closure}}", ""));
    frames.dedup_by(|later, earlier| later.function == earlier.function);
    chains::line(&frames, width)
}

/// Lines that look alike, because what they differ in was cut off, are one.
fn alike(lines: impl Iterator<Item = (f64, String)>) -> Vec<(f64, String)> {
    let mut all: Vec<(f64, String)> = Vec::new();
    for (ticks, text) in lines {
        match all.iter_mut().find(|(_, known)| *known == text) {
            Some((sum, _)) => *sum += ticks,
            None => all.push((ticks, text)),
        }
    }
    all.sort_by(|left, right| right.0.total_cmp(&left.0));
    all
}

fn weighed(waiting: &Waiting, by: &BTreeMap<StackId, u64>) -> Vec<chains::Weighed> {
    let mut weighed = chains::weighed(waiting, by);
    weighed.retain(|chain| chain.ticks != 0);
    weighed
}

fn edge_label(waiting: &Waiting, key: &Key) -> String {
    match key {
        Key::Edge(None, waiter) => format!("(not known) -> {}", waiting.thread(*waiter)),
        key => key.label(waiting),
    }
}

/// A title and lines with their parts of the whole.
fn draw_shares(area: Rect, buffer: &mut Buffer, theme: &Theme, name: &str, lines: &[(f64, String)], all: f64) {
    if area.height == 0 {
        return;
    }
    let room = usize::from(area.height - 1);
    let more = lines.len().saturating_sub(room);
    let remark = if more == 0 { String::new() } else { format!("{more} more") };
    section(area, buffer, theme, name, &remark);
    for (row, (ticks, text)) in (1..).zip(lines.iter().take(room)) {
        let place = line(area, row);
        put_right(
            buffer,
            Rect { width: 6.min(place.width), ..place },
            &units::percent(ticks / all),
            theme.style(Role::Graph),
        );
        put(buffer, split_columns(place, 6, 1).1, text, theme.style(Role::Text));
    }
}

/// The causes in sentences, as many as there is room for; the first in any case.
pub fn draw_reasons(area: Rect, buffer: &mut Buffer, theme: &Theme, reasons: &[why::Reason]) {
    const SHARE: u16 = 7;
    if area.height < 2 || reasons.is_empty() {
        return;
    }
    let sentences: Vec<String> = reasons.iter().map(|reason| reason.sentence.replace("::{{closure}}", "")).collect();
    let mut room = usize::from(area.height - 1);
    let fits = |sentence: &&String| {
        let needed = picture::lines(sentence, area.width.saturating_sub(SHARE)).count();
        let fits = needed <= room;
        room = room.saturating_sub(needed);
        fits
    };
    let shown = sentences.iter().take_while(fits).count().max(1);
    let more = reasons.len() - shown;
    let remark = if more == 0 { String::new() } else { format!("{more} more") };
    let mut rest = section(area, buffer, theme, "Because of", &remark);
    for (reason, sentence) in reasons.iter().zip(&sentences).take(shown) {
        let mark = if reason.estimated { "~" } else { "" };
        let share = format!("{mark}{}", units::percent(reason.share));
        put_right(buffer, Rect { width: 6.min(rest.width), ..line(rest, 0) }, &share, theme.style(Role::Graph));
        let text = split_columns(rest, SHARE, 0).1;
        let lines = wrapped(text, buffer, sentence, theme.style(Role::Text));
        rest = split(rest, lines.max(1)).1;
    }
}

/// How long it was waited for, in this time and before.
fn draw_times(area: Rect, buffer: &mut Buffer, view: &View<'_>, waiting: &Waiting, numbers: &BTreeSet<u32>) {
    let theme = view.theme;
    let locks: Vec<&Lock> =
        numbers.iter().filter_map(|number| waiting.locks.get(number)).map(|named| &named.lock).collect();
    let kinds: Vec<Distribution> =
        locks.iter().map(|lock| lock.wait.clone()).filter(|wait| wait.count() != 0).collect();
    let heat = Heat::new(&kinds, &waiting.clock);
    let (above, below) = split(area, area.height / 2);
    let above = section(above, buffer, theme, "How long the waits took", "");
    histogram(above, buffer, theme, &heat, Role::Wanted);
    let below = section(below, buffer, theme, "The same over time", "");
    let points = || view.history.last(columns_in(below.width));
    let columns: Vec<Heat> = points().map(|point| point.locks_heat(numbers)).collect();
    Map { columns, seconds: points().map(|point| point.seconds).sum(), end: view.moment() }.draw(below, buffer, theme);
}

/// The locks that were waited for.
fn draw_locks(area: Rect, buffer: &mut Buffer, theme: &Theme, waiting: &Waiting, is_meant: &dyn Fn(&Wait) -> bool) {
    let mut locks: Vec<_> = groups_where(waiting, By::Lock, is_meant).into_iter().collect();
    locks.sort_by_key(|(_, group)| std::cmp::Reverse(group.spent.total()));
    let all = locks.iter().map(|(_, group)| group.spent.total()).fold(0, u64::saturating_add);
    let lines: Vec<_> =
        locks.iter().map(|(key, group)| (group.spent.total() as f64, brief(&key.label(waiting)))).collect();
    draw_shares(area, buffer, theme, "Waited for", &lines, all.max(1) as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_the_lines_that_others_need() {
        assert_eq!(divide(10, [2, 20, 3]), [2, 5, 3]);
        assert_eq!(divide(10, [2, 1, 3]), [2, 1, 3]);
        assert_eq!(divide(2, [9, 9, 9]), [1, 1, 0]);
        assert_eq!(divide(0, [1]), [0]);
    }
}
