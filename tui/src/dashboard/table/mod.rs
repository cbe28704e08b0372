//! The list that screens show: sorted, filtered, scrolled, in columns that fit.
//!
//! Rows are what a screen makes of a sample, anew each time; what is chosen is remembered by a row's identity, so it stays
//! chosen when rows come, go, or change places. Columns have fixed widths: figures do not jump from one look to the next.

mod columns;
mod draw;

pub use columns::Column;

use super::field::Field;
use super::keys::Action;
use super::screen::{Mouse, Reaction};
use super::theme::Role;
use ratatui::layout::{Position, Rect};
use std::borrow::Cow;
use std::cmp::Ordering;

/// A row.
pub trait Row {
    /// What tells it from all others, for as long as it exists.
    fn identity(&self) -> u64;

    /// What the filter looks for.
    fn name(&self) -> Cow<'_, str>;

    /// What a column is sorted by.
    fn order(&self, column: usize) -> Order<'_>;

    /// What stands in a column.
    fn cell(&self, column: usize, width: usize) -> Cell<'_>;
}

/// What rows are sorted by.
#[derive(Clone, Copy, Debug)]
pub enum Order<'a> {
    /// Names.
    Text(&'a str),
    /// Figures.
    Number(f64),
    /// Not known; stands last in both directions.
    Unknown,
}

/// What stands in a cell.
#[derive(Clone, Debug)]
pub struct Cell<'a> {
    /// The text; what does not fit is cut.
    pub text: Cow<'a, str>,
    /// What it means.
    pub role: Role,
}

impl<'a> Cell<'a> {
    /// Plain text.
    pub fn new(text: impl Into<Cow<'a, str>>) -> Self {
        Cell { text: text.into(), role: Role::Text }
    }

    /// Text with a meaning.
    pub fn of(text: impl Into<Cow<'a, str>>, role: Role) -> Self {
        Cell { text: text.into(), role }
    }
}

/// The state of a list.
#[derive(Debug)]
pub struct Table {
    columns: &'static [Column],
    /// Nothing is chosen in it.
    passive: bool,
    /// The column that is sorted by, and whether the least stands first.
    sorted: (usize, bool),
    filter: Field,
    selected: Option<u64>,
    /// Where the chosen row was when it was last seen: the place is kept when the row is gone.
    position: usize,
    /// The first row that is shown.
    offset: usize,
    /// The rows that passed the filter at the last look, in their order.
    shown: Vec<u64>,
    /// How many there were before the filter.
    rows: usize,
    /// What the last picture looked like, for the mouse.
    layout: Layout,
}

/// Where things were drawn.
#[derive(Debug, Default)]
struct Layout {
    header: Rect,
    body: Rect,
    /// The columns that were shown: number, first position and width on the screen.
    columns: Vec<(usize, u16, u16)>,
}

impl Table {
    /// A list with these columns, sorted by column `sorted` as that column prefers.
    pub fn new(columns: &'static [Column], sorted: usize) -> Self {
        let ascending = columns.get(sorted).is_some_and(|column| column.ascending);
        Table {
            columns,
            passive: false,
            sorted: (sorted, ascending),
            filter: Field::default(),
            selected: None,
            position: 0,
            offset: 0,
            shown: Vec::new(),
            rows: 0,
            layout: Layout::default(),
        }
    }

    /// The same, to be looked at only: nothing is chosen in it.
    pub fn passive(self) -> Self {
        Table { passive: true, ..self }
    }

    /// The identity of the row that is chosen.
    pub fn selected(&self) -> Option<u64> {
        self.selected
    }

    /// The filter.
    pub fn filter(&mut self) -> &mut Field {
        &mut self.filter
    }

    /// Sorts and filters `rows`: their numbers, in the order in which they are shown. Drawing does it by itself.
    pub fn arrange<R: Row>(&mut self, rows: &[R]) -> Vec<usize> {
        let (column, ascending) = self.sorted;
        let mut order: Vec<usize> = (0..rows.len()).filter(|row| self.filter.matches(&rows[*row].name())).collect();
        order.sort_by(|left, right| {
            let (left, right) = (&rows[*left], &rows[*right]);
            compare(left.order(column), right.order(column), ascending)
                // Rows with the same figures stay where they are from one look to the next.
                .then_with(|| left.name().cmp(&right.name()))
                .then_with(|| left.identity().cmp(&right.identity()))
        });
        self.rows = rows.len();
        self.shown = order.iter().map(|row| rows[*row].identity()).collect();
        self.find_selected();
        order
    }

