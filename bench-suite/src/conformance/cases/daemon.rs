//! Going into the background, before init as a guest does it.

use crate::conformance::calls::{daemonize_begin, daemonize_done, netbsd};
use crate::conformance::case::{Case, End, Family};
use crate::conformance::guest::{DEADLINE, Guest};
use crate::conformance::runner::Finished;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

pub(super) fn cases(family: &mut Family<'_>) {
    starting(family);
    ending(family);
}

/// A way to standard error that outlives its redirection.
fn reporter() -> File {
    std::io::stderr().as_fd().try_clone_to_owned().expect("a descriptor").into()
}

/// The daemon says that it has found all in order, and ends.
fn report(mut reporter: File) {
    writeln!(reporter, "daemon: all in order").expect("written");
    // SAFETY: ends the daemon without any more ado.
    unsafe { libc::_exit(0) }
}

/// The daemon outlives the process that the runner waits for: waits for its word.
fn reported(finished: &Finished) -> Result<(), String> {
    let started = Instant::now();
    while started.elapsed() < DEADLINE {
        if finished.errors().contains("daemon: all in order") {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err("the daemon does not say that all is in order".to_owned())
}

fn starting(family: &mut Family<'_>) {
    family
        .case("done_without_begin", "done is ENOENT where nothing was begun", |_| {
            assert_eq!(daemonize_done(0), Err(netbsd::ENOENT));
        })
        .before_init();
    family
        .case("begin_twice", "a second begin is EINPROGRESS, 36 in NetBSD", |_| {
            assert_eq!(daemonize_begin(), Ok(()));
            assert_eq!(daemonize_begin(), Err(netbsd::EINPROGRESS));
            let reporter = reporter();
            assert_eq!(daemonize_done(0), Ok(()));
            report(reporter);
        })
        .before_init()
        .ends(End::Exits(0))
        .verdict(reported);
    family
        .case("begin_makes_another_process", "begin returns in a new process, which leads a session of its own", |_| {
            let parent = std::process::id();
            assert_eq!(daemonize_begin(), Ok(()));
            assert_ne!(std::process::id(), parent);
            // SAFETY: has no preconditions.
            assert_eq!(unsafe { libc::getsid(0) }.unsigned_abs(), std::process::id());
            assert_eq!(std::os::unix::process::parent_id(), parent, "which waits");
            let reporter = reporter();
            assert_eq!(daemonize_done(0), Ok(()));
            report(reporter);
        })
        .before_init()
        .ends(End::Exits(0))
        .verdict(reported);
    family
        .case("folder_stays", "the daemon is in the folder where it was started", |_| {
            let folder = std::env::current_dir().expect("a folder");
            assert_eq!(daemonize_begin(), Ok(()));
            assert_eq!(std::env::current_dir().expect("a folder"), folder);
            let reporter = reporter();
            assert_eq!(daemonize_done(0), Ok(()));
            report(reporter);
        })
        .before_init()
        .ends(End::Exits(0))
        .verdict(reported);
}

fn ending(family: &mut Family<'_>) {
    family
        .case("done_closes_the_terminal", "after done the standard streams go nowhere", |_| {
            assert_eq!(daemonize_begin(), Ok(()));
            let reporter = reporter();
            assert_eq!(daemonize_done(0), Ok(()));
            for stream in 0..3 {
                let target = std::fs::read_link(format!("/proc/self/fd/{stream}")).expect("a stream");
                assert_eq!(target.to_str(), Some("/dev/null"));
            }
            report(reporter);
        })
        .before_init()
        .ends(End::Exits(0))
        .verdict(reported);
    for error in [1, 2, 42] {
        family
            .case(
                format!("done_with_error_{error}"),
                "the waiting process ends with the error that done was given",
                move |_| {
                    assert_eq!(daemonize_begin(), Ok(()));
                    let reporter = reporter();
                    assert_eq!(daemonize_done(error), Ok(()));
                    report(reporter);
                },
            )
            .before_init()
            .ends(End::Exits(error))
            .verdict(reported);
    }
    family
        .case(
            "error_keeps_the_terminal",
            "done with an error leaves the standard streams to the error's message",
            |_| {
                assert_eq!(daemonize_begin(), Ok(()));
                assert_eq!(daemonize_done(1), Ok(()));
                report(reporter());
            },
        )
        .before_init()
        .ends(End::Exits(1))
        .verdict(reported);
    family
        .case("daemon_that_dies", "when the daemon dies before done, the waiting process ends with ESRCH", |_| {
            assert_eq!(daemonize_begin(), Ok(()));
            // SAFETY: ends the daemon.
            unsafe { libc::_exit(0) }
        })
        .before_init()
        .ends(End::Exits(netbsd::ESRCH));
    in_background(family, "guest_in_a_daemon", "a guest boots in the daemon", |guest| {
        guest.boot();
        guest.spawn(|| {}).join();
        guest.shut_down();
    });
}

/// A case that goes into the background before it does anything else.
pub(super) fn in_background<'f>(
    family: &'f mut Family<'_>,
    name: &str,
    contract: &str,
    body: impl Fn(&'static Guest) + Send + Sync + 'static,
) -> &'f mut Case {
    let case = family.case(name, contract, move |guest| {
        assert_eq!(daemonize_begin(), Ok(()));
        let reporter = reporter();
        body(guest);
        assert_eq!(daemonize_done(0), Ok(()));
        report(reporter);
    });
    case.before_init().ends(End::Exits(0)).verdict(reported);
    case
}
