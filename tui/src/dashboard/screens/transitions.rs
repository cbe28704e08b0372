//! Why threads leave their virtual CPUs, how long they are off and wait to come back, and where to.

use crate::dashboard::draw::{fitted, line, put, put_right, split, split_columns};
use crate::dashboard::field::Field;
use crate::dashboard::keys::Action;
use crate::dashboard::model::{Heat, Matrix, Phase, TransitionSpan, transitions};
use crate::dashboard::picture::{histogram, threads, time};
use crate::dashboard::screen::{Mouse, Reaction, Screen, View};
use crate::dashboard::table::{Cell, Column, Order, Row, Table};
use crate::dashboard::theme::{Role, Theme};
use crate::dashboard::widgets::title::section;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use rumpscope_probes::Hypercall;
use rumpscope_reports::units;
use std::borrow::Cow;

const COLUMNS: [Column; 12] = [
    Column::text("cause", 13, 0),
    Column::number("rate/s", 7, 0),
    Column::number("off", 6, 0),
    Column::number("off p50", 8, 5),
    Column::number("off p99", 8, 1),
    Column::number("off max", 8, 8),
    Column::number("waiting", 7, 0),
    Column::number("wait p50", 8, 6),
    Column::number("wait p99", 8, 0),
    Column::number("wait max", 8, 7),
    Column::number("run p50", 8, 9),
    Column::number("moves/s", 7, 2),
];

/// The column that it is sorted by at first.
const RATE: usize = 1;

/// Lines that the pictures below the list take.
const PICTURES: u16 = 11;

/// The list of causes, or one of them.
#[derive(Debug)]
pub struct Transitions {
    table: Table,
    /// The one that is opened.
    open: Option<Hypercall>,
    /// The pictures below the list are of the chosen cause, and not of all.
    of_chosen: bool,
}

impl Default for Transitions {
    fn default() -> Self {
        Transitions { table: Table::new(&COLUMNS, RATE), open: None, of_chosen: false }
    }
}

struct Line<'a> {
    span: &'a TransitionSpan,
    theme: &'a Theme,
}

impl Row for Line<'_> {
    fn identity(&self) -> u64 {
        self.span.cause as u64
    }

    fn name(&self) -> Cow<'_, str> {
        self.span.cause.name().into()
    }

    fn order(&self, column: usize) -> Order<'_> {
        let TransitionSpan { cause, per_second, off, wait, run, migrations } = self.span;
        let of = |phase: &Phase, value: f64| match phase.times.is_timed() {
            true => Order::Number(value),
            false => Order::Unknown,
        };
        let point = |phase: &Phase, value: f64| match phase.times.has_percentiles() {
            true => Order::Number(value),
            false => Order::Unknown,
        };
        match column {
            0 => Order::Text(cause.name()),
            1 => Order::Number(*per_second),
            2 => of(off, off.threads),
            3 => point(off, off.times.p50_ns),
            4 => point(off, off.times.p99_ns),
            5 => point(off, off.times.max_ns),
            6 => of(wait, wait.threads),
            7 => point(wait, wait.times.p50_ns),
            8 => point(wait, wait.times.p99_ns),
            9 => point(wait, wait.times.max_ns),
            10 => point(run, run.times.p50_ns),
            _ => Order::Number(*migrations),
        }
    }

    fn cell(&self, column: usize, width: usize) -> Cell<'_> {
        let TransitionSpan { cause, per_second, off, wait, run, migrations } = self.span;
        let point = |phase: &Phase, value: f64| match phase.times.has_percentiles() {
            true => Cell::new(time(self.theme, &phase.times, value)),
            false => Cell::of("-", Role::Faint),
        };
        let average = |phase: &Phase, role: Role| match phase.threads {
            average if average < 0.005 => Cell::of(threads(average), Role::Faint),
            average => Cell::of(threads(average), role),
        };
        match column {
            0 => Cell::new(fitted(cause.name(), width, self.theme.symbols().cut)),
            1 => Cell::new(units::rate(*per_second)),
            2 => average(off, Role::Text),
            3 => point(off, off.times.p50_ns),
            4 => point(off, off.times.p99_ns),
            5 => point(off, off.times.max_ns),
            6 => average(wait, Role::Wanted),
            7 => point(wait, wait.times.p50_ns),
            8 => point(wait, wait.times.p99_ns),
            9 => point(wait, wait.times.max_ns),
            10 => point(run, run.times.p50_ns),
            _ if *migrations <= 0.0 => Cell::of("0", Role::Faint),
            _ => Cell::new(units::rate(*migrations)),
        }
    }
}

