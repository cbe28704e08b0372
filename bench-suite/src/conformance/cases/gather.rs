//! Threads that hand something to each other: on one processor at times, on trial.

use super::daemon::in_background;
use crate::conformance::calls::{Condvar, Mutex};
use crate::conformance::case::Family;
use crate::conformance::guest::{DEADLINE, Guest};
use rumpuser::abi::types::mutex::KMUTEX;
use rumpuser::host::gather::VARIABLE;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

pub(super) fn cases(family: &mut Family<'_>) {
    family
        .case(
            "threads_are_gathered_and_let_go",
            "it is tried whether threads get more done on one processor",
            |guest| {
                are_gathered_and_let_go(guest);
            },
        )
        .ours_only();
    in_background(family, "in_the_background", "the same of a guest that has gone into the background", |guest| {
        guest.boot();
        are_gathered_and_let_go(guest);
        guest.shut_down();
    })
    .environment(VARIABLE, "on")
    .ours_only();
}

/// How many processors the calling thread may run on.
fn processors() -> usize {
    // SAFETY: all zero is a set; the host writes no more than that.
    unsafe {
        let mut set: libc::cpu_set_t = core::mem::zeroed();
        assert_eq!(libc::sched_getaffinity(0, size_of_val(&set), &mut set), 0);
        libc::CPU_COUNT(&set).unsigned_abs() as usize
    }
}

fn are_gathered_and_let_go(guest: &'static Guest) {
    /// Enters a mutex so often between two waits: a guest that does next to nothing is left alone, on the slowest host as well.
    const CALLS: usize = 100;
    let all = processors();
    if all < 2 {
        return eprintln!("skipped: there is one processor only");
    }
    let began = Instant::now();
    let (mutex, condvars) = (Mutex::new(KMUTEX), [Condvar::new(), Condvar::new()]);
    let turn = Arc::new(AtomicUsize::new(0));
    // Whether one has seen itself on one processor, and on all of them after that.
    let seen = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
    let threads = [0, 1].map(|me| {
        let (turn, seen) = (Arc::clone(&turn), Arc::clone(&seen));
        guest.spawn(move || {
            let other = 1 - me;
            while !seen[1].load(Ordering::Relaxed) {
                assert!(began.elapsed() < DEADLINE, "gathered: {:?}", seen[0]);
                mutex.enter();
                while turn.load(Ordering::Relaxed) != me {
                    condvars[me].wait(mutex);
                }
                mutex.exit();
                for _ in 0..CALLS {
                    mutex.enter();
                    mutex.exit();
                }
                match processors() {
                    1 => seen[0].store(true, Ordering::Relaxed),
                    // On its way to the others.
                    now if now < all => assert_eq!(now, all - 1),
                    now => {
                        assert_eq!(now, all);
                        if seen[0].load(Ordering::Relaxed) {
                            seen[1].store(true, Ordering::Relaxed);
                        }
                    }
                }
                mutex.enter();
                turn.store(other, Ordering::Relaxed);
                condvars[other].signal();
                mutex.exit();
            }
        })
    });
    threads.into_iter().for_each(|thread| thread.join());
}
