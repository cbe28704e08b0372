//! What the user does: a thread waits for it, so that the event loop can wait for samples as well.

use super::screen::Mouse;
use crossbeam_channel::{Receiver, bounded};
use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind, MouseButton, MouseEventKind};
use ratatui::layout::Position;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Something that the user did.
#[derive(Debug)]
pub enum Input {
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse did something there.
    Mouse(Mouse, Position),
    /// The terminal has another size.
    Resized,
    /// There will be no more: the terminal is gone.
    Gone(io::Error),
}

/// How long the thread waits before it looks whether it is to end, and whether the terminal has another size.
const LOOK: Duration = Duration::from_millis(100);

/// How long its end is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// The thread that waits.
#[derive(Debug)]
pub struct Inputs {
    /// What the user did.
    pub receiver: Receiver<Input>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Inputs {
    /// Waits from now on.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start() -> io::Result<Self> {
        let (sender, receiver) = bounded(64);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let wait = move || {
            // Relaxed: nothing else is told by it.
            while !stopped.load(Ordering::Relaxed) {
                let input = match wait_for_terminal().and_then(event::poll) {
                    Ok(false) => continue,
                    Ok(true) => event::read().map_or_else(|error| Some(Input::Gone(error)), input),
                    Err(error) => Some(Input::Gone(error)),
                };
                let is_last = matches!(input, Some(Input::Gone(_)));
                if input.is_some_and(|input| sender.send(input).is_err()) || is_last {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("input".to_owned()).spawn(wait)?;
        Ok(Inputs { receiver, stop, thread: Some(thread) })
    }
}

impl Drop for Inputs {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let begin = Instant::now();
        // Where the terminal went just when the crate looked, the thread is left behind: it ends with the process.
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) && begin.elapsed() < PATIENCE {
            // It may be about to send something; nobody takes it.
            while self.receiver.try_recv().is_ok() {}
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Waits until there is something to read, or for [`LOOK`]; how long is to be waited then by the crate that reads it.
///
/// A terminal that has gone can be read for ever, with nothing in it. The crate would do that, so it must not be asked then.
fn wait_for_terminal() -> io::Result<Duration> {
    let mut terminal = libc::pollfd { fd: libc::STDIN_FILENO, events: libc::POLLIN, revents: 0 };
    // SAFETY: no memory is involved.
    if unsafe { libc::isatty(terminal.fd) } == 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ENOTTY) {
        // The crate finds the terminal elsewhere.
        return Ok(LOOK);
    }
    // SAFETY: `terminal` is valid. What is ready, or that a signal came, is found by the crate.
    unsafe { libc::poll(&mut terminal, 1, LOOK.as_millis() as libc::c_int) };
    match terminal.revents & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) {
        0 => Ok(Duration::ZERO),
        _ => Err(io::Error::from_raw_os_error(libc::EIO)),
    }
}

fn input(event: Event) -> Option<Input> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => Some(Input::Key(key)),
        Event::Resize(..) => Some(Input::Resized),
        Event::Mouse(mouse) => {
            let did = match mouse.kind {
                MouseEventKind::Down(MouseButton::Left) => Mouse::Click,
                MouseEventKind::ScrollUp => Mouse::Up,
                MouseEventKind::ScrollDown => Mouse::Down,
                _ => return None,
            };
            Some(Input::Mouse(did, Position::new(mouse.column, mouse.row)))
        }
        _ => None,
    }
}
