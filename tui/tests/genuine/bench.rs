//! `rumpscope bench` with a genuine kernel: tiny runs whose times mean nothing, so none is looked at.

use crate::{prefix, programs};
use rumpscope_bench_suite::ab::{Bench, Guest, Outcome, Probes};
use rumpscope_bench_suite::genuine::Load;

/// Every load with our library, in both ways to have threads, and with the kernel's own behind our probes and alone.
#[test]
fn every_load_runs_on_any_library() {
    let Some(prefix) = prefix() else { return };
    let stock = prefix.join("lib/librumpuser.so.0");
    let backends = format!("native,fiber,probed=external:{0},stock=external:{0}@bare", stock.display());
    let arguments = "--rounds 1 --operations 40 --warm-up 20ms --threads 2,3 --ncpu 1,2 --json -";
    let mut command = vec!["bench", "--guest", prefix.to_str().unwrap(), "--backend", &backends];
    command.extend(arguments.split_whitespace());
    let ended = programs::run(&command);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let bench = Bench::from_json(&ended.stdout).unwrap();
    assert_eq!(bench.plan.guest, Guest::Genuine(prefix.join("lib")));
    // Of `fan`, which takes fours, two and three threads are the same.
    assert_eq!(bench.plan.cases.len(), 4 * Load::ALL.len() - 2);
    assert_eq!(bench.runs.len(), 5 * bench.plan.cases.len());
    for run in &bench.runs {
        let case = &bench.plan.cases[run.case];
        let Outcome::Measured(measured) = &run.outcome else { panic!("{case}: {run:?}") };
        let threads = measured.figures.threads;
        assert_eq!(Some(threads), case.threads, "{case}");
        assert_eq!(measured.figures.operations, 40, "{case}");
        // The process says nothing of its end, and is measured up to it nevertheless.
        assert_eq!(measured.probes.duration_ns() > 0, run.variant < 4, "{case}");
        assert_eq!(matches!(measured.probes, Probes::Read { .. }), run.variant < 4, "{case}");
    }
}
