//! What a bench makes of runs whose truth is known: made-up ones.

use rumpscope_bench_suite::ab::{
    Across, Amount, Bench, Case, Difference, Figures, Guest, Latency, Load, Measured, Mismatch, Outcome, Plan, Probes,
    Slot, Variant,
};
use rumpscope_bench_suite::workload::Workload;
use std::collections::BTreeMap;

const ROUNDS: u32 = 12;

fn plan() -> Plan {
    let variant = |label: &str| Variant {
        label: label.into(),
        library: "library".into(),
        env: BTreeMap::new(),
        watched: false,
        again: None,
    };
    let case = |workload| Case { workload: Load::Embedded(workload), ncpu: 2, threads: None };
    Plan {
        seed: 5,
        rounds: ROUNDS,
        amount: Amount::Operations(1000),
        warm_up_ns: 0,
        guest_cores: None,
        guest: Guest::Embedded,
        cases: [Workload::Locks, Workload::Disk].map(case).to_vec(),
        variants: Plan::with_noise(&["first", "fast", "same"].map(variant)),
    }
}

fn probes(p50_ns: u64, ticks_per_second: f64) -> Probes {
    let call = |name: &str, p50_ns| Latency {
        name: name.to_owned(),
        count: 1000,
        total_ns: 1000 * p50_ns,
        estimated: false,
        p50_ns,
        p90_ns: p50_ns,
        p99_ns: 2 * p50_ns,
        p99_9_ns: 3 * p50_ns,
        max_ns: 4 * p50_ns,
    };
    Probes::Read {
        clock: "tsc".to_owned(),
        ticks_per_second,
        timing: "full".to_owned(),
        backend: "native".to_owned(),
        duration_ns: 1_000_000,
        hypercalls: vec![call("curlwp", 2), call("mutex_enter", p50_ns)],
    }
}

/// A run that took `wall_ns`, disturbed by some parts in a thousand that differ from run to run.
fn run(slot: Slot, wall_ns: u64) -> Measured {
    let disturbance = (u64::from(slot.round) * 7 + slot.case as u64 * 5 + slot.variant as u64 * 11) % 13;
    let figures =
        Figures { operations: 1000, wall_ns: wall_ns + wall_ns * disturbance / 1000, cpu_ns: wall_ns, threads: 4 };
    Measured { figures, probes: if slot.variant == 2 { Probes::None } else { probes(wall_ns / 10_000, 2e9) } }
}

/// The first, again, one that is faster under the first load and takes the same time under the second, and the same.
fn bench(until_round: u32) -> Bench {
    let mut bench = Bench::new(plan());
    for slot in bench.plan.order().into_iter().filter(|slot| slot.round < until_round) {
        let wall_ns = if (slot.variant, slot.case) == (2, 0) { 500_000 } else { 1_000_000 };
        bench.add(slot, Outcome::Measured(run(slot, wall_ns)));
    }
    bench.finish();
    bench
}

fn difference(bench: &Bench, case: Option<usize>, variant: usize) -> Difference {
    let found = bench.comparisons.iter().find(|found| (found.case, found.variant) == (case, variant));
    found.expect("every pair is compared").difference
}

#[test]
fn what_is_faster_is_found_and_what_is_not_is_not() {
    let bench = bench(ROUNDS);
    assert!(bench.complete);
    // Three variants against the first, under two loads and over both.
    assert_eq!(bench.comparisons.len(), 9);
    assert_eq!(difference(&bench, Some(0), 2), Difference::Faster);
    assert_eq!(difference(&bench, None, 2), Difference::Faster);
    for (case, variant) in [(Some(0), 1), (Some(0), 3), (Some(1), 1), (Some(1), 2), (Some(1), 3), (None, 3)] {
        let difference = difference(&bench, case, variant);
        assert!(
            matches!(difference, Difference::NoneSeen | Difference::WithinNoise),
            "{case:?} {variant}: {difference:?}"
        );
    }
    let faster = &bench.comparisons[1];
    assert!((1.98..2.02).contains(&faster.ratio), "{faster:?}");
    let (low, high) = faster.interval.expect("twelve rounds are enough");
    assert!(low < faster.ratio && faster.ratio < high && low > 1.95 && high < 2.05, "{faster:?}");
    // All twelve lean to one side: two of 2^12 choices of signs.
    assert_eq!(faster.p_value, 2.0 / 4096.0);
    // Over both loads: the root of 2 x 1.
    let mean = &bench.comparisons[7];
    assert!((1.40..1.43).contains(&mean.ratio), "{mean:?}");
}

