//! Which kernel is to be shown, where several run: a list of them, which goes on while they do.

use super::chrome;
use super::draw::{put, split};
use super::keys::{Action, Key, KeyMap};
use super::screen::{Mouse, Reaction, Size};
use super::table::{Cell, Column, Order, Row, Table};
use super::theme::{Role, Theme};
use crate::live::kernels::Kernel;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::KeyEvent;
use ratatui::layout::{Position, Rect};
use ratatui::style::Modifier;
use rumpscope_reports::units;
use std::borrow::Cow;

const COLUMNS: [Column; 6] = [
    Column::text("program", 20, 0),
    Column::number("pid", 7, 0),
    Column::number("vCPUs", 5, 0),
    // The youngest first: it is most likely the one that is meant.
    Column { ascending: true, ..Column::number("age", 7, 0) },
    Column::number("calls/s", 7, 0),
    Column::text("back end", 18, 1).fixed(),
];

/// The column that it is sorted by at first; not by a rate, which would have lines change places under the hand.
const AGE: usize = 3;

/// What the keys in it do, the most important first.
const ACTIONS: [Action; 6] =
    [Action::Quit, Action::Open, Action::Up, Action::Filter, Action::SortNext, Action::SortReverse];

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Nothing yet.
    None,
    /// The chosen kernel is to be shown.
    Open,
    /// None is.
    Leave,
    /// Stop the process for a while.
    Suspend,
    /// Draw everything anew.
    Redraw,
}

/// The list.
#[derive(Debug)]
pub struct Chooser {
    theme: Theme,
    keys: KeyMap,
    table: Table,
    kernels: Vec<Kernel>,
    /// Why the one that was chosen cannot be shown.
    problem: Option<String>,
}

impl Chooser {
    /// A list of nothing yet.
    pub fn new(theme: Theme, keys: KeyMap) -> Self {
        Chooser { theme, keys, table: Table::new(&COLUMNS, AGE), kernels: Vec::new(), problem: None }
    }

    /// Those that run now.
    pub fn take(&mut self, kernels: Vec<Kernel>) {
        self.kernels = kernels;
    }

    /// The chosen one.
    pub fn chosen(&self) -> Option<&Kernel> {
        let chosen = self.table.selected()?;
        self.kernels.iter().find(|kernel| u64::from(kernel.process.pid) == chosen)
    }

    /// The chosen one cannot be shown.
    pub fn fail(&mut self, why: String) {
        self.problem = Some(why);
    }

    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent) -> Choice {
        self.problem = None;
        let field = self.table.filter();
        if field.is_edited() && field.key(key) {
            return Choice::None;
        }
        match self.keys.action(Key::from(key)) {
            Some(Action::Quit) => return Choice::Leave,
            Some(Action::Suspend) => return Choice::Suspend,
            Some(Action::Redraw) => return Choice::Redraw,
            Some(Action::Open) => return self.open(),
            Some(Action::Filter) => field.begin(),
            Some(action) => _ = self.table.act(action),
            None => {}
        }
        Choice::None
    }

    /// Takes what the mouse did: a click on the chosen line opens it.
    pub fn mouse(&mut self, mouse: Mouse, at: Position) -> Choice {
        self.problem = None;
        match self.table.mouse(mouse, at) {
            Reaction::Ignored if mouse == Mouse::Click && self.table.is_row(at) => self.open(),
            _ => Choice::None,
        }
    }

    fn open(&self) -> Choice {
        if self.chosen().is_some() { Choice::Open } else { Choice::None }
    }

    /// Draws it.
    pub fn draw(&mut self, area: Rect, buffer: &mut Buffer) {
        let theme = &self.theme;
        if Size::of(area).is_none() {
            chrome::too_small(area, buffer, theme);
            return;
        }
        let (head, rest) = split(area, 1);
        let (list, foot) = split(split(rest, 1).1, rest.height.saturating_sub(2));
        let badge = " WHICH ONE? ";
        put(buffer, head, badge, theme.style(Role::Warning).add_modifier(Modifier::REVERSED));
        let count = match self.kernels.len() {
            1 => "1 instrumented kernel of yours runs".to_owned(),
            count => format!("{count} instrumented kernels of yours run"),
        };
        let after = badge.len() as u16 + 1;
        put(buffer, Rect { x: head.x + after, width: head.width - after, ..head }, &count, theme.style(Role::Text));
        let rows: Vec<_> = self.kernels.iter().map(|kernel| Line { kernel, theme }).collect();
        self.table.draw(list, buffer, theme, &rows, "none any more; `rumpscope run` starts one");
        match &self.problem {
            Some(why) => put(buffer, foot, &format!(" {why}"), theme.style(Role::Error)),
            None => chrome::hints(foot, buffer, theme, &self.keys, &ACTIONS, false),
        }
    }
}

/// A kernel.
struct Line<'a> {
    kernel: &'a Kernel,
    theme: &'a Theme,
}

