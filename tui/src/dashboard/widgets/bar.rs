//! Bars: one line of parts, or one length.

use crate::dashboard::draw::put;
use crate::dashboard::theme::{Role, Theme};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Draws the parts of a whole side by side, each with its own character. What is more than nothing has a cell, as long as
/// there are cells; the parts fill the line.
pub fn stacked(area: Rect, buffer: &mut Buffer, theme: &Theme, parts: &[(f64, char, Role)]) {
    let cells = cells(parts.iter().map(|part| part.0), area.width);
    let mut x = area.x;
    for ((_, symbol, role), width) in parts.iter().zip(cells) {
        let text = symbol.to_string().repeat(usize::from(width));
        put(buffer, Rect { x, width, ..area }, &text, theme.style(*role));
        x += width;
    }
}

/// How many of `width` cells each part has; all of them together have all.
fn cells(parts: impl Iterator<Item = f64>, width: u16) -> Vec<u16> {
    let parts: Vec<f64> = parts.map(|part| if part.is_finite() { part.max(0.0) } else { 0.0 }).collect();
    let whole: f64 = parts.iter().sum();
    if whole <= 0.0 {
        return vec![0; parts.len()];
    }
    let exact = |part: f64| part / whole * f64::from(width);
    // A hundredth of a cell is nothing.
    let mut cells: Vec<u16> =
        parts.iter().map(|part| if exact(*part) < 0.01 { 0 } else { (exact(*part).round() as u16).max(1) }).collect();
    loop {
        let sum: u16 = cells.iter().sum();
        let largest = cells.iter().enumerate().max_by_key(|(_, cells)| **cells).map_or(0, |(index, _)| index);
        match sum.cmp(&width) {
            std::cmp::Ordering::Equal => return cells,
            std::cmp::Ordering::Less => cells[largest] += width - sum,
            std::cmp::Ordering::Greater => cells[largest] = cells[largest].saturating_sub(1),
        }
    }
}

/// A bar of this part of `width` cells, as text; fine steps at its end where the terminal has them.
pub fn length(part: f64, width: usize, theme: &Theme) -> String {
    let steps = theme.symbols().bars;
    let part = if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) };
    let eighths = (part * (width * steps.len()) as f64).round() as usize;
    let (whole, rest) = (eighths / steps.len(), eighths % steps.len());
    let full = steps[steps.len() - 1];
    let mut text = full.to_string().repeat(whole);
    if rest != 0 {
        text.push(steps[rest - 1]);
    } else if whole == 0 && part > 0.0 && width != 0 {
        text.push(steps[0]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fill_the_line_and_none_is_lost() {
        for width in 3..40 {
            let cells = cells([0.5, 0.001, 0.499].into_iter(), width);
            assert_eq!(cells.iter().sum::<u16>(), width);
            assert!(cells[0] > 0 && cells[2] > 0);
        }
        assert_eq!(cells([0.98, 0.01, 0.01].into_iter(), 10), [8, 1, 1]);
        assert_eq!(cells([1.0, 0.0, 0.0].into_iter(), 10), [10, 0, 0]);
        assert_eq!(cells([0.0, f64::NAN].into_iter(), 10), [0, 0]);
        assert_eq!(cells([0.5, 0.5].into_iter(), 1).iter().sum::<u16>(), 1);
        assert_eq!(cells([0.5, 0.5].into_iter(), 0), [0, 0]);
    }

    #[test]
    fn lengths_have_fine_steps() {
        let (fine, coarse) = (Theme::default(), Theme { ascii: true, ..Theme::default() });
        assert_eq!(length(0.5, 4, &fine), "██");
        assert_eq!(length(0.5625, 4, &fine), "██▎");
        assert_eq!(length(1e-9, 4, &fine), "▏");
        assert_eq!(length(0.0, 4, &fine), "");
        assert_eq!(length(7.0, 3, &coarse), "===");
    }
}
