//! Where threads came back: between which virtual CPUs they moved.

use crate::dashboard::draw::{line, put, put_right};
use crate::dashboard::model::Matrix;
use crate::dashboard::screen::View;
use crate::dashboard::theme::{Role, Theme};
use crate::dashboard::widgets::title::section;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use rumpscope_reports::units;

/// Draws the matrix; where it has no room, a list of those that happened most.
pub fn draw(area: Rect, buffer: &mut Buffer, view: &View<'_>, matrix: &Matrix) {
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
