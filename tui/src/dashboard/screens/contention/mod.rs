//! Who waits for which lock, from where, and because of whom.

mod list;
mod open;

pub use open::draw_reasons;

use super::super::waits::{Shared, why_none};
use crate::dashboard::draw::{line, put, put_right, split};
use crate::dashboard::field::Field;
use crate::dashboard::keys::Action;
use crate::dashboard::model::{grouped, locks};
use crate::dashboard::screen::{Mouse, Reaction, Screen, View};
use crate::dashboard::table::Table;
use crate::dashboard::theme::{Role, Theme};
use list::{GROUPS, GroupLine, LOCKS, LockLine, identity};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use rumpscope_reports::Sample;
use rumpscope_reports::contention::Waiting;
use rumpscope_reports::contention::group::{By, Key, Realm};
use rumpscope_reports::units;

/// What the list is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Locks,
    Conditions,
    Classes,
    Sites,
    Threads,
    Edges,
}

impl Mode {
    const ALL: [Mode; 6] = [Mode::Locks, Mode::Conditions, Mode::Classes, Mode::Sites, Mode::Threads, Mode::Edges];

    fn name(self) -> &'static str {
        match self {
            Mode::Locks => "locks",
            Mode::Conditions => "condition variables",
            Mode::Classes => "classes",
            Mode::Sites => "where",
            Mode::Threads => "threads",
            Mode::Edges => "who blocks whom",
        }
    }

    /// What waits are merged by, where the list is not of single locks.
    fn by(self) -> Option<By> {
        match self {
            Mode::Locks | Mode::Conditions => None,
            Mode::Classes => Some(By::Class),
            Mode::Sites => Some(By::Site),
            Mode::Threads => Some(By::Thread),
            Mode::Edges => Some(By::Edge),
        }
    }

    fn realm(self) -> Realm {
        if self == Mode::Conditions { Realm::Conditions } else { Realm::Locks }
    }
}

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
            keys: Vec::new(),
            tabs: Vec::new(),
        }
    }

    fn table(&mut self) -> &mut Table {
        if self.mode.by().is_none() { &mut self.locks } else { &mut self.groups }
    }

    fn draw_list(&mut self, area: Rect, buffer: &mut Buffer, view: &View<'_>, waiting: &Waiting) {
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
    fn draw_chosen(&mut self, area: Rect, buffer: &mut Buffer, view: &View<'_>, waiting: &Waiting) {
        if area.height >= PREVIEW
            && let Some(opened) = self.chosen()
        {
            open::draw(area, buffer, view, waiting, &opened);
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

    fn mouse(&mut self, mouse: Mouse, at: Position, _: &View<'_>) -> Reaction {
        if self.open.is_some() {
            return Reaction::Ignored;
        }
        if let Some((_, mode)) = self.tabs.iter().find(|(place, _)| mouse == Mouse::Click && place.contains(at)) {
            self.set_mode(*mode);
            return Reaction::Done;
        }
        match self.table().mouse(mouse, at) {
            // A click on the chosen line opens it.
            Reaction::Ignored if mouse == Mouse::Click && self.table().is_row(at) => self.open_chosen(),
            reaction => reaction,
        }
    }

    fn field(&mut self) -> Option<&mut Field> {
        if self.open.is_some() { None } else { Some(self.table().filter()) }
    }

    fn actions(&self) -> &'static [Action] {
        match self.open {
            Some(_) => &[Action::Back, Action::Trace],
            None => &[Action::Open, Action::Mode, Action::Filter, Action::SortNext, Action::Trace],
        }
    }

    fn is_pending(&self) -> bool {
        self.waits.borrow().is_pending()
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
    use crate::dashboard::waits::Waits;

    fn screen() -> Contention {
        Contention::new(Waits::known(Box::new(Known)))
    }

    fn act(screen: &mut Contention, scene: &Scene, action: Action) -> Reaction {
        let (theme, keys) = (Theme::default(), KeyMap::default());
        screen.act(action, &testing::view(scene, &theme, &keys, Rect::new(0, 0, 120, 40)))
    }

    #[test]
    fn locks_in_all_sizes() {
        let scene = testing::scene(2, 30);
        for (width, height) in [(80, 21), (120, 37), (190, 57)] {
            let name = format!("contention-{width}x{height}.txt");
            check(&name, &picture(&mut screen(), &scene, width, height));
        }
        let ascii = Theme { palette: Palette::None, ascii: true };
        assert!(picture_with(&mut screen(), &scene, 120, 37, ascii).is_ascii());
    }

    #[test]
    fn a_lock_in_all_sizes() {
        let scene = testing::scene(2, 60);
        for (width, height) in [(80, 21), (120, 37), (190, 57)] {
            let mut screen = screen();
            picture(&mut screen, &scene, width, height);
            assert_eq!(act(&mut screen, &scene, Action::Open), Reaction::Done);
            let name = format!("lock-{width}x{height}.txt");
            check(&name, &picture(&mut screen, &scene, width, height));
            assert_eq!(act(&mut screen, &scene, Action::Back), Reaction::Done);
        }
    }

    #[test]
    fn every_list_has_lines_and_each_can_be_opened() {
        let scene = testing::scene(2, 8);
        let mut screen = screen();
        let mut all = String::new();
        for mode in Mode::ALL {
            assert_eq!(screen.mode, mode);
            all.push_str(&picture(&mut screen, &scene, 100, 14));
            assert_eq!(act(&mut screen, &scene, Action::Open), Reaction::Done, "{mode:?}");
            assert!(!picture(&mut screen, &scene, 100, 24).contains("who blocks whom"), "{mode:?}");
            act(&mut screen, &scene, Action::Back);
            act(&mut screen, &scene, Action::Mode);
        }
        check("contention-lists.txt", &all);
        assert_eq!(screen.mode, Mode::Locks);
    }

    #[test]
    fn a_lock_that_nobody_waits_for_any_more_is_told() {
        let mut samples = testing::samples(2, 3);
        samples[2].snapshot.contention = samples[1].snapshot.contention.clone();
        let mut samples = samples.into_iter().map(std::sync::Arc::new);
        let mut scene = Scene::new(samples.next().unwrap(), false);
        let mut screen = screen();
        scene.push(samples.next().unwrap());
        picture(&mut screen, &scene, 80, 21);
        act(&mut screen, &scene, Action::Last);
        act(&mut screen, &scene, Action::Open);
        scene.push(samples.next().unwrap());
        assert!(picture(&mut screen, &scene, 80, 21).contains("nobody has waited in this time"));
        act(&mut screen, &scene, Action::Back);
        // Two still wait for this one.
        assert!(picture(&mut screen, &scene, 80, 21).contains("vcache_alloc #2"));
    }

    #[test]
    fn what_is_not_recorded_is_said() {
        let mut sample = testing::samples(2, 1).remove(0);
        sample.snapshot.contention.recorded = false;
        let scene = Scene::new(std::sync::Arc::new(sample), false);
        assert!(picture(&mut screen(), &scene, 80, 21).contains("it is not recorded who waits for whom"));
    }

    #[test]
    fn the_mouse_goes_between_lists_and_opens() {
        let scene = testing::scene(2, 3);
        let mut screen = screen();
        picture(&mut screen, &scene, 80, 21);
        let (theme, keys) = (Theme::default(), KeyMap::default());
        let view = testing::view(&scene, &theme, &keys, Rect::new(0, 0, 80, 21));
        assert_eq!(screen.mouse(Mouse::Click, Position::new(12, 0), &view), Reaction::Done);
        assert_eq!(screen.mode, Mode::Conditions);
        assert_eq!(screen.mouse(Mouse::Click, Position::new(4, 0), &view), Reaction::Done);
        assert_eq!(screen.mode, Mode::Locks);
        assert_eq!(screen.mouse(Mouse::Click, Position::new(4, 2), &view), Reaction::Done);
        assert!(screen.open.is_some());
    }

    #[test]
    fn any_size_can_be_drawn() {
        let scene = testing::scene(2, 3);
        for (width, height) in [(0, 0), (1, 1), (10, 5), (40, 12), (80, 3), (7, 40), (300, 100)] {
            let mut screen = screen();
            picture(&mut screen, &scene, width, height);
            screen.open = Some(Opened { by: By::Lock, key: Key::Lock(2), realm: Realm::Locks });
            picture(&mut screen, &scene, width, height);
            screen.open = Some(Opened { by: By::Site, key: Key::Site("vn_lock".to_owned()), realm: Realm::Locks });
            picture(&mut screen, &scene, width, height);
        }
    }
}