impl Transitions {
    fn draw_list(&mut self, area: Rect, buffer: &mut Buffer, view: &View<'_>, spans: &[TransitionSpan]) {
        let wanted = (spans.len() as u16 + 2).max(4);
        let pictures = PICTURES.max(area.height.saturating_sub(wanted)).min(area.height / 2 + 2);
        let (list, below) = split(area, area.height.saturating_sub(pictures));
        let lines: Vec<_> = spans.iter().map(|span| Line { span, theme: view.theme }).collect();
        let empty = "no thread has left a virtual CPU in this time";
        self.table.draw(list, buffer, view.theme, &lines, empty);
        let chosen = self.table.selected().filter(|_| self.of_chosen);
        let meant: Vec<_> =
            spans.iter().filter(|span| chosen.is_none_or(|chosen| chosen == span.cause as u64)).collect();
        let name = match (chosen, meant.first()) {
            (Some(_), Some(span)) => span.cause.name(),
            _ => "all causes",
        };
        draw_pictures(below, buffer, view, &meant, name);
    }

    fn draw_open(
        &self,
        area: Rect,
        buffer: &mut Buffer,
        view: &View<'_>,
        span: Option<&TransitionSpan>,
        of: Hypercall,
    ) {
        let theme = view.theme;
        section(area, buffer, theme, of.name(), "");
        let Some(span) = span else {
            put(
                buffer,
                line(area, 2),
                "it has made no thread leave its virtual CPU in this time",
                theme.style(Role::Faint),
            );
            return;
        };
        let rates = format!(
            "{}/s   {}/s of them came back on another virtual CPU",
            units::rate(span.per_second),
            units::rate(span.migrations)
        );
        put(buffer, line(area, 1), &rates, theme.style(Role::Text));
        let (_, below) = split(area, 3);
        let phases = [
            ("Off the virtual CPU", &span.off, Role::Waiting),
            ("Waiting for a virtual CPU", &span.wait, Role::Wanted),
            ("Run before it", &span.run, Role::Running),
        ];
        // Side by side where that leaves each enough, otherwise one below the other.
        let places = if area.width >= 110 { columns::<3>(below) } else { rows::<3>(below) };
        for ((name, phase, role), place) in phases.into_iter().zip(places) {
            draw_phase(place, buffer, theme, name, phase, role);
        }
    }
}

/// `area` in columns of about the same width, with a space between.
fn columns<const N: usize>(area: Rect) -> [Rect; N] {
    let mut rest = area;
    std::array::from_fn(|index| {
        let width = (rest.width + 2) / (N - index) as u16;
        let (column, after) = split_columns(rest, width.saturating_sub(if index + 1 == N { 0 } else { 2 }), 2);
        rest = after;
        column
    })
}

/// `area` in parts one below the other, of about the same height.
fn rows<const N: usize>(area: Rect) -> [Rect; N] {
    let mut rest = area;
    std::array::from_fn(|index| {
        let (part, after) = split(rest, rest.height / (N - index) as u16);
        rest = after;
        part
    })
}

fn draw_phase(area: Rect, buffer: &mut Buffer, theme: &Theme, name: &str, phase: &Phase, role: Role) {
    section(area, buffer, theme, name, "");
    let times = &phase.times;
    let text = match times.is_timed() {
        false if times.count == 0 => "never".to_owned(),
        false => format!("{} times, not timed", units::count(times.count)),
        true => format!(
            "{} threads   p50 {}   p99 {}   max {}",
            threads(phase.threads),
            time(theme, times, times.p50_ns),
            time(theme, times, times.p99_ns),
            time(theme, times, times.max_ns)
        ),
    };
    put(buffer, line(area, 1), &text, theme.style(Role::Text));
    let (_, below) = split(area, 2);
    if times.has_percentiles() {
        histogram(below, buffer, theme, &phase.heat, role);
    }
}

/// Histograms of all of `spans` together, as many as there is room for, and where threads came from and went to.
fn draw_pictures(area: Rect, buffer: &mut Buffer, view: &View<'_>, spans: &[&TransitionSpan], name: &str) {
    let theme = view.theme;
    let sum = |of: fn(&TransitionSpan) -> &Heat| Heat::sum(spans.iter().map(|span| of(span)));
    let run = ("Run length", sum(|span| &span.run.heat), Role::Running);
    let wait = ("Waiting for a vCPU", sum(|span| &span.wait.heat), Role::Wanted);
    let off = ("Off the vCPU", sum(|span| &span.off.heat), Role::Waiting);
    let matrix = Matrix::new(&view.span.snapshot, view.span.seconds);
    let histograms = match area.width {
        ..100 => vec![run],
        100..140 => vec![run, wait],
        _ => vec![run, wait, off],
    };
    let share = area.width / (histograms.len() as u16 + 1);
    let mut rest = area;
    for (what, heat, role) in &histograms {
        let (place, after) = split_columns(rest, share.saturating_sub(2), 2);
        let below = section(place, buffer, theme, &format!("{what}, {name}"), "");
        histogram(below, buffer, theme, heat, *role);
        rest = after;
    }
    draw_migrations(rest, buffer, view, &matrix);
}

