//! The list of hypercalls; enter opens one.

use super::detail;
use super::row::{COLUMNS, CallRow, call};
use crate::dashboard::keys::Action;
use crate::dashboard::screen::{Reaction, Screen, View};
use crate::dashboard::table::Table;
use crate::dashboard::widgets::title;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use rumpscope_probes::Hypercall;

/// The screen.
#[derive(Debug)]
pub struct Calls {
    table: Table,
    /// The hypercall that is shown by itself.
    open: Option<Hypercall>,
}

impl Default for Calls {
    fn default() -> Self {
        Calls { table: Table::new(&COLUMNS, CallRow::THREADS), open: None }
    }
}

impl Screen for Calls {
    fn title(&self) -> &'static str {
        "Hypercalls"
    }

    fn draw(&mut self, area: Rect, buffer: &mut Buffer, view: &View<'_>) {
        if let Some(call) = self.open {
            detail::draw(area, buffer, &view.of_whole(), call);
            return;
        }
        let rows: Vec<_> = view.span.calls.iter().map(|span| CallRow::new(span, view)).collect();
        let remark = "threads: in it on average, its time by that of the clock";
        let below = title::section(area, buffer, view.theme, &format!("{} hypercalls", rows.len()), remark);
        self.table.draw(below, buffer, view.theme, &rows, "no hypercall has returned in this time");
    }

    fn act(&mut self, action: Action, _: &View<'_>) -> Reaction {
        match (action, self.open) {
            (Action::Open, None) => {
                self.open = self.table.selected().and_then(call);
                Reaction::Done
            }
            (Action::Back, Some(_)) => {
                self.open = None;
                Reaction::Done
            }
            // From one to the next without going back.
            (Action::Up | Action::Down, Some(_)) => {
                self.table.act(action);
                self.open = self.table.selected().and_then(call).or(self.open);
                Reaction::Done
            }
            (_, Some(_)) => Reaction::Ignored,
            (action, None) => self.table.act(action),
        }
    }

    fn list(&mut self) -> Option<&mut Table> {
        self.open.is_none().then_some(&mut self.table)
    }

    fn actions(&self) -> &'static [Action] {
        match self.open {
            None => &[Action::Open, Action::Filter, Action::SortNext],
            Some(_) => &[Action::Back, Action::Up, Action::Down],
        }
    }
}
