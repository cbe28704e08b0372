//! `rumpscope record` and `replay`, and what else takes recordings.

use crate::programs::{outcome, rumpscope, run, scratch, stand_in};
use rumpscope_reports::Sample;
use rumpscope_reports::recording::{Recorder, Recording};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// What no test waits longer for.
const LONG: Duration = Duration::from_secs(30);

/// What makes threads of the embedded guest wait for each other, soon and often.
const LOAD: [&str; 4] = ["--workload", "disk", "--ncpu", "2"];

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn path(name: &str) -> (PathBuf, String) {
    let path = scratch(name);
    let text = path.to_str().unwrap().to_owned();
    (path, text)
}

/// Replays what was recorded, which must be whole.
fn replay(arguments: &[&str]) -> String {
    let ended = run(&[&["replay"], arguments].concat());
    assert_eq!((ended.status, &*ended.stderr), (Some(0), ""), "{}", ended.stdout);
    ended.stdout
}

#[test]
fn a_replay_has_the_figures_of_the_run() {
    let (file, name) = path("run.rsr");
    let arguments = ["run", "--duration", "300ms", "--json", "-", "--record", &name];
    let ended = run(&[&arguments[..], &LOAD].concat());
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let (live, replayed) = (json(&ended.stdout), json(&replay(&[&name, "--json"])));
    assert!(live["hypercalls"].as_array().unwrap().len() > 10);
    assert!(live["contention"]["waits"].as_array().unwrap().len() > 1);
    assert_eq!(live, replayed);
    // The same in text, and in the middle of it.
    assert!(replay(&[&name]).contains("the embedded guest, workload disk, seed 1"));
    let part = json(&replay(&[&name, "--json", "--from", "1ms"]));
    assert!(part["duration_ns"].as_u64() < live["duration_ns"].as_u64());
    assert!(Recording::open(&file).unwrap().damage().is_none());
    // Commands that take segments take it as well.
    let locks = run(&["locks", &name, "--json"]);
    assert_eq!(locks.status, Some(0), "{}", locks.stderr);
    assert_eq!(json(&locks.stdout)["schema"], "rumpscope.locks");
    let locks = run(&["locks", &name, "--duration", "1s"]);
    assert!(locks.stderr.contains("is a recording"), "{}", locks.stderr);
}

#[test]
fn a_program_is_recorded_to_its_end() {
    let (_, name) = path("program.rsr");
    let ended = run(&["record", "-o", &name, "--", stand_in(), "7"]);
    assert_eq!(ended.status, Some(7), "{}", ended.stderr);
    assert!(ended.stderr.contains("`rumpscope replay` shows it"), "{}", ended.stderr);
    let profile = json(&replay(&[&name, "--json"]));
    assert_eq!(profile["run"]["ended"], serde_json::json!({ "how": "exited", "status": 7 }));
    assert_eq!(profile["run"]["ran"]["command"][1], "7");
}

/// Waits until `condition` holds.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < LONG, "{what}: never");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn samples(file: &Path) -> usize {
    Recording::open(file).map_or(0, |recording| recording.len())
}

/// Whether the last sample has any hypercalls.
fn has_calls(file: &Path) -> bool {
    let Ok(mut recording) = Recording::open(file) else { return false };
    let last = recording.len().checked_sub(1);
    last.is_some_and(|last| recording.at(last).is_ok_and(|sample| !sample.snapshot.cells.is_empty()))
}

