//! A guest that runs beside the dashboard: somebody else waits for it, and what it writes does not reach the screen.

use crate::child::{GRACE, Outcome, TimeUp, send};
use crate::interrupt;
use anyhow::Context;
use crossbeam_channel::{RecvTimeoutError, Sender, unbounded};
use rumpscope_probes::reader::Segment;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it is looked whether the guest has ended.
const LOOK: Duration = Duration::from_millis(20);

/// How much of what the guest has written is shown afterwards, in bytes and in lines.
const SHOWN: u64 = 4096;
const LINES: usize = 20;

/// How often it is looked for the segment of a guest that has just been started.
const SOON: Duration = Duration::from_millis(2);

/// Runs `command` for at most `limit`, shown by `show` from when it has its segment at `segment`; what that says becomes of
/// it when nobody looks any more. `look` is called until then. What the guest has written is told on standard error when
/// it has ended. The inner error is that `command` cannot be started.
///
/// # Errors
/// When there is no place for what the guest writes, or waiting fails.
pub fn show(
    command: &mut Command,
    limit: Option<Duration>,
    segment: &Path,
    mut look: Option<&mut dyn FnMut()>,
    show: &mut dyn FnMut(Segment) -> anyhow::Result<Request>,
) -> anyhow::Result<io::Result<Outcome>> {
    let written = Written::redirect(command)?;
    // What the dashboard does not catch is noted: the guest is to have an end, and its summary.
    interrupt::catch().context("cannot wait for Ctrl-C")?;
    let running = match Running::start(command, limit) {
        Ok(running) => running,
        Err(error) => return Ok(Err(error)),
    };
    let mut request = None;
    while request.is_none() && !running.has_ended() {
        if let Some(look) = &mut look {
            look();
        }
        if interrupt::arrived() {
            request = Some(Request::Signal(libc::SIGTERM));
        } else if let Ok(segment) = Segment::open(segment) {
            // It may have come after the last look.
            if let Some(look) = &mut look {
                look();
            }
            request = Some(show(segment).unwrap_or_else(|error| {
                tell!("rumpscope: {error:#}");
                Request::Leave
            }));
        } else {
            std::thread::sleep(SOON);
        }
    }
    let outcome = running.end(request.unwrap_or(Request::Leave)).context("cannot wait for the guest")?;
    if let Err(error) = written.tell(&mut io::stderr()) {
        tell!("rumpscope: what the guest wrote cannot be shown: {error}");
    }
    Ok(Ok(outcome))
}

/// A guest that runs, with a thread that waits for its end.
#[derive(Debug)]
pub struct Running {
    pid: u32,
    requests: Sender<Request>,
    thread: JoinHandle<io::Result<(ExitStatus, Option<TimeUp>)>>,
}

/// What is asked of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// To end, since nobody looks at it any more.
    Leave,
    /// To do as this signal says, which has come to us.
    Signal(libc::c_int),
}

impl Running {
    /// Starts `command`, which may run for at most `limit`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &mut Command, limit: Option<Duration>) -> io::Result<Self> {
        // Whoever started us may have it ignored, and then there is nothing to wait for.
        // SAFETY: the default action has no handler.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        let mut child = command.spawn()?;
        let pid = child.id();
        let (requests, received) = unbounded();
        let wait = move || {
            let mut deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
            let mut time_up = None;
            let mut signalled = false;
            loop {
                if let Some(status) = child.try_wait()? {
                    return Ok((status, time_up));
                }
                if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    deadline = next(&child, &mut time_up, signalled);
                }
                match received.recv_timeout(LOOK) {
                    Ok(Request::Leave) if time_up.is_none() => deadline = next(&child, &mut time_up, signalled),
                    Ok(Request::Signal(number)) => {
                        send(&child, number);
                        signalled = true;
                        deadline = Some(Instant::now() + GRACE);
                    }
                    Ok(Request::Leave) | Err(RecvTimeoutError::Timeout) => {}
                    // Nobody asks any more, but somebody waits.
                    Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK),
                }
            }
        };
        let thread = std::thread::Builder::new().name("guest".to_owned()).spawn(wait)?;
        Ok(Running { pid, requests, thread })
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Asks it to end, if it has not, and waits for that: for [`GRACE`], after which it is killed.
    ///
    /// # Errors
    /// When waiting fails.
    pub fn end(self, request: Request) -> io::Result<Outcome> {
        // Who has ended needs not be asked.
        let _ = self.requests.send(request);
        let waited = self.thread.join().map_err(|_| io::Error::other("the thread that waits for the guest failed"))?;
        let (status, time_up) = waited?;
        let asked_to_end = matches!(request, Request::Signal(_));
        Ok(Outcome { pid: self.pid, status, time_up, asked_to_end })
    }
}

