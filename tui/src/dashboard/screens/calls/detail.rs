//! One hypercall: how long its calls took, when, on which virtual CPU, and what that time was.

use super::profile::{Part, Profile};
use super::row::{threads, time};
use crate::dashboard::draw::{line, put, put_right, split, split_columns};
use crate::dashboard::model::Heat;
use crate::dashboard::screen::View;
use crate::dashboard::theme::{Role, Theme};
use crate::dashboard::widgets::heatmap::{self, Map};
use crate::dashboard::widgets::{bar, title};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use rumpscope_probes::Hypercall;
use rumpscope_reports::units;

/// Columns of the ladder of percentiles.
const LADDER: u16 = 24;

/// Draws it.
pub fn draw(area: Rect, buffer: &mut Buffer, view: &View<'_>, call: Hypercall) {
    let profile = Profile::new(view, call);
    let below = headline(area, buffer, view, &profile);
    // Three bands: the distribution, how it went over time, and where the time was spent.
    let third = below.height / 3;
    let (top, rest) = split(below, (third + below.height % 3).max(8));
    let (middle, bottom) = split(rest, rest.height.saturating_sub(third.max(6)));
    let (left, right) = split_columns(top, top.width.saturating_sub(LADDER + 1), 1);
    histogram(left, buffer, view.theme, &profile);
    ladder(right, buffer, view.theme, &profile);
    over_time(middle, buffer, view, call);
    let (left, right) = split_columns(bottom, bottom.width / 2, 1);
    places(left, buffer, view.theme, &profile);
    parts(right, buffer, view.theme, &profile);
}

fn headline(area: Rect, buffer: &mut Buffer, view: &View<'_>, profile: &Profile) -> Rect {
    let times = &profile.times;
    let estimated = if times.estimated() { "  ~ estimated: of its quick calls only a sample is timed" } else { "" };
    let text = match times.count {
        0 => "no call has returned in this time".to_owned(),
        count => format!(
            "{} calls  {}/s  {} threads in it{estimated}",
            units::count(count),
            units::rate(count as f64 / view.span.seconds),
            threads(times.total_ns / 1e9 / view.span.seconds),
        ),
    };
    let name = profile.call.name();
    put(buffer, area, &format!(" {name}"), view.theme.style(Role::Title));
    let after = (name.chars().count() as u16 + 3).min(area.width);
    put(buffer, Rect { x: area.x + after, width: area.width - after, ..area }, &text, view.theme.style(Role::Text));
    split(area, 1).1
}

/// How long calls took: a line for each power of two, or for two or more of them where there are too many.
fn histogram(area: Rect, buffer: &mut Buffer, theme: &Theme, profile: &Profile) {
    let below = title::section(area, buffer, theme, "Histogram", "calls by their time");
    let Some((low, high)) = profile.heat.range().filter(|_| below.height != 0) else {
        put(buffer, below, " nothing was timed", theme.style(Role::Faint));
        return;
    };
    let each = (high - low + 1).div_ceil(usize::from(below.height));
    let counts: Vec<_> = (low..=high)
        .step_by(each)
        .map(|row| (row, (row..row + each).map(|row| u64::from(profile.heat.count(row))).sum::<u64>()))
        .collect();
    let most = counts.iter().map(|count| count.1).max().unwrap_or(1).max(1);
    for ((row, count), place) in counts.iter().zip((0..).map(|row| line(below, row))) {
        let (label, rest) = split_columns(place, 9, 1);
        let (number, rest) = split_columns(rest, 7, 1);
        put_right(
            buffer,
            label,
            &format!("{}+", units::time(Heat::shortest_ns(*row), theme.ascii)),
            theme.style(Role::Faint),
        );
        let role = if *count == 0 { Role::Faint } else { Role::Text };
        put_right(buffer, number, &units::count(*count), theme.style(role));
        let text = bar::length(*count as f64 / most as f64, usize::from(rest.width), theme);
        put(buffer, rest, &text, theme.style(Role::Graph));
    }
}

fn ladder(area: Rect, buffer: &mut Buffer, theme: &Theme, profile: &Profile) {
    let below = title::section(area, buffer, theme, "Percentiles", "");
    for ((name, value), place) in profile.ladder(usize::from(below.height)).zip((0..).map(|row| line(below, row))) {
        put(buffer, Rect { x: place.x + 1, ..place }, name, theme.style(Role::Faint));
        let text = value.map_or("-".to_owned(), |value| units::time(value, theme.ascii));
        put_right(buffer, Rect { width: place.width.saturating_sub(1), ..place }, &text, theme.style(Role::Text));
    }
}

