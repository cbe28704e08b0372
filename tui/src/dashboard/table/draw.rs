//! Drawing a list.

use super::columns::{self, Align, Column};
use super::{Layout, Row, Table};
use crate::dashboard::draw::{put, put_right};
use crate::dashboard::theme::{Role, Theme};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

impl Table {
    /// Draws the names of the columns and as many of `rows` as there is room for; below them, what is typed for the
    /// filter, and how many rows are hidden. `empty` is said where there are no rows at all.
    pub fn draw<R: Row>(&mut self, area: Rect, buffer: &mut Buffer, theme: &Theme, rows: &[R], empty: &str) {
        let order = self.arrange(rows);
        if area.height < 2 || area.width < 2 {
            self.layout = Layout::default();
            return;
        }
        // A pointer stands before each row.
        let inner = Rect { x: area.x + 2, width: area.width - 2, ..area };
        let filtered = self.filter.is_edited() || !self.filter.text().is_empty();
        let header = Rect { height: 1, ..inner };
        let body = Rect { x: area.x, y: area.y + 1, width: area.width, height: area.height - 1 - u16::from(filtered) };
        let fitted = columns::fit(self.columns, inner.width);
        self.layout = Layout {
            header,
            body,
            columns: fitted.iter().map(|(column, start, width)| (*column, inner.x + start, *width)).collect(),
        };
        self.draw_header(buffer, theme);
        self.scroll(usize::from(body.height));
        for (line, row) in order.iter().skip(self.offset).take(usize::from(body.height)).enumerate() {
            let place = Rect { y: body.y + line as u16, height: 1, ..body };
            self.draw_row(place, buffer, theme, &rows[*row], !self.passive && self.offset + line == self.position);
        }
        if order.is_empty() {
            let text = if rows.is_empty() { empty } else { "nothing has that in its name" };
            put(buffer, Rect { x: inner.x, width: inner.width, ..body }, text, theme.style(Role::Faint));
        }
        if filtered {
            self.draw_filter(Rect { y: area.bottom() - 1, height: 1, ..area }, buffer, theme);
        }
    }

    /// The chosen row stays in sight, and no line is left empty without need.
    fn scroll(&mut self, height: usize) {
        let most = self.shown.len().saturating_sub(height);
        let least = (self.position + 1).saturating_sub(height);
        self.offset = self.offset.clamp(least, self.position.max(least)).min(most);
    }

    fn draw_header(&self, buffer: &mut Buffer, theme: &Theme) {
        for (column, start, width) in &self.layout.columns {
            let Column { name, align, .. } = &self.columns[*column];
            let is_sorted = *column == self.sorted.0;
            let mark = theme.symbols().sorted[usize::from(!self.sorted.1)];
            let text = if is_sorted { format!("{name}{mark}") } else { (*name).to_owned() };
            let style = theme.style(if is_sorted { Role::Sorted } else { Role::Header });
            // The mark may stand in the gap, so that no name is cut by it.
            let area = Rect { x: *start, width: *width, ..self.layout.header };
            let wider = match align {
                Align::Left => Rect { width: width + 1, ..area },
                Align::Right => Rect { x: start - 1, width: width + 1, ..area },
            };
            let area = if is_sorted { wider.intersection(buffer.area) } else { area };
            match align {
                Align::Left => put(buffer, area, &text, style),
                Align::Right => put_right(buffer, area, &text, style),
            }
        }
    }

    fn draw_row<R: Row>(&self, area: Rect, buffer: &mut Buffer, theme: &Theme, row: &R, selected: bool) {
        if selected {
            put(buffer, area, theme.symbols().pointer, theme.style(Role::Key));
        }
        for (column, start, width) in &self.layout.columns {
            let cell = row.cell(*column, usize::from(*width));
            let place = Rect { x: *start, width: *width, ..area };
            match self.columns[*column].align {
                Align::Left => put(buffer, place, &cell.text, theme.style(cell.role)),
                Align::Right => put_right(buffer, place, &cell.text, theme.style(cell.role)),
            }
        }
        if selected {
            buffer.set_style(area, theme.style(Role::Selected));
        }
    }

    fn draw_filter(&self, area: Rect, buffer: &mut Buffer, theme: &Theme) {
        let cursor = if self.filter.is_edited() { "_" } else { "" };
        let style = theme.style(if self.filter.is_edited() { Role::Key } else { Role::Text });
        put(buffer, area, &format!("/{}{cursor}", self.filter.text()), style);
        let count = format!("{} of {}", self.shown.len(), self.rows);
        put_right(buffer, area, &count, theme.style(Role::Faint));
    }
}
