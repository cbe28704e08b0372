//! The terminal while it is ours, and that it is given back on every way out.
//!
//! Ways out are the end of a [`Session`], a panic in any thread (the hook below), and signals (`signals.rs` notes them, and
//! the session then ends). A terminal that is already given back is not touched again: what is printed then stays.

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use ratatui::crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{execute, queue};
use ratatui::{Frame, Terminal};
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Stdout};
use std::os::fd::AsRawFd;
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the terminal is ours now.
static OURS: AtomicBool = AtomicBool::new(false);

/// The terminal is ours for as long as this lives.
#[derive(Debug)]
pub struct Session {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

/// A picture of a large terminal in colours; one write is one picture.
const BUFFER: usize = 256 << 10;

impl Session {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When standard output or input is no terminal, or is gone.
    pub fn open() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let previous = panic::take_hook();
            panic::set_hook(Box::new(move |panic| {
                give_back();
                previous(panic);
            }));
        });
        take()?;
        match fresh() {
            Ok(terminal) => Ok(Session { terminal }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Draws a picture: what is different from the last one is written, all at once.
    ///
    /// # Errors
    /// When the terminal is gone, or no longer ours: nothing is written then.
    pub fn draw(&mut self, picture: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        let picture = |frame: &mut Frame<'_>| {
            picture(frame);
            if is_ours() { Ok(()) } else { Err(io::Error::other("it was given back")) }
        };
        let drawn = self.terminal.try_draw(picture).map(|_| ());
        execute!(self.terminal.backend_mut(), EndSynchronizedUpdate)?;
        drawn
    }

    /// The next picture is written whole.
    ///
    /// [`Terminal::clear`] would ask the terminal where its cursor is; the answer would go to the thread that waits for keys.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn clear(&mut self) -> io::Result<()> {
        execute!(self.terminal.backend_mut(), Clear(ClearType::All))?;
        self.terminal = fresh()?;
        Ok(())
    }

    /// Gives the terminal back, stops the process, and takes the terminal again when the process goes on.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn suspend(&mut self) -> io::Result<()> {
        give_back();
        // SAFETY: stops this process, which goes on here when it is sent SIGCONT.
        unsafe { libc::raise(libc::SIGSTOP) };
        self.resume()
    }

    /// Takes the terminal again after somebody else may have changed it.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn resume(&mut self) -> io::Result<()> {
        give_back();
        take()?;
        self.clear()
    }

    /// Whether the terminal was given back behind our back: a thread has panicked.
    pub fn is_lost(&self) -> bool {
        !is_ours()
    }
}

fn is_ours() -> bool {
    // Relaxed: nothing else is told by it.
    OURS.load(Ordering::Relaxed)
}

impl Drop for Session {
    fn drop(&mut self) {
        give_back();
    }
}

/// A terminal of which nothing is known yet.
fn fresh() -> io::Result<Terminal<CrosstermBackend<BufWriter<Stdout>>>> {
    Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(BUFFER, io::stdout())))
}

fn take() -> io::Result<()> {
    enable_raw_mode()?;
    OURS.store(true, Ordering::Relaxed);
    let taken = execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture, Hide);
    if taken.is_err() {
        give_back();
    }
    taken
}

/// Gives the terminal back, if it is ours.
fn give_back() {
    if OURS.swap(false, Ordering::Relaxed) {
        let left = execute!(io::stdout(), EndSynchronizedUpdate, DisableMouseCapture, LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
        if left.is_err() {
            silence();
        }
    }
}

/// Has standard error lead nowhere, if it is a terminal that has gone. What cannot be written there is a panic of
/// `eprintln!`, which ratatui uses; but much is still to be done: the guest to be ended, its profile to be written.
fn silence() {
    // SAFETY: no memory is involved.
    let is_gone = unsafe { libc::isatty(libc::STDERR_FILENO) } == 0
        && io::Error::last_os_error().raw_os_error() == Some(libc::EIO);
    if is_gone && let Ok(nowhere) = OpenOptions::new().write(true).open("/dev/null") {
        // SAFETY: both descriptors are open; nobody owns that of standard error.
        unsafe { libc::dup2(nowhere.as_raw_fd(), libc::STDERR_FILENO) };
    }
}

#[cfg(test)]
mod tests;
