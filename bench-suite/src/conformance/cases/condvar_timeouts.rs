//! Condition variables: waits that end by themselves.

use super::condvar::{LONG, SHORT, enter_after_waiters, signal_and_exit, waiter};
use super::mutex::KINDS;
use crate::conformance::calls::{Condvar, Mutex, host_clock, netbsd};
use crate::conformance::case::Family;
use crate::conformance::guest::Signal;
use libc::c_int;
use rumpuser::abi::types::mutex::KMUTEX;
use std::time::Duration;

pub(super) fn cases(family: &mut Family<'_>) {
    for (kind, flags) in KINDS {
        timed_waits(family, kind, flags);
    }
    timeouts(family);
}

fn timed_waits(family: &mut Family<'_>, kind: &str, flags: c_int) {
    family.case(
        format!("{kind}_timedwait_times_out"),
        "timedwait that nobody ends returns ETIMEDOUT, with the mutex, after the virtual CPU was given up once",
        move |guest| {
            let (mutex, condvar) = (Mutex::new(flags), Condvar::new());
            mutex.enter();
            let outcome = guest.gives_up_cpu_with(mutex.as_ptr(), || condvar.timed_wait(mutex, 0, SHORT));
            assert_eq!(outcome, Err(netbsd::ETIMEDOUT));
            assert_eq!(mutex.try_enter(), Err(netbsd::EBUSY), "the mutex is held again");
            if flags & KMUTEX != 0 {
                assert_eq!(mutex.owner(), guest.lwp());
            }
            mutex.exit();
        },
    );
    family.case(
        format!("{kind}_timedwait_is_signalled"),
        "timedwait that is signalled in time returns 0, with the mutex",
        move |guest| {
            let (mutex, condvar) = (Mutex::new(flags), Condvar::new());
            let thread = waiter(guest, mutex, move || {
                let outcome = guest.gives_up_cpu_with(mutex.as_ptr(), || condvar.timed_wait(mutex, LONG, 0));
                assert_eq!(outcome, Ok(()));
            });
            enter_after_waiters(guest, mutex, 1);
            signal_and_exit(condvar, mutex, flags);
            thread.join();
        },
    );
}

fn timeouts(family: &mut Family<'_>) {
    for nanoseconds in [1, 1_000, 1_000_000, 30_000_000, 999_999_999] {
        family.case(
            format!("timedwait_of_{nanoseconds}_ns_is_not_early"),
            "a timedwait that times out has lasted at least as long as asked, on the monotonic clock",
            move |_| {
                let (mutex, condvar) = (Mutex::new(KMUTEX), Condvar::new());
                mutex.enter();
                let before = host_clock(libc::CLOCK_MONOTONIC);
                assert_eq!(condvar.timed_wait(mutex, 0, nanoseconds), Err(netbsd::ETIMEDOUT));
                let waited = host_clock(libc::CLOCK_MONOTONIC) - before;
                assert!(waited >= Duration::from_nanos(nanoseconds.unsigned_abs()), "{waited:?}");
                mutex.exit();
            },
        );
    }
    family.case("timedwait_counts_seconds", "seconds and nanoseconds of a timeout add up", |_| {
        let (mutex, condvar) = (Mutex::new(KMUTEX), Condvar::new());
        mutex.enter();
        let before = host_clock(libc::CLOCK_MONOTONIC);
        assert_eq!(condvar.timed_wait(mutex, 1, 100_000_000), Err(netbsd::ETIMEDOUT));
        let waited = host_clock(libc::CLOCK_MONOTONIC) - before;
        assert!(waited >= Duration::from_millis(1100), "{waited:?}");
        mutex.exit();
    });
    for (name, seconds, nanoseconds) in [("zero", 0, 0), ("negative", -1, 0), ("very_negative", -1_000_000, 0)] {
        family.case(
            format!("timedwait_of_{name}_time"),
            "a timeout that is over already returns ETIMEDOUT, with the mutex",
            move |_| {
                let (mutex, condvar) = (Mutex::new(KMUTEX), Condvar::new());
                mutex.enter();
                assert_eq!(condvar.timed_wait(mutex, seconds, nanoseconds), Err(netbsd::ETIMEDOUT));
                assert_eq!(mutex.try_enter(), Err(netbsd::EBUSY));
                mutex.exit();
            },
        );
    }
    family
        .case("timedwait_of_all_time", "the longest timeout there is waits for its signal", |guest| {
            let (mutex, condvar) = (Mutex::new(KMUTEX), Condvar::new());
            let thread = waiter(guest, mutex, move || {
                assert_eq!(condvar.timed_wait(mutex, i64::MAX, 999_999_999), Ok(()));
            });
            enter_after_waiters(guest, mutex, 1);
            thread.settle();
            guest.mark("signals");
            condvar.signal();
            mutex.exit();
            thread.join();
            guest.trace.assert_order("signals", "woke");
        })
        .weakness("the end of the wait overflows");
    family.case("timedwait_is_not_shortened_by_signals", "signals of the host do not end a timeout early", |guest| {
        let signal = Signal::prepare();
        let (mutex, condvar) = (Mutex::new(KMUTEX), Condvar::new());
        let thread = waiter(guest, mutex, move || {
            let before = host_clock(libc::CLOCK_MONOTONIC);
            assert_eq!(condvar.timed_wait(mutex, 0, 200_000_000), Err(netbsd::ETIMEDOUT));
            let waited = host_clock(libc::CLOCK_MONOTONIC) - before;
            assert!(waited >= Duration::from_millis(200), "{waited:?}");
        });
        thread.wait_off_cpu();
        thread.interrupt(signal, 20);
        thread.join();
    });
}
