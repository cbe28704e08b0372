//! How commands open the dashboard.

use crate::cli::LookArgs;
use crate::dashboard::keys;
use crate::dashboard::keys::KeyMap;
use crate::dashboard::source::{Live, Source};
use crate::dashboard::theme::{Palette, Theme};
use crate::dashboard::{self, Options, Outcome};
use crate::heap;
use crate::terminal;
use anyhow::Context;
use std::io::IsTerminal;

/// Whether the dashboard can be shown: standard input and output are a terminal, and one that can move its cursor.
pub fn is_possible() -> bool {
    std::io::stdin().is_terminal()
        && std::io::stdout().is_terminal()
        && std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// How it is to be. The process is made ready for it.
///
/// # Errors
/// When the key map cannot be read or understood.
pub fn options(look: &LookArgs) -> anyhow::Result<Options> {
    heap::keep_small();
    Ok(Options {
        theme: Theme {
            palette: look.palette.unwrap_or_else(Palette::detect),
            ascii: terminal::style(look.ascii).ascii,
        },
        keys: match (&look.keys, keys::default_path()) {
            (Some(path), _) => keys::load(path, true)?,
            (None, Some(path)) => keys::load(&path, false)?,
            (None, None) => KeyMap::default(),
        },
        folder: std::env::current_dir().context("cannot find the current folder")?,
        screen: 0,
    })
}

/// The exit status of a command that did nothing but show the dashboard.
pub fn status(outcome: Outcome) -> i32 {
    match outcome {
        Outcome::Quit => 0,
        Outcome::Signal(number) => 128 + number,
    }
}

/// Shows what comes from `live` until the user leaves.
///
/// # Errors
/// When the terminal is lost.
pub fn show(live: impl Live + 'static, options: Options) -> anyhow::Result<Outcome> {
    dashboard::run(Source::Live(Box::new(live)), options)
}
