//! The dashboard without a terminal: what it takes, what it does about it, what it shows.

mod act;

use super::chrome::{self, Parts, Tabs};
use super::draw::put;
use super::keys::{Key, KeyMap};
use super::playback::Playback;
use super::scene::Scene;
use super::screen::{Mouse, Reaction, Screen, Size, View};
use super::screens;
use super::source::{Live, News, Source};
use super::status::{Message, Mode, Status};
use super::theme::{Role, Theme};
use super::timeline::{self, Timeline};
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::KeyEvent;
use ratatui::layout::{Position, Rect};
use rumpscope_reports::{Sample, State};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// What the event loop is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Go on.
    None,
    /// End.
    Quit,
    /// Stop the process for a while.
    Suspend,
    /// Draw everything anew.
    Redraw,
}

/// Where samples come from, and what can be done about it.
#[derive(Debug)]
enum Feed {
    Live(Box<dyn Live>),
    Replay(Playback),
}

/// The dashboard.
pub struct App {
    feed: Feed,
    theme: Theme,
    keys: KeyMap,
    /// Where reports are saved.
    folder: PathBuf,
    screens: Vec<Box<dyn Screen>>,
    current: usize,
    help: Option<Box<dyn Screen>>,
    /// How it is; none before the first sample.
    now: Option<Scene>,
    /// The picture that the user holds.
    held: Option<Scene>,
    cumulative: bool,
    message: Option<Message>,
    /// Why no samples come at the moment, if that is so.
    trouble: Option<Arc<str>>,
    /// No more samples will come.
    cut_off: bool,
    tabs: Tabs,
    timeline: Timeline,
    area: Rect,
    dirty: bool,
}

impl App {
    /// A dashboard of `source`; `screen` is the number of the first screen, from 0.
    pub fn new(source: Source, theme: Theme, keys: KeyMap, folder: PathBuf, screen: usize) -> Self {
        let screens = screens::all();
        App {
            feed: match source {
                Source::Live(live) => Feed::Live(live),
                Source::Replay(player) => Feed::Replay(Playback::new(player)),
            },
            theme,
            keys,
            folder,
            current: screen.min(screens.len() - 1),
            screens,
            help: None,
            now: None,
            held: None,
            cumulative: false,
            message: None,
            trouble: None,
            cut_off: false,
            tabs: Tabs::default(),
            timeline: Timeline::default(),
            area: Rect::default(),
            dirty: true,
        }
    }

    /// The kernel that runs, if it is one.
    pub fn live(&self) -> Option<&dyn Live> {
        match &self.feed {
            Feed::Live(live) => Some(live.as_ref()),
            Feed::Replay(_) => None,
        }
    }

    /// Whether there is something to draw that was not drawn yet.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// When something is to be done though nothing happens: [`tick`](Self::tick) does it.
    pub fn due(&self) -> Option<Instant> {
        match &self.feed {
            Feed::Replay(playback) => playback.due(),
            Feed::Live(_) => None,
        }
    }

    /// Does what is to be done by now.
    pub fn tick(&mut self, now: Instant) {
        if self.message.as_ref().is_some_and(|message| message.is_over(now)) {
            self.message = None;
            self.dirty = true;
        }
        self.dirty |= self.help.as_ref().unwrap_or(&self.screens[self.current]).is_pending();
        match &mut self.feed {
            Feed::Replay(playback) => {
                let moved = playback.tick(now, self.cumulative, &mut self.now);
                self.told(moved);
            }
            Feed::Live(live) => {
                if let Some(trouble) = live.trouble() {
                    self.message = Some(Message::lasting(trouble, Role::Error));
                    self.dirty = true;
                }
            }
        }
    }

    /// Takes what a kernel that runs has to tell.
    pub fn take(&mut self, news: News) {
        match news {
            News::Sample(sample) => self.push(sample),
            News::Trouble(why) => {
                self.trouble = Some(why);
                self.dirty = true;
            }
        }
    }

    /// Nothing more will come.
    pub fn cut_off(&mut self) {
        self.cut_off = true;
        self.dirty = true;
    }

    fn push(&mut self, sample: Arc<Sample>) {
        self.trouble = None;
        let died = sample.state == State::Dead && !self.cumulative;
        let replaced = match &mut self.now {
            Some(scene) => scene.push(sample),
            none => {
                *none = Some(Scene::new(sample, self.cumulative));
                false
            }
        };
        if died && let Some(scene) = &mut self.now {
            // Its last interval was over before it had begun; what remains of it is all that it has done.
            self.cumulative = true;
            scene.set_cumulative(true);
        }
        if replaced {
            self.message = Some(Message::told("another process is measured now; this is its history".to_owned()));
        }
        // What is held does not change; but a message does, and so does what is recorded.
        self.dirty |= self.held.is_none() || replaced;
    }