fn over_time(area: Rect, buffer: &mut Buffer, view: &View<'_>, call: Hypercall) {
    let below = title::section(area, buffer, view.theme, "Over time", &heatmap::legend(view.theme));
    let width = heatmap::columns_in(below.width);
    let columns =
        view.history.last(width).map(|point| point.call(call).map_or_else(Heat::default, |call| call.heat.clone()));
    let seconds = view.history.last(width).map(|point| point.seconds).sum();
    Map { columns: columns.collect(), seconds, end: view.moment() }.draw(below, buffer, view.theme);
}

/// On which virtual CPUs it was called.
fn places(area: Rect, buffer: &mut Buffer, theme: &Theme, profile: &Profile) {
    let below = title::section(area, buffer, theme, "By virtual CPU", "");
    let row = |buffer: &mut Buffer, place: Rect, cells: [&str; 5], role: Role| {
        let (name, mut rest) = split_columns(place, 8, 0);
        put_right(buffer, name, cells[0], theme.style(role));
        for text in &cells[1..] {
            let (cell, after) = split_columns(rest, 8, 0);
            // A cell that is cut tells something else.
            if cell.width == 8 {
                put_right(buffer, cell, text, theme.style(role));
            }
            rest = after;
        }
    };
    row(buffer, line(below, 0), ["at", "calls", "share", "p50", "p99"], Role::Header);
    let room = usize::from(below.height.saturating_sub(1));
    let hidden = profile.places.len() > room;
    let shown = if hidden { room.saturating_sub(1) } else { room };
    for (number, (name, times)) in profile.places.iter().take(shown).enumerate() {
        let share = if profile.times.total_ns > 0.0 { times.total_ns / profile.times.total_ns } else { 0.0 };
        let (p50, p99) = (time(times, |times| times.p50_ns, theme), time(times, |times| times.p99_ns, theme));
        let cells = [name.as_str(), &units::count(times.count), &units::percent(share), &p50.text, &p99.text];
        row(buffer, line(below, number as u16 + 1), cells, Role::Text);
    }
    if hidden {
        let text = format!("   and {} more", profile.places.len() - shown);
        put(buffer, line(below, shown as u16 + 1), &text, theme.style(Role::Faint));
    }
}

/// What the time of its calls was.
fn parts(area: Rect, buffer: &mut Buffer, theme: &Theme, profile: &Profile) {
    let below = title::section(area, buffer, theme, "What its time was", "share, p50, p99");
    let symbols = theme.symbols();
    let look = |part: &Part| match part {
        Part::Own => (symbols.running, Role::Running),
        Part::Off => (symbols.waiting, Role::Waiting),
        Part::Wanted => (symbols.wanted, Role::Wanted),
        Part::Active => (symbols.idle, Role::Faint),
    };
    if profile.parts.is_empty() {
        let text = " it stayed on its virtual CPU: all of it is its own work";
        put(buffer, line(below, 0), text, theme.style(Role::Faint));
        return;
    }
    let bar = Rect { x: below.x + 1, width: below.width.saturating_sub(2), ..line(below, 0) };
    let pieces: Vec<_> = profile
        .parts
        .iter()
        .filter(|(part, _)| *part != Part::Active)
        .map(|(part, times)| (times.total_ns, look(part).0, look(part).1))
        .collect();
    bar::stacked(bar, buffer, theme, &pieces);
    let whole: f64 = pieces.iter().map(|piece| piece.0).sum();
    for ((part, times), place) in profile.parts.iter().zip((1..).map(|row| line(below, row))) {
        let (symbol, role) = look(part);
        let (name, mut rest) = split_columns(place, place.width.saturating_sub(22), 0);
        put(buffer, Rect { x: name.x + 1, width: 1, ..name }, symbol.encode_utf8(&mut [0; 4]), theme.style(role));
        let name = Rect { x: name.x + 3, width: name.width.saturating_sub(3), ..name };
        put(buffer, name, part.name(), theme.style(Role::Text));
        let share = if whole > 0.0 { times.total_ns / whole } else { 0.0 };
        let (p50, p99) = (time(times, |times| times.p50_ns, theme), time(times, |times| times.p99_ns, theme));
        for (width, text) in [(6, units::percent(share)), (8, p50.text.into_owned()), (8, p99.text.into_owned())] {
            let (cell, after) = split_columns(rest, width, 0);
            put_right(buffer, cell, &text, theme.style(Role::Text));
            rest = after;
        }
    }
}