#[test]
fn the_hypercalls_behind_a_difference_are_named() {
    let mut bench = bench(ROUNDS);
    for run in &mut bench.runs {
        if let (2, Outcome::Measured(measured)) = (run.variant, &mut run.outcome) {
            measured.probes = probes(40, 2e9);
        }
    }
    bench.finish();
    let behind = &bench.comparisons[1].hypercalls[0];
    assert_eq!(behind.name, "mutex_enter");
    let p50 = |side: &Option<rumpscope_bench_suite::ab::Typical>| side.map(|side| side.p50_ns);
    assert_eq!((p50(&behind.baseline), p50(&behind.variant)), (Some(100.0), Some(40.0)));
}

/// A clock thread sleeps all the time, so an operation that takes half as long sees half as much of it. That is no reason.
#[test]
fn what_goes_by_the_clock_is_not_behind_a_difference() {
    let mut bench = bench(ROUNDS);
    for run in &mut bench.runs {
        let Outcome::Measured(measured) = &mut run.outcome else { panic!("{run:?}") };
        measured.probes = probes(measured.figures.wall_ns / 10_000, 2e9);
        let wall_ns = measured.figures.wall_ns;
        let Probes::Read { duration_ns, hypercalls, .. } = &mut measured.probes else { panic!() };
        *duration_ns = wall_ns;
        let tick = Latency {
            name: "clock_sleep".to_owned(),
            count: wall_ns / 10_000,
            total_ns: wall_ns,
            ..hypercalls[0].clone()
        };
        hypercalls.push(tick);
    }
    bench.finish();
    let behind = &bench.comparisons[1].hypercalls;
    let names: Vec<_> = behind.iter().map(|pair| pair.name.as_str()).collect();
    assert_eq!(names, ["mutex_enter", "clock_sleep", "curlwp"]);
    // A thousand calls of 100 ns and of 50 ns for a thousand operations.
    assert!(behind[0].difference_ns().is_some_and(|difference| (-51.0..-49.0).contains(&difference)), "{behind:?}");
    let mutex = behind[0].baseline.unwrap();
    assert!((mutex.calls_per_operation - 1.0).abs() < 0.001, "{mutex:?}");
    // Beside 2 ns in curlwp and 1000 ns in sleep.
    assert!((mutex.share - 100.0 / 1102.0).abs() < 0.01, "{mutex:?}");
}

#[test]
fn a_call_of_few_runs_is_not_behind_a_difference() {
    let mut bench = bench(ROUNDS);
    let seldom = |run: &&mut rumpscope_bench_suite::ab::Run| (run.round, run.case, run.variant) == (4, 0, 0);
    let Some(Outcome::Measured(measured)) = bench.runs.iter_mut().find(seldom).map(|run| &mut run.outcome) else {
        panic!()
    };
    let Probes::Read { hypercalls, .. } = &mut measured.probes else { panic!() };
    hypercalls.push(Latency { name: "getrandom".to_owned(), total_ns: 1_000_000_000, ..hypercalls[0].clone() });
    bench.finish();
    let behind = &bench.comparisons[1].hypercalls;
    assert!(behind[0].name != "getrandom", "{behind:?}");
    let seldom = behind.iter().find(|pair| pair.name == "getrandom");
    assert!(seldom.is_none_or(|pair| pair.baseline.is_none()), "{behind:?}");
}

