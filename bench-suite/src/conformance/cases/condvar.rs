//! Condition variables: who waits, with which interlock, and in which order mutex and virtual CPU come back.

use super::mutex::KINDS;
use crate::conformance::calls::{Condvar, Mutex, netbsd};
use crate::conformance::case::Family;
use crate::conformance::guest::{Event, Guest, GuestThread, Lwp, Signal};
use libc::c_int;
use rumpuser::abi::types::mutex::{KMUTEX, SPIN};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Long enough never to be over within a case.
pub(super) const LONG: i64 = 3600;
/// A timeout that has to be waited for, in nanoseconds.
pub(super) const SHORT: i64 = 20_000_000;

/// A way to wait until somebody signals.
pub(super) type Wait = fn(Condvar, Mutex);

/// The ways that give up the virtual CPU.
pub(super) const WAITS: [(&str, Wait); 2] =
    [("wait", Condvar::wait), ("timedwait", |condvar, mutex| _ = condvar.timed_wait(mutex, LONG, 0))];

pub(super) fn cases(family: &mut Family<'_>) {
    for (kind, flags) in KINDS {
        waits(family, kind, flags);
        if flags & SPIN != 0 {
            unwrapped_waits(family, kind, flags);
        }
    }
    waking(family);
    waiters(family);
}

/// Starts a thread that enters `mutex`, marks "waits" while holding it, and waits by `wait`, then marks "woke".
pub(super) fn waiter(guest: &'static Guest, mutex: Mutex, wait: impl FnOnce() + Send + 'static) -> GuestThread {
    guest.spawn(move || {
        mutex.enter();
        guest.mark("waits");
        wait();
        guest.mark("woke");
        assert_eq!(mutex.try_enter(), Err(netbsd::EBUSY), "the waiter holds the mutex again");
        mutex.exit();
    })
}

/// Returns with `mutex` held, when `count` waiters are in their waits: each marked itself while it held the mutex, so
/// who gets the mutex after that comes after their waits have begun.
pub(super) fn enter_after_waiters(guest: &'static Guest, mutex: Mutex, count: usize) {
    guest.trace.wait_for(Event::Mark("waits"), count);
    mutex.enter();
}

/// Signals so that the waiter gives up its virtual CPU once: under a spin mutex, or else when the mutex is free, for which it would
/// give it up again.
pub(super) fn signal_and_exit(condvar: Condvar, mutex: Mutex, flags: c_int) {
    if flags & SPIN != 0 {
        condvar.signal();
        mutex.exit();
    } else {
        mutex.exit();
        condvar.signal();
    }
}

fn waits(family: &mut Family<'_>, kind: &str, flags: c_int) {
    family.case(
        format!("{kind}_wait_gives_up_cpu_with_the_mutex"),
        "wait gives up the virtual CPU once, with the mutex as interlock both ways, and returns with all locks",
        move |guest| {
            let (mutex, condvar) = (Mutex::new(flags), Condvar::new());
            let thread = waiter(guest, mutex, move || {
                guest.gives_up_cpu_with(mutex.as_ptr(), || condvar.wait(mutex));
            });
            enter_after_waiters(guest, mutex, 1);
            signal_and_exit(condvar, mutex, flags);
            thread.join();
        },
    );
    family.case(
        format!("{kind}_wait_releases_the_mutex"),
        "the mutex is free while its holder waits, and held again when the wait is over",
        move |guest| {
            let (mutex, condvar) = (Mutex::new(flags), Condvar::new());
            let thread = waiter(guest, mutex, move || condvar.wait(mutex));
            enter_after_waiters(guest, mutex, 1);
            thread.settle();
            mutex.exit();
            mutex.enter();
            guest.mark("signals");
            condvar.signal();
            mutex.exit();
            thread.join();
            guest.trace.assert_order("signals", "woke");
            assert_eq!(mutex.try_enter(), Ok(()), "free at the end");
        },
    );
    family.case(
        format!("{kind}_wait_returns_only_with_the_mutex"),
        "a waiter that was signalled does not return while the signaller holds the mutex",
        move |guest| {
            let (mutex, condvar) = (Mutex::new(flags), Condvar::new());
            let thread = waiter(guest, mutex, move || condvar.wait(mutex));
            enter_after_waiters(guest, mutex, 1);
            condvar.signal();
            thread.settle();
            guest.mark("exits");
            mutex.exit();
            thread.join();
            guest.trace.assert_order("exits", "woke");
        },
    );
    if flags & KMUTEX != 0 {
        family.case(
            format!("{kind}_owner_across_a_wait"),
            "a mutex has no owner while its holder waits, and the holder for owner after the wait",
            move |guest| {
                let (mutex, condvar) = (Mutex::new(flags), Condvar::new());
                let thread = waiter(guest, mutex, move || {
                    condvar.wait(mutex);
                    assert_eq!(mutex.owner(), guest.lwp());
                });
                enter_after_waiters(guest, mutex, 1);
                mutex.exit();
                assert_eq!(mutex.owner(), Lwp::NONE, "while its holder waits");
                condvar.signal();
                thread.join();
                assert_eq!(mutex.owner(), Lwp::NONE);
            },
        );
    }
    family.case(
        format!("{kind}_ping_pong"),
        "no wake-up is lost when two threads hand a turn to each other",
        move |guest| {
            guest.trace.silence();
            ping_pong(guest, Mutex::new(flags), Condvar::wait);
        },
    );
}