/// Draws the matrix; where it has no room, a list of those that happened most.
fn draw_migrations(area: Rect, buffer: &mut Buffer, view: &View<'_>, matrix: &Matrix) {
    let theme = view.theme;
    let below = section(area, buffer, theme, "Moves between vCPUs", &format!("{}/s", units::rate(matrix.total())));
    let problem = match (view.sample.snapshot.coverage.vcpus_known, matrix.vcpus.len()) {
        (false, _) => Some("the guest does not tell which virtual CPU a thread is on"),
        (_, 0 | 1) => Some("there is but one virtual CPU"),
        _ if matrix.most <= 0.0 => Some("no thread has moved in this time"),
        _ => None,
    };
    if let Some(problem) = problem {
        put(buffer, below, problem, theme.style(Role::Faint));
        return;
    }
    // A number takes five characters and a space, a picture of it two, or one.
    let size = matrix.vcpus.len() as u16;
    let (label, needed) = (5, |cell: u16| 5 + size * cell);
    let cell = [6, 2, 1].into_iter().find(|cell| needed(*cell) <= below.width && size + 1 < below.height + 1);
    match cell {
        None => draw_pairs(below, buffer, theme, matrix),
        Some(cell) => draw_matrix(below, buffer, theme, matrix, label, cell),
    }
}

fn draw_matrix(area: Rect, buffer: &mut Buffer, theme: &Theme, matrix: &Matrix, label: u16, cell: u16) {
    let place = |column: usize, row: u16| {
        let x = label + column as u16 * cell;
        Rect { x: area.x + x, width: cell.min(area.width.saturating_sub(x)), ..line(area, row) }
    };
    put(buffer, line(area, 0), "from", theme.style(Role::Header));
    for (column, to) in matrix.vcpus.iter().enumerate() {
        // Numbers of two digits stand over every other narrow column.
        if cell > 1 || column % 4 == 0 {
            let text = if cell == 6 && column == 0 { format!("to {to}") } else { to.to_string() };
            let wide =
                Rect { width: cell.max(3).min(area.right().saturating_sub(place(column, 0).x)), ..place(column, 0) };
            match cell {
                6 => put_right(buffer, place(column, 0), &text, theme.style(Role::Header)),
                _ => put(buffer, wide, &text, theme.style(Role::Header)),
            }
        }
    }
    for (row, (from, rates)) in (1..).zip(matrix.vcpus.iter().zip(&matrix.rates)) {
        put_right(buffer, Rect { width: 3, ..line(area, row) }, &from.to_string(), theme.style(Role::Header));
        for (column, (to, rate)) in matrix.vcpus.iter().zip(rates).enumerate() {
            let place = place(column, row);
            let (symbol, style) = match *rate {
                rate if rate > 0.0 => theme.density(rate / matrix.most),
                _ if from == to => (if theme.ascii { '\\' } else { '╲' }, theme.style(Role::Faint)),
                _ => (' ', theme.style(Role::Faint)),
            };
            match cell {
                6 if *rate > 0.0 => put_right(buffer, place, &units::rate(*rate), theme.ramp(rate / matrix.most)),
                6 if from == to => put_right(buffer, place, "-", style),
                6 => put_right(buffer, place, "0", style),
                _ => put(buffer, place, &String::from_iter(std::iter::repeat_n(symbol, usize::from(cell))), style),
            }
        }
    }
}

fn draw_pairs(area: Rect, buffer: &mut Buffer, theme: &Theme, matrix: &Matrix) {
    let pairs = matrix.pairs();
    let room = usize::from(area.height);
    let shown = if pairs.len() > room { room.saturating_sub(1) } else { room };
    for (row, (from, to, rate)) in (0..).zip(pairs.iter().take(shown)) {
        let text = format!("{from:>3} -> {to:<3} {:>6}/s", units::rate(*rate));
        put(buffer, line(area, row), &text, theme.ramp(rate / matrix.most));
    }
    if let Some(more) = pairs.len().checked_sub(shown).filter(|more| *more != 0) {
        let text = format!("and {more} more");
        put(buffer, line(area, shown as u16), &text, theme.style(Role::Faint));
    }
}

