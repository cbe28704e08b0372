//! What a panic leaves of a real terminal. A test runs itself once more, in a terminal; there the panic happens.

use crate::dashboard::keys::KeyMap;
use crate::dashboard::source::{Live, News, Source};
use crate::dashboard::theme::Theme;
use crate::dashboard::{self, Options};
use crossbeam_channel::{Receiver, never};
use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use std::env;
use std::io::Read;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

/// Says that this is the process in the terminal.
const INSIDE: &str = "RUMPSCOPE_TEST_INSIDE";

/// What no test waits longer for.
const LONG: Duration = Duration::from_secs(30);

/// A kernel that fails as soon as a picture of it is drawn.
#[derive(Debug)]
struct Faulty {
    news: Receiver<News>,
    /// A thread of its own fails, not the one that draws.
    elsewhere: bool,
}

fn fail() {
    panic!("it was meant to fail");
}

impl Live for Faulty {
    fn news(&self) -> &Receiver<News> {
        &self.news
    }

    fn interval(&self) -> Duration {
        match self.elsewhere {
            true => assert!(std::thread::spawn(fail).join().is_err()),
            false => fail(),
        }
        LONG
    }

    fn set_interval(&mut self, _: Duration) {}

    fn recording(&self) -> Option<String> {
        None
    }

    fn toggle_recording(&mut self) -> anyhow::Result<String> {
        anyhow::bail!("it was meant to fail")
    }

    fn save_trace(&mut self) -> anyhow::Result<String> {
        anyhow::bail!("it was meant to fail")
    }
}

/// Shows the kernel, if this is the process in the terminal.
fn show_inside(elsewhere: bool) -> Option<anyhow::Result<dashboard::Outcome>> {
    env::var_os(INSIDE)?;
    let options = Options { theme: Theme::default(), keys: KeyMap::default(), folder: PathBuf::new(), screen: 0 };
    Some(dashboard::run(Source::Live(Box::new(Faulty { news: never(), elsewhere })), options))
}

/// Runs the test of this name in a terminal, which must be as it was when that has ended: what is on its screen then.
fn run_in_terminal(test: &str) -> String {
    let (rows, cols) = (40, 120);
    let pair = native_pty_system().openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }).unwrap();
    let (_, module) = module_path!().split_once("::").unwrap();
    let mut command = CommandBuilder::new(env::current_exe().unwrap());
    command.args(["--exact", &format!("{module}::{test}"), "--nocapture"]);
    for (name, value) in [(INSIDE, "1"), ("TERM", "xterm-256color"), ("RUST_BACKTRACE", "0")] {
        command.env(name, value);
    }
    let mut child = pair.slave.spawn_command(command).unwrap();
    drop(pair.slave);
    let mut reader = pair.master.try_clone_reader().unwrap();
    let (sender, written) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // That nobody writes any more is an error here.
        let _ = reader.read_to_end(&mut bytes);
        sender.send(bytes)
    });
    let Ok(bytes) = written.recv_timeout(LONG) else {
        child.kill().unwrap();
        panic!("it does not end");
    };
    child.wait().unwrap();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("\x1b[?1049h") && text.contains("\x1b[?1000h"), "the terminal was never taken:\n{text}");
    let size = |number| NonZeroU16::new(number).unwrap();
    let mut parser = vt100::Parser::new(size(rows), size(cols), 0);
    parser.process(&bytes);
    let screen = parser.screen();
    assert!(!screen.alternate_screen() && !screen.hide_cursor(), "{text}");
    assert_eq!(screen.mouse_protocol_mode(), vt100::MouseProtocolMode::None);
    let flags = pair.master.get_termios().unwrap().local_flags.bits();
    for flag in [libc::ECHO, libc::ICANON, libc::ISIG] {
        assert_ne!(flags & flag, 0, "the terminal is raw still");
    }
    screen.contents()
}

#[test]
fn a_panic_gives_the_terminal_back_and_is_read_afterwards() {
    if show_inside(false).is_some() {
        return;
    }
    let screen = run_in_terminal("a_panic_gives_the_terminal_back_and_is_read_afterwards");
    assert!(screen.contains("it was meant to fail"), "{screen}");
}

#[test]
fn a_panic_of_another_thread_ends_the_dashboard() {
    if let Some(outcome) = show_inside(true) {
        println!("{:#}", outcome.unwrap_err());
        return;
    }
    let screen = run_in_terminal("a_panic_of_another_thread_ends_the_dashboard");
    let (before, after) = screen.split_once("a part of rumpscope has failed").expect(&screen);
    assert!(before.contains("it was meant to fail") && after.contains("stands above"), "{screen}");
}
