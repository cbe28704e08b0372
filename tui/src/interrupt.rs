//! Requests to end that are noted instead of being obeyed at once.

use crate::signal;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

static ARRIVED: AtomicBool = AtomicBool::new(false);

/// What is noted.
const REQUESTS: [libc::c_int; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

extern "C" fn note(_: libc::c_int) {
    // Relaxed: nothing else is told by it.
    ARRIVED.store(true, Ordering::Relaxed);
}

/// From now on Ctrl-C, SIGTERM, SIGHUP and SIGQUIT are noted, the last but one unless whoever started us has
/// ignored it. Processes that we start have the usual actions.
///
/// # Errors
/// When the host refuses a handler.
pub fn catch() -> io::Result<()> {
    for signal in REQUESTS.into_iter().filter(|signal| !signal::stays_ignored(*signal)) {
        // SAFETY: all bytes zero is a valid `sigaction`, with an empty mask; the handler only writes an atomic.
        let result = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = note as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(signal, &action, std::ptr::null_mut())
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Whether one has arrived.
pub fn arrived() -> bool {
    ARRIVED.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What signal `number` did before it does `action`.
    fn set(number: libc::c_int, action: libc::sighandler_t) -> libc::sighandler_t {
        // SAFETY: no handler is involved.
        unsafe { libc::signal(number, action) }
    }

    #[test]
    fn what_is_ignored_stays_so() {
        let usual = |request| if signal::stays_ignored(request) { libc::SIG_IGN } else { libc::SIG_DFL };
        let before = REQUESTS.map(|request| (request, usual(request)));
        set(libc::SIGHUP, libc::SIG_IGN);
        catch().unwrap();
        assert!(signal::stays_ignored(libc::SIGHUP));
        set(libc::SIGINT, libc::SIG_IGN);
        assert!(!signal::stays_ignored(libc::SIGINT), "whoever sends it means us");
        set(libc::SIGHUP, libc::SIG_DFL);
        catch().unwrap();
        assert_eq!(set(libc::SIGHUP, libc::SIG_DFL), note as extern "C" fn(libc::c_int) as usize);
        // Whoever interrupts the tests is obeyed.
        for (request, action) in before {
            set(request, action);
        }
    }
}