    /// Takes a key.
    pub fn key(&mut self, key: KeyEvent) -> Wish {
        let was_dirty = std::mem::replace(&mut self.dirty, true);
        let screen = self.help.as_mut().unwrap_or(&mut self.screens[self.current]);
        if let Some(field) = screen.field().filter(|field| field.is_edited())
            && field.key(key)
        {
            return Wish::None;
        }
        let Some(action) = self.keys.action(Key::from(key)) else {
            // A sample may have come that is not drawn yet.
            self.dirty = was_dirty;
            return Wish::None;
        };
        self.act(action)
    }

    /// Takes what the mouse did.
    pub fn mouse(&mut self, mouse: Mouse, at: Position) {
        if let Some(tab) = self.tabs.at(at).filter(|_| mouse == Mouse::Click) {
            self.show(tab);
            return;
        }
        if let Feed::Replay(playback) = &mut self.feed
            && mouse == Mouse::Click
            && let Some(index) = self.timeline.at(at, playback.intervals())
        {
            let moved = playback.seek(index, self.cumulative, &mut self.now);
            self.told(moved);
            return;
        }
        let reaction = self.with_screen(|screen, view| screen.mouse(mouse, at, view));
        self.react(reaction);
    }

    /// The terminal has another size.
    pub fn resized(&mut self) {
        self.dirty = true;
    }

    fn with_screen(&mut self, what: impl FnOnce(&mut dyn Screen, &View<'_>) -> Reaction) -> Reaction {
        let Some(scene) = self.held.as_ref().or(self.now.as_ref()) else { return Reaction::Ignored };
        let screen = self.help.as_mut().unwrap_or(&mut self.screens[self.current]);
        let size = Size::of(self.area).unwrap_or(Size::Small);
        let view = scene.view(&self.theme, &self.keys, size, self.held.is_some());
        what(screen.as_mut(), &view)
    }

    fn status(&self) -> Status {
        let progress = match &self.feed {
            Feed::Replay(playback) => Some(playback.progress()),
            Feed::Live(_) => None,
        };
        let dead = self.now.as_ref().is_some_and(|scene| scene.sample().state == State::Dead);
        let mode = match &self.feed {
            Feed::Replay(playback) if !playback.is_playing() => Mode::Paused,
            Feed::Replay(_) => Mode::Replay,
            Feed::Live(_) if self.held.is_some() => Mode::Paused,
            Feed::Live(_) if dead => Mode::Dead,
            Feed::Live(_) if self.trouble.is_some() || self.cut_off => Mode::Lost,
            Feed::Live(_) => Mode::Live,
        };
        Status {
            mode,
            interval: self.live().map(Live::interval),
            recording: self.live().and_then(Live::recording),
            progress,
            message: self.message.clone().or_else(|| self.standing_message()),
        }
    }

    /// What the user is told as long as it is so.
    fn standing_message(&self) -> Option<Message> {
        let dead = self.now.as_ref().is_some_and(|scene| scene.sample().state == State::Dead);
        match (&self.trouble, self.cut_off) {
            (Some(why), _) => Some(Message::lasting(why.to_string(), Role::Error)),
            (None, true) if dead => None,
            (None, true) => Some(Message::lasting("no more samples come".to_owned(), Role::Error)),
            (None, false) => None,
        }
    }

    /// Draws all of it.
    pub fn draw(&mut self, area: Rect, buffer: &mut Buffer) {
        self.dirty = false;
        self.area = area;
        let Some(size) = Size::of(area) else {
            chrome::too_small(area, buffer, &self.theme);
            return;
        };
        let status = self.status();
        let parts = Parts::of(area, if status.progress.is_some() { timeline::height(size) } else { 0 });
        let titles: Vec<_> = self.screens.iter().map(|screen| screen.title()).collect();
        let current = self.help.is_none().then_some(self.current);
        self.tabs = chrome::tabs(parts.tabs, buffer, &self.theme, &titles, current);
        if let (Some(progress), Feed::Replay(playback)) = (&status.progress, &self.feed) {
            let (playing, intervals) = (playback.is_playing(), playback.intervals());
            self.timeline = Timeline::draw(parts.progress, buffer, &self.theme, progress, playing, intervals);
        }
        let screen = self.help.as_mut().unwrap_or(&mut self.screens[self.current]);
        if let Some(scene) = self.held.as_ref().or(self.now.as_ref()) {
            let view = scene.view(&self.theme, &self.keys, size, self.held.is_some());
            chrome::head(parts.head, buffer, &view, &status);
            screen.draw(parts.body, buffer, &view);
        } else {
            let text = self.trouble.as_deref().unwrap_or("waiting for the first sample");
            put(buffer, parts.head, &format!(" {}  {text}", status.mode.name()), self.theme.style(Role::Title));
        }
        chrome::foot(parts.foot, buffer, &self.theme, &self.keys, &status, screen.actions());
    }
}

#[cfg(test)]
mod tests;
