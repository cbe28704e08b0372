//! The line over a part of a screen.

use crate::dashboard::draw::{put, put_right};
use crate::dashboard::theme::{Role, Theme};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Draws a title on a rule, and at its right end a remark; returns what is below.
pub fn section(area: Rect, buffer: &mut Buffer, theme: &Theme, title: &str, remark: &str) -> Rect {
    let (top, rest) = crate::dashboard::draw::split(area, 1);
    if top.is_empty() {
        return rest;
    }
    let rule = theme.symbols().rule.to_string().repeat(usize::from(top.width));
    put(buffer, top, &rule, theme.style(Role::Faint));
    let inner = Rect { x: top.x + 1, width: top.width.saturating_sub(2), ..top };
    put(buffer, inner, &format!(" {title} "), theme.style(Role::Title));
    // The remark goes where there is no room for both.
    if !remark.is_empty() && title.chars().count() + remark.chars().count() + 6 <= usize::from(inner.width) {
        put_right(buffer, inner, &format!(" {remark} "), theme.style(Role::Faint));
    }
    rest
}
