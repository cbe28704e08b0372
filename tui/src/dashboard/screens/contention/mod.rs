//! Who waits for which lock, from where, and because of whom.

mod list;
mod mode;
mod open;
mod preview;

pub use open::draw_reasons;

use super::super::waits::{Shared, why_none};
use crate::dashboard::draw::{line, put, put_right, split};
use crate::dashboard::keys::Action;
use crate::dashboard::model::{grouped, locks};
use crate::dashboard::screen::{Mouse, Reaction, Screen, View, mouse_on_list};
use crate::dashboard::table::Table;
use crate::dashboard::theme::{Role, Theme};
use list::{GROUPS, GroupLine, LOCKS, LockLine, identity};
use mode::Mode;
use preview::Preview;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use rumpscope_reports::Sample;
use rumpscope_reports::contention::Waiting;
use rumpscope_reports::contention::group::{By, Key, Realm};
use rumpscope_reports::units;
use std::sync::Arc;

/// What is opened: waits that have this in common.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Opened {
    by: By,
    key: Key,
    realm: Realm,
}

/// The list, or what is behind a line of it.
pub struct Contention {
    waits: Shared,
    mode: Mode,
    locks: Table,
    groups: Table,
    open: Option<Opened>,
    /// What is behind the chosen line, as it was drawn last.
    preview: Option<Preview>,
    /// What the lines of the last picture stand for.
    keys: Vec<(u64, Key)>,
    /// Where the names of the lists were drawn.
    tabs: Vec<(Rect, Mode)>,
}

impl Contention {
    /// Of what `waits` finds.
    pub fn new(waits: Shared) -> Self {
        Contention {
            waits,
            mode: Mode::Locks,
            locks: Table::new(&LOCKS, list::WAITING),
            groups: Table::new(&GROUPS, list::WAITING),
            open: None,
            preview: None,
            keys: Vec::new(),
            tabs: Vec::new(),
        }
    }

    fn table(&mut self) -> &mut Table {
        if self.mode.by().is_none() { &mut self.locks } else { &mut self.groups }
    }

    fn draw_list(&mut self, area: Rect, buffer: &mut Buffer, view: &View<'_>, waiting: &Arc<Waiting>) {
        let (top, body) = split(area, 1);
        self.draw_tabs(top, buffer, view.theme);
        let (body, foot) = split(body, body.height.saturating_sub(1));
        draw_summary(foot, buffer, view.theme, waiting, self.mode.realm(), self.is_pending());
        let empty = "nobody has waited for any in this time";
        match self.mode.by() {
            None => {
                let spans = locks(waiting, self.mode.realm());
                self.keys = spans.iter().map(|span| (u64::from(span.number), Key::Lock(span.number))).collect();
                let lines: Vec<_> = spans.iter().map(|span| LockLine { span, view }).collect();
                let (list, rest) = split(body, list_height(body, lines.len()));
                self.locks.draw(list, buffer, view.theme, &lines, empty);
                self.draw_chosen(rest, buffer, view, waiting);
            }
            Some(by) => {
                let spans = grouped(waiting, by, self.mode.realm());
                self.keys = spans.iter().map(|span| (identity(&span.key), span.key.clone())).collect();
                let lines: Vec<_> = spans.iter().map(|span| GroupLine { span, theme: view.theme }).collect();
                let (list, rest) = split(body, list_height(body, lines.len()));
                self.groups.draw(list, buffer, view.theme, &lines, empty);
                self.draw_chosen(rest, buffer, view, waiting);
            }
        }
    }

    /// What is behind the chosen line, where there is room for it below the list.
    fn draw_chosen(&mut self, area: Rect, buffer: &mut Buffer, view: &View<'_>, waiting: &Arc<Waiting>) {
        if area.height >= PREVIEW
            && let Some(opened) = self.chosen()
        {
            let preview = self.preview.take().filter(|preview| preview.is_good(area, view, waiting, &opened));
            let preview = preview.unwrap_or_else(|| Preview::new(area, view, waiting, opened));
            preview.draw(buffer);
            self.preview = Some(preview);
        }
    }

    /// The names of the lists that there are.
    fn draw_tabs(&mut self, area: Rect, buffer: &mut Buffer, theme: &Theme) {
        self.tabs.clear();
        let mut x = area.x + 2;
        for mode in Mode::ALL {
            let chosen = mode == self.mode;
            let text = if chosen { format!("[{}]", mode.name()) } else { format!(" {} ", mode.name()) };
            let width = (text.len() as u16).min(area.right().saturating_sub(x));
            let place = Rect { x, width, ..area };
            put(buffer, place, &text, theme.style(if chosen { Role::Title } else { Role::Faint }));
            self.tabs.push((place, mode));
            x = place.right();
        }
    }

    /// What the chosen line stands for.
    fn chosen(&mut self) -> Option<Opened> {
        let chosen = self.table().selected()?;
        let (_, key) = self.keys.iter().find(|(identity, _)| *identity == chosen)?;
        Some(Opened { by: self.mode.by().unwrap_or(By::Lock), key: key.clone(), realm: self.mode.realm() })
    }

