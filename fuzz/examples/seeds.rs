//! Makes the first inputs: `cargo run --example seeds`, in this folder. A segment of this process, and recordings of it.

use rumpscope_fuzz::{frames, to_input};
use rumpscope_probes::contention::alone;
use rumpscope_probes::reader::Segment;
use rumpscope_probes::{ENV_EVENTS, ENV_SEGMENT, Hypercall, Place, guest_tells_transitions, measure, transition};
use rumpscope_reports::recording::{About, Recorder};
use rumpscope_reports::{Counter, Ended, Host, HostThread, Ran, Sample, State};
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
    Sample { snapshot: segment.snapshot().expect("our own segment"), state, threads: vec![thread], missed: 0 }
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
    let file = std::fs::read(path.with_extension("rsr")).expect("a recording");
    std::fs::write(folder.join("recording/file"), [&[0], &file[..]].concat()).expect("a seed");
    std::fs::write(folder.join("recording/frames"), [&[1], &to_input(&frames(&file))[..]].concat()).expect("a seed");
    let _ = std::fs::remove_file(&path);
    let _ = std::fs::remove_file(path.with_extension("rsr"));
}
