//! What is done about a key.

use super::{App, Feed, Wish};
use crate::dashboard::keys::Action;
use crate::dashboard::screen::Reaction;
use crate::dashboard::status::Message;
use crate::dashboard::{save, screens};
use std::time::Duration;

/// Times between samples that the user goes between.
const INTERVALS_MS: [u64; 8] = [100, 200, 500, 1_000, 2_000, 5_000, 10_000, 60_000];

impl App {
    /// Does what a key stands for: first whoever is in front, then what is the same everywhere.
    pub fn act(&mut self, action: Action) -> Wish {
        self.dirty = true;
        match action {
            Action::Quit => return Wish::Quit,
            Action::Suspend => return Wish::Suspend,
            Action::Redraw => return Wish::Redraw,
            _ => {}
        }
        let reaction = self.with_screen(|screen, view| screen.act(action, view));
        if reaction != Reaction::Ignored {
            self.react(reaction);
            return Wish::None;
        }
        self.act_everywhere(action);
        Wish::None
    }

    fn act_everywhere(&mut self, action: Action) {
        let count = self.screens.len();
        match action {
            Action::Help if self.help.is_some() => self.help = None,
            Action::Help => self.help = Some(screens::help()),
            Action::Back if self.help.is_some() => self.help = None,
            Action::Back => self.message = None,
            Action::Screen(number) => self.show(usize::from(number).wrapping_sub(1)),
            Action::NextScreen => self.show((self.current + 1) % count),
            Action::PreviousScreen => self.show((self.current + count - 1) % count),
            Action::Filter => {
                let screen = self.help.as_mut().unwrap_or(&mut self.screens[self.current]);
                if let Some(field) = screen.field() {
                    field.begin();
                }
            }
            Action::Freeze if self.live().is_some() => {
                self.held = if self.held.is_some() { None } else { self.now.clone() };
            }
            Action::Cumulative => {
                self.cumulative = !self.cumulative;
                for scene in [&mut self.now, &mut self.held].into_iter().flatten() {
                    scene.set_cumulative(self.cumulative);
                }
            }
            Action::Longer => self.change_interval(true),
            Action::Shorter => self.change_interval(false),
            Action::Record => self.record(),
            Action::Save => self.save(),
            Action::Trace => self.trace(),
            _ => {
                if let Feed::Replay(playback) = &mut self.feed {
                    let moved = playback.act(action, self.cumulative, &mut self.now);
                    self.told(moved);
                }
            }
        }
    }

    pub(super) fn show(&mut self, screen: usize) {
        if screen < self.screens.len() {
            self.current = screen;
            self.help = None;
            self.dirty = true;
        }
    }

    /// To the next longer step or the next shorter one; where there is none, nothing changes.
    fn change_interval(&mut self, longer: bool) {
        let Feed::Live(live) = &mut self.feed else { return };
        let now = live.interval();
        let mut steps = INTERVALS_MS.into_iter().map(Duration::from_millis);
        let next = if longer { steps.find(|step| *step > now) } else { steps.rfind(|step| *step < now) };
        if let Some(next) = next {
            live.set_interval(next);
        }
    }

    fn record(&mut self) {
        let reaction = match &mut self.feed {
            Feed::Live(live) => told(live.toggle_recording()),
            Feed::Replay(_) => Reaction::Failed("this is a recording already".to_owned()),
        };
        self.react(reaction);
    }

    fn trace(&mut self) {
        let reaction = match &mut self.feed {
            Feed::Live(live) => told(live.save_trace()),
            Feed::Replay(_) => {
                Reaction::Failed("a recording has no timeline: a trace is saved of a kernel that runs".to_owned())
            }
        };
        self.react(reaction);
    }

    fn save(&mut self) {
        let Some(scene) = self.held.as_ref().or(self.now.as_ref()) else { return };
        let reaction = told(save::save(scene, &self.folder, self.theme.ascii));
        self.react(reaction);
    }

    /// Shows what came of something.
    pub(super) fn react(&mut self, reaction: Reaction) {
        match reaction {
            Reaction::Ignored => return,
            Reaction::Done => {}
            Reaction::Told(text) => self.message = Some(Message::told(text)),
            Reaction::Failed(text) => self.message = Some(Message::failed(text)),
        }
        self.dirty = true;
    }

    /// Whether a replay has moved, or why it could not.
    pub(super) fn told(&mut self, moved: anyhow::Result<bool>) {
        match moved {
            Ok(moved) => self.dirty |= moved,
            Err(error) => self.react(Reaction::Failed(format!("{error:#}"))),
        }
    }
}

/// What was done, or why it was not, for the user.
fn told(done: anyhow::Result<String>) -> Reaction {
    match done {
        Ok(text) => Reaction::Told(text),
        Err(error) => Reaction::Failed(format!("{error:#}")),
    }
}
