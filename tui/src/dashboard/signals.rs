//! Signals while the terminal is ours: noted here, obeyed by the event loop, so that the terminal is given back first.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// A bit for each signal that has arrived and was not taken yet.
static ARRIVED: AtomicU64 = AtomicU64::new(0);

/// Requests to end; the most urgent first.
const ENDING: [i32; 4] = [libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT];

/// What else is caught: requests to stop, and that the process goes on after it was stopped.
const STOPPING: [i32; 2] = [libc::SIGTSTP, libc::SIGCONT];

extern "C" fn note(signal: libc::c_int) {
    // Relaxed: nothing else is told by it.
    ARRIVED.fetch_or(1 << signal, Ordering::Relaxed);
}

/// Signals are noted for as long as this lives; then they do again what they did before.
pub struct Signals {
    before: Vec<(i32, libc::sigaction)>,
}

/// What signals ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// To end, by this signal.
    End(i32),
    /// To stop for a while.
    Stop,
    /// Nothing; the process was stopped and goes on.
    GoOn,
}

impl Signals {
    /// Signals are noted from now on.
    ///
    /// # Errors
    /// When the host refuses a handler.
    pub fn catch() -> io::Result<Self> {
        ARRIVED.store(0, Ordering::Relaxed);
        let mut signals = Signals { before: Vec::new() };
        for signal in ENDING.into_iter().chain(STOPPING) {
            // SAFETY: all bytes zero is a valid `sigaction`, with an empty mask.
            let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
            action.sa_sigaction = note as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_RESTART;
            // SAFETY: as above.
            let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
            // SAFETY: both are valid; the handler only writes an atomic.
            if unsafe { libc::sigaction(signal, &action, &mut before) } != 0 {
                return Err(io::Error::last_os_error());
            }
            signals.before.push((signal, before));
        }
        Ok(signals)
    }

    /// What has been asked for since the last time; the most urgent first.
    pub fn take(&self) -> Option<Request> {
        let arrived = ARRIVED.swap(0, Ordering::Relaxed);
        let has = |signal: &i32| arrived & (1 << signal) != 0;
        if let Some(signal) = ENDING.iter().find(|signal| has(signal)) {
            return Some(Request::End(*signal));
        }
        if has(&libc::SIGTSTP) {
            return Some(Request::Stop);
        }
        has(&libc::SIGCONT).then_some(Request::GoOn)
    }

    /// That the process goes on is known already.
    pub fn forget_going_on(&self) {
        ARRIVED.fetch_and(!(1 << libc::SIGCONT), Ordering::Relaxed);
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for (signal, before) in &self.before {
            // SAFETY: this is what the host said was there.
            unsafe { libc::sigaction(*signal, before, std::ptr::null_mut()) };
        }
    }
}
