//! The child's side: the process in which one case runs.

use super::cases;
use super::guest::Guest;
use libc::c_int;
use std::path::PathBuf;

/// The first argument of a process that is to run a case.
pub(crate) const CHILD_ARGUMENT: &str = "--conformance-case";

/// Exit status of a case that passed. Not 0: a library that ends the process must not look like a success.
pub(crate) const PASSED: c_int = 120;
/// Exit status of a case that failed.
pub(crate) const FAILED: c_int = 121;

/// Runs a case if the arguments of this process ask for one, and ends the process; returns otherwise. The first thing
/// that a program which runs the suite has to call.
pub fn child_main() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != CHILD_ARGUMENT) {
        return;
    }
    let name = arguments.next().unwrap_or_default();
    let library = PathBuf::from(arguments.next().unwrap_or_default());
    stop_at_the_first_panic();
    no_core_dumps();
    let cases = cases::all();
    let case = cases.iter().find(|case| name == case.name.as_str()).expect("a case with this name");
    let guest = Guest::load(&library).expect("a library to be tested");
    if case.boots {
        guest.boot();
        (case.body)(guest);
        guest.shut_down();
    } else {
        (case.body)(guest);
    }
    // At once: what the library has to say at the end of its process is not part of this case.
    end(PASSED);
}

/// A panic of any thread, or inside an upcall, fails the case there and then: nobody waits for a thread that is gone.
fn stop_at_the_first_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        end(FAILED);
    }));
}

fn end(status: c_int) -> ! {
    // SAFETY: ends the process, whatever state it is in.
    unsafe { libc::_exit(status) }
}

/// Some cases end by a signal, as they should.
fn no_core_dumps() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `none` is a valid limit. A failure leaves core dumps behind, and no more.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
}
