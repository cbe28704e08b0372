//! Threads: where they are, how their time went in the guest and at the host, what the processor counted.

mod list;
mod open;

use super::super::waits::Shared;
use crate::dashboard::draw::{put, split};
use crate::dashboard::keys::Action;
use crate::dashboard::model::{Counted, ThreadKey, ThreadSpan, threads};
use crate::dashboard::picture::lines;
use crate::dashboard::screen::{Reaction, Screen, View};
use crate::dashboard::table::Table;
use crate::dashboard::theme::Role;
use list::{COLUMNS, Line, SORTED, identity};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// The list, or one thread.
pub struct Threads {
    waits: Shared,
    table: Table,
    open: Option<ThreadKey>,
    /// What the lines of the last picture stand for.
    keys: Vec<ThreadKey>,
    /// Threads that have ended are shown, too.
    all: bool,
}

impl Threads {
    /// Of what `waits` finds.
    pub fn new(waits: Shared) -> Self {
        Threads { waits, table: Table::new(&COLUMNS, SORTED), open: None, keys: Vec::new(), all: false }
    }

    fn draw_list(&mut self, area: Rect, buffer: &mut Buffer, view: &View<'_>, mut spans: Vec<ThreadSpan>) {
        let ended = spans.iter().filter(|span| span.tid == 0).count();
        if !self.all {
            spans.retain(|span| span.tid != 0);
        }
        self.keys = spans.iter().map(|span| span.key).collect();
        let notes = notes(&spans, ended, self.all);
        let width = area.width.saturating_sub(2);
        let notes: Vec<&str> = notes.iter().flat_map(|note| lines(note, width)).collect();
        let (list, foot) = split(area, area.height.saturating_sub(notes.len() as u16));
        let lines: Vec<_> = spans.iter().map(|span| Line { span, theme: view.theme }).collect();
        self.table.draw(list, buffer, view.theme, &lines, "no thread has made a hypercall yet");
        for (row, note) in (0..).zip(&notes) {
            put(buffer, crate::dashboard::draw::line(foot, row), &format!("  {note}"), view.theme.style(Role::Faint));
        }
    }

    /// The thread of the chosen line.
    fn chosen(&self) -> Option<ThreadKey> {
        let chosen = self.table.selected()?;
        self.keys.iter().copied().find(|key| identity(*key) == chosen)
    }
}

/// What the list does not show, and why.
fn notes(spans: &[ThreadSpan], ended: usize, all: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if spans.iter().all(|span| span.host.is_none()) {
        notes.push("the host shows no threads of this process: its columns are empty".to_owned());
        return notes;
    }
    let counters = || spans.iter().filter_map(|span| span.host.as_ref()).flat_map(|host| &host.counters);
    // A reason stands once for all the counters that it keeps away.
    for (reason, events) in open::missing(counters()) {
        notes.push(format!("missing {events}: {reason}"));
    }
    let ratios = counters().filter_map(|(_, counted)| match counted {
        Counted::Rate { ratio, .. } | Counted::Count { ratio, .. } => Some(*ratio),
        Counted::Missing(_) | Counted::NoTurn => None,
    });
    let ratio = ratios.fold(1.0, f64::min);
    if ratio < 0.995 {
        let part = rumpscope_reports::units::percent(ratio);
        notes.push(format!(
            "counters take turns: some counted only {part} of the time; what is shown stands for all of it (~)"
        ));
    }
    if ended != 0 && !all {
        notes.push(format!("{ended} that have ended are left out"));
    }
    notes.truncate(3);
    notes
}

impl Screen for Threads {
    fn title(&self) -> &'static str {
        "Threads"
    }

    fn draw(&mut self, area: Rect, buffer: &mut Buffer, view: &View<'_>) {
        let earlier = view.earlier.map(|earlier| &**earlier);
        let spans = threads(earlier, view.sample, view.span.seconds);
        match self.open {
            Some(key) => {
                let whole = view.of_whole();
                let waiting = self.waits.borrow_mut().of(whole.earlier, whole.sample);
                let span = spans.iter().find(|span| span.key == key);
                open::draw(area, buffer, view, span, &waiting);
            }
            None => self.draw_list(area, buffer, view, spans),
        }
    }

    fn act(&mut self, action: Action, _: &View<'_>) -> Reaction {
        match (action, self.open.is_some()) {
            (Action::Back, true) => self.open = None,
            // From one to the next without going back.
            (Action::Up | Action::Down, true) => {
                self.table.act(action);
                self.open = self.chosen().or(self.open);
            }
            (_, true) => return Reaction::Ignored,
            (Action::Open, false) => {
                self.open = self.chosen();
                return if self.open.is_some() { Reaction::Done } else { Reaction::Ignored };
            }
            (Action::Mode, false) => self.all = !self.all,
            (action, false) => return self.table.act(action),
        }
        Reaction::Done
    }

    fn list(&mut self) -> Option<&mut Table> {
        self.open.is_none().then_some(&mut self.table)
    }

    fn actions(&self) -> &'static [Action] {
        match self.open {
            Some(_) => &[Action::Back, Action::Up, Action::Trace],
            None => &[Action::Open, Action::Mode, Action::Filter, Action::SortNext, Action::SortReverse],
        }
    }

    fn is_pending(&self) -> bool {
        self.open.is_some() && self.waits.borrow().is_pending()
    }
}

#[cfg(test)]
mod tests;