/// Two threads take turns; each waits until it is its turn.
fn ping_pong(guest: &'static Guest, mutex: Mutex, wait: Wait) {
    const TURNS: usize = 1000;
    let condvar = Condvar::new();
    let turn = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..2)
        .map(|me| {
            let turn = Arc::clone(&turn);
            guest.spawn(move || {
                for _ in 0..TURNS {
                    mutex.enter();
                    // Relaxed: the mutex orders the turns.
                    while turn.load(Ordering::Relaxed) % 2 != me {
                        wait(condvar, mutex);
                    }
                    turn.fetch_add(1, Ordering::Relaxed);
                    condvar.signal();
                    mutex.exit();
                }
            })
        })
        .collect();
    guest.aside(|| threads.into_iter().for_each(GuestThread::join));
    assert_eq!(turn.load(Ordering::Relaxed), 2 * TURNS);
}

fn unwrapped_waits(family: &mut Family<'_>, kind: &str, flags: c_int) {
    family.case(
        format!("{kind}_wait_nowrap_stays_on_cpu"),
        "wait_nowrap waits without giving up the virtual CPU; the mutex is free meanwhile",
        move |guest| {
            let (mutex, condvar) = (Mutex::new(flags), Condvar::new());
            let thread = waiter(guest, mutex, move || {
                let start = guest.trace.len();
                condvar.wait_nowrap(mutex);
                assert_eq!(guest.trace.of_this_thread(start), [], "upcalls");
                if flags & KMUTEX != 0 {
                    assert_eq!(mutex.owner(), guest.lwp());
                }
            });
            enter_after_waiters(guest, mutex, 1);
            guest.mark("signals");
            condvar.signal();
            mutex.exit();
            thread.join();
            guest.trace.assert_order("signals", "woke");
        },
    );
    family.case(
        format!("{kind}_wait_nowrap_ping_pong"),
        "no wake-up of wait_nowrap is lost when two threads hand a turn to each other",
        move |guest| ping_pong(guest, Mutex::new(flags), Condvar::wait_nowrap),
    );
}

