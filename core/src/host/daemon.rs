//! Going into the background.
//!
//! A guest cannot fork once it has threads, so it forks before it boots, and the parent waits until the child says how
//! booting went. The parent's exit status is that answer.

use super::errno::Errno;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The child's connection to its waiting parent, while there is one.
static PARENT: Mutex<Option<UnixStream>> = Mutex::new(None);

fn parent() -> MutexGuard<'static, Option<UnixStream>> {
    PARENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the parent exits with when the child is gone without an answer.
const NO_ANSWER: libc::c_int = libc::ESRCH;

/// What it exits with when the answer is a failure that does not fit into an exit status.
const SOME_FAILURE: libc::c_int = 1;

/// Forks; returns in the child only, which leads a new session. The parent waits for [`tell_parent`] and ends. The
/// working directory stays: that is the caller's to change.
///
/// # Errors
/// EINPROGRESS: done before, and the parent still waits. Those of `socketpair(2)` and `fork(2)`, in the calling process;
/// those of `setsid(2)`, in the child, which is already told to the parent.
pub fn fork_into_background() -> Result<(), Errno> {
    let mut parent = parent();
    if parent.is_some() {
        return Err(Errno(libc::EINPROGRESS));
    }
    let (to_child, to_parent) = UnixStream::pair().map_err(errno_of)?;
    let (to_child, to_parent) = (apart_from_standard(to_child)?, apart_from_standard(to_parent)?);
    // SAFETY: the child continues as a copy of the calling thread. Locks that other threads of the caller hold stay
    // locked in it, which is why this must be done before the guest boots.
    match unsafe { libc::fork() } {
        -1 => Err(Errno::last()),
        0 => {
            drop(to_child);
            *parent = Some(to_parent);
            // SAFETY: no preconditions.
            if unsafe { libc::setsid() } == -1 {
                let errno = Errno::last();
                let _ = answer(parent.take(), errno.0);
                return Err(errno);
            }
            Ok(())
        }
        _ => {
            drop(to_parent);
            let status = wait_for_child(to_child);
            // SAFETY: ends the process without the exit handlers, which are the child's to run.
            unsafe { libc::_exit(status) }
        }
    }
}

/// The same stream on a descriptor that is none of the standard ones. Where these were closed it would be one of them, and get
/// what the program prints.
fn apart_from_standard(stream: UnixStream) -> Result<UnixStream, Errno> {
    if stream.as_raw_fd() > libc::STDERR_FILENO {
        return Ok(stream);
    }
    // SAFETY: makes a descriptor.
    let fd = unsafe { libc::fcntl(stream.as_raw_fd(), libc::F_DUPFD_CLOEXEC, libc::STDERR_FILENO + 1) };
    if fd == -1 {
        return Err(Errno::last());
    }
    // SAFETY: made by the call above, and nobody else's.
    Ok(unsafe { UnixStream::from_raw_fd(fd) })
}

/// Ends the wait of the parent: it exits with `status`. With 0, a start that went well, the terminal is let go first:
/// standard input, output and error become `/dev/null`.
///
/// # Errors
/// ENOENT: no parent waits. EPIPE: it is gone. Those of opening `/dev/null`, of which the parent is told instead.
pub fn tell_parent(status: libc::c_int) -> Result<(), Errno> {
    let mut parent = parent();
    if parent.is_none() {
        return Err(Errno(libc::ENOENT));
    }
    let released = if status == 0 { release_terminal() } else { Ok(()) };
    let status = released.map_or_else(|errno| errno.0, |()| status);
    answer(parent.take(), status)?;
    released
}

fn answer(parent: Option<UnixStream>, status: libc::c_int) -> Result<(), Errno> {
    let parent = parent.ok_or(Errno(libc::ENOENT))?;
    let status = status.to_ne_bytes();
    // SAFETY: `status` is valid for its length. A few bytes are sent whole or not at all, and a dead parent must not
    // kill its child with SIGPIPE.
    let sent = unsafe { libc::send(parent.as_raw_fd(), status.as_ptr().cast(), status.len(), libc::MSG_NOSIGNAL) };
    if sent == -1 { Err(Errno::last()) } else { Ok(()) }
}

