//! Requests to end that are noted instead of being obeyed at once.

use crate::signal;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

static ARRIVED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_: libc::c_int) {
    // Relaxed: nothing else is told by it.
    ARRIVED.store(true, Ordering::Relaxed);
}

/// From now on Ctrl-C, SIGTERM and SIGHUP are noted, except those that whoever started us has ignored. Processes that we
/// start have the usual actions.
///
/// # Errors
/// When the host refuses a handler.
pub fn catch() -> io::Result<()> {
    let requests = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];
    for signal in requests.into_iter().filter(|signal| !signal::is_ignored(*signal)) {
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

    #[test]
    fn what_is_ignored_stays_so() {
        // SAFETY: no handler is involved.
        let before = unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
        catch().unwrap();
        assert!(signal::is_ignored(libc::SIGHUP));
        // SAFETY: as above.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_DFL) };
        catch().unwrap();
        // SAFETY: this is what the host said was there.
        assert_eq!(unsafe { libc::signal(libc::SIGHUP, before) }, note as extern "C" fn(libc::c_int) as usize);
    }
}