fn waking(family: &mut Family<'_>) {
    family.case("signal_wakes_one", "one signal wakes one of three waiters", |guest| {
        let (mutex, condvar) = (Mutex::new(KMUTEX), Condvar::new());
        let threads: Vec<_> = (0..3).map(|_| waiter(guest, mutex, move || condvar.wait(mutex))).collect();
        for woken in 1..=3 {
            enter_after_waiters(guest, mutex, 3);
            condvar.signal();
            mutex.exit();
            guest.trace.wait_for(Event::Mark("woke"), woken);
            threads.iter().for_each(GuestThread::settle);
            assert_eq!(guest.trace.count(Event::Mark("woke")), woken);
        }
        threads.into_iter().for_each(GuestThread::join);
    });
    family.case("broadcast_wakes_all", "one broadcast wakes all of eight waiters", |guest| {
        let (mutex, condvar) = (Mutex::new(KMUTEX), Condvar::new());
        let threads: Vec<_> = (0..8).map(|_| waiter(guest, mutex, move || condvar.wait(mutex))).collect();
        enter_after_waiters(guest, mutex, 8);
        guest.stays_on_cpu(|| condvar.broadcast());
        mutex.exit();
        threads.into_iter().for_each(GuestThread::join);
    });
    family.case("broadcast_wakes_all_of_nowrap", "one broadcast wakes all waiters in wait_nowrap", |guest| {
        let (mutex, condvar) = (Mutex::new(SPIN), Condvar::new());
        let threads: Vec<_> = (0..8).map(|_| waiter(guest, mutex, move || condvar.wait_nowrap(mutex))).collect();
        enter_after_waiters(guest, mutex, 8);
        condvar.broadcast();
        mutex.exit();
        threads.into_iter().for_each(GuestThread::join);
    });
    family.case("as_many_signals_as_waiters", "eight signals in a row wake eight waiters", |guest| {
        let (mutex, condvar) = (Mutex::new(KMUTEX), Condvar::new());
        let threads: Vec<_> = (0..8).map(|_| waiter(guest, mutex, move || condvar.wait(mutex))).collect();
        enter_after_waiters(guest, mutex, 8);
        guest.stays_on_cpu(|| (0..8).for_each(|_| condvar.signal()));
        mutex.exit();
        threads.into_iter().for_each(GuestThread::join);
    });
    family.case(
        "signal_without_the_mutex",
        "a signal by a thread that does not hold the mutex wakes a waiter",
        |guest| {
            let (mutex, condvar) = (Mutex::new(KMUTEX), Condvar::new());
            let thread = waiter(guest, mutex, move || condvar.wait(mutex));
            enter_after_waiters(guest, mutex, 1);
            mutex.exit();
            condvar.signal();
            thread.join();
        },
    );
    family.case("broadcast_without_the_mutex", "a broadcast without the mutex wakes all waiters", |guest| {
        let (mutex, condvar) = (Mutex::new(KMUTEX), Condvar::new());
        let threads: Vec<_> = (0..4).map(|_| waiter(guest, mutex, move || condvar.wait(mutex))).collect();
        enter_after_waiters(guest, mutex, 4);
        mutex.exit();
        condvar.broadcast();
        threads.into_iter().for_each(GuestThread::join);
    });
    family.case("signals_are_not_kept", "a signal or broadcast without a waiter is forgotten", |guest| {
        let (mutex, condvar) = (Mutex::new(KMUTEX), Condvar::new());
        guest.stays_on_cpu(|| {
            condvar.signal();
            condvar.broadcast();
        });
        mutex.enter();
        assert_eq!(condvar.timed_wait(mutex, 0, SHORT), Err(netbsd::ETIMEDOUT));
        mutex.exit();
    });
    family.case("two_condvars_of_one_mutex", "a signal wakes waiters of its own condition variable only", |guest| {
        let (mutex, condvars) = (Mutex::new(KMUTEX), [Condvar::new(), Condvar::new()]);
        let threads = condvars.map(|condvar| waiter(guest, mutex, move || condvar.wait(mutex)));
        enter_after_waiters(guest, mutex, 2);
        condvars[1].broadcast();
        mutex.exit();
        let [first, second] = threads;
        second.join();
        mutex.enter();
        assert!(condvars[0].has_waiters());
        condvars[0].signal();
        mutex.exit();
        first.join();
    });
    family.case(
        "can_be_destroyed_after_its_waiters",
        "a condition variable ends when all its waiters are gone",
        |guest| {
            for _ in 0..20 {
                let (mutex, condvar) = (Mutex::new(KMUTEX), Condvar::new());
                let before = guest.trace.count(Event::Mark("waits"));
                let threads: Vec<_> = (0..2).map(|_| waiter(guest, mutex, move || condvar.wait(mutex))).collect();
                enter_after_waiters(guest, mutex, before + 2);
                condvar.broadcast();
                mutex.exit();
                threads.into_iter().for_each(GuestThread::join);
                condvar.destroy();
                mutex.destroy();
            }
        },
    );
    for (name, wait) in WAITS {
        family.case(
            format!("{name}_outlasts_signals_of_the_host"),
            "a thread whose wait is disturbed by signals of the host still gets its wake-up",
            move |guest| {
                let signal = Signal::prepare();
                let (mutex, condvar) = (Mutex::new(KMUTEX), Condvar::new());
                let ready = Arc::new(AtomicUsize::new(0));
                let seen = Arc::clone(&ready);
                let thread = waiter(guest, mutex, move || {
                    while seen.load(Ordering::Relaxed) == 0 {
                        wait(condvar, mutex);
                    }
                });
                enter_after_waiters(guest, mutex, 1);
                mutex.exit();
                thread.interrupt(signal, 20);
                mutex.enter();
                ready.store(1, Ordering::Relaxed);
                condvar.signal();
                mutex.exit();
                thread.join();
            },
        );
    }
}

