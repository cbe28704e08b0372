//! What the formats look like, against files that people have read. `UPDATE_GOLDEN=1` writes the files anew.

use rumpscope_probes::{
    ClockInfo, ClockSource, Coverage, Distribution, Hypercall, Metric, Mode, Place, Process, Quantity, Snapshot,
    VcpuNow,
};
use rumpscope_reports::{Ended, Host, Ran, Run, Style, Summary, json, table};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Ticks of the snapshot's clock in a microsecond.
const MICROSECOND: u64 = 2_000;

fn spread(count: u64, shortest: u64, longest: u64) -> Distribution {
    let mut distribution = Distribution::default();
    for event in 0..count {
        // Many short ones, few long ones.
        let position = (event as f64 / count as f64).powi(6);
        distribution.record(shortest + (position * (longest - shortest) as f64) as u64);
    }
    distribution
}

fn sampled(untimed: u64, timed: Distribution) -> Distribution {
    let mut distribution = timed;
    distribution.untimed = untimed;
    distribution
}

/// Two virtual CPUs over two seconds: the first runs a thread at the end, the second has been free for half a second.
fn snapshot() -> Snapshot {
    let second = 1_000_000 * MICROSECOND;
    let mut cells = BTreeMap::new();
    let mut cell = |place, quantity, call, distribution| {
        cells.insert((place, Metric { quantity, call }), distribution);
    };
    let (vcpu0, vcpu1) = (Place::Vcpu(0), Place::Vcpu(1));
    cell(vcpu0, Quantity::Call, Hypercall::MutexEnter, spread(30_000, 60, 5 * MICROSECOND));
    cell(vcpu1, Quantity::Call, Hypercall::MutexEnter, spread(10_000, 60, 9 * MICROSECOND));
    cell(vcpu0, Quantity::Call, Hypercall::MutexExit, sampled(39_000, spread(300, 25, 70)));
    cell(vcpu0, Quantity::First, Hypercall::MutexExit, spread(2, 2 * MICROSECOND, 6 * MICROSECOND));
    cell(vcpu0, Quantity::Slow, Hypercall::MutexExit, spread(700, 900, 4 * MICROSECOND));
    cell(vcpu0, Quantity::Call, Hypercall::CvWait, spread(400, 30 * MICROSECOND, 90_000 * MICROSECOND));
    cell(vcpu0, Quantity::Call, Hypercall::Curlwp, sampled(1_250_000, spread(1_300, 38, 60)));
    cell(Place::OffCpu, Quantity::Call, Hypercall::BioDone, spread(20, 2_000, 40_000));
    cell(Place::Unknown, Quantity::Call, Hypercall::Exit, sampled(1, Distribution::default()));
    cell(vcpu0, Quantity::Unschedule, Hypercall::CvWait, spread(400, 150, 4 * MICROSECOND));
    cell(Place::OffCpu, Quantity::Off, Hypercall::CvWait, spread(400, 20 * MICROSECOND, 89_000 * MICROSECOND));
    cell(vcpu0, Quantity::Reschedule, Hypercall::CvWait, spread(300, 200, 700 * MICROSECOND));
    cell(vcpu1, Quantity::Reschedule, Hypercall::CvWait, spread(100, 200, 900 * MICROSECOND));
    cell(vcpu0, Quantity::Spin, Hypercall::CvWait, spread(300, 900, 24 * MICROSECOND));
    cell(vcpu0, Quantity::Own, Hypercall::CvWait, spread(400, 90, 400));
    cell(vcpu0, Quantity::Run, Hypercall::CvWait, spread(400, 5 * MICROSECOND, 8_000 * MICROSECOND));
    cell(vcpu1, Quantity::Run, Hypercall::GuestEntry, spread(100, 500, 30_000 * MICROSECOND));
    cell(vcpu0, Quantity::Gap, Hypercall::CvWait, spread(400, 100, 9_000 * MICROSECOND));
    cell(vcpu1, Quantity::Gap, Hypercall::CvWait, spread(100, 100, 50_000 * MICROSECOND));
    cell(vcpu1, Quantity::Migration, Hypercall::CvWait, sampled(100, Distribution::default()));
    cell(vcpu1, Quantity::Unschedule, Hypercall::ClockSleep, spread(1, 300, 301));
    cell(vcpu1, Quantity::Unschedule, Hypercall::GuestEntry, spread(100, 120, 300));
    cell(Place::OffCpu, Quantity::Gathered, Hypercall::GuestOwn, spread(12, 1_300 * MICROSECOND, 99_000 * MICROSECOND));
    let began = 7 * second;
    let taken = began + 2 * second;
    Snapshot {
        process: Process {
            pid: 4711,
            start_time: 12345,
            program: "server".to_owned(),
            began_unix_ns: 1_700_000_000_000_000_000,
        },
        clock: ClockInfo {
            source: ClockSource::Tsc,
            ticks_per_second: second as f64,
            two_reads_ns: 17.25,
            step_ns: 10.0,
        },
        mode: Mode::Full,
        backend: "native".to_owned(),
        began,
        taken,
        coverage: Coverage { vcpus_known: true, guest_transitions_seen: true, ..Coverage::default() },
        vcpus: vec![
            VcpuNow { index: 0, holder: Some((3, taken - second)), free_since: None },
            VcpuNow { index: 1, holder: None, free_since: Some(taken - second / 2) },
        ],
        migrations: BTreeMap::new(),
        threads: Vec::new(),
        contention: Default::default(),
        contention_as_of: None,
        cells,
    }
}

