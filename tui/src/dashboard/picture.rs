//! Pictures of times that several screens have: histograms, parts of a whole, sentences in lines.

use super::draw::{line, put, put_right};
use super::model::{Figures, Heat};
use super::theme::{Role, Theme};
use super::widgets::bar;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use rumpscope_reports::units;

/// Columns of the lower bounds before the bars of a histogram, and of the counts behind them.
const BOUND: u16 = 7;
const COUNT: u16 = 6;

/// One of its times; `-` where none is known, `~` where it is an estimate.
pub fn time(theme: &Theme, of: &Figures, nanoseconds: f64) -> String {
    match (of.has_percentiles(), of.estimated()) {
        (false, _) => "-".to_owned(),
        (true, estimated) => format!("{}{}", if estimated { "~" } else { "" }, units::time(nanoseconds, theme.ascii)),
    }
}

/// A number of threads on average.
pub fn threads(average: f64) -> String {
    match average {
        _ if average <= 0.0 => "0".to_owned(),
        _ if average < 0.005 => "<0.01".to_owned(),
        _ if average < 99.95 => format!("{average:.2}"),
        _ => format!("{average:.0}"),
    }
}

/// Draws how long something took: a bar for each power of two, or for several where there is too little room. Each line
/// begins with the shortest time of its bar and ends with the count.
pub fn histogram(area: Rect, buffer: &mut Buffer, theme: &Theme, heat: &Heat, role: Role) {
    let Some((first, last)) = heat.range() else {
        put(buffer, area, "nothing", theme.style(Role::Faint));
        return;
    };
    if area.height == 0 || area.width <= BOUND + COUNT + 2 {
        return;
    }
    let rows = last - first + 1;
    let merged = rows.div_ceil(usize::from(area.height));
    let counts: Vec<u64> = (0..rows.div_ceil(merged))
        .map(|bar| (0..merged).map(|row| u64::from(heat.count(first + bar * merged + row))).sum())
        .collect();
    let most = counts.iter().copied().max().unwrap_or(1).max(1);
    let room = Rect { x: area.x + BOUND + 1, width: area.width - BOUND - COUNT - 2, ..area };
    for (bar, count) in counts.iter().enumerate() {
        let bar_line = bar as u16;
        let bound = units::time(Heat::shortest_ns(first + bar * merged), theme.ascii);
        put_right(buffer, Rect { width: BOUND, ..line(area, bar_line) }, &bound, theme.style(Role::Faint));
        let bar = bar::length(*count as f64 / most as f64, usize::from(room.width), theme);
        put(buffer, line(room, bar_line), &bar, theme.style(role));
        let role = if *count == 0 { Role::Faint } else { Role::Text };
        put_right(buffer, line(area, bar_line), &units::count(*count), theme.style(role));
    }
}

/// A part of a whole.
pub struct Part {
    /// In a word or two.
    pub name: &'static str,
    /// How much.
    pub share: f64,
    /// What it means.
    pub role: Role,
    /// What its piece of the bar is made of.
    pub symbol: char,
}

/// Draws parts of a whole as one bar, and below it what they are, as many as there is room for.
pub fn parts(area: Rect, buffer: &mut Buffer, theme: &Theme, parts: &[Part]) {
    let whole: f64 = parts.iter().map(|part| part.share).sum();
    if whole <= 0.0 || area.is_empty() {
        return;
    }
    let stacked: Vec<_> = parts.iter().map(|part| (part.share, part.symbol, part.role)).collect();
    bar::stacked(line(area, 0), buffer, theme, &stacked);
    let mut place = line(area, 1);
    for part in parts.iter().filter(|part| part.share / whole >= 0.0005) {
        let text = format!("{} {} {}", part.symbol, part.name, units::percent(part.share / whole));
        let width = text.chars().count() as u16;
        if width > place.width {
            break;
        }
        put(buffer, place, &text, theme.style(Role::Text));
        put(buffer, Rect { width: 1, ..place }, part.symbol.encode_utf8(&mut [0; 4]), theme.style(part.role));
        let step = (width + 3).min(place.width);
        place = Rect { x: place.x + step, width: place.width - step, ..place };
    }
}

/// `text` in lines of at most so many characters, words whole where they fit.
pub fn lines(text: &str, width: u16) -> impl Iterator<Item = &str> {
    let mut rest = text.trim();
    std::iter::from_fn(move || {
        let end = rest.char_indices().nth(usize::from(width)).map_or(rest.len(), |(end, _)| end);
        let cut = match rest[..end].rfind(' ') {
            Some(space) if end < rest.len() && space > 0 => space,
            _ => end,
        };
        let line = &rest[..cut];
        rest = rest[cut..].trim_start();
        (!line.is_empty()).then_some(line)
    })
}

