//! Clocks and sleeping.

use crate::conformance::calls::{Outcome, clock, duration, host_clock, netbsd, sleep};
use crate::conformance::case::Family;
use crate::conformance::guest::Signal;
use libc::{c_int, c_long};
use rumpuser::abi::types::clock::{ABSMONO, RELWALL};
use std::time::Duration;

pub(super) fn cases(family: &mut Family<'_>) {
    reading(family);
    sleeping(family);
    disturbed(family);
}

fn now(which: c_int) -> Duration {
    let (seconds, nanoseconds) = clock(which).expect("the time");
    duration(seconds, nanoseconds)
}

/// Sleeps until `time` on the monotonic clock.
fn sleep_until(time: Duration) -> Outcome {
    sleep(ABSMONO, time.as_secs().cast_signed(), c_long::from(time.subsec_nanos().cast_signed()))
}

fn reading(family: &mut Family<'_>) {
    for (name, which, host) in [("wall", RELWALL, libc::CLOCK_REALTIME), ("monotonic", ABSMONO, libc::CLOCK_MONOTONIC)]
    {
        family.case(format!("{name}_is_the_hosts"), "a clock shows the time of the host's own", move |guest| {
            let before = host_clock(host);
            let time = guest.stays_on_cpu(|| now(which));
            let after = host_clock(host);
            assert!((before..=after).contains(&time), "{before:?} <= {time:?} <= {after:?}");
        });
    }
    family.case("monotonic_never_goes_back", "each reading is at least the one before", |_| {
        let mut last = now(ABSMONO);
        for _ in 0..100_000 {
            let time = now(ABSMONO);
            assert!(time >= last, "{time:?} after {last:?}");
            last = time;
        }
    });
    family.case("monotonic_is_one_for_all_threads", "a later reading by another thread is not earlier", |guest| {
        for _ in 0..50 {
            let before = now(ABSMONO);
            guest.spawn(move || assert!(now(ABSMONO) >= before)).join();
        }
    });
    for which in [2, 17, -1] {
        family
            .case(
                format!("gettime_of_clock_{which}_is_an_error"),
                "a clock that does not exist is EINVAL",
                move |guest| {
                    assert_eq!(guest.stays_on_cpu(|| clock(which)), Err(netbsd::EINVAL));
                },
            )
            .weakness("aborts");
    }
}

fn sleeping(family: &mut Family<'_>) {
    for nanoseconds in [0, 1, 1_000_000, 50_000_000] {
        family.case(
            format!("relative_sleep_of_{nanoseconds}_ns"),
            "a relative sleep lasts at least as long as asked and gives up the virtual CPU once",
            move |guest| {
                let before = host_clock(libc::CLOCK_MONOTONIC);
                assert_eq!(guest.gives_up_cpu(|| sleep(RELWALL, 0, nanoseconds)), Ok(()));
                let slept = host_clock(libc::CLOCK_MONOTONIC) - before;
                assert!(slept >= Duration::from_nanos(nanoseconds.unsigned_abs()), "{slept:?}");
            },
        );
        family.case(
            format!("absolute_sleep_until_{nanoseconds}_ns_from_now"),
            "an absolute sleep ends when the monotonic clock is there, not before, and gives up the virtual CPU once",
            move |guest| {
                let end = now(ABSMONO) + Duration::from_nanos(nanoseconds.unsigned_abs());
                assert_eq!(guest.gives_up_cpu(|| sleep_until(end)), Ok(()));
                assert!(now(ABSMONO) >= end);
            },
        );
    }
    family.case("relative_sleep_of_a_second", "seconds and nanoseconds of a sleep add up", |guest| {
        let before = host_clock(libc::CLOCK_MONOTONIC);
        assert_eq!(guest.gives_up_cpu(|| sleep(RELWALL, 1, 100_000_000)), Ok(()));
        assert!(host_clock(libc::CLOCK_MONOTONIC) - before >= Duration::from_millis(1100));
    });
    family.case("absolute_sleep_into_the_past", "a sleep until a time that has passed returns 0", |guest| {
        assert_eq!(guest.gives_up_cpu(|| sleep(ABSMONO, 0, 1)), Ok(()));
        assert_eq!(sleep_until(now(ABSMONO) - Duration::from_millis(1)), Ok(()));
    });
    for (name, which) in [("relative", RELWALL), ("absolute", ABSMONO)] {
        for nanoseconds in [-1, 1_000_000_000, c_long::MAX] {
            family.case(
                format!("{name}_sleep_of_{nanoseconds}_nanoseconds_is_an_error"),
                "nanoseconds outside of one second are EINVAL",
                move |guest| assert_eq!(guest.watch(|| sleep(which, 0, nanoseconds)).0, Err(netbsd::EINVAL)),
            );
        }
    }
    family
        .case("sleep_on_an_unknown_clock_is_an_error", "a clock that does not exist is EINVAL", |guest| {
            assert_eq!(guest.watch(|| sleep(2, 0, 1)).0, Err(netbsd::EINVAL));
        })
        .weakness("aborts");
    family.case(
        "sleeper_leaves_the_cpu_to_others",
        "with one virtual CPU, another thread runs during a sleep",
        |guest| {
            guest.limit_cpus(1);
            let other = guest.spawn(move || guest.mark("runs"));
            // Only the sleep gives up the virtual CPU; it ends when the other thread has run, whenever that is.
            while guest.trace.count(crate::conformance::guest::Event::Mark("runs")) == 0 {
                assert_eq!(sleep(RELWALL, 0, 1_000_000), Ok(()));
            }
            guest.aside(|| other.join());
        },
    );
}

fn disturbed(family: &mut Family<'_>) {
    const LENGTH: Duration = Duration::from_millis(200);
    family.case("relative_sleep_outlasts_signals", "signals of the host do not shorten a relative sleep", |guest| {
        let signal = Signal::prepare();
        let sleeper = guest.spawn(move || {
            let before = host_clock(libc::CLOCK_MONOTONIC);
            assert_eq!(guest.gives_up_cpu(|| sleep(RELWALL, 0, LENGTH.subsec_nanos().into())), Ok(()));
            let slept = host_clock(libc::CLOCK_MONOTONIC) - before;
            assert!(slept >= LENGTH, "{slept:?}");
        });
        sleeper.wait_off_cpu();
        sleeper.interrupt(signal, 20);
        sleeper.join();
    });
    family.case("absolute_sleep_outlasts_signals", "signals of the host do not shorten an absolute sleep", |guest| {
        let signal = Signal::prepare();
        let sleeper = guest.spawn(move || {
            let end = now(ABSMONO) + LENGTH;
            assert_eq!(guest.gives_up_cpu(|| sleep_until(end)), Ok(()));
            assert!(now(ABSMONO) >= end);
        });
        sleeper.wait_off_cpu();
        sleeper.interrupt(signal, 20);
        sleeper.join();
    });
}
