//! What a list does.

use super::*;
use crate::dashboard::testing::text_of;
use crate::dashboard::theme::Theme;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

struct Call(u64, &'static str, f64);

impl Row for Call {
    fn identity(&self) -> u64 {
        self.0
    }

    fn name(&self) -> Cow<'_, str> {
        self.1.into()
    }

    fn order(&self, column: usize) -> Order<'_> {
        match column {
            0 => Order::Text(self.1),
            _ if self.2.is_nan() => Order::Unknown,
            _ => Order::Number(self.2),
        }
    }

    fn cell(&self, column: usize, _: usize) -> Cell<'_> {
        if column == 0 { Cell::new(self.1) } else { Cell::new(format!("{}", self.2)) }
    }
}

const COLUMNS: [Column; 2] = [Column::text("call", 8, 0), Column::number("rate", 6, 0)];

fn rows() -> Vec<Call> {
    vec![Call(1, "enter", 30.0), Call(2, "exit", 10.0), Call(3, "wait", f64::NAN), Call(4, "bio", 20.0)]
}

fn order(table: &mut Table, rows: &[Call]) -> Vec<&'static str> {
    table.arrange(rows).into_iter().map(|row| rows[row].1).collect()
}

fn draw(table: &mut Table, rows: &[Call], width: u16, height: u16) -> String {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    table.draw(area, &mut buffer, &Theme { ascii: true, ..Theme::default() }, rows, "no calls");
    text_of(&buffer)
}

#[test]
fn rows_are_sorted_and_the_unknown_stands_last() {
    let mut table = Table::new(&COLUMNS, 1);
    assert_eq!(order(&mut table, &rows()), ["enter", "bio", "exit", "wait"]);
    table.act(Action::SortReverse);
    assert_eq!(order(&mut table, &rows()), ["exit", "bio", "enter", "wait"]);
    table.act(Action::SortNext);
    assert_eq!(order(&mut table, &rows()), ["bio", "enter", "exit", "wait"]);
}

#[test]
fn what_is_chosen_stays_chosen() {
    let mut table = Table::new(&COLUMNS, 1);
    table.arrange(&rows());
    table.act(Action::Down);
    assert_eq!(table.selected(), Some(4));
    let mut changed = rows();
    changed[3].2 = 99.0;
    table.arrange(&changed);
    assert_eq!(table.selected(), Some(4));
    // It is first now; when it is gone, who takes its place is chosen.
    changed.remove(3);
    table.arrange(&changed);
    assert_eq!(table.selected(), Some(1));
    table.arrange::<Call>(&[]);
    assert_eq!(table.selected(), None);
    table.act(Action::Last);
    table.arrange(&rows());
    assert_eq!(table.selected(), Some(1));
}

#[test]
fn the_filter_hides_and_says_so() {
    let mut table = Table::new(&COLUMNS, 1);
    table.filter().begin();
    for character in "ex".chars() {
        table.filter().key(KeyEvent::new(KeyCode::Char(character), KeyModifiers::NONE));
    }
    assert_eq!(order(&mut table, &rows()), ["exit"]);
    let text = draw(&mut table, &rows(), 24, 5);
    assert_eq!(text, "  call             ratev\n> exit                10\n\n\n/ex_              1 of 4\n");
    assert_eq!(table.act(Action::Back), Reaction::Done);
    assert_eq!(order(&mut table, &rows()).len(), 4);
    assert_eq!(table.act(Action::Back), Reaction::Ignored);
}

#[test]
fn the_chosen_row_is_always_in_sight() {
    let many: Vec<_> = (0..100).map(|row| Call(row, "call", 100.0 - row as f64)).collect();
    let mut table = Table::new(&COLUMNS, 1);
    for action in [Action::Last, Action::PageUp, Action::Up, Action::First, Action::PageDown, Action::Down] {
        draw(&mut table, &many, 24, 6);
        table.act(action);
        let text = draw(&mut table, &many, 24, 6);
        assert_eq!(text.lines().count(), 6);
        assert_eq!(text.lines().filter(|line| line.starts_with('>')).count(), 1, "{text}");
    }
    draw(&mut table, &many, 24, 6);
    assert_eq!(table.selected(), Some(6));
}

#[test]
fn the_mouse_sorts_and_chooses() {
    let mut table = Table::new(&COLUMNS, 1);
    draw(&mut table, &rows(), 24, 6);
    assert_eq!(table.mouse(Mouse::Click, Position::new(3, 0)), Reaction::Done);
    assert_eq!(order(&mut table, &rows())[0], "bio");
    assert_eq!(table.mouse(Mouse::Click, Position::new(5, 4)), Reaction::Done);
    assert_eq!(table.selected(), Some(3));
    assert!(table.is_row(Position::new(5, 4)));
    assert_eq!(table.mouse(Mouse::Click, Position::new(5, 4)), Reaction::Ignored);
    assert_eq!(table.mouse(Mouse::Click, Position::new(5, 5)), Reaction::Ignored);
    table.mouse(Mouse::Up, Position::new(0, 0));
    assert_eq!(table.selected(), Some(4));
}

#[test]
fn any_size_can_be_drawn() {
    let mut table = Table::new(&COLUMNS, 1);
    for width in 0..30 {
        for height in 0..8 {
            draw(&mut table, &rows(), width, height);
        }
    }
    assert!(draw(&mut table, &[], 24, 4).contains("no calls"));
}
