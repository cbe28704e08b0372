//! Rows of cells in aligned columns that fit the screen.

use crate::style::{Style, printable};

/// Spaces between two columns.
const GAP: usize = 2;

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The title over it and its neighbours with the same title; empty for none.
    pub group: String,
    /// Columns with a higher number are dropped first where the screen is too narrow; 0 stays always.
    pub drop: u8,
}

impl Column {
    /// A column without a group.
    pub fn new(name: &str, drop: u8) -> Self {
        Column { name: name.to_owned(), group: String::new(), drop }
    }

    /// A column below a title; it stays always.
    pub fn grouped(name: &str, group: &str) -> Self {
        Column { group: group.to_owned(), ..Column::new(name, 0) }
    }
}

/// A table: the first column is text and stands left, the others are numbers and stand right.
#[derive(Clone, Debug)]
pub struct Grid {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows; each has a cell for every column.
    pub rows: Vec<Vec<String>>,
}

impl Grid {
    /// The table as lines, without the columns that `style` has no room for.
    pub fn render(&self, style: &Style) -> String {
        self.render_with(style, |_| String::new())
    }

    /// The same, and below each row the whole lines that `below` has for its number.
    pub fn render_with(&self, style: &Style, below: impl Fn(usize) -> String) -> String {
        let mut grid = self.clone();
        while grid.width() > style.width && grid.drop_one() {}
        grid.lines(style, below)
    }

    /// How wide the table is.
    pub fn width(&self) -> usize {
        self.widths().iter().sum::<usize>() + GAP * self.columns.len().saturating_sub(1)
    }

    fn drop_one(&mut self) -> bool {
        let last = self.columns.iter().enumerate().max_by_key(|(_, column)| column.drop);
        let Some((index, _)) = last.filter(|(_, column)| column.drop != 0) else { return false };
        self.columns.remove(index);
        self.rows.iter_mut().for_each(|row| drop(row.remove(index)));
        true
    }

    /// The columns from `start` to `end` that have the same group.
    fn groups(&self) -> impl Iterator<Item = (&str, std::ops::Range<usize>)> {
        let mut end = 0;
        self.columns.chunk_by(|left, right| left.group == right.group).map(move |columns| {
            let start = end;
            end += columns.len();
            (columns[0].group.as_str(), start..end)
        })
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<_> = (0..self.columns.len())
            .map(|index| {
                let cells = self.rows.iter().map(|row| row[index].chars().count());
                cells.chain([self.columns[index].name.chars().count()]).max().unwrap_or(0)
            })
            .collect();
        // A title wider than its columns widens the first of them.
        for (group, range) in self.groups() {
            let inner = widths[range.clone()].iter().sum::<usize>() + GAP * (range.len() - 1);
            widths[range.start] += group.chars().count().saturating_sub(inner);
        }
        widths
    }

    fn lines(&self, style: &Style, below: impl Fn(usize) -> String) -> String {
        let widths = self.widths();
        let mut text = String::new();
        if self.columns.iter().any(|column| !column.group.is_empty()) {
            let titles = self.groups().map(|(group, range)| {
                let inner = widths[range.clone()].iter().sum::<usize>() + GAP * (range.len() - 1);
                let rule = if style.ascii { "-" } else { "─" };
                let spare = if group.is_empty() { 0 } else { inner.saturating_sub(group.chars().count() + 1) };
                let title = if spare == 0 { group.to_owned() } else { format!("{} {group}", rule.repeat(spare)) };
                format!("{title:>inner$}")
            });
            push_line(&mut text, &style.faint(titles.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end()));
        }
        let names = self.columns.iter().map(|column| column.name.as_str());
        push_line(&mut text, &style.faint(&aligned(names, &widths)));
        for (number, row) in self.rows.iter().enumerate() {
            push_line(&mut text, &aligned(row.iter().map(String::as_str), &widths));
            text.push_str(&below(number));
        }
        text
    }
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn aligned<'a>(cells: impl Iterator<Item = &'a str>, widths: &[usize]) -> String {
    let cells =
        cells.map(printable).zip(widths).enumerate().map(|(index, (cell, &width))| {
            if index == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
    cells.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        Grid {
            columns: vec![
                Column::new("call", 0),
                Column::new("often", 2),
                Column::new("p50", 0),
                Column::new("p90", 1),
            ],
            rows: vec![
                vec!["enter".into(), "3".into(), "10ns".into(), "2.00µs".into()],
                vec!["exit".into(), "12.3k".into(), "9ns".into(), "20ns".into()],
            ],
        }
    }

    fn style(width: usize) -> Style {
        Style { width, colour: false, ascii: true }
    }

    #[test]
    fn numbers_stand_right() {
        let expected = "call   often   p50     p90\nenter      3  10ns  2.00µs\nexit   12.3k   9ns    20ns\n";
        assert_eq!(grid().render(&style(26)), expected);
    }

    #[test]
    fn a_cell_is_no_command_to_the_terminal() {
        let mut grid = grid();
        grid.rows[0][0] = "\x1b[31mx\ny".into();
        assert!(grid.render(&style(80)).contains("\n?[31mx?y      3  10ns  2.00µs\n"), "{:?}", grid.render(&style(80)));
    }

    #[test]
    fn lines_below_a_row_do_not_move_it() {
        let text = grid().render_with(&style(80), |row| if row == 0 { "  a note\n".to_owned() } else { String::new() });
        let expected = "call   often   p50     p90\nenter      3  10ns  2.00µs\n  a note\nexit   12.3k   9ns    20ns\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_least_important_columns_go_first() {
        assert_eq!(grid().render(&style(25)), "call    p50     p90\nenter  10ns  2.00µs\nexit    9ns    20ns\n");
        assert_eq!(grid().render(&style(1)), "call    p50\nenter  10ns\nexit    9ns\n");
    }

    #[test]
    fn a_title_stands_over_its_columns() {
        let mut grid = grid();
        grid.columns[2].group = "took".into();
        grid.columns[3].group = "took".into();
        assert!(grid.render(&style(80)).starts_with("              ------- took\ncall   often   p50     p90\n"));
        grid.columns[2].group = "a title too wide".into();
        grid.columns[3].group = "a title too wide".into();
        assert!(grid.render(&style(80)).starts_with("              a title too wide\n"));
    }
}