impl Row for Line<'_> {
    fn identity(&self) -> u64 {
        self.kernel.process.pid.into()
    }

    fn name(&self) -> Cow<'_, str> {
        format!("{} {} {}", self.kernel.process.program, self.kernel.process.pid, self.kernel.backend).into()
    }

    fn order(&self, column: usize) -> Order<'_> {
        let kernel = self.kernel;
        match column {
            0 => Order::Text(&kernel.process.program),
            1 => Order::Number(kernel.process.pid.into()),
            2 => Order::Number(kernel.vcpus as f64),
            3 => Order::Number(kernel.measured.as_secs_f64()),
            4 => kernel.per_second.map_or(Order::Unknown, Order::Number),
            _ => Order::Text(&kernel.backend),
        }
    }

    fn cell(&self, column: usize, width: usize) -> Cell<'_> {
        let kernel = self.kernel;
        let fitted = |text| super::draw::fitted(text, width, self.theme.symbols().cut);
        match column {
            0 => Cell::new(fitted(&kernel.process.program)),
            1 => Cell::new(kernel.process.pid.to_string()),
            2 => Cell::new(kernel.vcpus.to_string()),
            3 => Cell::new(units::time(kernel.measured.as_nanos() as f64, self.theme.ascii)),
            4 => kernel.per_second.map_or(Cell::of("-", Role::Faint), |rate| Cell::new(units::rate(rate))),
            _ => Cell::of(fitted(&kernel.backend), Role::Faint),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::testing::{check, text_of};
    use crate::dashboard::theme::Palette;
    use ratatui::crossterm::event::{KeyCode, KeyModifiers};
    use rumpscope_probes::Process;
    use std::path::PathBuf;
    use std::time::Duration;

    fn kernel(pid: u32, program: &str, seconds: u64, per_second: Option<f64>) -> Kernel {
        Kernel {
            path: PathBuf::new(),
            process: Process { pid, start_time: 1, program: program.to_owned(), began_unix_ns: 0 },
            alive: true,
            vcpus: pid as usize % 7,
            backend: "native, uring".to_owned(),
            measured: Duration::from_secs(seconds),
            calls: 9,
            per_second,
        }
    }

    fn kernels() -> Vec<Kernel> {
        vec![
            kernel(4711, "rump_server", 75, Some(272_000.0)),
            kernel(815, "/usr/local/libexec/a_program_with_a_long_name/fs_server", 86_400, Some(0.0)),
            kernel(17_133, "rumpscope", 2, None),
        ]
    }

    fn chooser(ascii: bool) -> Chooser {
        let mut chooser = Chooser::new(Theme { palette: Palette::None, ascii }, KeyMap::default());
        chooser.take(kernels());
        chooser
    }

    fn picture(chooser: &mut Chooser, width: u16, height: u16) -> String {
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        chooser.draw(area, &mut buffer);
        text_of(&buffer)
    }

    fn press(chooser: &mut Chooser, keys: &str) -> Choice {
        let mut choice = Choice::None;
        for character in keys.chars() {
            let code = if character == '\n' { KeyCode::Enter } else { KeyCode::Char(character) };
            choice = chooser.key(KeyEvent::new(code, KeyModifiers::NONE));
        }
        choice
    }

    fn chosen(chooser: &Chooser) -> Option<u32> {
        chooser.chosen().map(|kernel| kernel.process.pid)
    }

    #[test]
    fn kernels_in_all_sizes() {
        for (width, height) in [(80, 24), (120, 40)] {
            check(&format!("chooser-{width}x{height}.txt"), &picture(&mut chooser(false), width, height));
        }
        assert!(picture(&mut chooser(true), 80, 24).is_ascii());
        for (width, height) in [(0, 0), (1, 1), (79, 24), (80, 3), (300, 100)] {
            picture(&mut chooser(false), width, height);
        }
    }

    #[test]
    fn one_is_chosen_by_keys() {
        let mut chooser = chooser(false);
        picture(&mut chooser, 80, 24);
        assert_eq!((chosen(&chooser), press(&mut chooser, "\n")), (Some(17_133), Choice::Open));
        assert_eq!((press(&mut chooser, "j"), chosen(&chooser)), (Choice::None, Some(4711)));
        assert_eq!(press(&mut chooser, "/fs\n"), Choice::None);
        picture(&mut chooser, 80, 24);
        assert_eq!((press(&mut chooser, "\n"), chosen(&chooser)), (Choice::Open, Some(815)));
        assert_eq!(press(&mut chooser, "q"), Choice::Leave);
    }

    #[test]
    fn one_is_chosen_by_the_mouse() {
        let mut chooser = chooser(false);
        picture(&mut chooser, 80, 24);
        let at = Position::new(5, 4);
        assert_eq!((chooser.mouse(Mouse::Click, at), chosen(&chooser)), (Choice::None, Some(4711)));
        assert_eq!(chooser.mouse(Mouse::Click, at), Choice::Open);
        assert_eq!(chooser.mouse(Mouse::Click, Position::new(5, 20)), Choice::None);
    }

    #[test]
    fn what_is_chosen_stays_while_others_come_and_go() {
        let mut chooser = chooser(false);
        picture(&mut chooser, 80, 24);
        press(&mut chooser, "j");
        chooser.take(vec![kernel(9, "new", 1, None), kernels().remove(0)]);
        picture(&mut chooser, 80, 24);
        assert_eq!(chosen(&chooser), Some(4711));
        chooser.fail("cannot read it".to_owned());
        assert!(picture(&mut chooser, 80, 24).contains("cannot read it"));
        chooser.take(Vec::new());
        assert_eq!((press(&mut chooser, "\n"), chosen(&chooser)), (Choice::None, None));
        assert!(picture(&mut chooser, 80, 24).contains("none any more"));
    }
}
