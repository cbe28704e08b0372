//! Threads that hand something to each other: on one processor at times, on trial, all of them or each group.

use super::daemon::in_background;
use crate::conformance::calls::{Condvar, Mutex};
use crate::conformance::case::Family;
use crate::conformance::guest::{DEADLINE, Guest};
use crate::hypervisor::Hypervisor;
use core::ffi::{c_uint, c_void};
use core::ptr;
use rumpuser::abi::types::mutex::KMUTEX;
use rumpuser::host::gather::VARIABLE;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{self, Arc};
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
    family
        .case(
            "pairs_have_processors_of_their_own",
            "it is tried whether each pair gets more done on one of its own",
            |guest| {
                are_in_groups(guest);
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

/// Two threads that work in turns.
struct Pair {
    mutex: Mutex,
    condvars: [Condvar; 2],
    turn: AtomicUsize,
}

impl Pair {
    fn new() -> Self {
        Pair { mutex: Mutex::new(KMUTEX), condvars: [Condvar::new(), Condvar::new()], turn: AtomicUsize::new(0) }
    }

    /// Waits for a turn, works and looks, and hands on; until `look` says that that is all.
    fn take_turns(&self, me: usize, mut look: impl FnMut() -> bool) {
        /// Enters a mutex so often in a turn: a guest that does next to nothing is left alone, on the slowest host as well.
        const CALLS: usize = 100;
        let other = 1 - me;
        let mut is_over = false;
        while !is_over {
            self.mutex.enter();
            while self.turn.load(Ordering::Relaxed) != me {
                self.condvars[me].wait(self.mutex);
            }
            self.mutex.exit();
            for _ in 0..CALLS {
                self.mutex.enter();
                self.mutex.exit();
            }
            is_over = look();
            self.mutex.enter();
            self.turn.store(other, Ordering::Relaxed);
            self.condvars[other].signal();
            self.mutex.exit();
        }
    }
}

fn are_gathered_and_let_go(guest: &'static Guest) {
    let all = processors();
    if all < 2 {
        return eprintln!("skipped: there is one processor only");
    }
    let began = Instant::now();
    let pair = Arc::new(Pair::new());
    // Whether one has seen itself on one processor, and on all of them after that.
    let seen = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
    let threads = [0, 1].map(|me| {
        let (pair, seen) = (Arc::clone(&pair), Arc::clone(&seen));
        guest.spawn(move || {
            pair.take_turns(me, || {
                assert!(began.elapsed() < DEADLINE, "gathered: {:?}", seen[0]);
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
                seen[1].load(Ordering::Relaxed)
            });
        })
    });
    threads.into_iter().for_each(|thread| thread.join());
}

fn are_in_groups(guest: &'static Guest) {
    /// Whoever has just been somewhere is not known to be there for longer, in microseconds.
    const FRESH: u64 = 500;
    /// It is seen so often in a row: threads that are let go may be on different processors for a moment, too.
    const OFTEN: usize = 5;
    /// This guest has no virtual CPUs of its own. Where it had one only, groups of threads had nothing to gain.
    extern "C" fn vcpu(index: c_uint) -> *mut c_void {
        static VCPUS: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
        VCPUS.get(index as usize).map_or(ptr::null_mut(), |vcpu| vcpu.as_ptr().cast())
    }
    if processors() < 2 {
        return eprintln!("skipped: there is one processor only");
    }
    let probes = Hypervisor::load(&guest.library).expect("loaded before").probes.expect("ours has some");
    // SAFETY: the function knows its own end.
    unsafe { (probes.describe)(vcpu) };
    let began = Instant::now();
    // Of each pair the processor + 1 that one of it may run on only, and when, in microseconds; 0: it could be elsewhere.
    let places = Arc::new(sync::Mutex::new([(0, 0); 2]));
    let seen = Arc::new(AtomicBool::new(false));
    let pairs = [0, 1].map(|_| Arc::new(Pair::new()));
    let threads = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(nth, me)| {
        let (pair, places, seen) = (Arc::clone(&pairs[nth]), Arc::clone(&places), Arc::clone(&seen));
        guest.spawn(move || {
            let mut in_a_row = 0;
            pair.take_turns(me, || {
                assert!(began.elapsed() < DEADLINE, "never in groups");
                let now = began.elapsed().as_micros() as u64;
                // SAFETY: no preconditions.
                let place = if processors() == 1 { unsafe { libc::sched_getcpu() + 1 } } else { 0 };
                let mut places = places.lock().expect("no panic");
                places[nth] = (place, now);
                let (other, then) = places[1 - nth];
                let are_apart = place != 0 && other != 0 && place != other && then + FRESH > now;
                in_a_row = if are_apart { in_a_row + 1 } else { 0 };
                if in_a_row == OFTEN {
                    seen.store(true, Ordering::Relaxed);
                }
                seen.load(Ordering::Relaxed)
            });
        })
    });
    threads.into_iter().for_each(|thread| thread.join());
}
