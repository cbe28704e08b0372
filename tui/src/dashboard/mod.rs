//! The dashboard: one picture of a rump kernel that runs, or of a recording of one.
//!
//! Three things are apart. *State*: [`scene`] and [`model`] are what is known. *View*: [`screen`] is what a picture is made
//! of, `screens/` are the pictures. *Input*: [`keys`] says what a key stands for, and [`app`] what is done then. [`app`] knows
//! no terminal, so tests draw into memory; the loop here brings terminal, signals, input and samples together.
//!
//! A picture is drawn when there is something new to see, and not otherwise.

mod app;
mod chooser;
mod chrome;
mod draw;
mod field;
mod input;
pub mod keys;
pub mod model;
mod picture;
mod playback;
mod save;
mod scene;
mod screen;
mod screens;
mod signals;
pub mod source;
mod status;
mod table;
mod terminal;
#[cfg(test)]
pub mod testing;
pub mod theme;
mod timeline;
mod waits;
mod widgets;

use crate::live::kernels::Kernel;
use anyhow::Context;
use app::{App, Wish};
use chooser::{Choice, Chooser};
use crossbeam_channel::{Receiver, never, select};
use input::{Input, Inputs};
use keys::KeyMap;
use rumpscope_probes::reader::Segment;
use signals::{Request, Signals};
use source::{News, Source};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use terminal::Session;
use theme::Theme;

/// How the dashboard is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it looks like.
    pub theme: Theme,
    /// Which keys do what.
    pub keys: KeyMap,
    /// Where reports are saved.
    pub folder: PathBuf,
    /// The first screen, from 0.
    pub screen: usize,
}

/// How the dashboard was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The user has left it.
    Quit,
    /// This signal asked for it.
    Signal(i32),
}

/// How long signals and messages wait at most until somebody looks.
const LOOK: Duration = Duration::from_millis(100);

/// What came of asking which kernel is to be shown.
#[derive(Debug)]
pub enum Chosen {
    /// This one.
    Kernel(Segment),
    /// None: the dashboard was left.
    None(Outcome),
}

/// How often it is looked which kernels there are.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Asks which of the kernels that `look` finds is to be shown. The terminal is as it was before when this returns.
///
/// # Errors
/// When there is no terminal, or it is lost.
pub fn choose(look: impl FnMut() -> Vec<Kernel>, options: &Options) -> anyhow::Result<Chosen> {
    let signals = Signals::catch().context("cannot catch signals")?;
    let chosen = ask(look, Chooser::new(options.theme, options.keys.clone()), &signals);
    or_signal(chosen, &signals, Chosen::None)
}

fn ask(mut look: impl FnMut() -> Vec<Kernel>, mut chooser: Chooser, signals: &Signals) -> anyhow::Result<Chosen> {
    let mut session = Session::open().context("cannot take the terminal")?;
    let inputs = Inputs::start().context("cannot wait for keys")?;
    let mut due = Instant::now();
    loop {
        if Instant::now() >= due {
            chooser.take(look());
            due = Instant::now() + LOOK_AGAIN;
        }
        match signals.take() {
            Some(Request::End(signal)) => return Ok(Chosen::None(Outcome::Signal(signal))),
            Some(Request::Stop) => suspend(&mut session, signals)?,
            Some(Request::GoOn) => session.resume().context("the terminal is lost")?,
            None => {}
        }
        let drawn = session.draw(|frame| {
            let area = frame.area();
            chooser.draw(area, frame.buffer_mut());
        });
        drawn.context("the terminal is lost")?;
        let until = due.saturating_duration_since(Instant::now()).min(LOOK);
        let choice = match inputs.receiver.recv_timeout(until) {
            Ok(Input::Key(key)) => chooser.key(key),
            Ok(Input::Mouse(mouse, at)) => chooser.mouse(mouse, at),
            Ok(Input::Gone(error)) => return Err(error).context("the terminal is lost"),
            Ok(Input::Resized) | Err(_) => Choice::None,
        };
        match choice {
            Choice::None => {}
            Choice::Leave => return Ok(Chosen::None(Outcome::Quit)),
            Choice::Suspend => suspend(&mut session, signals)?,
            Choice::Redraw => session.clear().context("the terminal is lost")?,
            // It may have ended since it was seen; the list goes on then.
            Choice::Open => match chooser.chosen().map(|kernel| Segment::open(&kernel.path)) {
                Some(Ok(segment)) => return Ok(Chosen::Kernel(segment)),
                Some(Err(error)) => chooser.fail(error.to_string()),
                None => {}
            },
        }
    }
}

