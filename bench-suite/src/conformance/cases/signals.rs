//! Signals that the guest raises in its process.

use crate::conformance::calls::kill;
use crate::conformance::case::{End, Family};
use crate::conformance::guest::DEADLINE;
use libc::c_int;
use rumpuser::abi::types::KILL_SELF;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

/// NetBSD's number, the name, this host's number; of the signals that both have and that can be caught.
const SIGNALS: &[(c_int, &str, c_int)] = &[
    (1, "hup", libc::SIGHUP),
    (2, "int", libc::SIGINT),
    (3, "quit", libc::SIGQUIT),
    (4, "ill", libc::SIGILL),
    (5, "trap", libc::SIGTRAP),
    (6, "abrt", libc::SIGABRT),
    (8, "fpe", libc::SIGFPE),
    (10, "bus", libc::SIGBUS),
    (11, "segv", libc::SIGSEGV),
    (12, "sys", libc::SIGSYS),
    (13, "pipe", libc::SIGPIPE),
    (14, "alrm", libc::SIGALRM),
    (15, "term", libc::SIGTERM),
    (16, "urg", libc::SIGURG),
    (18, "tstp", libc::SIGTSTP),
    (19, "cont", libc::SIGCONT),
    (20, "chld", libc::SIGCHLD),
    (21, "ttin", libc::SIGTTIN),
    (22, "ttou", libc::SIGTTOU),
    (23, "io", libc::SIGIO),
    (24, "xcpu", libc::SIGXCPU),
    (25, "xfsz", libc::SIGXFSZ),
    (26, "vtalrm", libc::SIGVTALRM),
    (27, "prof", libc::SIGPROF),
    (28, "winch", libc::SIGWINCH),
    (30, "usr1", libc::SIGUSR1),
    (31, "usr2", libc::SIGUSR2),
    (32, "pwr", libc::SIGPWR),
];

/// The last signal that arrived; 0 for none.
static ARRIVED: AtomicI32 = AtomicI32::new(0);

/// Notes every signal that arrives from now on.
fn catch_all() {
    extern "C" fn note(signal: c_int) {
        // Relaxed: only the number matters.
        ARRIVED.store(signal, Ordering::Relaxed);
    }
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: all zeroes is a valid `sigaction`.
        let mut action: libc::sigaction = unsafe { core::mem::zeroed() };
        action.sa_sigaction = note as extern "C" fn(c_int) as usize;
        // SAFETY: the handler only stores a number. SIGKILL and SIGSTOP, which cannot be caught, are refused.
        unsafe { libc::sigaction(signal, &action, core::ptr::null_mut()) };
    }
}

/// Waits for a signal.
fn arrival() -> c_int {
    let started = Instant::now();
    while started.elapsed() < DEADLINE {
        let arrived = ARRIVED.load(Ordering::Relaxed);
        if arrived != 0 {
            return arrived;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    panic!("no signal arrives");
}

pub(super) fn cases(family: &mut Family<'_>) {
    for &(number, name, host) in SIGNALS {
        family.case(format!("kill_{name}"), format!("signal {number} of NetBSD is the host's {host}"), move |_| {
            catch_all();
            assert_eq!(kill(KILL_SELF, number), Ok(()));
            assert_eq!(arrival(), host);
        });
    }
    family.case("kill_kill", "signal 9 kills the process", |_| _ = kill(KILL_SELF, 9)).ends(End::Killed(libc::SIGKILL));
    family
        .case("kill_term_without_a_handler", "a signal without a handler has the host's effect", |_| {
            _ = kill(KILL_SELF, 15);
            // Another thread of the library may be the one that gets it.
            std::thread::sleep(DEADLINE);
        })
        .ends(End::Killed(libc::SIGTERM));
    for process in [0, 1, 2, 30_000, i64::MAX] {
        family.case(
            format!("kill_of_process_{process}"),
            "a number of a process is the guest's and only a hint: the signal is raised in this process",
            move |_| {
                catch_all();
                assert_eq!(kill(process, 30), Ok(()));
                assert_eq!(arrival(), libc::SIGUSR1);
            },
        );
    }
    for (name, number) in [("emt", 7), ("info", 29), ("64", 64), ("1000", 1000), ("minus_1", -1)] {
        family
            .case(
                format!("kill_{name}_is_refused"),
                "a signal that the host does not have is an error, and nothing is raised",
                move |_| {
                    catch_all();
                    assert!(kill(KILL_SELF, number).is_err());
                    assert_eq!(ARRIVED.load(Ordering::Relaxed), 0);
                },
            )
            .weakness("returns 0 without a signal");
    }
    family.case("kill_nothing", "signal 0 raises nothing", |_| {
        catch_all();
        _ = kill(KILL_SELF, 0);
        assert_eq!(ARRIVED.load(Ordering::Relaxed), 0);
    });
    family
        .case(
            "kill_of_real_time_signals",
            "a real-time signal is raised as one of the host's, or refused: never lost without a word",
            |_| {
                catch_all();
                for number in [33, 34, 63] {
                    ARRIVED.store(0, Ordering::Relaxed);
                    if kill(KILL_SELF, number).is_ok() {
                        assert_eq!(arrival(), libc::SIGRTMIN() + number - 33);
                    }
                }
            },
        )
        .weakness("returns 0 without a signal");
    family.case("kill_stays_on_cpu", "raising a signal keeps the virtual CPU", |guest| {
        catch_all();
        assert_eq!(guest.stays_on_cpu(|| kill(KILL_SELF, 28)), Ok(()));
    });
}
