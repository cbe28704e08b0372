//! Every exported hypercall is counted: exactly as often as it was made, in every timing mode.

use crate::calls::{IN_BACKGROUND, SLEEP};
use crate::parts;
use crate::process::{self, Ended};
use crate::tally;
use libtest_mimic::Trial;
use rumpscope_probes::{
    CATALOGUE, Distribution, ENV_SWITCH, ENV_TIMING, Entry, Hypercall, Metric, Mode, Quantity, Snapshot, Timing,
};
use rumpuser::host::backend::choice::{NAMES, VARIABLE};

pub fn trials() -> Vec<Trial> {
    let test = |name: String, run: Box<dyn Fn() + Send>| {
        Trial::test(format!("counted::{name}"), move || {
            run();
            Ok(())
        })
    };
    let modes = [Mode::Exact, Mode::Full, Mode::Sampled, Mode::Counts].map(|mode| {
        test(format!("every_hypercall_in_mode_{}", mode.name()), Box::new(move || every_hypercall(mode, NAMES[0])))
    });
    let backends = NAMES.into_iter().skip(1).map(|backend| {
        test(format!("every_hypercall_on_{backend}"), Box::new(move || every_hypercall(Mode::Exact, backend)))
    });
    let nothing = [
        test("nothing_in_mode_off".to_owned(), Box::new(nothing_in_mode_off)),
        test("no_segment_where_it_is_switched_off".to_owned(), Box::new(no_segment_where_it_is_switched_off)),
    ];
    modes.into_iter().chain(backends).chain(nothing).collect()
}

fn nothing_in_mode_off() {
    let ended = run("off", &[(ENV_TIMING, "off")]);
    assert!(ended.snapshot().cells.is_empty(), "{:?}", ended.snapshot().cells.keys());
}

fn no_segment_where_it_is_switched_off() {
    let ended = run("switch", &[(ENV_SWITCH, "0")]);
    assert!(!ended.has_segment());
}

fn run(name: &str, environment: &[(&str, &str)]) -> Ended {
    let ended = process::run(&format!("counted-{name}"), "calls -", environment);
    // By then the calls have only begun; their results are in the counts, which come at the end.
    assert_eq!(ended.status.code(), Some(IN_BACKGROUND));
    assert_ne!(tally::told(&ended, Hypercall::Exit), 0);
    ended
}

fn every_hypercall(mode: Mode, backend: &str) {
    let ended = run(&format!("{}-{backend}", mode.name()), &[(ENV_TIMING, mode.name()), (VARIABLE, backend)]);
    let snapshot = ended.snapshot();
    assert_eq!(snapshot.mode, mode);
    assert!(snapshot.backend.starts_with(backend), "{}", snapshot.backend);
    assert!(snapshot.coverage.guest_ended);
    assert_eq!((snapshot.coverage.lost_timings, snapshot.coverage.lost_places), (0, 0));
    for entry in CATALOGUE.iter().filter(|entry| entry.call.is_exported() || entry.call == Hypercall::BioDone) {
        let made = tally::told(&ended, entry.call);
        assert_ne!(made, 0, "{} was not made: add it to calls.rs", entry.name);
        assert_eq!(snapshot.calls(entry.call), made, "{} in mode {}", entry.name, mode.name());
        let of = |quantity| snapshot.total(Metric { quantity, call: entry.call });
        let (first, mut all) = (of(Quantity::First), of(Quantity::Call));
        first_ones(entry, mode, &first, all.count());
        all.merge(&first);
        timed_as_said(entry.name, entry.timing, mode, &all);
        slow_ones(entry.timing, mode, &of(Quantity::Slow));
    }
    if matches!(mode, Mode::Full | Mode::Exact) {
        parts::add_up(&snapshot);
    }
    sleeps(&snapshot);
}

fn timed_as_said(name: &str, timing: Timing, mode: Mode, counted: &Distribution) {
    let (timed, count) = (counted.timed(), counted.count());
    let at_least = |least| assert!(timed >= least && timed <= count, "{name}: {timed} of {count}");
    match (mode, timing) {
        (Mode::Full | Mode::Exact, Timing::Always) | (Mode::Exact, Timing::Quick) => assert_eq!(timed, count, "{name}"),
        // Between two that are timed at most 2047 are left out (uniform, mean 1024), and each thread's first one is.
        (Mode::Full | Mode::Exact, Timing::Sampled) => {
            at_least(count.div_ceil(2048));
            assert!(timed < count, "{name}: all of {count}");
        }
        // Likewise 255; there may be none that ended at once.
        (Mode::Full, Timing::Quick) => at_least(count.div_ceil(256)),
        // Likewise 127.
        (Mode::Sampled, Timing::Always | Timing::Quick | Timing::Sampled) => at_least(count.div_ceil(128)),
        (Mode::Counts | Mode::Off, _) | (_, Timing::Never) => assert_eq!(timed, 0, "{name}"),
    }
    assert!(timed != 0 || counted.sum == 0, "{name}: {} ticks in no call", counted.sum);
}

/// Where calls are timed as a sample (in mode `sampled` those that others time always have no first one), the first one of a thread is
/// timed and stands for no other; `later` were counted otherwise.
fn first_ones(entry: &Entry, mode: Mode, first: &Distribution, later: u64) {
    let is_sampled = match entry.timing {
        Timing::Quick => matches!(mode, Mode::Full | Mode::Sampled),
        Timing::Sampled => !matches!(mode, Mode::Counts | Mode::Off),
        Timing::Always | Timing::Never => false,
    };
    assert_eq!(first.timed(), first.count(), "{}", entry.name);
    assert_eq!(first.count() != 0, is_sampled && first.count() + later != 0, "{}", entry.name);
}

/// Quick calls that did not end at once are all timed, where anything is; other calls are never counted as such.
fn slow_ones(timing: Timing, mode: Mode, slow: &Distribution) {
    let timed = if mode == Mode::Counts { 0 } else { slow.count() };
    assert_eq!(slow.timed(), timed);
    assert!(timing == Timing::Quick || slow.count() == 0);
}

/// Transitions are counted in every mode and timed in all but `counts`: so it is known how long the sleepers slept.
fn sleeps(snapshot: &Snapshot) {
    let of = |quantity| snapshot.total(Metric { quantity, call: Hypercall::ClockSleep });
    let count = of(Quantity::Call).count();
    let timed = if snapshot.mode == Mode::Counts { 0 } else { count };
    for quantity in [Quantity::Unschedule, Quantity::Off, Quantity::Reschedule] {
        assert_eq!((of(quantity).count(), of(quantity).timed()), (count, timed), "{quantity:?}");
    }
    let slept = snapshot.clock.nanoseconds(of(Quantity::Off).sum);
    // The rate of the clock is measured; it is not wrong by a thousandth.
    assert!(slept >= 0.999 * timed as f64 * SLEEP as f64, "{count} sleeps took {slept} ns");
}
