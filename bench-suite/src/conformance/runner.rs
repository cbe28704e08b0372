//! The parent's side: starts a case in its own process and judges how that ended.

use super::case::{Case, End};
use super::child::{CHILD_ARGUMENT, FAILED, PASSED};
use rumpuser::host::backend::choice;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The environment variable that names another library to be tested.
pub const LIBRARY_VARIABLE: &str = "RUMPSCOPE_CONFORMANCE_LIBRARY";

/// The environment variable that names a back end with which our library is to be tested too.
pub const BACKEND_VARIABLE: &str = "RUMPSCOPE_CONFORMANCE_BACKEND";

/// What the cases are to be run on.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The library.
    pub library: PathBuf,
    /// The back end of our library; `None`: the default, or another library.
    pub backend: Option<OsString>,
}

/// A case that is not done by now hangs. Far above what any case needs, because the machine may be busy.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The process of a case, after its end.
#[derive(Debug)]
pub(crate) struct Finished {
    status: ExitStatus,
    output: File,
    errors: File,
}

impl Finished {
    /// What is on standard output.
    pub(crate) fn output(&self) -> Vec<u8> {
        read_all(&self.output)
    }

    /// What is on standard error.
    pub(crate) fn errors(&self) -> String {
        String::from_utf8_lossy(&read_all(&self.errors)).into_owned()
    }

    fn judge(&self, case: &Case) -> Result<(), String> {
        let matches = match case.end {
            End::Returns => self.status.code() == Some(PASSED),
            End::Exits(status) => self.status.code() == Some(status),
            End::Killed(signal) => self.status.signal() == Some(signal),
        };
        if !matches {
            return Err(match (self.status.code(), case.end) {
                (Some(FAILED), _) => "the case failed".to_owned(),
                (_, End::Returns) => format!("the library ended the process: {}", self.status),
                (_, expected) => format!("the process ended with {}, not as {expected:?}", self.status),
            });
        }
        case.verdict.as_ref().map_or(Ok(()), |verdict| verdict(self))
    }
}

/// Runs `case` on `subject` in a new process of `program`, which must call [`child_main`](super::child_main) first.
///
/// # Errors
/// What went wrong, with the contract and all that the process wrote.
pub fn run(case: &Case, subject: &Subject, program: &Path) -> Result<(), String> {
    let folder = Folder::create().map_err(|error| format!("cannot make a folder for the case: {error}"))?;
    match observe(case, subject, program, &folder.0) {
        Ok((_, Ok(()))) => Ok(()),
        Ok((finished, Err(reason))) => Err(report(case, &reason, &finished)),
        Err(error) => Err(format!("cannot run the case: {error}")),
    }
}

fn observe(
    case: &Case,
    subject: &Subject,
    program: &Path,
    folder: &Path,
) -> io::Result<(Finished, Result<(), String>)> {
    let (output, errors) = (memory_file()?, memory_file()?);
    let mut command = Command::new(program);
    command.arg(CHILD_ARGUMENT).arg(&case.name).arg(&subject.library);
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(errors.try_clone()?);
    // A group of its own: where time is up, whatever the case started ends with it, but for a daemon, which has left it.
    command.current_dir(folder).process_group(0);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"RUMP")) {
        command.env_remove(name);
    }
    command.env("XDG_RUNTIME_DIR", folder);
    // The report is about the library; where in the suite it was noticed is in the message already.
    command.env("RUST_BACKTRACE", "0");
    if let Some(backend) = &subject.backend {
        command.env(choice::VARIABLE, backend);
    }
    command.envs(case.environment.iter().copied());
    let mut child = command.spawn()?;
    let ended = wait(&mut child)?;
    let finished = Finished { status: child.wait()?, output, errors };
    let outcome = if ended { finished.judge(case) } else { Err(format!("it hangs: not done after {TIMEOUT:?}")) };
    Ok((finished, outcome))
}

/// Waits until `child` has ended; kills its group when it takes too long, and says false.
fn wait(child: &mut Child) -> io::Result<bool> {
    let started = Instant::now();
    while started.elapsed() < TIMEOUT {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let group = i32::try_from(child.id()).map_err(io::Error::other)?;
    // SAFETY: a plain system call; the group is the child's, which has not been waited for.
    unsafe { libc::kill(-group, libc::SIGKILL) };
    Ok(false)
}

fn report(case: &Case, reason: &str, finished: &Finished) -> String {
    let mut text = format!("contract: {}\nfailure: {reason}\n", case.contract);
    if let Some(weakness) = case.weakness {
        text += &format!("known of the C implementation: {weakness}\n");
    }
    for (stream, content) in
        [("error", finished.errors()), ("output", String::from_utf8_lossy(&finished.output()).into_owned())]
    {
        if !content.is_empty() {
            text += &format!("standard {stream}:\n{content}\n");
        }
    }
    text
}

/// An empty file without a name. (Pipes would have to be read all the time, and are held open by daemons.)
fn memory_file() -> io::Result<File> {
    // SAFETY: the name is a string constant.
    let fd = unsafe { libc::memfd_create(c"conformance".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened; nobody else has it.
    Ok(unsafe { File::from_raw_fd(fd) })
}

fn read_all(file: &File) -> Vec<u8> {
    let mut content = vec![0; file.metadata().map_or(0, |metadata| usize::try_from(metadata.len()).unwrap_or(0))];
    let read = file.read_at(&mut content, 0).unwrap_or(0);
    content.truncate(read);
    content
}

/// The working directory of one case.
struct Folder(PathBuf);

impl Folder {
    fn create() -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Relaxed: only distinct numbers matter.
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("rumpscope-conformance-{}-{number}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to the host's own cleaning of temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
