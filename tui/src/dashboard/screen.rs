//! What a screen is, and what it sees.

use super::field::Field;
use super::keys::{Action, KeyMap};
use super::model::{History, Span};
use super::table::Table;
use super::theme::Theme;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use rumpscope_reports::Sample;
use std::sync::Arc;

/// What is shown: all that a screen draws from. It is the same until the next sample comes; a frozen one stays.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The latest sample.
    pub sample: &'a Arc<Sample>,
    /// The one it is compared with; `None`: all since the start is shown.
    pub earlier: Option<&'a Arc<Sample>>,
    /// The difference of the two. Of calls that were made in it, and of which it is not known how long each took, percentiles
    /// are those of `whole`.
    pub span: &'a Span,
    /// What is shown of how long each event took and of who waited for what, where the two samples do not tell: the
    /// interval between the last whole ones, if that is not long ago.
    pub whole: Option<Whole<'a>>,
    /// How it went before. It goes interval by interval, even where `span` is the whole.
    pub history: &'a History,
    /// What things look like.
    pub theme: &'a Theme,
    /// Which keys do what.
    pub keys: &'a KeyMap,
    /// How much room there is.
    pub size: Size,
    /// The picture is held.
    pub frozen: bool,
}

/// An interval between whole samples: as in [`View`].
#[derive(Clone, Copy, Debug)]
pub struct Whole<'a> {
    /// The sample at its end.
    pub sample: &'a Arc<Sample>,
    /// The one at its beginning; `None`: all since the start is shown.
    pub earlier: Option<&'a Arc<Sample>>,
    /// The difference of the two.
    pub span: &'a Span,
}

impl<'a> View<'a> {
    /// The same for a screen that shows nothing else than what only whole samples tell.
    pub fn of_whole(&self) -> View<'a> {
        match self.whole {
            Some(Whole { sample, earlier, span }) => View { sample, earlier, span, ..*self },
            None => *self,
        }
    }

    /// What the time of the latest sample is called.
    pub fn moment(&self) -> &'static str {
        if self.frozen { "held" } else { "now" }
    }
}

/// How much room there is for a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Size {
    /// From 80x24.
    Small,
    /// From 110x34.
    Medium,
    /// From 170x50.
    Large,
}

impl Size {
    /// The class of a terminal; `None`: too small for anything.
    pub fn of(area: Rect) -> Option<Self> {
        match (area.width, area.height) {
            (width, height) if width >= 170 && height >= 50 => Some(Size::Large),
            (width, height) if width >= 110 && height >= 34 => Some(Size::Medium),
            (width, height) if width >= 80 && height >= 24 => Some(Size::Small),
            _ => None,
        }
    }
}

/// What the mouse did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mouse {
    /// The left button was pressed.
    Click,
    /// The wheel was turned away from the user.
    Up,
    /// The wheel was turned towards the user.
    Down,
}

/// What a screen made of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Nothing; others may make something of it.
    Ignored,
    /// Something has changed.
    Done,
    /// Something has been done that the user is to be told of.
    Told(String),
    /// Something could not be done, and why.
    Failed(String),
}

/// One of the pictures that the user goes between. It keeps what was chosen in it: line, order, filter.
pub trait Screen {
    /// In a word or two, for its tab.
    fn title(&self) -> &'static str;

    /// Draws it. `area` is inside of `buffer` and belongs to it alone; what is outside must be left alone. It may be any
    /// size, even none.
    fn draw(&mut self, area: Rect, buffer: &mut Buffer, view: &View<'_>);

    /// Does what a key stands for.
    fn act(&mut self, action: Action, view: &View<'_>) -> Reaction {
        let _ = (action, view);
        Reaction::Ignored
    }

    /// The list that the mouse and the filter are for, where there is one now.
    fn list(&mut self) -> Option<&mut Table> {
        None
    }

    /// Does what the mouse stands for at this place of the whole terminal.
    fn mouse(&mut self, mouse: Mouse, at: Position, view: &View<'_>) -> Reaction {
        mouse_on_list(self, mouse, at, view)
    }

    /// The field that [`Action::Filter`] begins to edit, where there is one now. While it is edited it gets all keys.
    fn field(&mut self) -> Option<&mut Field> {
        self.list().map(Table::filter)
    }

    /// Whether something of the last picture is still being found out: it is drawn again soon.
    fn is_pending(&self) -> bool {
        false
    }

    /// Actions that mean something here, beside those that do everywhere: what the footer tells. The most important first.
    fn actions(&self) -> &'static [Action] {
        &[]
    }
}

/// What the mouse does to the list of a screen; a click on the line that is chosen already opens it.
pub fn mouse_on_list<S: Screen + ?Sized>(screen: &mut S, mouse: Mouse, at: Position, view: &View<'_>) -> Reaction {
    let Some(list) = screen.list() else { return Reaction::Ignored };
    match list.mouse(mouse, at) {
        Reaction::Ignored if mouse == Mouse::Click && list.is_row(at) => screen.act(Action::Open, view),
        reaction => reaction,
    }
}