/// The next step against a guest whose time is up, and when the one after that is due.
fn next(child: &Child, time_up: &mut Option<TimeUp>, signalled: bool) -> Option<Instant> {
    if time_up.is_none() && !signalled {
        send(child, libc::SIGTERM);
        *time_up = Some(TimeUp::Terminated);
        return Some(Instant::now() + GRACE);
    }
    send(child, libc::SIGKILL);
    *time_up = Some(TimeUp::Killed);
    None
}

/// The file that the guest writes to instead of the screen.
#[derive(Debug)]
pub struct Written {
    path: PathBuf,
    file: File,
}

impl Written {
    /// Makes it, and has `command` write there; its standard input is empty.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn redirect(command: &mut Command) -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("rumpscope-{}.output", std::process::id()));
        // Left from an earlier process with our number, if it is there.
        let _ = std::fs::remove_file(&path);
        let file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&path);
        let file = file.with_context(|| format!("cannot make {} for what the guest writes", path.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file.try_clone()?);
        Ok(Written { path, file })
    }

    /// Writes the last part of it to `out`, and where the whole is if that is more; otherwise the file is removed.
    ///
    /// # Errors
    /// When it cannot be read, or `out` be written.
    pub fn tell(mut self, out: &mut dyn Write) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        self.file.seek(SeekFrom::Start(length.saturating_sub(SHOWN)))?;
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let shown = &lines[lines.len().saturating_sub(LINES)..];
        if length > SHOWN || shown.len() < lines.len() {
            writeln!(out, "rumpscope: the last of what the guest wrote; all of it is in {}:", self.path.display())?;
        } else {
            std::fs::remove_file(&self.path)?;
        }
        for line in shown {
            // What moves a cursor or rings a bell belongs to a screen that is gone.
            let line: String = line.chars().filter(|letter| !letter.is_control() || *letter == '\t').collect();
            writeln!(out, "{line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::sync::Mutex;

    /// The file has the name of the process, so one test at a time.
    static FILE: Mutex<()> = Mutex::new(());

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_guest_ends_by_itself_or_when_it_is_left() {
        let running = Running::start(&mut shell("exit 7"), None).unwrap();
        while !running.has_ended() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let outcome = running.end(Request::Leave).unwrap();
        assert_eq!((outcome.status.code(), outcome.time_up), (Some(7), None));
        let outcome = Running::start(&mut shell("exec sleep 1000"), None).unwrap().end(Request::Leave).unwrap();
        assert_eq!((outcome.status.signal(), outcome.time_up), (Some(libc::SIGTERM), Some(TimeUp::Terminated)));
        let running = Running::start(&mut shell("exec sleep 1000"), None).unwrap();
        // Not SIGINT: whoever runs tests in the background may have it ignored, which processes inherit.
        let outcome = running.end(Request::Signal(libc::SIGTERM)).unwrap();
        assert_eq!((outcome.status.signal(), outcome.time_up), (Some(libc::SIGTERM), None));
        assert!(outcome.asked_to_end);
        let running = Running::start(&mut shell("exec sleep 1000"), Some(Duration::from_millis(10))).unwrap();
        while !running.has_ended() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(running.end(Request::Leave).unwrap().time_up, Some(TimeUp::Terminated));
    }

    #[test]
    fn a_place_that_is_missing_is_not_taken_for_a_missing_program() {
        let _one = FILE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let path = std::env::temp_dir().join(format!("rumpscope-{}.output", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let shown = show(&mut shell(":"), None, Path::new("/nowhere"), None, &mut |_| Ok(Request::Leave));
        std::fs::remove_dir(&path).unwrap();
        let told = format!("{:#}", shown.unwrap_err());
        assert!(told.starts_with("cannot make ") && told.contains("for what the guest writes"), "{told}");
    }

    fn told(script: &str) -> (String, bool) {
        let _one = FILE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut command = shell(script);
        let written = Written::redirect(&mut command).unwrap();
        assert!(command.status().unwrap().success());
        let path = written.path.clone();
        let mut out = Vec::new();
        written.tell(&mut out).unwrap();
        let kept = path.exists();
        let _ = std::fs::remove_file(path);
        (String::from_utf8(out).unwrap(), kept)
    }

    #[test]
    fn what_was_written_is_told_afterwards() {
        assert_eq!(
            told("cat; echo one; echo two >&2; printf '\\033[2Jthree'"),
            ("one\ntwo\n[2Jthree\n".to_owned(), false)
        );
        assert_eq!(told(":"), (String::new(), false));
        let (text, kept) = told("for n in 1 2 3 4 5 6 7 8 9 10; do echo $n; echo $n; echo $n; done");
        assert!(kept && text.starts_with("rumpscope: the last of what the guest wrote; all of it is in "), "{text}");
        assert_eq!(text.lines().count(), LINES + 1);
    }
}