impl Screen for Transitions {
    fn title(&self) -> &'static str {
        "Transitions"
    }

    fn draw(&mut self, area: Rect, buffer: &mut Buffer, view: &View<'_>) {
        let spans = transitions(&view.span.snapshot, view.span.seconds);
        match self.open {
            Some(cause) => {
                let span = spans.iter().find(|span| span.cause == cause);
                self.draw_open(area, buffer, view, span, cause);
            }
            None => self.draw_list(area, buffer, view, &spans),
        }
    }

    fn act(&mut self, action: Action, _: &View<'_>) -> Reaction {
        match (action, self.open) {
            (Action::Back, Some(_)) => self.open = None,
            (_, Some(_)) => return Reaction::Ignored,
            (Action::Open, None) => {
                let chosen = self.table.selected().and_then(|row| Hypercall::from_number(row as usize));
                if chosen.is_none() {
                    return Reaction::Ignored;
                }
                self.open = chosen;
            }
            (Action::Mode, None) => self.of_chosen = !self.of_chosen,
            (action, None) => return self.table.act(action),
        }
        Reaction::Done
    }

    fn mouse(&mut self, mouse: Mouse, at: Position, view: &View<'_>) -> Reaction {
        if self.open.is_some() {
            return Reaction::Ignored;
        }
        match self.table.mouse(mouse, at) {
            // A click on the chosen line opens it.
            Reaction::Ignored if mouse == Mouse::Click && self.table.is_row(at) => self.act(Action::Open, view),
            reaction => reaction,
        }
    }

    fn field(&mut self) -> Option<&mut Field> {
        self.open.is_none().then(|| self.table.filter())
    }

    fn actions(&self) -> &'static [Action] {
        match self.open {
            Some(_) => &[Action::Back],
            None => &[Action::Open, Action::Mode, Action::Filter, Action::SortNext, Action::SortReverse],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::keys::KeyMap;
    use crate::dashboard::scene::Scene;
    use crate::dashboard::testing::{self, check, picture, picture_with};
    use crate::dashboard::theme::Palette;

    fn act(screen: &mut Transitions, scene: &Scene, action: Action) -> Reaction {
        let (theme, keys) = (Theme::default(), KeyMap::default());
        screen.act(action, &testing::view(scene, &theme, &keys, Rect::new(0, 0, 120, 40)))
    }

    #[test]
    fn causes_and_pictures_in_all_sizes() {
        let mut screen = Transitions::default();
        check("transitions-80x21.txt", &picture(&mut screen, &testing::scene(4, 8), 80, 21));
        check("transitions-120x37.txt", &picture(&mut screen, &testing::scene(4, 8), 120, 37));
        check("transitions-190x57.txt", &picture(&mut screen, &testing::scene(16, 8), 190, 57));
        let ascii = Theme { palette: Palette::None, ascii: true };
        let text = picture_with(&mut screen, &testing::scene(40, 3), 120, 37, ascii);
        assert!(text.is_ascii(), "{text}");
    }

    #[test]
    fn one_cause_by_its_phases() {
        let scene = testing::scene(4, 8);
        let mut screen = Transitions::default();
        picture(&mut screen, &scene, 120, 37);
        assert_eq!(act(&mut screen, &scene, Action::Down), Reaction::Done);
        assert_eq!(act(&mut screen, &scene, Action::Open), Reaction::Done);
        check("transition-80x21.txt", &picture(&mut screen, &scene, 80, 21));
        check("transition-120x37.txt", &picture(&mut screen, &scene, 120, 37));
        assert!(screen.field().is_none());
        assert_eq!(act(&mut screen, &scene, Action::Back), Reaction::Done);
        assert_eq!(act(&mut screen, &scene, Action::Back), Reaction::Ignored);
    }

    #[test]
    fn the_pictures_are_of_all_causes_or_of_the_chosen_one() {
        let scene = testing::scene(2, 4);
        let mut screen = Transitions::default();
        assert!(picture(&mut screen, &scene, 120, 37).contains("Run length, all causes"));
        act(&mut screen, &scene, Action::Mode);
        assert!(picture(&mut screen, &scene, 120, 37).contains("Run length, guest_entry"));
    }

    #[test]
    fn many_virtual_cpus_are_a_list_where_the_matrix_has_no_room() {
        let scene = testing::scene(40, 3);
        let text = picture(&mut Transitions::default(), &scene, 80, 21);
        assert!(text.contains(" -> ") && text.contains(" more"), "{text}");
    }

    #[test]
    fn nothing_yet_and_any_size() {
        let scene = testing::scene(1, 1);
        let mut empty = testing::samples(1, 1).remove(0);
        empty.snapshot.cells.clear();
        let empty = Scene::new(std::sync::Arc::new(empty), false);
        assert!(picture(&mut Transitions::default(), &empty, 80, 21).contains("no thread has left"));
        for (width, height) in [(0, 0), (1, 1), (10, 5), (80, 3), (7, 40), (300, 100)] {
            let mut screen = Transitions::default();
            picture(&mut screen, &scene, width, height);
            act(&mut screen, &scene, Action::Open);
            picture(&mut screen, &scene, width, height);
        }
    }
}