fn wait_for_child(mut child: UnixStream) -> libc::c_int {
    let mut status = [0; size_of::<libc::c_int>()];
    match child.read_exact(&mut status) {
        Ok(()) => exit_status(libc::c_int::from_ne_bytes(status)),
        Err(_) => NO_ANSWER,
    }
}

/// Only eight bits of a status reach whoever waits; a failure must not look like success in them.
fn exit_status(status: libc::c_int) -> libc::c_int {
    if status != 0 && status & 0xff == 0 { SOME_FAILURE } else { status }
}

fn release_terminal() -> Result<(), Errno> {
    let nowhere = File::options().read(true).write(true).open("/dev/null").map_err(errno_of)?;
    for standard in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: replaces a descriptor that the guest asked to let go.
        if unsafe { libc::dup2(nowhere.as_raw_fd(), standard) } == -1 {
            return Err(Errno::last());
        }
    }
    if nowhere.as_raw_fd() <= libc::STDERR_FILENO {
        // One of the three was closed before, and `nowhere` took its place: it is to stay.
        std::mem::forget(nowhere);
    }
    Ok(())
}

fn errno_of(error: std::io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or(libc::EIO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, ExitStatus, Stdio};

    /// Set, to the status that it tells, for the program that goes into the background.
    const CHILD: &str = "RUMPSCOPE_TEST_DAEMON";
    /// Set where standard input and output are closed before that.
    const CLOSED: &str = "RUMPSCOPE_TEST_DAEMON_CLOSED";

    fn run(status: &str, closed: bool) -> (ExitStatus, String) {
        let name = concat!(module_path!(), "::the_parent_exits_with_the_answer");
        let name = name.split_once("::").expect("a crate").1;
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command.args(["--exact", name, "--nocapture", "--test-threads", "1"]).env(CHILD, status).stderr(Stdio::piped());
        if closed {
            command.env(CLOSED, "1");
        }
        let output = command.output().expect("runs");
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn child(status: &str) -> ! {
        if std::env::var_os(CLOSED).is_some() {
            for standard in [libc::STDIN_FILENO, libc::STDOUT_FILENO] {
                // SAFETY: nobody here uses it.
                unsafe { libc::close(standard) };
            }
        }
        // SAFETY: no preconditions.
        let (parent, session) = unsafe { (libc::getpid(), libc::getsid(0)) };
        fork_into_background().expect("in the background");
        // Not for the parent, who would take it for the answer. SAFETY: valid for its length.
        unsafe { libc::write(libc::STDOUT_FILENO, c"what the program prints".as_ptr().cast(), 23) };
        // SAFETY: likewise.
        let own = unsafe { (libc::getpid(), libc::getsid(0)) };
        assert!(own.0 != parent && own.1 != session && own.0 == own.1, "no session of its own");
        assert_eq!(fork_into_background(), Err(Errno(libc::EINPROGRESS)));
        match status {
            "none" => {}
            // A second time, from a process that is in the background already.
            "twice" => {
                tell_parent(0).expect("told");
                fork_into_background().expect("again");
                tell_parent(0).expect("told again");
            }
            status => {
                tell_parent(status.parse().expect("a number")).expect("told");
                assert_eq!(tell_parent(0), Err(Errno(libc::ENOENT)), "told twice");
            }
        }
        // SAFETY: ends this process without the handlers of the test.
        unsafe { libc::_exit(99) }
    }

    #[test]
    fn the_parent_exits_with_the_answer() {
        if let Ok(status) = std::env::var(CHILD) {
            child(&status);
        }
        assert_eq!(tell_parent(0), Err(Errno(libc::ENOENT)), "nobody waits");
        for (status, expected) in [("0", 0), ("7", 7), ("256", SOME_FAILURE), ("none", NO_ANSWER), ("twice", 0)] {
            for closed in [false, true] {
                let (got, said) = run(status, closed);
                assert_eq!(got.code(), Some(expected), "{status}, closed {closed}: {said}");
            }
        }
    }
}
