//! Signals: NetBSD's numbers, and sending one to this process.

use super::errno::Errno;
use libc::c_int;

/// NetBSD's signals and this host's of the same name.
///
/// Not in the table, because this host has no counterpart: 7 (SIGEMT) and 29 (SIGINFO).
const SAME: &[(c_int, c_int)] = &[
    (1, libc::SIGHUP),
    (2, libc::SIGINT),
    (3, libc::SIGQUIT),
    (4, libc::SIGILL),
    (5, libc::SIGTRAP),
    (6, libc::SIGABRT),
    (8, libc::SIGFPE),
    (9, libc::SIGKILL),
    (10, libc::SIGBUS),
    (11, libc::SIGSEGV),
    (12, libc::SIGSYS),
    (13, libc::SIGPIPE),
    (14, libc::SIGALRM),
    (15, libc::SIGTERM),
    (16, libc::SIGURG),
    (17, libc::SIGSTOP),
    (18, libc::SIGTSTP),
    (19, libc::SIGCONT),
    (20, libc::SIGCHLD),
    (21, libc::SIGTTIN),
    (22, libc::SIGTTOU),
    (23, libc::SIGIO),
    (24, libc::SIGXCPU),
    (25, libc::SIGXFSZ),
    (26, libc::SIGVTALRM),
    (27, libc::SIGPROF),
    (28, libc::SIGWINCH),
    (30, libc::SIGUSR1),
    (31, libc::SIGUSR2),
    (32, libc::SIGPWR),
];

/// NetBSD's real-time signals.
const NETBSD_REALTIME: core::ops::RangeInclusive<c_int> = 33..=63;

/// This host's signal for NetBSD's `number`; `None` where NetBSD or this host has no such signal. Real-time signals
/// keep their rank.
pub fn from_netbsd(number: c_int) -> Option<c_int> {
    if NETBSD_REALTIME.contains(&number) {
        let signal = libc::SIGRTMIN() + (number - NETBSD_REALTIME.start());
        return (signal <= libc::SIGRTMAX()).then_some(signal);
    }
    SAME.iter().find(|row| row.0 == number).map(|row| row.1)
}

/// Sends `signal` to this process.
///
/// The calling thread gets it where it does not block it, because what it just did may be the reason (SIGPIPE).
/// Otherwise any thread that does not block it does: it would stay pending for the caller for ever.
///
/// # Errors
/// EINVAL for a number that is no signal of this host.
pub fn send_to_self(signal: c_int) -> Result<(), Errno> {
    let mut blocked = core::mem::MaybeUninit::uninit();
    // SAFETY: asks for the mask of the calling thread and changes nothing.
    let failed = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, core::ptr::null(), blocked.as_mut_ptr()) };
    if failed != 0 {
        return Err(Errno(failed));
    }
    // SAFETY: filled by the call above. A number out of range gives -1.
    match unsafe { libc::sigismember(blocked.as_ptr(), signal) } {
        0 => {
            // SAFETY: a thread may always signal itself.
            match unsafe { libc::pthread_kill(libc::pthread_self(), signal) } {
                0 => Ok(()),
                failed => Err(Errno(failed)),
            }
        }
        1 => {
            // SAFETY: as above, for the process.
            match unsafe { libc::kill(libc::getpid(), signal) } {
                0 => Ok(()),
                _ => Err(Errno::last()),
            }
        }
        _ => Err(Errno(libc::EINVAL)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn every_netbsd_signal_is_decided() {
        let signals: Vec<c_int> = (1..=63).filter_map(from_netbsd).collect();
        let missing: Vec<c_int> = (1..=63).filter(|&number| from_netbsd(number).is_none()).collect();
        assert_eq!(missing, [7, 29]);
        let distinct: BTreeSet<c_int> = signals.iter().copied().collect();
        assert_eq!(distinct.len(), signals.len(), "two signals became one");
    }

    #[test]
    fn other_numbers_are_no_signals() {
        for number in [0, -1, 64, 65, c_int::MAX, c_int::MIN] {
            assert_eq!(from_netbsd(number), None, "{number}");
        }
    }

    #[test]
    fn a_signal_arrives_blocked_or_not() {
        static SEEN: AtomicU32 = AtomicU32::new(0);
        extern "C" fn handler(_: c_int) {
            SEEN.fetch_add(1, Ordering::SeqCst);
        }
        let signal = from_netbsd(40).expect("a real-time signal");
        // SAFETY: a handler that only counts; no other test uses this signal.
        unsafe { libc::signal(signal, handler as *const () as libc::sighandler_t) };
        send_to_self(signal).expect("sent");
        assert_eq!(SEEN.load(Ordering::SeqCst), 1, "a thread's own signal is delivered before the call returns");

        // SAFETY: an empty set, filled before it is used; the mask of this thread only.
        unsafe {
            let mut set = core::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, signal);
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, core::ptr::null_mut());
        }
        send_to_self(signal).expect("sent");
        // Another thread of this process takes it, at once or when it runs.
        while SEEN.load(Ordering::SeqCst) < 2 {
            std::thread::yield_now();
        }
    }
}
