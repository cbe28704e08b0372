//! The columns of a list, and which of them fit.

/// Spaces between two columns.
pub const GAP: u16 = 2;

/// How many there are more at most where there is room that no column takes.
const WIDER: u16 = 4;

/// On which side of its column a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Names.
    Left,
    /// Figures.
    Right,
}

/// A column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// How wide it is at least.
    pub width: u16,
    /// How much of the room that is left over it takes: none, or a share by this number.
    pub grow: u16,
    /// How wide it is at most.
    pub most: u16,
    /// Columns with a higher number are dropped first where the screen is too narrow; 0 stays always.
    pub drop: u8,
    /// Where its cells stand.
    pub align: Align,
    /// Whether the least stands first when it is sorted by first.
    pub ascending: bool,
    /// Whether it can be sorted by.
    pub sortable: bool,
}

impl Column {
    /// A column of names, which takes the room that is left over.
    pub const fn text(name: &'static str, width: u16, drop: u8) -> Self {
        Column { name, width, grow: 1, most: u16::MAX, drop, align: Align::Left, ascending: true, sortable: true }
    }

    /// A column of figures.
    pub const fn number(name: &'static str, width: u16, drop: u8) -> Self {
        Column { name, width, grow: 0, most: u16::MAX, drop, align: Align::Right, ascending: false, sortable: true }
    }

    /// A column of pictures, which take the room that is left over, too; not sorted by.
    pub const fn picture(name: &'static str, width: u16, drop: u8) -> Self {
        Column { name, width, grow: 2, most: u16::MAX, drop, align: Align::Left, ascending: true, sortable: false }
    }

    /// The same, which is never wider than that: a figure far from its name is not read as its own.
    pub const fn most(self, most: u16) -> Self {
        Column { most, ..self }
    }

    /// The same, which stays as wide as it is.
    pub const fn fixed(self) -> Self {
        Column { grow: 0, ..self }
    }
}

/// The columns that fit into `width`: number, distance from the left, width.
pub fn fit(columns: &[Column], width: u16) -> Vec<(usize, u16, u16)> {
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    let needed = |shown: &[usize]| {
        let gaps = GAP * (shown.len().saturating_sub(1)) as u16;
        shown.iter().map(|column| columns[*column].width).sum::<u16>() + gaps
    };
    while needed(&shown) > width {
        let Some((index, _)) = shown
            .iter()
            .enumerate()
            .filter(|(_, column)| columns[**column].drop != 0)
            .max_by_key(|(_, column)| columns[**column].drop)
        else {
            break;
        };
        shown.remove(index);
    }
    let mut spare = width.saturating_sub(needed(&shown));
    let mut shares: u16 = shown.iter().map(|column| columns[*column].grow).sum();
    let mut widths = Vec::with_capacity(shown.len());
    for column in &shown {
        let Column { width: own, grow, most, .. } = columns[*column];
        let more = if shares == 0 { 0 } else { (u32::from(spare) * u32::from(grow) / u32::from(shares)) as u16 };
        let more = more.min(most.saturating_sub(own));
        spare -= more;
        shares -= grow;
        widths.push(own + more);
    }
    // What nobody takes goes between them, as far as a line still reads as one.
    let gap = GAP + (spare / (shown.len() as u16).max(1)).min(WIDER);
    let mut start = 0;
    let mut fitted = Vec::with_capacity(shown.len());
    for (column, own) in shown.into_iter().zip(widths) {
        let own = own.min(width.saturating_sub(start));
        fitted.push((column, start, own));
        start = (start + own + gap).min(width);
    }
    fitted
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] =
        [Column::text("name", 8, 0), Column::number("rate", 6, 0), Column::number("p99", 6, 1)];

    #[test]
    fn what_is_left_over_goes_to_who_grows() {
        assert_eq!(fit(&COLUMNS, 30), [(0, 0, 14), (1, 16, 6), (2, 24, 6)]);
        assert_eq!(fit(&COLUMNS, 24), [(0, 0, 8), (1, 10, 6), (2, 18, 6)]);
    }

    #[test]
    fn what_nobody_takes_is_between_the_columns() {
        let columns = [COLUMNS[0].clone().most(10), COLUMNS[1].clone(), COLUMNS[2].clone()];
        assert_eq!(fit(&columns, 33), [(0, 0, 10), (1, 14, 6), (2, 24, 6)]);
        assert_eq!(fit(&columns, 333), [(0, 0, 10), (1, 16, 6), (2, 28, 6)]);
    }

    #[test]
    fn the_least_important_columns_go_first() {
        assert_eq!(fit(&COLUMNS, 23), [(0, 0, 15), (1, 17, 6)]);
        assert_eq!(fit(&COLUMNS, 12), [(0, 0, 8), (1, 10, 2)]);
        assert_eq!(fit(&COLUMNS, 0), [(0, 0, 0), (1, 0, 0)]);
    }
}
