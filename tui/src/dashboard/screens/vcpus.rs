//! The virtual CPUs: a line for each, or as many beside one another as there have to be.

use crate::dashboard::draw::{put, put_right};
use crate::dashboard::model::{Shares, VcpuSpan};
use crate::dashboard::screen::View;
use crate::dashboard::theme::{Role, Theme};
use crate::dashboard::widgets::{bar, graph, title};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use rumpscope_reports::units;

/// Widths of what stands in a line, with the space before it.
const INDEX: u16 = 4;
const PERCENT: u16 = 8;
const RATE: u16 = 9;
/// The holder's name, and for how long it has been that.
const HOLDER: u16 = 24;
/// How much of it was used over time, with the space before it.
const TREND: u16 = 32;
/// A bar that still tells something.
const LEAST_BAR: u16 = 4;
/// Between two virtual CPUs in one line.
const GAP: u16 = 2;

/// What a line has room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Fields {
    percent: bool,
    wanted: bool,
    idle: bool,
    rates: bool,
    holder: bool,
    trend: u16,
}

impl Fields {
    /// What fits into a line of this width, with a bar that is wide enough to be worth it.
    fn of(width: u16) -> Self {
        let mut fields = Fields::default();
        let mut room = width.saturating_sub(INDEX + LEAST_BAR);
        // The most important first; each has to leave a bar that is worth it.
        let mut fits = |needed: u16, bar: u16| {
            let fits = room >= needed + bar;
            room -= if fits { needed } else { 0 };
            fits
        };
        fields.percent = fits(PERCENT, 0);
        fields.wanted = fits(PERCENT, 6);
        fields.rates = fits(2 * RATE, 8);
        fields.holder = fits(HOLDER, 8);
        fields.idle = fits(PERCENT, 16);
        fields.trend = if fits(TREND, 40) { TREND } else { 0 };
        fields
    }

    fn width(self) -> u16 {
        (u16::from(self.percent) + u16::from(self.wanted) + u16::from(self.idle)) * PERCENT
            + u16::from(self.rates) * 2 * RATE
            + u16::from(self.holder) * HOLDER
            + self.trend
    }
}

/// Lines that `count` virtual CPUs have, where there may be `most`: title and names of columns included.
pub fn height(count: usize, most: u16) -> u16 {
    (count.max(1) + 2).min(usize::from(most.max(3))) as u16
}

/// Draws them.
pub fn draw(area: Rect, buffer: &mut Buffer, view: &View<'_>) {
    let theme = view.theme;
    let symbols = theme.symbols();
    let legend = format!("{} running  {} and others want it  {} idle", symbols.running, symbols.wanted, symbols.idle);
    let vcpus = &view.span.vcpus;
    let name = match vcpus.len() {
        1 => "1 virtual CPU".to_owned(),
        count => format!("{count} virtual CPUs"),
    };
    let below = title::section(area, buffer, theme, &name, &legend);
    if vcpus.is_empty() {
        put(buffer, below, " the guest has not told its virtual CPUs yet", theme.style(Role::Faint));
        return;
    }
    if below.height < 2 {
        return;
    }
    let rows = usize::from(below.height - 1);
    let beside = vcpus.len().div_ceil(rows) as u16;
    let width = (below.width.saturating_sub(GAP * (beside - 1))) / beside;
    if width < INDEX + LEAST_BAR {
        dense(below, buffer, theme, vcpus);
        return;
    }
    // Columns of equal length.
    let rows = vcpus.len().div_ceil(usize::from(beside));
    let fields = Fields::of(width);
    for column in 0..beside {
        let place = Rect { x: below.x + column * (width + GAP), width, height: 1, ..below };
        names(place, buffer, theme, fields);
    }
    for (number, vcpu) in vcpus.iter().enumerate() {
        let (column, row) = ((number / rows) as u16, (number % rows) as u16);
        let place = Rect { x: below.x + column * (width + GAP), y: below.y + 1 + row, width, height: 1 };
        one(place, buffer, view, fields, number, vcpu);
    }
}

/// The cells of a line from left to right; the bar takes what is left.
struct Cells {
    rest: Rect,
}

impl Cells {
    fn take(&mut self, width: u16) -> Rect {
        let width = width.min(self.rest.width);
        let cell = Rect { width, ..self.rest };
        self.rest.x += width;
        self.rest.width -= width;
        cell
    }
}

