//! One cause: how long threads were off, waited to come back, and had run before.

use crate::dashboard::draw::{line, put, split, split_columns};
use crate::dashboard::model::{Phase, TransitionSpan};
use crate::dashboard::picture::{histogram, threads, time};
use crate::dashboard::screen::View;
use crate::dashboard::theme::{Role, Theme};
use crate::dashboard::widgets::title::section;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use rumpscope_probes::Hypercall;
use rumpscope_reports::units;

/// Draws it.
pub fn draw(area: Rect, buffer: &mut Buffer, view: &View<'_>, span: Option<&TransitionSpan>, of: Hypercall) {
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
