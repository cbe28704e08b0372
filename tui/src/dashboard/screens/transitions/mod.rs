//! Why threads leave their virtual CPUs, how long they are off and wait to come back, and where to.

mod list;
mod moves;
mod open;

use crate::dashboard::draw::{split, split_columns};
use crate::dashboard::keys::Action;
use crate::dashboard::model::{Heat, Matrix, TransitionSpan, transitions};
use crate::dashboard::picture::histogram;
use crate::dashboard::screen::{Reaction, Screen, View};
use crate::dashboard::table::Table;
use crate::dashboard::theme::Role;
use crate::dashboard::widgets::title::section;
use list::{COLUMNS, Line, RATE};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use rumpscope_probes::Hypercall;

/// Lines that the pictures below the list take.
const PICTURES: u16 = 11;

/// The list of causes, or one of them.
#[derive(Debug)]
pub struct Transitions {
    table: Table,
    /// The one that is opened.
    open: Option<Hypercall>,
    /// The pictures below the list are of the chosen cause, and not of all.
    of_chosen: bool,
}

impl Default for Transitions {
    fn default() -> Self {
        Transitions { table: Table::new(&COLUMNS, RATE), open: None, of_chosen: false }
    }
}

impl Transitions {
    /// The cause of the chosen line.
    fn chosen(&self) -> Option<Hypercall> {
        usize::try_from(self.table.selected()?).ok().and_then(Hypercall::from_number)
    }

    fn draw_list(&mut self, area: Rect, buffer: &mut Buffer, view: &View<'_>, spans: &[TransitionSpan]) {
        let wanted = (spans.len() as u16 + 2).max(4);
        let pictures = PICTURES.max(area.height.saturating_sub(wanted)).min(area.height / 2 + 2);
        let (list, below) = split(area, area.height.saturating_sub(pictures));
        let lines: Vec<_> = spans.iter().map(|span| Line { span, theme: view.theme }).collect();
        let empty = "no thread has left a virtual CPU in this time";
        self.table.draw(list, buffer, view.theme, &lines, empty);
        let chosen = self.table.selected().filter(|_| self.of_chosen);
        let meant: Vec<_> =
            spans.iter().filter(|span| chosen.is_none_or(|chosen| chosen == span.cause as u64)).collect();
        let name = match (chosen, meant.first()) {
            (Some(_), Some(span)) => span.cause.name(),
            _ => "all causes",
        };
        draw_pictures(below, buffer, view, &meant, name);
    }
}

/// Histograms of all of `spans` together, as many as there is room for, and where threads came from and went to.
fn draw_pictures(area: Rect, buffer: &mut Buffer, view: &View<'_>, spans: &[&TransitionSpan], name: &str) {
    let theme = view.theme;
    let sum = |of: fn(&TransitionSpan) -> &Heat| Heat::sum(spans.iter().map(|span| of(span)));
    let run = ("Run length", sum(|span| &span.run.heat), Role::Running);
    let wait = ("Waiting for a vCPU", sum(|span| &span.wait.heat), Role::Wanted);
    let off = ("Off the vCPU", sum(|span| &span.off.heat), Role::Waiting);
    let matrix = Matrix::new(&view.span.snapshot, view.span.seconds);
    let histograms = match area.width {
        ..100 => vec![run],
        100..140 => vec![run, wait],
        _ => vec![run, wait, off],
    };
    let share = area.width / (histograms.len() as u16 + 1);
    let mut rest = area;
    for (what, heat, role) in &histograms {
        let (place, after) = split_columns(rest, share.saturating_sub(2), 2);
        let below = section(place, buffer, theme, &format!("{what}, {name}"), "");
        histogram(below, buffer, theme, heat, *role);
        rest = after;
    }
    moves::draw(rest, buffer, view, &matrix);
}

impl Screen for Transitions {
    fn title(&self) -> &'static str {
        "Transitions"
    }

    fn draw(&mut self, area: Rect, buffer: &mut Buffer, view: &View<'_>) {
        let view = &view.of_whole();
        let spans = transitions(&view.span.snapshot, view.span.seconds);
        match self.open {
            Some(cause) => {
                let span = spans.iter().find(|span| span.cause == cause);
                open::draw(area, buffer, view, span, cause);
            }
            None => self.draw_list(area, buffer, view, &spans),
        }
    }

    fn act(&mut self, action: Action, _: &View<'_>) -> Reaction {
        match (action, self.open) {
            (Action::Back, Some(_)) => self.open = None,
            // From one to the next without going back.
            (Action::Up | Action::Down, Some(_)) => {
                self.table.act(action);
                self.open = self.chosen().or(self.open);
            }
            (_, Some(_)) => return Reaction::Ignored,
            (Action::Open, None) => {
                self.open = self.chosen();
                return if self.open.is_some() { Reaction::Done } else { Reaction::Ignored };
            }
            (Action::Mode, None) => self.of_chosen = !self.of_chosen,
            (action, None) => return self.table.act(action),
        }
        Reaction::Done
    }

    fn list(&mut self) -> Option<&mut Table> {
        self.open.is_none().then_some(&mut self.table)
    }

    fn actions(&self) -> &'static [Action] {
        match self.open {
            Some(_) => &[Action::Back, Action::Up],
            None => &[Action::Open, Action::Mode, Action::Filter, Action::SortNext, Action::SortReverse],
        }
    }
}

#[cfg(test)]
mod tests;