fn names(area: Rect, buffer: &mut Buffer, theme: &Theme, fields: Fields) {
    let style = theme.style(Role::Header);
    let mut cells = Cells { rest: area };
    put_right(buffer, cells.take(INDEX), "cpu", style);
    cells.take(area.width - INDEX - fields.width());
    let mut name = |shown: bool, width: u16, text: &str| {
        if shown {
            put_right(buffer, cells.take(width), text, style);
        }
    };
    name(fields.percent, PERCENT, "running");
    name(fields.wanted, PERCENT, "wanted");
    name(fields.idle, PERCENT, "idle");
    name(fields.rates, RATE, "switch/s");
    name(fields.rates, RATE, "migr/s");
    if fields.holder {
        let mut cell = cells.take(HOLDER);
        cell.x += 2;
        cell.width -= 2;
        put(buffer, cell, "holder, for", style);
    }
    if fields.trend != 0 {
        cells.take(2);
        put(buffer, cells.take(fields.trend - 2), "running over time", style);
    }
}

/// Who waits stands out: one waiting thread on average is much.
fn wanted_role(wanted: f64) -> Role {
    match wanted {
        wanted if wanted >= 0.5 => Role::Warning,
        wanted if wanted < 0.005 => Role::Faint,
        _ => Role::Text,
    }
}

fn one(area: Rect, buffer: &mut Buffer, view: &View<'_>, fields: Fields, number: usize, vcpu: &VcpuSpan) {
    let theme = view.theme;
    let text = theme.style(Role::Text);
    let mut cells = Cells { rest: area };
    put_right(buffer, cells.take(INDEX), &vcpu.index.to_string(), text);
    let mut place = cells.take(area.width - INDEX - fields.width());
    place.x += 1;
    place.width = place.width.saturating_sub(1);
    match vcpu.shares {
        Some(shares) => shares_bar(place, buffer, theme, shares),
        None => put(buffer, place, "not known", theme.style(Role::Faint)),
    }
    let percent = |part: fn(Shares) -> f64| vcpu.shares.map_or("?".to_owned(), |shares| units::percent(part(shares)));
    let mut cell = |shown: bool, width: u16, text: &str, role: Role| {
        if shown {
            put_right(buffer, cells.take(width), text, theme.style(role));
        }
    };
    cell(fields.percent, PERCENT, &percent(|shares| shares.running + shares.wanted), Role::Text);
    cell(fields.wanted, PERCENT, &units::percent(vcpu.wanted), wanted_role(vcpu.wanted));
    cell(fields.idle, PERCENT, &percent(|shares| shares.idle), Role::Faint);
    cell(fields.rates, RATE, &units::rate(vcpu.switches), Role::Text);
    let migrations = if vcpu.migrations == 0.0 { Role::Faint } else { Role::Text };
    cell(fields.rates, RATE, &units::rate(vcpu.migrations), migrations);
    if fields.holder {
        let mut cell = cells.take(HOLDER);
        cell.x += 2;
        cell.width -= 2;
        match &vcpu.holder {
            None => put(buffer, cell, theme.symbols().rule.encode_utf8(&mut [0; 4]), theme.style(Role::Faint)),
            Some((name, held_ns)) => {
                let held = units::time(*held_ns, theme.ascii);
                let room = cell.width.saturating_sub(held.chars().count() as u16 + 2);
                put(buffer, Rect { width: room, ..cell }, name, text);
                put_right(buffer, Rect { width: cell.width - 1, ..cell }, &held, theme.style(Role::Faint));
            }
        }
    }
    if fields.trend != 0 {
        cells.take(2);
        let used = view.history.series(usize::from(fields.trend - 2), |point| {
            let shares = point.vcpus.get(number).copied().flatten();
            shares.map_or(0.0, |shares| shares.running + shares.wanted)
        });
        graph::columns(cells.take(fields.trend - 2), buffer, theme, Role::Graph, &used, 1.0);
    }
}

fn shares_bar(area: Rect, buffer: &mut Buffer, theme: &Theme, shares: Shares) {
    let symbols = theme.symbols();
    let parts = [
        (shares.running, symbols.running, Role::Running),
        (shares.wanted, symbols.wanted, Role::Wanted),
        (shares.idle, symbols.idle, Role::Idle),
    ];
    bar::stacked(area, buffer, theme, &parts);
}

/// So many that a bar for each has no room: a character for each tells how much of it is used.
fn dense(area: Rect, buffer: &mut Buffer, theme: &Theme, vcpus: &[VcpuSpan]) {
    let style = theme.style(Role::Header);
    let steps = theme.symbols().levels;
    put(buffer, area, " one character for each: how much of it is used", style);
    let width = usize::from(area.width.max(1));
    for (number, vcpu) in vcpus.iter().enumerate() {
        let (x, y) = ((number % width) as u16, (number / width) as u16 + 1);
        if y >= area.height {
            return;
        }
        let shares = vcpu.shares.unwrap_or_default();
        let used = shares.running + shares.wanted;
        let step = steps[((used * steps.len() as f64) as usize).min(steps.len() - 1)];
        let role = if shares.wanted > 0.05 { Role::Wanted } else { Role::Running };
        let place = Rect { x: area.x + x, y: area.y + y, width: 1, height: 1 };
        put(buffer, place, step.encode_utf8(&mut [0; 4]), theme.style(role));
    }
}
