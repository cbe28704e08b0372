//! Latency over time: a column for each interval, a row for each power of two, the denser the more.

use crate::dashboard::draw::{line, put, put_right};
use crate::dashboard::model::Heat;
use crate::dashboard::theme::{Role, Theme};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use rumpscope_reports::units;

/// Room for the times at the left.
const LABELS: u16 = 8;

/// A map and what its axis says.
#[derive(Clone, Debug)]
pub struct Map {
    /// Columns, oldest first; the last ones are shown.
    pub columns: Vec<Heat>,
    /// How long the columns last, in seconds, all of them together.
    pub seconds: f64,
    /// What the end of the last column is called.
    pub end: &'static str,
}

/// How many columns a map has in an area of this width.
pub fn columns_in(width: u16) -> usize {
    usize::from(width.saturating_sub(LABELS + 1))
}

impl Map {
    /// The lowest and the highest row that any column has.
    fn range(&self) -> Option<(usize, usize)> {
        self.columns.iter().filter_map(Heat::range).reduce(|left, right| (left.0.min(right.0), left.1.max(right.1)))
    }

    /// Draws it: times at the left, ages below.
    pub fn draw(&self, area: Rect, buffer: &mut Buffer, theme: &Theme) {
        let height = area.height.saturating_sub(1);
        let Some((low, high)) = self.range().filter(|_| height != 0 && area.width > LABELS + 1) else {
            put(buffer, area, " nothing was timed yet", theme.style(Role::Faint));
            return;
        };
        // Rows of the screen have as many powers of two as are needed for all to fit.
        let each = (high - low + 1).div_ceil(usize::from(height)).max(1);
        let rows = (high - low + 1).div_ceil(each);
        let top = area.y + height - rows as u16;
        let shown = self.columns.len().min(columns_in(area.width));
        let columns = &self.columns[self.columns.len() - shown..];
        let cell = |column: &Heat, row: usize| {
            (row * each..(row + 1) * each).map(|row| u64::from(column.count(low + row))).sum::<u64>()
        };
        let most = columns.iter().flat_map(|column| (0..rows).map(move |row| cell(column, row))).max().unwrap_or(0);
        for row in 0..rows {
            let place = Rect { y: top + (rows - 1 - row) as u16, height: 1, ..area };
            let label = units::time(Heat::shortest_ns(low + row * each), theme.ascii);
            put_right(buffer, Rect { width: LABELS - 1, ..place }, &label, theme.style(Role::Faint));
            put(
                buffer,
                Rect { x: place.x + LABELS, width: 1, ..place },
                &theme.symbols().wall.to_string(),
                theme.style(Role::Faint),
            );
            for (x, column) in (area.right() - shown as u16..).zip(columns) {
                let count = cell(column, row);
                if count != 0 {
                    let (symbol, style) = theme.density(density(count, most));
                    put(buffer, Rect { x, width: 1, ..place }, symbol.encode_utf8(&mut [0; 4]), style);
                }
            }
        }
        let axis = line(area, height);
        let axis = Rect { x: axis.x + LABELS + 1, width: axis.width - LABELS - 1, ..axis };
        let age = |part: f64| format!("-{}", units::time(self.seconds * part * 1e9, theme.ascii));
        let start = Rect { x: area.right() - shown as u16, width: shown as u16, ..axis };
        put_right(buffer, axis, self.end, theme.style(Role::Faint));
        if shown > 12 {
            put(buffer, start, &age(1.0), theme.style(Role::Faint));
        }
        if shown > 40 {
            let half = Rect { x: start.x + start.width / 2, width: start.width / 2, ..start };
            put(buffer, half, &age(0.5), theme.style(Role::Faint));
        }
    }
}

/// How dense a cell of `count` is where the densest has `most`: by the logarithm, since rare long waits are what is looked
/// for among millions of short ones; squared, since otherwise all that is frequent looks the same.
fn density(count: u64, most: u64) -> f64 {
    if most <= 1 { 1.0 } else { ((count as f64 + 1.0).ln() / (most as f64 + 1.0).ln()).powi(2) }
}

/// What the densities mean.
pub fn legend(theme: &Theme) -> String {
    let steps: String = theme.symbols().densities.iter().flat_map(|step| [*step, ' ']).collect();
    format!("few {steps}many")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::testing::{self, text_of};

    fn map(count: u64) -> Map {
        let history = testing::history(2, count);
        Map { columns: history.last(500).map(|point| point.heat.clone()).collect(), seconds: count as f64, end: "now" }
    }

    #[test]
    fn any_size_can_be_drawn() {
        for width in [0, 1, 9, 10, 30, 300] {
            for height in [0, 1, 2, 5, 80] {
                let area = Rect::new(0, 0, width, height);
                map(3).draw(area, &mut Buffer::empty(area), &Theme::default());
            }
        }
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        let area = Rect::new(0, 0, 30, 5);
        let mut buffer = Buffer::empty(area);
        Map { columns: Vec::new(), seconds: 0.0, end: "now" }.draw(area, &mut buffer, &Theme::default());
        assert!(text_of(&buffer).contains("nothing was timed yet"));
    }

    #[test]
    fn the_densest_is_full_and_the_rarest_is_seen() {
        assert_eq!(density(5, 5), 1.0);
        assert!(density(1, 1_000_000) > 0.0 && density(1, 1_000_000) < 0.2);
        assert_eq!(density(1, 1), 1.0);
    }
}