/// A process is recorded while it runs, and the recording can be read meanwhile. Ctrl-C ends it.
#[test]
fn a_running_process_is_recorded_until_it_is_enough() {
    let runtime = scratch("runtime-recorded");
    std::fs::create_dir_all(&runtime).unwrap();
    let mut guest = rumpscope(&[&["run", "--duration", "60s"], &LOAD[..]].concat());
    let mut guest = guest.env("XDG_RUNTIME_DIR", &runtime).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut pid = None;
    until("the guest has a segment", || {
        let children = format!("/proc/{0}/task/{0}/children", guest.id());
        pid =
            std::fs::read_to_string(children).ok().and_then(|list| list.split_whitespace().next()?.parse::<u32>().ok());
        runtime.join(format!("rumpscope/run-{}/segment", guest.id())).exists()
    });
    let (file, name) = path("attached.rsr");
    let mut recorder = None;
    until("it can be attached to", || {
        let arguments = ["record", &pid.unwrap().to_string(), "-o", &name, "--interval", "20ms"];
        let mut child = rumpscope(&arguments).env("XDG_RUNTIME_DIR", &runtime).stderr(Stdio::piped()).spawn().unwrap();
        until("it records or says why not", || samples(&file) >= 3 || child.try_wait().unwrap().is_some());
        let records = child.try_wait().unwrap().is_none();
        recorder = records.then_some(child);
        records
    });
    let recorder = recorder.unwrap();
    // SAFETY: no preconditions; the child has not been waited for.
    unsafe { libc::kill(recorder.id() as libc::pid_t, libc::SIGINT) };
    let ended = outcome(recorder.wait_with_output().unwrap());
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("samples, "), "{}", ended.stderr);
    let profile = json(&replay(&[&name, "--json"]));
    assert_eq!((&profile["pid"], &profile["run"]["ended"]["how"]), (&pid.unwrap().into(), &"running".into()));
    // SAFETY: as above.
    unsafe { libc::kill(guest.id() as libc::pid_t, libc::SIGTERM) };
    guest.wait().unwrap();
}

/// Where there is no more room, the recording ends, with a message, and nothing else does.
#[test]
fn a_full_disk_ends_the_recording_and_nothing_else() {
    let runtime = scratch("runtime-full");
    std::fs::create_dir_all(&runtime).unwrap();
    let (file, name) = path("full.rsr");
    let arguments = ["record", "-o", &name, "--interval", "20ms", "--duration", "1s"];
    let mut command = rumpscope(&[&arguments[..], &LOAD].concat());
    let child = command.env("XDG_RUNTIME_DIR", &runtime).stderr(Stdio::piped()).spawn().unwrap();
    // The first one may be of a guest that has made none yet.
    until("a sample has calls", || has_calls(&file));
    // The guest has been started, and keeps the limit that it has.
    let limit = libc::rlimit { rlim_cur: std::fs::metadata(&file).unwrap().len(), rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the limit is valid, and the old one is not asked for.
    let set = unsafe { libc::prlimit(child.id() as libc::pid_t, libc::RLIMIT_FSIZE, &limit, std::ptr::null_mut()) };
    assert_eq!(set, 0);
    let ended = outcome(child.wait_with_output().unwrap());
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let message = format!("rumpscope: the recording {name} ends after ");
    assert!(ended.stderr.contains(&message), "{}", ended.stderr);
    assert!(ended.stderr.contains("which are kept: cannot write to it: File too large"), "{}", ended.stderr);
    let profile = json(&replay(&[&name, "--json"]));
    assert!(!profile["hypercalls"].as_array().unwrap().is_empty());
}

/// Where nothing fits, the recording has its two ends.
#[test]
fn a_limit_is_kept_and_told() {
    let (file, name) = path("limit.rsr");
    let arguments = ["record", "-o", &name, "--interval", "1ms", "--duration", "300ms", "--limit", "1kB"];
    let ended = run(&[&arguments[..], &LOAD].concat());
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("more were left out, to stay below its limit; --limit allows more"),
        "{}",
        ended.stderr
    );
    assert_eq!(samples(&file), 2);
    assert!(!json(&replay(&[&name, "--json"]))["hypercalls"][0]["percentiles"].is_null());
}

