//! Starting the guest's process and staying with it until it ends.
//!
//! The guest shares our terminal and process group, so that it behaves as if it had been started by hand. A Ctrl-C at
//! the terminal therefore reaches it and us alike: it is the guest's to obey and ours to survive, since the summary is
//! still to be printed. A signal that was sent to us alone is passed on.

use crate::signal;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// How long the guest may take to end after SIGTERM.
pub const GRACE: Duration = Duration::from_secs(5);

/// How often somebody looks at what the guest does.
pub const LOOK: Duration = Duration::from_millis(100);

/// The signals that ask a process to end. They are kept from us while the guest runs, except a SIGHUP that is ignored.
const REQUESTS: [libc::c_int; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// What was done to a guest whose time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUp {
    /// It was asked to end.
    Terminated,
    /// It was killed, since it did not.
    Killed,
}

/// How the guest ended.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Its number.
    pub pid: u32,
    /// Its exit status or signal.
    pub status: ExitStatus,
    /// Whether it was made to end because its time was up.
    pub time_up: Option<TimeUp>,
    /// A signal came meanwhile that asked us to end.
    pub asked_to_end: bool,
}

/// Runs `command` until it ends, or for at most `limit`; meanwhile `look` is called every [`LOOK`].
///
/// # Errors
/// When it cannot be started, or waiting fails.
pub fn run_looking(
    command: &mut Command,
    limit: Option<Duration>,
    look: Option<&mut dyn FnMut()>,
) -> io::Result<Outcome> {
    // Blocked before the guest exists, so that none is missed; the guest itself starts with the mask that we had.
    let signals = WaitedSignals::block()?;
    let mask = signals.before;
    // SAFETY: between fork and exec only the mask is set, by a function that may be called there.
    unsafe {
        command.pre_exec(move || match libc::pthread_sigmask(libc::SIG_SETMASK, &mask, std::ptr::null_mut()) {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(error)),
        })
    };
    let mut child = command.spawn()?;
    let pid = child.id();
    let (status, time_up, asked_to_end) = watch(&mut child, &signals, limit, look)?;
    Ok(Outcome { pid, status, time_up, asked_to_end: asked_to_end || signals.asked_to_end() })
}

fn watch(
    child: &mut Child,
    signals: &WaitedSignals,
    limit: Option<Duration>,
    mut look: Option<&mut dyn FnMut()>,
) -> io::Result<(ExitStatus, Option<TimeUp>, bool)> {
    let mut deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let mut time_up = None;
    let mut asked_to_end = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status, time_up, asked_to_end));
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            (time_up, deadline) = match time_up {
                None => {
                    send(child, libc::SIGTERM);
                    (Some(TimeUp::Terminated), Some(Instant::now() + GRACE))
                }
                Some(_) => {
                    send(child, libc::SIGKILL);
                    (Some(TimeUp::Killed), None)
                }
            };
        }
        let mut left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if let Some(look) = &mut look {
            look();
            left = Some(left.map_or(LOOK, |left| left.min(LOOK)));
        }
        if let Some(signal) = signals.wait(left)?
            && REQUESTS.contains(&signal.number)
        {
            asked_to_end = true;
            if signal.only_for_us {
                send(child, signal.number);
            }
        }
    }
}

/// Sends a signal to a child that was not waited for yet: the number is its own as long as that.
pub fn send(child: &Child, signal: libc::c_int) {
    // SAFETY: no preconditions. A child that has just ended is a zombie, and the signal is lost on it.
    unsafe { libc::kill(child.id() as libc::pid_t, signal) };
}

/// A signal that arrived.
struct Arrived {
    number: libc::c_int,
    /// A process sent it. The terminal's signals reach the guest as well; those come from the kernel.
    only_for_us: bool,
}

/// The signals that are waited for instead of being acted upon; as before when this is dropped.
struct WaitedSignals {
    set: libc::sigset_t,
    before: libc::sigset_t,
}

impl WaitedSignals {
    fn block() -> io::Result<Self> {
        let mut set = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // One that is ignored would arrive all the same where it is blocked.
        let requests = REQUESTS.into_iter().filter(|request| !signal::stays_ignored(*request));
        // SAFETY: both sets are valid; `set` is initialised first. SIGCHLD must have its default action: whoever
        // started us may have it ignored, and then there is nothing to wait for.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in requests.chain([libc::SIGCHLD]) {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
            let error = libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), before.as_mut_ptr());
            if error != 0 {
                return Err(io::Error::from_raw_os_error(error));
            }
            Ok(WaitedSignals { set: set.assume_init(), before: before.assume_init() })
        }
    }

    /// Whether a request to end has arrived that was not looked at: the child may have ended of the same before.
    fn asked_to_end(&self) -> bool {
        let mut asked = false;
        while let Ok(Some(signal)) = self.wait(Some(Duration::ZERO)) {
            asked |= REQUESTS.contains(&signal.number);
        }
        asked
    }

    /// Waits for the next signal; `None` when `limit` is over, or for no reason.
    fn wait(&self, limit: Option<Duration>) -> io::Result<Option<Arrived>> {
        let limit = limit.map(|limit| libc::timespec {
            tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        });
        let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let mut info = MaybeUninit::<libc::siginfo_t>::uninit();
        // SAFETY: the set and the limit are valid; `info` is written when a number is returned.
        let number = unsafe { libc::sigtimedwait(&self.set, info.as_mut_ptr(), limit) };
        if number < 0 {
            let error = io::Error::last_os_error();
            return match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EINTR) => Ok(None),
                _ => Err(error),
            };
        }
        // SAFETY: written by the call above.
        let code = unsafe { info.assume_init() }.si_code;
        // Codes above zero are the kernel's.
        Ok(Some(Arrived { number, only_for_us: code <= 0 }))
    }
}

impl Drop for WaitedSignals {
    fn drop(&mut self) {
        // A second Ctrl-C that came while the guest ended has done its work.
        self.asked_to_end();
        // SAFETY: the mask that was found by `block`.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut()) };
    }
}