    /// The chosen row is where it is now; one that is gone leaves its place to the one that is there.
    fn find_selected(&mut self) {
        let found = self.selected.and_then(|selected| self.shown.iter().position(|row| *row == selected));
        self.position = found.unwrap_or(self.position).min(self.shown.len().saturating_sub(1));
        self.selected = self.shown.get(self.position).copied();
    }

    /// Does what `action` means to a list.
    pub fn act(&mut self, action: Action) -> Reaction {
        let page = usize::from(self.layout.body.height).max(1);
        match action {
            Action::Up => self.go(self.position.saturating_sub(1)),
            Action::Down => self.go(self.position + 1),
            Action::PageUp => self.go(self.position.saturating_sub(page)),
            Action::PageDown => self.go(self.position + page),
            Action::First => self.go(0),
            Action::Last => self.go(usize::MAX),
            Action::SortNext => self.sort_beside(1),
            Action::SortPrevious => self.sort_beside(self.columns.len() - 1),
            Action::SortReverse => self.sorted.1 = !self.sorted.1,
            Action::Back => return if self.filter.clear() { Reaction::Done } else { Reaction::Ignored },
            _ => return Reaction::Ignored,
        }
        Reaction::Done
    }

    /// Does what the mouse means to a list: a click on a row chooses it, one on the name of a column sorts by that. A click
    /// on the row that is chosen already is [`Reaction::Ignored`], so that a screen can open it.
    pub fn mouse(&mut self, mouse: Mouse, at: Position) -> Reaction {
        const WHEEL: usize = 3;
        match mouse {
            Mouse::Up => self.go(self.position.saturating_sub(WHEEL)),
            Mouse::Down => self.go(self.position + WHEEL),
            Mouse::Click if self.layout.header.contains(at) => {
                let hit = |(_, start, width): &&(usize, u16, u16)| (*start..start + width).contains(&at.x);
                let Some((column, ..)) = self.layout.columns.iter().find(hit) else { return Reaction::Ignored };
                self.sort_by(*column);
            }
            Mouse::Click if self.layout.body.contains(at) => {
                let row = self.offset + usize::from(at.y - self.layout.body.y);
                if row >= self.shown.len() || row == self.position {
                    return Reaction::Ignored;
                }
                self.go(row);
            }
            Mouse::Click => return Reaction::Ignored,
        }
        Reaction::Done
    }

    /// Whether `at` is on a row of the last picture.
    pub fn is_row(&self, at: Position) -> bool {
        self.layout.body.contains(at) && self.offset + usize::from(at.y - self.layout.body.y) < self.shown.len()
    }

    fn go(&mut self, position: usize) {
        self.position = position.min(self.shown.len().saturating_sub(1));
        self.selected = self.shown.get(self.position).copied();
    }

    /// Sorts by a column; the other way round where that is the one already.
    fn sort_by(&mut self, column: usize) {
        let ascending = if self.sorted.0 == column { !self.sorted.1 } else { self.columns[column].ascending };
        self.sorted = (column, ascending);
    }

    /// Sorts by the column that stands `by` further on.
    fn sort_beside(&mut self, by: usize) {
        let sortable = |column: &usize| self.columns[*column].sortable;
        let mut next = (self.sorted.0 + by) % self.columns.len();
        while !sortable(&next) && next != self.sorted.0 {
            next = (next + by) % self.columns.len();
        }
        if next != self.sorted.0 {
            self.sort_by(next);
        }
    }
}

fn compare(left: Order<'_>, right: Order<'_>, ascending: bool) -> Ordering {
    let ordering = match (left, right) {
        (Order::Unknown, Order::Unknown) => return Ordering::Equal,
        (Order::Unknown, _) => return Ordering::Greater,
        (_, Order::Unknown) => return Ordering::Less,
        (Order::Text(left), Order::Text(right)) => left.cmp(right),
        (Order::Number(left), Order::Number(right)) => left.total_cmp(&right),
        (Order::Text(_), Order::Number(_)) => Ordering::Greater,
        (Order::Number(_), Order::Text(_)) => Ordering::Less,
    };
    if ascending { ordering } else { ordering.reverse() }
}

#[cfg(test)]
mod tests;