/// Writes what `from` has at its end as if hours had passed meanwhile, with so little room that only the first sample is
/// whole.
fn with_outlines(from: &Path, to: &Path) {
    let mut from = Recording::open(from).unwrap();
    let mut last = Sample::clone(&from.at(from.len() - 1).unwrap());
    let goes_on =
        |before: &Sample| before.snapshot.taken < last.snapshot.taken && before.snapshot.cells != last.snapshot.cells;
    let before = (0..from.len() - 1).rev().map(|index| Sample::clone(&from.at(index).unwrap())).find(goes_on);
    let mut before = before.unwrap();
    let ticks = last.snapshot.taken - before.snapshot.taken;
    for sample in [&mut before, &mut last] {
        sample.snapshot.clock.ticks_per_second = ticks as f64 / (3.0 * 3600.0);
    }
    let mut recorder = Recorder::create(to, from.about()).unwrap();
    recorder.add(&before).unwrap();
    let room = 4 * recorder.bytes();
    let mut recorder = Recorder::create(to, from.about()).unwrap().with_limit(room);
    recorder.add(&before).unwrap();
    recorder.add(&last).unwrap();
    last.snapshot.taken += ticks;
    recorder.add(&last).unwrap();
    assert_eq!((recorder.samples(), recorder.outlines()), (3, 2));
}

/// What is told of a part of a recording, or of its end, is told of whole samples, and it is said where these are.
#[test]
fn of_outlines_the_whole_samples_before_them_are_shown() {
    let (live, name) = path("live.rsr");
    let arguments = ["record", "-o", &name, "--interval", "20ms", "--duration", "500ms", "--limit", "none"];
    let ended = run(&[&arguments[..], &LOAD].concat());
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let (file, name) = path("outlines.rsr");
    with_outlines(&live, &file);
    let ended = run(&["replay", &name, "--json", "--to", "4h"]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("this is the part to ") && ended.stderr.contains("where it has whole samples"));
    assert_eq!(json(&ended.stdout), json(&replay(&[&name, "--json", "--to", "0s"])));
    // Counts, and nothing else.
    let ended = run(&["replay", &name, "--json", "--from", "1h", "--to", "4h"]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let told = "has only outlines there (counts exact, times within 1/128)";
    assert!(ended.stderr.contains(told), "{}", ended.stderr);
    let part = json(&ended.stdout);
    let calls = part["hypercalls"].as_array().unwrap();
    assert!(calls.iter().any(|call| call["count"].as_u64().unwrap() > 0), "{part}");
    assert!(calls.iter().all(|call| call["percentiles"].is_null()), "{part}");
    for command in [&["locks", &name][..], &["offcpu", "--folded", &name], &["why", &name]] {
        let ended = run(command);
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
        assert!(ended.stderr.contains("where its last whole sample is"), "{}", ended.stderr);
    }
}

#[test]
fn what_cannot_be_recorded_or_replayed_is_said() {
    let ended = run(&["run", "--duration", "10ms", "--record", "/nowhere/run.rsr"]);
    assert_eq!(ended.status, Some(3), "{}", ended.stdout);
    assert!(ended.stderr.contains("cannot make the recording /nowhere/run.rsr: No such file"), "{}", ended.stderr);
    let ended = run(&["replay", stand_in()]);
    assert_eq!(ended.status, Some(3));
    assert!(ended.stderr.contains("is no recording of rumpscope"), "{}", ended.stderr);
    let (_, name) = path("usage.rsr");
    for arguments in [
        &["record", "-o", &name, "4711", "--", "true"][..],
        &["record", "4711"],
        &["replay"],
        &["replay", &name, "--from", "2s", "--to", "1s"],
        &["run", "--record"],
    ] {
        assert_eq!(run(arguments).status, Some(2), "{arguments:?}");
    }
}

/// The end of a recording is missing where whoever recorded was killed; all before it is shown.
#[test]
fn a_recording_that_was_cut_off_is_shown() {
    let (file, name) = path("cut.rsr");
    let ended = run(&["record", "-o", &name, "--", stand_in(), "0"]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 3]).unwrap();
    let ended = run(&["replay", &name, "--json"]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("was cut off at byte"), "{}", ended.stderr);
    assert_eq!(json(&ended.stdout)["run"]["ended"]["how"], "gone");
}
