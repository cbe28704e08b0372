//! Text in its place: cut where there is no more room, and never outside.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;
use std::borrow::Cow;

/// Writes `text` from the left end of the first line of `area`; what does not fit is cut.
pub fn put(buffer: &mut Buffer, area: Rect, text: &str, style: Style) {
    let area = area.intersection(buffer.area);
    if !area.is_empty() {
        buffer.set_stringn(area.x, area.y, text, usize::from(area.width), style);
    }
}

/// `text` in at most `width` characters: what is too much is taken out of its middle, since what tells names apart stands at
/// either end.
pub fn fitted(text: &str, width: usize, cut: char) -> Cow<'_, str> {
    let length = text.chars().count();
    if length <= width || width == 0 {
        return text.into();
    }
    let end = (width - 1) / 3;
    let start: String = text.chars().take(width - 1 - end).collect();
    format!("{start}{cut}{}", text.chars().skip(length - end).collect::<String>()).into()
}

/// The same at the right end.
pub fn put_right(buffer: &mut Buffer, area: Rect, text: &str, style: Style) {
    let area = area.intersection(buffer.area);
    let spare = area.width.saturating_sub(text.chars().count().min(usize::from(u16::MAX)) as u16);
    put(buffer, Rect { x: area.x + spare, width: area.width - spare, ..area }, text, style);
}

/// Writes a line of several styles.
pub fn put_line(buffer: &mut Buffer, area: Rect, line: &Line<'_>) {
    let area = area.intersection(buffer.area);
    if !area.is_empty() {
        buffer.set_line(area.x, area.y, line, area.width);
    }
}

/// The line of `area` at `line` from its top; empty where there is none.
pub fn line(area: Rect, line: u16) -> Rect {
    let height = u16::from(line < area.height);
    Rect { y: area.y.saturating_add(line.min(area.height)), height, ..area }
}

/// `area` cut after `height` lines: what is above and what is below.
pub fn split(area: Rect, height: u16) -> (Rect, Rect) {
    let height = height.min(area.height);
    (Rect { height, ..area }, Rect { y: area.y + height, height: area.height - height, ..area })
}

/// `area` cut after `width` columns, `gap` columns further on goes the other part on.
pub fn split_columns(area: Rect, width: u16, gap: u16) -> (Rect, Rect) {
    let width = width.min(area.width);
    let start = width.saturating_add(gap).min(area.width);
    (Rect { width, ..area }, Rect { x: area.x + start, width: area.width - start, ..area })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_name_are_kept() {
        let fit = |width| fitted("Network::new #23", width, '~').into_owned();
        assert_eq!([16, 15, 10, 2, 1].map(fit), ["Network::new #23", "Network::n~ #23", "Networ~#23", "N~", "~"]);
        assert_eq!(fitted("é#1", 3, '~'), "é#1");
    }
}
