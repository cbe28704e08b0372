//! A terminal with the real command in it. Tests wait for what is to be seen, never for a time.

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// What no test waits longer for.
const LONG: Duration = Duration::from_secs(30);

/// A terminal, and what runs in it.
pub struct Terminal {
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    parser: vt100::Parser,
    /// The current folder of the command, and where it looks for others.
    pub folder: PathBuf,
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }
}

fn nonzero(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).expect("a size")
}

impl Terminal {
    /// Starts the command in a terminal of this size, with folders of its own.
    pub fn start(columns: u16, rows: u16, arguments: &[&str]) -> Self {
        Self::start_in(Self::make_folder(), columns, rows, arguments, true)
    }

    /// A folder for one command and what belongs to it.
    pub fn make_folder() -> PathBuf {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("dashboard-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// The same in this folder; `controlling`: the terminal sends it signals.
    pub fn start_in(folder: PathBuf, columns: u16, rows: u16, arguments: &[&str], controlling: bool) -> Self {
        let pair = native_pty_system().openpty(size(columns, rows)).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_rumpscope"));
        command.args(arguments);
        command.cwd(&folder);
        command.set_controlling_tty(controlling);
        for (name, value) in [("TERM", "xterm-256color"), ("LC_ALL", "C.UTF-8"), ("NO_COLOR", "")] {
            command.env(name, value);
        }
        command.env("XDG_RUNTIME_DIR", &folder);
        command.env("XDG_CONFIG_HOME", &folder);
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        let keys = pair.master.take_writer().unwrap();
        let parser = vt100::Parser::new(nonzero(rows), nonzero(columns), 1000);
        Terminal { master: pair.master, child, keys, output, parser, folder }
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        self.parser.screen().contents()
    }

    /// Whether the program has the whole screen.
    pub fn is_taken(&self) -> bool {
        self.parser.screen().alternate_screen()
    }

    /// Waits until `seen` is so.
    pub fn wait(&mut self, what: &str, seen: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !seen(self) {
            assert!(begin.elapsed() < LONG, "{what} never came; this is there:\n{}", self.text());
            match self.output.recv_timeout(Duration::from_millis(100)) {
                Ok(bytes) => self.parser.process(&bytes),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    assert!(seen(self), "{what} never came, and all is over; this is there:\n{}", self.text());
                }
            }
        }
    }

    /// Waits until `text` is on the screen.
    pub fn wait_for(&mut self, text: &str) {
        self.wait(text, |terminal| terminal.text().contains(text));
    }

    /// Loses what is on the screen, as when somebody else has written on it.
    pub fn forget(&mut self) {
        self.parser.process(b"\x1b[2J");
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Gives the terminal another size.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.parser.set_size(nonzero(rows), nonzero(columns));
        self.master.resize(size(columns, rows)).unwrap();
    }

    /// Sends the command a signal.
    pub fn signal(&self, signal: i32) {
        let pid = self.child.process_id().expect("it runs");
        send(pid, signal);
    }

    /// Whether the command is stopped, and waits for SIGCONT.
    pub fn is_stopped(&self) -> bool {
        let pid = self.child.process_id().expect("it runs");
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Behind the name, which may have anything in it.
        stat.rsplit(')').next().is_some_and(|after| after.trim_start().starts_with('T'))
    }

    /// The process that is measured: its number, as the head of the dashboard tells it.
    pub fn measured(&self) -> u32 {
        let text = self.text();
        let after = text.split("pid ").nth(1).expect("a number");
        after.split_whitespace().next().expect("a number").parse().expect("a number")
    }

    /// Waits for the end of the command; the terminal must be as it was. Its exit status.
    pub fn end(mut self) -> (u32, String) {
        let begin = Instant::now();
        let status = loop {
            // What it writes must be read, or it waits.
            while let Ok(bytes) = self.output.try_recv() {
                self.parser.process(&bytes);
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begin.elapsed() < LONG, "it does not end; this is there:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(5));
        };
        let screen_given_back = |terminal: &Self| {
            let screen = terminal.parser.screen();
            !screen.alternate_screen()
                && !screen.hide_cursor()
                && screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None
        };
        self.wait("the terminal as it was", screen_given_back);
        assert!(self.echoes(), "the terminal is raw still");
        while let Ok(bytes) = self.output.recv_timeout(Duration::from_millis(50)) {
            self.parser.process(&bytes);
        }
        let text = self.text();
        let _ = std::fs::remove_dir_all(&self.folder);
        (status.exit_code(), text)
    }

    /// Closes the terminal, and waits for the end of the command: how it ended, and its folder, which is left.
    pub fn hang_up(self) -> (ExitStatus, PathBuf) {
        let Terminal { master, mut child, keys, output, folder, .. } = self;
        // The thread that reads keeps it open until it has something that nobody takes.
        drop((master, keys, output));
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(begin.elapsed() < LONG, "it does not end when its terminal has gone");
            std::thread::sleep(Duration::from_millis(5));
        };
        (status, folder)
    }

    /// Whether the terminal shows what is typed, and makes signals of keys: it is not raw.
    fn echoes(&self) -> bool {
        let Some(terminal) = self.master.as_raw_fd() else { return false };
        // SAFETY: all bytes zero is a valid `termios`, which the host fills; the descriptor is open.
        let flags = unsafe {
            let mut settings: libc::termios = std::mem::zeroed();
            if libc::tcgetattr(terminal, &mut settings) != 0 {
                return false;
            }
            settings.c_lflag
        };
        flags & libc::ECHO != 0 && flags & libc::ICANON != 0 && flags & libc::ISIG != 0
    }
}

/// Sends process `pid` a signal.
pub fn send(pid: u32, signal: i32) {
    // SAFETY: no memory is involved.
    unsafe { libc::kill(pid as i32, signal) };
}