fn waiters(family: &mut Family<'_>) {
    const WEAKNESS: &str = "a waiter counts until it has the virtual CPU again";
    family.case("no_waiters_at_first", "a condition variable that nobody waits for has no waiters", |guest| {
        let condvar = Condvar::new();
        assert!(!guest.stays_on_cpu(|| condvar.has_waiters()));
        condvar.signal();
        condvar.broadcast();
        assert!(!condvar.has_waiters());
    });
    family.case("waiters_are_seen", "has_waiters is true while somebody waits, and false at the end", |guest| {
        let (mutex, condvar) = (Mutex::new(KMUTEX), Condvar::new());
        let thread = waiter(guest, mutex, move || condvar.wait(mutex));
        enter_after_waiters(guest, mutex, 1);
        assert!(condvar.has_waiters());
        condvar.signal();
        mutex.exit();
        thread.join();
        assert!(!condvar.has_waiters());
    });
    family
        .case(
            "a_signalled_waiter_waits_no_more",
            "has_waiters is false as soon as the last waiter was signalled",
            |guest| {
                let (mutex, condvar) = (Mutex::new(KMUTEX), Condvar::new());
                let thread = waiter(guest, mutex, move || condvar.wait(mutex));
                enter_after_waiters(guest, mutex, 1);
                condvar.signal();
                // The mutex is held: the waiter cannot have returned.
                assert!(!condvar.has_waiters());
                mutex.exit();
                thread.join();
            },
        )
        .weakness(WEAKNESS);
    family
        .case("each_signal_takes_one_waiter", "of two waiters one signal leaves one, the second signal none", |guest| {
            let (mutex, condvar) = (Mutex::new(KMUTEX), Condvar::new());
            let threads: Vec<_> = (0..2).map(|_| waiter(guest, mutex, move || condvar.wait(mutex))).collect();
            enter_after_waiters(guest, mutex, 2);
            condvar.signal();
            assert!(condvar.has_waiters());
            condvar.signal();
            assert!(!condvar.has_waiters());
            mutex.exit();
            threads.into_iter().for_each(GuestThread::join);
        })
        .weakness(WEAKNESS);
    family
        .case("a_broadcast_takes_all_waiters", "has_waiters is false right after a broadcast", |guest| {
            let (mutex, condvar) = (Mutex::new(KMUTEX), Condvar::new());
            let threads: Vec<_> = (0..3).map(|_| waiter(guest, mutex, move || condvar.wait(mutex))).collect();
            enter_after_waiters(guest, mutex, 3);
            condvar.broadcast();
            assert!(!condvar.has_waiters());
            mutex.exit();
            threads.into_iter().for_each(GuestThread::join);
        })
        .weakness(WEAKNESS);
    family.case("who_timed_out_waits_no_more", "has_waiters is false after a timeout", |_| {
        let (mutex, condvar) = (Mutex::new(KMUTEX), Condvar::new());
        mutex.enter();
        assert_eq!(condvar.timed_wait(mutex, 0, 1), Err(netbsd::ETIMEDOUT));
        mutex.exit();
        assert!(!condvar.has_waiters());
    });
}