/// Left out, it would flatter its back end.
#[test]
fn a_run_without_an_operation_is_the_slowest_of_all() {
    let mut bench = bench(ROUNDS);
    for run in bench.runs.iter_mut().filter(|run| run.case == 1 && run.variant == 3) {
        let Outcome::Measured(measured) = &mut run.outcome else { panic!("{run:?}") };
        measured.figures.operations = 0;
    }
    bench.finish();
    assert_eq!(difference(&bench, Some(1), 3), Difference::Slower);
    let slower = bench.comparisons.iter().find(|found| (found.case, found.variant) == (Some(1), 3)).unwrap();
    assert_eq!(slower.rounds, 12);
    assert!(slower.ratio < 0.001, "{slower:?}");
}

#[test]
fn a_library_without_probes_has_no_latencies() {
    let bench = bench(ROUNDS);
    let behind = &bench.comparisons[1].hypercalls;
    assert!(!behind.is_empty() && behind.iter().all(|pair| pair.baseline.is_some() && pair.variant.is_none()));
}

#[test]
fn a_bench_that_was_cut_short_says_so() {
    let bench = bench(5);
    assert!(!bench.complete);
    // Five rounds cannot be significant at 5 %.
    assert!(bench.comparisons.iter().all(|found| found.difference == Difference::TooFewRounds));
    assert!(self::bench(0).comparisons.is_empty());
}

#[test]
fn a_failed_run_takes_its_pair_with_it() {
    let mut bench = bench(ROUNDS);
    let failed = bench.runs.iter_mut().find(|run| (run.round, run.case, run.variant) == (3, 1, 0)).expect("it ran");
    failed.outcome = Outcome::Failed { reason: "killed".to_owned() };
    bench.finish();
    let rounds: Vec<_> = bench.comparisons.iter().map(|found| found.rounds).collect();
    assert_eq!(rounds, [12, 12, 12, 11, 11, 11, 11, 11, 11]);
    assert!(bench.has_failed(1, 0) && !bench.has_failed(0, 0));
}

#[test]
fn runs_of_different_clocks_and_segments_are_not_compared() {
    let mut bench = bench(2);
    assert_eq!(bench.check(), Ok(()));
    let put = |bench: &mut Bench, probes| {
        let Some(Outcome::Measured(measured)) = bench.runs.last_mut().map(|run| &mut run.outcome) else { panic!() };
        measured.probes = probes;
    };
    put(&mut bench, probes(1, 2.001e9));
    assert_eq!(bench.check(), Ok(()));
    put(&mut bench, probes(1, 2.1e9));
    assert!(matches!(bench.check(), Err(Mismatch::Clock { .. })));
    put(&mut bench, Probes::Unreadable { reason: "version 9".to_owned() });
    assert!(matches!(bench.check(), Err(Mismatch::Segment { .. })));
}