fn run() -> Run {
    Run {
        ran: Ran::Program { command: vec!["./server".to_owned(), "--port".to_owned(), "80".to_owned()] },
        ended: Ended::Killed { signal: 11, name: "SIGSEGV".to_owned() },
        host: Host { system: "Linux 6.12.0 x86_64".to_owned(), processor: "A Processor".to_owned(), cores: 4 },
    }
}

fn check(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert!(expected == text, "{} is not what came out:\n{text}", path.display());
}

fn plain(width: usize) -> Style {
    Style { width, colour: false, ascii: true }
}

#[test]
fn text_for_100_columns() {
    let text = table::render(&Summary::new(&snapshot(), run()), &plain(100));
    assert!(text.is_ascii());
    check("summary-100.txt", &text);
}

#[test]
fn text_for_80_columns() {
    let text = table::render(&Summary::new(&snapshot(), run()), &plain(80));
    check("summary-80.txt", &text);
}

#[test]
fn no_line_is_wider_than_the_screen() {
    let mut snapshot = snapshot();
    snapshot.coverage.lost_timings = 12_345;
    snapshot
        .cells
        .insert((Place::Vcpu(0), Metric::call(Hypercall::ComponentKthreadRelease)), spread(99_999, 1, 1 << 40));
    for width in [80, 93, 120, 200] {
        for line in table::render(&Summary::new(&snapshot, run()), &plain(width)).lines() {
            assert!(line.chars().count() <= width, "{width}: {line}");
        }
    }
}

#[test]
fn attributes_change_no_letter() {
    let summary = Summary::new(&snapshot(), run());
    let coloured = table::render(&summary, &Style { colour: true, ..plain(80) });
    let mut stripped = String::new();
    for (index, part) in coloured.split("\x1b[").enumerate() {
        stripped.push_str(if index == 0 { part } else { part.split_once('m').unwrap().1 });
    }
    assert!(coloured.contains("\x1b["));
    assert_eq!(stripped, table::render(&summary, &plain(80)));
}

#[test]
fn a_snapshot_of_nothing_is_a_summary() {
    let mut snapshot = snapshot();
    snapshot.cells.clear();
    snapshot.vcpus.clear();
    snapshot.taken = snapshot.began;
    let text = table::render(&Summary::new(&snapshot, run()), &plain(80));
    assert!(text.contains("68 of 68 hypercalls"), "{text}");
    snapshot.mode = Mode::Off;
    let text = table::render(&Summary::new(&snapshot, run()), &plain(80));
    assert!(text.contains("timing mode is off") && !text.contains("never called"), "{text}");
}

#[test]
fn json_holds_everything() {
    let text = json::render(&Summary::new(&snapshot(), run())).unwrap();
    let mut document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&document["schema"], &document["version"]), (&"rumpscope.summary".into(), &3.into()));

    let rows = document["hypercalls"].as_array().unwrap();
    let mutex = rows.iter().find(|row| row["name"] == "mutex_enter").unwrap();
    let places: u64 = mutex["places"].as_array().unwrap().iter().map(|place| place["count"].as_u64().unwrap()).sum();
    let buckets: u64 = mutex["histogram"].as_array().unwrap().iter().map(|bucket| bucket[2].as_u64().unwrap()).sum();
    assert_eq!((places, buckets), (40_000, 40_000));

    // The golden file shows the shape; whole histograms would hide it.
    shorten(&mut document);
    document["rumpscope"] = "-".into();
    check("summary.json", &format!("{document:#}\n"));
}

/// Leaves one bucket of every histogram.
fn shorten(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    serde_json::Value::Array(buckets) if name == "histogram" => buckets.truncate(1),
                    field => shorten(field),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(shorten),
        _ => {}
    }
}

#[test]
fn the_time_of_a_virtual_cpu_adds_up() {
    let summary = Summary::new(&snapshot(), run());
    for vcpu in &summary.vcpus {
        let time = vcpu.time.unwrap();
        assert_eq!(time.running_ns + time.idle_ns + time.unused_ns, summary.duration_ns, "{vcpu:?}");
        assert!(time.running_ns + time.idle_ns > summary.duration_ns / 2);
    }
    // The run under way counts: a second of it.
    assert!(summary.vcpus[0].time.unwrap().running_ns > 1_000_000_000);
}

#[test]
fn text_where_the_guest_tells_nothing() {
    let mut snapshot = snapshot();
    snapshot.coverage = Coverage { lost_timings: 12_345, ..Coverage::default() };
    snapshot.vcpus.clear();
    snapshot.cells.retain(|(_, metric), _| !matches!(metric.quantity, Quantity::Run | Quantity::Gap));
    let text = table::render(&Summary::new(&snapshot, run()), &plain(80));
    check("summary-blind.txt", &text);
}
