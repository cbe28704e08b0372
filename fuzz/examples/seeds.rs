//! Makes the first inputs: `cargo run --example seeds`, in this folder. A segment of this process, and recordings of it.

use rumpscope_fuzz::{frames, to_input};
use rumpscope_probes::contention::alone;
use rumpscope_probes::reader::Segment;
use rumpscope_probes::{ENV_EVENTS, ENV_SEGMENT, Hypercall, Place, guest_tells_transitions, measure, transition};
use rumpscope_reports::recording::{About, Recorder};
use rumpscope_reports::{Counter, Ended, Host, HostThread, Precision, Ran, Sample, State};
use std::path::Path;

/// Something of most that a segment can have.
fn work() {
    guest_tells_transitions();
    for index in 0..2 {
        transition::schedule_begin();
        transition::schedule_end(|_| Place::Vcpu(index));
        measure(Hypercall::Getrandom, || ());
        measure(Hypercall::ClockSleep, || alone(Hypercall::ClockSleep, || ()));
        transition::unschedule_begin();
        transition::unschedule_end();
    }
}

fn sample(segment: &Segment, state: State) -> Sample {
    let counters = vec![
        Counter::Counts { value: 12_345, enabled_ns: 2_000, running_ns: 1_000 },
        Counter::Missing("none".to_owned()),
    ];
    let thread = HostThread {
        tid: 7,
        name: "client".to_owned(),
        state: 'S',
        cpu_ns: 1,
        ready_ns: 2,
        voluntary_switches: 3,
        involuntary_switches: 4,
        minor_faults: 5,
        major_faults: 6,
        counters,
    };
    let snapshot = segment.snapshot().expect("our own segment");
    Sample { snapshot, state, threads: vec![thread], missed: 0, precision: Precision::EXACT }
}

/// Hours go by between samples, so that most of what there is room for are outlines.
fn outlines(segment: &Segment, path: &Path, about: &About) {
    let mut first = sample(segment, State::Alive);
    let hours = 1 << 40;
    first.snapshot.clock.ticks_per_second = hours as f64 / 10_000.0;
    let mut recorder = Recorder::create(path, about).expect("a recording");
    recorder.add(&first).expect("a sample");
    let mut recorder = Recorder::create(path, about).expect("a recording").with_limit(4 * recorder.bytes());
    recorder.add(&first).expect("a sample");
    for nth in 1..4 {
        std::thread::spawn(work).join().expect("work");
        let mut next = sample(segment, State::Alive);
        next.snapshot.clock = first.snapshot.clock;
        next.snapshot.taken = first.snapshot.taken + nth * hours;
        match nth {
            3 => recorder.add_always(&next).expect("a sample"),
            _ => recorder.add(&next).expect("a sample"),
        }
    }
    assert_eq!(recorder.outlines(), 2);
}

/// The recording as it is, and its frames, as the target takes either.
fn seed(path: &Path, name: &str) {
    let file = std::fs::read(path).expect("a recording");
    let folder = Path::new("corpus/recording");
    std::fs::write(folder.join(name), [&[0], &file[..]].concat()).expect("a seed");
    let how = if file[8] == 2 { 2 } else { 1 };
    std::fs::write(folder.join(format!("{name}-frames")), [&[how], &to_input(&frames(&file))[..]].concat())
        .expect("a seed");
}

fn main() {
    let folder = Path::new("corpus");
    for name in ["segment", "recording"] {
        std::fs::create_dir_all(folder.join(name)).expect("a folder");
    }
    let path = std::env::temp_dir().join(format!("rumpscope-seeds-{}", std::process::id()));
    // SAFETY: the process has no other threads yet.
    unsafe {
        std::env::set_var(ENV_SEGMENT, &path);
        std::env::set_var(ENV_EVENTS, "off");
    }
    rumpscope_probes::begin("seeds", None).expect("a segment");
    std::thread::spawn(work).join().expect("work");
    let segment = Segment::open(&path).expect("our own segment");
    let whole = std::fs::read(&path).expect("our own segment");
    let used = u64::from_ne_bytes(whole[24..32].try_into().expect("a word")) as usize * 8;
    std::fs::write(folder.join("segment/whole"), &whole[..used]).expect("a seed");

    let host = Host { system: "Linux".to_owned(), processor: String::new(), cores: 1 };
    let about = About { ran: Ran::Program { command: vec!["server".to_owned()] }, host };
    let mut recorder = Recorder::create(&path.with_extension("rsr"), &about).expect("a recording");
    recorder.add(&sample(&segment, State::Alive)).expect("a sample");
    std::thread::spawn(work).join().expect("work");
    recorder.add(&sample(&segment, State::Alive)).expect("a sample");
    recorder.add(&sample(&segment, State::Dead)).expect("a sample");
    recorder.finish(&Ended::Exited { status: 0 }).expect("an end");
    seed(&path.with_extension("rsr"), "whole");
    outlines(&segment, &path.with_extension("rsr"), &about);
    seed(&path.with_extension("rsr"), "outlines");
    for version in 2..=3 {
        let golden = format!("../reports/tests/golden/recording-{version}.rsr");
        seed(golden.as_ref(), &format!("version-{version}"));
    }
    let _ = std::fs::remove_file(&path);
    let _ = std::fs::remove_file(path.with_extension("rsr"));
}