#[test]
fn json_tells_everything() {
    let mut bench = bench(ROUNDS);
    let slot = Slot { round: 0, case: 0, variant: 0 };
    bench.add(slot, Outcome::Failed { reason: "killed by \"SIGSEGV\"".to_owned() });
    bench.add(slot, Outcome::Skipped);
    let text = bench.to_json().unwrap();
    assert!(text.starts_with(r#"{"schema":"rumpscope.bench","version":1,"#) && text.ends_with('\n'));
    assert_eq!(Bench::from_json(&text).unwrap(), bench);
    let other = text.replacen("\"version\":1", "\"version\":2", 1);
    assert!(Bench::from_json(&other).unwrap_err().to_string().contains("of version 2"));
    assert!(Bench::from_json("{}").is_err());
    for (what, wrong) in [("\"variant\":3", "\"variant\":4"), ("\"case\":1", "\"case\":2")] {
        let forged = Bench::from_json(&text.replacen(what, wrong, 1)).unwrap_err();
        assert!(forged.to_string().contains("not in its plan"), "{forged}");
    }
}

/// Two sittings of the same; the second has its first variant, and so its repetition, 1.5 times as fast under the first
/// load.
fn sittings() -> [Bench; 2] {
    let one = bench(ROUNDS);
    let mut two = one.clone();
    for run in &mut two.runs {
        if let (0, 0 | 1, Outcome::Measured(measured)) = (run.case, run.variant, &mut run.outcome) {
            measured.figures.wall_ns = measured.figures.wall_ns * 2 / 3;
            measured.probes = probes(60, 2e9);
        }
    }
    two.finish();
    [one, two]
}

#[test]
fn two_sittings_are_compared_load_by_load() {
    let [one, two] = sittings();
    let across = Across::new([("a", &one), ("b", &two)], false).unwrap();
    // Three variants, without the repetition, under two loads and over both.
    assert_eq!(across.rows.len(), 9);
    let find = |case, label: &str| {
        let found = across.rows.iter().find(|row| row.comparison.case == case && row.label == label);
        &found.expect("every pair is compared").comparison
    };
    let faster = find(Some(0), "first");
    assert_eq!((faster.difference, faster.rounds), (Difference::Faster, 12));
    assert!((1.48..1.52).contains(&faster.ratio), "{faster:?}");
    assert!(faster.interval.is_some_and(|(low, high)| 1.48 < low && high < 1.52), "{faster:?}");
    assert_eq!(faster.hypercalls[0].name, "mutex_enter");
    assert!((1.21..1.24).contains(&find(None, "first").ratio));
    for (case, label) in [(Some(1), "first"), (Some(0), "fast"), (None, "same")] {
        let same = find(case, label);
        assert_eq!((same.difference, same.ratio), (Difference::NoneSeen, 1.0), "{label}");
    }
    let text = across.to_json().unwrap();
    assert!(text.starts_with(r#"{"schema":"rumpscope.bench-across","version":1,"#));
    assert_eq!(serde_json::from_str::<Across>(&text).unwrap(), across);
}

#[test]
fn sittings_of_different_hosts_clocks_and_segments_are_refused() {
    let [one, two] = sittings();
    let refused = |change: fn(&mut Bench)| {
        let mut other = two.clone();
        change(&mut other);
        let forced = Across::new([("a", &one), ("b", &other)], true).unwrap();
        let refused = Across::new([("a", &one), ("b", &other)], false).unwrap_err();
        assert_eq!(forced.mismatch, Some(refused.to_string()));
        assert_eq!(forced.rows.len(), 9);
        refused
    };
    assert!(matches!(refused(|bench| bench.host.cores += 1), Mismatch::Host { .. }));
    assert!(matches!(refused(|bench| bench.debug_build ^= true), Mismatch::Build));
    assert!(matches!(refused(|bench| bench.plan.guest_cores = Some(1)), Mismatch::GuestCores { .. }));
    assert!(matches!(refused(|bench| bench.host.system += " newer"), Mismatch::Host { .. }));
    assert!(matches!(refused(|bench| bench.segment_version += 1), Mismatch::SegmentVersion { .. }));
    let faster_clock = |bench: &mut Bench| {
        for run in &mut bench.runs {
            if let Outcome::Measured(Measured { probes: Probes::Read { ticks_per_second, .. }, .. }) = &mut run.outcome
            {
                *ticks_per_second *= 1.1;
            }
        }
    };
    assert!(matches!(refused(faster_clock), Mismatch::Clock { .. }));
}

#[test]
fn only_what_both_sittings_have_is_compared() {
    let [one, mut two] = sittings();
    two.plan.variants[2].label = "slow".to_owned();
    two.plan.cases[1].ncpu = 1;
    let across = Across::new([("a", &one), ("b", &two)], false).unwrap();
    let rows: Vec<_> = across.rows.iter().map(|row| (row.comparison.case, row.label.as_str())).collect();
    assert_eq!(rows, [(Some(0), "first"), (Some(0), "same")]);
    two.plan.guest = Guest::Genuine("kernel".into());
    assert_eq!(Across::new([("a", &one), ("b", &two)], false).unwrap().rows, []);
}
