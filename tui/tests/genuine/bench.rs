//! `rumpscope bench` with a genuine kernel: tiny runs whose times mean nothing, so none is looked at.

use crate::{prefix, programs};
use rumpscope_bench_suite::ab::{Bench, Guest, Outcome, Probes};
use rumpscope_bench_suite::genuine::Load;

/// Every load with both libraries: ours, and the kernel's own.
#[test]
fn every_load_runs_on_any_library() {
    let Some(prefix) = prefix() else { return };
    let backends = format!("native,stock=external:{}", prefix.join("lib/librumpuser.so.0").display());
    let arguments = "--rounds 1 --operations 40 --warm-up 20ms --threads 2,3 --ncpu 1,2 --json -";
    let mut command = vec!["bench", "--guest", prefix.to_str().unwrap(), "--backend", &backends];
    command.extend(arguments.split_whitespace());
    let ended = programs::run(&command);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let bench = Bench::from_json(&ended.stdout).unwrap();
    assert_eq!(bench.plan.guest, Guest::Genuine(prefix.join("lib")));
    assert_eq!(bench.runs.len(), 3 * 4 * Load::ALL.len());
    for run in &bench.runs {
        let case = &bench.plan.cases[run.case];
        let Outcome::Measured(measured) = &run.outcome else { panic!("{case}: {run:?}") };
        let threads = measured.figures.threads;
        // Pairs are filled up.
        assert!(Some(threads) == case.threads || threads == 4, "{case}: {threads}");
        assert_eq!(measured.figures.operations, 40, "{case}");
        assert_eq!(matches!(measured.probes, Probes::Read { .. }), run.variant < 2, "{case}");
    }
}
