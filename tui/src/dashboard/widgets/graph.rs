//! A figure over time.

use crate::dashboard::draw::put;
use crate::dashboard::theme::{Role, Theme};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Draws `values`, oldest first, one a column, the latest at the right end; `most` fills the height.
pub fn columns(area: Rect, buffer: &mut Buffer, theme: &Theme, role: Role, values: &[f64], most: f64) {
    let area = area.intersection(buffer.area);
    let steps = theme.symbols().levels;
    let style = theme.style(role);
    let shown = values.len().min(usize::from(area.width));
    let start = area.right() - shown as u16;
    for (x, value) in (start..).zip(&values[values.len() - shown..]) {
        let height = level(*value, most, usize::from(area.height) * steps.len());
        for row in 0..area.height {
            let above = height.saturating_sub(usize::from(row) * steps.len());
            if above == 0 {
                break;
            }
            let symbol = steps[above.min(steps.len()) - 1];
            let place = Rect { x, y: area.bottom() - 1 - row, width: 1, height: 1 };
            put(buffer, place, symbol.encode_utf8(&mut [0; 4]), style);
        }
    }
    // Where nothing is known yet, a line of dots says so.
    let unknown = Rect { y: area.bottom().saturating_sub(1), width: area.width - shown as u16, height: 1, ..area };
    if area.height != 0 {
        let dots = theme.symbols().idle.to_string().repeat(usize::from(unknown.width));
        put(buffer, unknown, &dots, theme.style(Role::Faint));
    }
}

/// The same in a line of text, which is as wide as there are values.
pub fn sparkline(values: &[f64], width: usize, theme: &Theme) -> String {
    let steps = theme.symbols().levels;
    let shown = &values[values.len().saturating_sub(width)..];
    let most = shown.iter().copied().fold(0.0, f64::max);
    let symbol = |value: &f64| match level(*value, most, steps.len()) {
        0 => ' ',
        level => steps[level - 1],
    };
    " ".repeat(width - shown.len()) + &shown.iter().map(symbol).collect::<String>()
}

/// How many of `steps` a value has; what is more than nothing has one.
fn level(value: f64, most: f64, steps: usize) -> usize {
    if value > 0.0 && most > 0.0 && steps != 0 {
        ((value / most * steps as f64).round() as usize).clamp(1, steps)
    } else {
        0
    }
}

/// A round number not below `value`: scales that jump rarely.
pub fn round_up(value: f64) -> f64 {
    if !(value.is_finite() && value > 0.0) {
        return 1.0;
    }
    let magnitude = 10f64.powf(value.log10().floor());
    // Such that the highest column has at least two thirds of the height.
    [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0]
        .into_iter()
        .map(|step| step * magnitude)
        .find(|step| *step >= value)
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::testing::text_of;

    #[test]
    fn the_latest_is_at_the_right_end() {
        let area = Rect::new(0, 0, 6, 2);
        let mut buffer = Buffer::empty(area);
        columns(area, &mut buffer, &Theme::default(), Role::Graph, &[0.0, 16.0, 8.0, 1.0], 16.0);
        assert_eq!(text_of(&buffer), "   █\n·· ██▁\n");
        let narrow = Rect::new(0, 0, 2, 1);
        let mut buffer = Buffer::empty(narrow);
        columns(narrow, &mut buffer, &Theme::default(), Role::Graph, &[0.0, 16.0, 8.0, 1.0], 16.0);
        assert_eq!(text_of(&buffer), "▄▁\n");
    }

    #[test]
    fn a_line_of_it() {
        assert_eq!(sparkline(&[0.0, 1.0, 8.0], 5, &Theme::default()), "   ▁█");
        assert_eq!(sparkline(&[0.0, 1.0, 8.0], 2, &Theme::default()), "▁█");
        assert_eq!(sparkline(&[f64::NAN, 0.0], 2, &Theme::default()), "  ");
        assert_eq!(sparkline(&[], 2, &Theme::default()), "  ");
    }

    #[test]
    fn scales_are_round() {
        assert_eq!([0.45, 1.0, 1.1, 4_200.0, 0.0, f64::NAN].map(round_up), [0.5, 1.0, 1.5, 5_000.0, 1.0, 1.0]);
    }
}