/// Writes `text` in as many lines as it takes; how many lines that were. What does not fit into `area` is cut.
pub fn wrapped(area: Rect, buffer: &mut Buffer, text: &str, style: ratatui::style::Style) -> u16 {
    (0..area.height).zip(lines(text, area.width)).map(|(row, text)| put(buffer, line(area, row), text, style)).count()
        as u16
}

/// Writes what stands in `text` between gaps of three spaces, as far as there is room for all of it: a figure that is cut
/// is another one.
pub fn figures(area: Rect, buffer: &mut Buffer, text: &str, style: ratatui::style::Style) {
    const GAP: &str = "   ";
    let mut shown = text;
    while shown.chars().count() > usize::from(area.width) {
        let Some((before, _)) = shown.rsplit_once(GAP) else { break };
        shown = before;
    }
    put(buffer, area, shown, style);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::testing;
    use crate::dashboard::theme::Palette;

    const ASCII: Theme = Theme { palette: Palette::None, ascii: true };

    fn drawn(width: u16, height: u16, draw: impl FnOnce(Rect, &mut Buffer)) -> String {
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        draw(area, &mut buffer);
        testing::text_of(&buffer)
    }

    fn heat(values: &[u64]) -> Heat {
        let mut distribution = rumpscope_probes::Distribution::default();
        values.iter().for_each(|ns| distribution.record(ns * 2));
        Heat::new(&[distribution], &testing::clock())
    }

    #[test]
    fn a_histogram_has_a_bar_for_each_power_of_two() {
        let heat = heat(&[1030, 1030, 1030, 1030, 5000]);
        let text = drawn(30, 4, |area, buffer| histogram(area, buffer, &ASCII, &heat, Role::Graph));
        assert_eq!(
            text,
            " 1.02us ===============      4\n 2.05us                      0\n 4.10us ====                 1\n\n"
        );
        // Two powers in a line.
        let text = drawn(30, 2, |area, buffer| histogram(area, buffer, &ASCII, &heat, Role::Graph));
        assert_eq!(text, " 1.02us ===============      4\n 4.10us ====                 1\n");
    }

    #[test]
    fn parts_fill_the_line() {
        let part = |name, share, symbol| Part { name, share, role: Role::Text, symbol };
        let all = [part("held", 1.0, '#'), part("alone", 0.0, '%'), part("hand-over", 3.0, '=')];
        let text = drawn(34, 2, |area, buffer| parts(area, buffer, &ASCII, &all));
        assert_eq!(text, "#########=========================\n# held 25.0%   = hand-over 75.0%\n");
    }

    #[test]
    fn words_stay_whole_where_they_fit() {
        let style = ratatui::style::Style::new();
        let mut lines = 0;
        let text = drawn(8, 3, |area, buffer| lines = wrapped(area, buffer, "one two unbreakable three", style));
        assert_eq!((text.as_str(), lines), ("one two\nunbreaka\nble\n", 3));
    }

    #[test]
    fn figures_are_whole_or_not_there() {
        let style = ratatui::style::Style::new();
        let text = |width| drawn(width, 1, |area, buffer| figures(area, buffer, "p50 1.00ms   p99 31.3ms", style));
        assert_eq!(
            [30, 23, 22, 10].map(text),
            ["p50 1.00ms   p99 31.3ms\n", "p50 1.00ms   p99 31.3ms\n", "p50 1.00ms\n", "p50 1.00ms\n"]
        );
    }

    #[test]
    fn threads_on_average() {
        assert_eq!([0.0, 0.001, 0.25, 12.344, 123.4].map(threads), ["0", "<0.01", "0.25", "12.34", "123"]);
    }

    #[test]
    fn any_size_can_be_drawn() {
        let heat = heat(&[1, 50, 1030, 5000, 1_000_000_000]);
        for (width, height) in (0..20).flat_map(|width| (0..5).map(move |height| (width, height))) {
            drawn(width, height, |area, buffer| {
                histogram(area, buffer, &ASCII, &heat, Role::Graph);
                parts(area, buffer, &ASCII, &[Part { name: "x", share: 1.0, role: Role::Text, symbol: '#' }]);
                wrapped(area, buffer, "some words", ratatui::style::Style::new());
                figures(area, buffer, "1   2   3", ratatui::style::Style::new());
            });
        }
    }
}
