//! Which scheduling policy threads have that sleep in our locks: in a process of its own for each setting, since it is
//! begun once.
#![cfg(not(loom))]

use rumpuser::host::backend::{Backend, Native};
use rumpuser::host::batch;
use rumpuser::host::clock::Time;
use rumpuser::host::sync::{Condvar, Note, Owner, Reply};
use std::process::Command;
use std::sync::Arc;
use std::thread;

/// The part of this program that runs in a process of its own.
const PART: &str = "policies_of_threads";

fn policy() -> i32 {
    // SAFETY: asks the host about the calling thread.
    unsafe { libc::sched_getscheduler(0) }
}

/// The policy of a child of the calling thread.
fn policy_of_child() -> i32 {
    // SAFETY: the child makes two system calls.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::_exit(policy());
        }
        let mut status = -1;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        libc::WEXITSTATUS(status)
    }
}

/// Runs `asked` on a thread that has slept on a condition variable.
fn after_a_sleep(asked: fn() -> i32) -> i32 {
    let condition = Arc::new(Condvar::new());
    let waiter = Arc::clone(&condition);
    let waits = thread::spawn(move || {
        waiter.wait(None, None, Note::NONE, || ());
        asked()
    });
    // Whether it sleeps already is not to be seen from here; nobody looks for so long.
    while condition.waiters() == 0 {
        thread::yield_now();
    }
    thread::sleep(std::time::Duration::from_millis(50));
    condition.signal([Owner::NOBODY; 2], |_| Reply::NONE);
    waits.join().expect("no panic")
}

#[test]
fn policies_of_threads() {
    let Ok(slept) = std::env::var("SLEPT") else { return };
    let slept: i32 = slept.parse().expect("a number");
    batch::begin();
    assert_eq!(policy(), libc::SCHED_OTHER, "it has not slept");
    assert_eq!(after_a_sleep(policy), slept, "after a sleep");
    assert_eq!(after_a_sleep(policy_of_child), libc::SCHED_OTHER, "what it forks");
    let on_time = || {
        Native::sleep_until(Time::new(0, 1).expect("a time")).expect("slept");
        policy()
    };
    assert_eq!(after_a_sleep(on_time), libc::SCHED_OTHER, "it sleeps by the clock");
}

#[test]
fn the_environment_decides() {
    if policy() != libc::SCHED_OTHER {
        eprintln!("skipped: this program does not have the ordinary policy");
        return;
    }
    for (setting, slept) in [("on", libc::SCHED_BATCH), ("off", libc::SCHED_OTHER), ("nonsense", libc::SCHED_BATCH)] {
        let mut part = Command::new(std::env::current_exe().expect("this program"));
        part.args(["--exact", PART, "--nocapture"]).env(batch::VARIABLE, setting).env("SLEPT", slept.to_string());
        let output = part.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{setting}: {said}");
        assert_eq!(said.contains("not one of on, off; on is used"), setting == "nonsense", "{said}");
    }
}