    /// Opens the chosen line.
    fn open_chosen(&mut self) -> Reaction {
        self.open = self.chosen();
        if self.open.is_some() { Reaction::Done } else { Reaction::Ignored }
    }

    /// Goes to another list; what is typed to filter stays with its own.
    fn set_mode(&mut self, mode: Mode) {
        if mode != self.mode && mode.by().is_some() {
            // Lines of another kind: none of them is the one that was chosen.
            self.groups = Table::new(&GROUPS, list::WAITING);
        }
        self.mode = mode;
    }
}

/// What is told of the interval before an outline.
const OUTLINE: &str = "the recording has an outline of this time: who waited for whom stands in its next whole sample";

/// Lines below the list from which on something of the chosen line is shown there.
const PREVIEW: u16 = 9;

/// The lines of a list of so many rows: what is left over is for the chosen one, if it is enough to tell something.
fn list_height(area: Rect, rows: usize) -> u16 {
    let wanted = (rows.min(usize::from(u16::MAX) / 2) as u16 + 2).max(area.height * 2 / 5);
    if area.height.saturating_sub(wanted) >= PREVIEW { wanted } else { area.height }
}

/// How much waiting there is, and what is not known of it.
fn draw_summary(area: Rect, buffer: &mut Buffer, theme: &Theme, waiting: &Waiting, realm: Realm, pending: bool) {
    let of = waiting.locks.values().filter(|named| Realm::of_kind(named.lock.kind) == realm);
    let (ticks, now) =
        of.fold((0, 0), |(ticks, now), named| (ticks + named.lock.wait.sum, now + u64::from(named.lock.waiters)));
    let average = waiting.clock.nanoseconds(ticks) / waiting.clock.nanoseconds(waiting.duration).max(1.0);
    let text = format!("  {} threads waited on average, {now} wait now", crate::dashboard::picture::threads(average));
    put(buffer, area, &text, theme.style(Role::Faint));
    let missing = match (waiting.lost, waiting.problems.len()) {
        _ if pending && waiting.chains.is_empty() => "names are being looked up".to_owned(),
        (0, 0) => return,
        (0, files) => format!("names: {files} files could not tell"),
        (lost, _) => format!("{} waits without chains", units::count(lost)),
    };
    if text.len() + missing.len() + 2 <= usize::from(area.width) {
        put_right(buffer, area, &missing, theme.style(Role::Warning));
    }
}

impl Screen for Contention {
    fn title(&self) -> &'static str {
        "Contention"
    }

    fn draw(&mut self, area: Rect, buffer: &mut Buffer, view: &View<'_>) {
        let view = &view.of_whole();
        if let Some(why) = why_none(view.sample) {
            put(buffer, line(area, 1), why, view.theme.style(Role::Warning));
            return;
        }
        let told = |sample: &Sample| sample.snapshot.contention_taken();
        if view.sample.is_outline() && view.earlier.is_some_and(|earlier| told(earlier) == told(view.sample)) {
            put(buffer, line(area, 1), OUTLINE, view.theme.style(Role::Warning));
            return;
        }
        let waiting = self.waits.borrow_mut().of(view.earlier, view.sample);
        match self.open.clone() {
            Some(opened) => open::draw(area, buffer, view, &waiting, &opened),
            None => self.draw_list(area, buffer, view, &waiting),
        }
    }

    fn act(&mut self, action: Action, _: &View<'_>) -> Reaction {
        match (action, self.open.is_some()) {
            (Action::Back, true) => self.open = None,
            // From one to the next without going back.
            (Action::Up | Action::Down, true) => {
                self.table().act(action);
                self.open = self.chosen().or(self.open.take());
            }
            (_, true) => return Reaction::Ignored,
            (Action::Open, false) => return self.open_chosen(),
            (Action::Mode, false) => {
                let next = Mode::ALL.iter().position(|mode| *mode == self.mode).map_or(0, |index| index + 1);
                self.set_mode(Mode::ALL[next % Mode::ALL.len()]);
            }
            (action, false) => return self.table().act(action),
        }
        Reaction::Done
    }

    fn list(&mut self) -> Option<&mut Table> {
        if self.open.is_none() { Some(self.table()) } else { None }
    }

    fn mouse(&mut self, mouse: Mouse, at: Position, view: &View<'_>) -> Reaction {
        let tab = self.tabs.iter().find(|(place, _)| mouse == Mouse::Click && place.contains(at));
        match tab.filter(|_| self.open.is_none()) {
            Some((_, mode)) => {
                self.set_mode(*mode);
                Reaction::Done
            }
            None => mouse_on_list(self, mouse, at, view),
        }
    }

    fn actions(&self) -> &'static [Action] {
        match self.open {
            Some(_) => &[Action::Back, Action::Up, Action::Trace],
            None => &[Action::Open, Action::Mode, Action::Filter, Action::SortNext, Action::Trace],
        }
    }

    fn is_pending(&self) -> bool {
        self.waits.borrow().is_pending()
    }
}

#[cfg(test)]
mod tests;