/// Shows `source` until the user leaves. The terminal is as it was before when this returns.
///
/// # Errors
/// When there is no terminal, or it is lost.
pub fn run(source: Source, options: Options) -> anyhow::Result<Outcome> {
    let Options { theme, keys, folder, screen } = options;
    let signals = Signals::catch().context("cannot catch signals")?;
    let shown = show(App::new(source, theme, keys, folder, screen), &signals);
    or_signal(shown, &signals, |outcome| outcome)
}

/// What came of it; `by` a signal, where it failed and one has come: who closes a terminal sends a signal, too, and it is by
/// chance which of the two is seen first.
fn or_signal<T>(done: anyhow::Result<T>, signals: &Signals, by: impl FnOnce(Outcome) -> T) -> anyhow::Result<T> {
    match (done, signals.take()) {
        (Err(_), Some(Request::End(signal))) => Ok(by(Outcome::Signal(signal))),
        (done, _) => done,
    }
}

fn show(mut app: App, signals: &Signals) -> anyhow::Result<Outcome> {
    let mut session = Session::open().context("cannot take the terminal")?;
    let inputs = Inputs::start().context("cannot wait for keys")?;
    let mut news = app.live().map_or_else(never, |live| live.news().clone());
    loop {
        match signals.take() {
            Some(Request::End(signal)) => return Ok(Outcome::Signal(signal)),
            Some(Request::Stop) => {
                suspend(&mut session, signals)?;
                app.resized();
            }
            Some(Request::GoOn) => {
                session.resume().context("the terminal is lost")?;
                app.resized();
            }
            None => {}
        }
        app.tick(Instant::now());
        let drawn = match app.is_dirty() {
            true => session.draw(|frame| {
                let area = frame.area();
                app.draw(area, frame.buffer_mut());
            }),
            false => Ok(()),
        };
        if session.is_lost() {
            anyhow::bail!("a part of rumpscope has failed; what it said stands above");
        }
        drawn.context("the terminal is lost")?;
        match wait(&mut app, &inputs.receiver, &mut news)? {
            Wish::None => {}
            Wish::Quit => return Ok(Outcome::Quit),
            Wish::Suspend => {
                suspend(&mut session, signals)?;
                app.resized();
            }
            Wish::Redraw => session.clear().context("the terminal is lost")?,
        }
    }
}

fn suspend(session: &mut Session, signals: &Signals) -> anyhow::Result<()> {
    session.suspend().context("the terminal is lost")?;
    signals.forget_going_on();
    Ok(())
}

/// Waits until something happens, and takes all that has: a picture shows the latest, however much came.
fn wait(app: &mut App, inputs: &Receiver<Input>, news: &mut Receiver<News>) -> anyhow::Result<Wish> {
    let until = app.due().map_or(LOOK, |due| due.saturating_duration_since(Instant::now()).min(LOOK));
    select! {
        recv(inputs) -> input => if let Ok(input) = input {
            let wish = take(app, input)?;
            if wish != Wish::None {
                return Ok(wish);
            }
        },
        recv(news) -> item => match item {
            Ok(item) => app.take(item),
            Err(_) => {
                app.cut_off();
                *news = never();
            }
        },
        default(until) => return Ok(Wish::None),
    }
    while let Ok(item) = news.try_recv() {
        app.take(item);
    }
    while let Ok(input) = inputs.try_recv() {
        let wish = take(app, input)?;
        if wish != Wish::None {
            return Ok(wish);
        }
    }
    Ok(Wish::None)
}

fn take(app: &mut App, input: Input) -> anyhow::Result<Wish> {
    match input {
        Input::Key(key) => return Ok(app.key(key)),
        Input::Mouse(mouse, at) => app.mouse(mouse, at),
        Input::Resized => app.resized(),
        Input::Gone(error) => return Err(error).context("the terminal is lost"),
    }
    Ok(Wish::None)
}
