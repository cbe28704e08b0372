//! Threads: where they are, how their time went in the guest and at the host, what the processor counted.

mod list;
mod open;

use super::super::waits::Shared;
use crate::dashboard::draw::{put, split};
use crate::dashboard::field::Field;
use crate::dashboard::keys::Action;
use crate::dashboard::model::{Counted, ThreadKey, ThreadSpan, threads};
use crate::dashboard::screen::{Mouse, Reaction, Screen, View};
use crate::dashboard::table::Table;
use crate::dashboard::theme::Role;
use list::{COLUMNS, Line, SORTED, identity};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

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
        let (list, foot) = split(area, area.height.saturating_sub(notes.len() as u16));
        let lines: Vec<_> = spans.iter().map(|span| Line { span, theme: view.theme }).collect();
        self.table.draw(list, buffer, view.theme, &lines, "no thread has made a hypercall yet");
        for (row, note) in (0..).zip(&notes) {
            put(buffer, crate::dashboard::draw::line(foot, row), &format!("  {note}"), view.theme.style(Role::Faint));
        }
    }

    fn open_chosen(&mut self) -> Reaction {
        let chosen = self.table.selected();
        let Some(key) = self.keys.iter().find(|key| Some(identity(**key)) == chosen) else { return Reaction::Ignored };
        self.open = Some(*key);
        Reaction::Done
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
        Counted::Rate { ratio, .. } => Some(*ratio),
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
                let waiting = self.waits.borrow_mut().of(view.earlier, view.sample);
                let span = spans.iter().find(|span| span.key == key);
                open::draw(area, buffer, view, span, &waiting);
            }
            None => self.draw_list(area, buffer, view, spans),
        }
    }

    fn act(&mut self, action: Action, _: &View<'_>) -> Reaction {
        match (action, self.open.is_some()) {
            (Action::Back, true) => self.open = None,
            (_, true) => return Reaction::Ignored,
            (Action::Open, false) => return self.open_chosen(),
            (Action::Mode, false) => self.all = !self.all,
            (action, false) => return self.table.act(action),
        }
        Reaction::Done
    }

    fn mouse(&mut self, mouse: Mouse, at: Position, _: &View<'_>) -> Reaction {
        if self.open.is_some() {
            return Reaction::Ignored;
        }
        match self.table.mouse(mouse, at) {
            // A click on the chosen line opens it.
            Reaction::Ignored if mouse == Mouse::Click && self.table.is_row(at) => self.open_chosen(),
            reaction => reaction,
        }
    }

    fn field(&mut self) -> Option<&mut Field> {
        if self.open.is_some() { None } else { Some(self.table.filter()) }
    }

    fn actions(&self) -> &'static [Action] {
        match self.open {
            Some(_) => &[Action::Back, Action::Trace],
            None => &[Action::Open, Action::Mode, Action::Filter, Action::SortNext, Action::SortReverse],
        }
    }

    fn is_pending(&self) -> bool {
        self.open.is_some() && self.waits.borrow().is_pending()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::keys::KeyMap;
    use crate::dashboard::scene::Scene;
    use crate::dashboard::testing::Known;
    use crate::dashboard::testing::{self, check, picture, picture_with};
    use crate::dashboard::theme::Palette;
    use crate::dashboard::theme::Theme;
    use crate::dashboard::waits::Waits;
    use rumpscope_reports::{Counter, Event};

    fn screen() -> Threads {
        Threads::new(Waits::known(Box::new(Known)))
    }

    fn act(screen: &mut Threads, scene: &Scene, action: Action) -> Reaction {
        let (theme, keys) = (Theme::default(), KeyMap::default());
        screen.act(action, &testing::view(scene, &theme, &keys, Rect::new(0, 0, 120, 40)))
    }

    #[test]
    fn threads_in_all_sizes() {
        for (vcpus, width, height) in [(2, 80, 21), (4, 120, 37), (8, 190, 57)] {
            let name = format!("threads-{width}x{height}.txt");
            check(&name, &picture(&mut screen(), &testing::scene(vcpus, 8), width, height));
        }
        let ascii = Theme { palette: Palette::None, ascii: true };
        assert!(picture_with(&mut screen(), &testing::scene(2, 8), 190, 57, ascii).is_ascii());
    }

    #[test]
    fn a_thread_in_all_sizes() {
        let scene = testing::scene(2, 8);
        for (width, height) in [(80, 21), (120, 37), (190, 57)] {
            let mut screen = screen();
            screen.open = Some(ThreadKey::Lane(3));
            let name = format!("thread-{width}x{height}.txt");
            check(&name, &picture(&mut screen, &scene, width, height));
        }
    }

    #[test]
    fn who_is_chosen_is_opened() {
        let scene = testing::scene(2, 3);
        let mut screen = screen();
        picture(&mut screen, &scene, 80, 21);
        assert_eq!(act(&mut screen, &scene, Action::Open), Reaction::Done);
        assert!(screen.open.is_some() && screen.field().is_none());
        assert_eq!(act(&mut screen, &scene, Action::Back), Reaction::Done);
        assert!(screen.open.is_none());
    }

    #[test]
    fn missing_counters_are_said_with_their_reason_and_once() {
        let mut samples = testing::samples(1, 2);
        for thread in samples.iter_mut().flat_map(|sample| &mut sample.threads) {
            thread.counters = vec![Counter::Missing("not permitted".to_owned()); Event::ALL.len()];
        }
        let mut scene = Scene::new(std::sync::Arc::new(samples.remove(0)), false);
        scene.push(std::sync::Arc::new(samples.remove(0)));
        let text = picture(&mut screen(), &scene, 120, 37);
        assert_eq!(text.matches("missing all counters: not permitted").count(), 1, "{text}");
        let mut screen = screen();
        screen.open = Some(ThreadKey::Lane(0));
        assert_eq!(picture(&mut screen, &scene, 120, 37).matches("all counters: not permitted").count(), 1);
    }

    #[test]
    fn a_host_that_shows_nothing_is_said() {
        let mut samples = testing::samples(1, 2);
        samples.iter_mut().for_each(|sample| sample.threads.clear());
        let scene = Scene::new(std::sync::Arc::new(samples.remove(1)), false);
        assert!(picture(&mut screen(), &scene, 80, 21).contains("the host shows no threads of this process"));
    }

    #[test]
    fn threads_that_have_ended_are_left_out_and_counted() {
        let mut sample = testing::samples(2, 1).remove(0);
        sample.snapshot.threads[5].tid = 0;
        let scene = Scene::new(std::sync::Arc::new(sample), false);
        let mut screen = screen();
        let text = picture(&mut screen, &scene, 80, 21);
        assert!(text.contains("1 that have ended are left out"), "{text}");
        act(&mut screen, &scene, Action::Mode);
        assert!(picture(&mut screen, &scene, 80, 21).contains("ended"));
    }

    #[test]
    fn any_size_can_be_drawn() {
        let scene = testing::scene(2, 3);
        for (width, height) in [(0, 0), (1, 1), (10, 5), (40, 12), (80, 3), (7, 40), (300, 100)] {
            let mut screen = screen();
            picture(&mut screen, &scene, width, height);
            for key in [ThreadKey::Lane(3), ThreadKey::Host(4712), ThreadKey::Lane(99)] {
                screen.open = Some(key);
                picture(&mut screen, &scene, width, height);
            }
        }
    }
}
