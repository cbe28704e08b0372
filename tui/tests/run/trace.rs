//! `rumpscope trace`, with the real command and the embedded guest; what it writes is read by the published schema.

use crate::programs::{self, Ended, finish, rumpscope, scratch, stand_in};
use crate::segment_in;
use perfetto_protos::trace::Trace;
use perfetto_protos::trace_packet::trace_packet::Data;
use perfetto_protos::track_event::track_event::Type;
use protobuf::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

/// What is in a trace: names of tracks, of slices, and how many slices begin and end.
#[derive(Default)]
struct Seen {
    tracks: BTreeSet<String>,
    slices: BTreeSet<String>,
    begun: usize,
    ended: usize,
    pid: i32,
}

fn read(path: &Path) -> Seen {
    let trace = Trace::parse_from_bytes(&std::fs::read(path).unwrap()).unwrap();
    let (mut seen, mut names) = (Seen::default(), BTreeMap::new());
    for packet in &trace.packet {
        names.extend(packet.interned_data.event_names.iter().map(|name| (name.iid(), name.name().to_owned())));
        match &packet.data {
            Some(Data::TrackDescriptor(track)) => {
                let name = if track.thread.is_some() { track.thread.thread_name() } else { track.name() };
                seen.tracks.insert(name.to_owned());
                seen.pid = seen.pid.max(track.process.pid());
            }
            Some(Data::TrackEvent(event)) => match event.type_() {
                Type::TYPE_SLICE_BEGIN => {
                    seen.begun += 1;
                    seen.slices.insert(names[&event.name_iid()].clone());
                }
                Type::TYPE_SLICE_END => seen.ended += 1,
                _ => {}
            },
            _ => {}
        }
    }
    seen
}

fn trace(arguments: &[&str], file: &Path) -> Ended {
    let all = [&["trace", "-o", file.to_str().unwrap()], arguments].concat();
    finish(rumpscope(&all).env_remove("RUMPSCOPE_EVENTS"))
}

#[test]
fn the_embedded_guest_leaves_a_trace() {
    let file = scratch("embedded.pftrace");
    let ended = trace(&["--workload", "condvars", "--duration", "200ms", "--ncpu", "2", "--last", "50ms"], &file);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("threads; open it at"), "{}", ended.stderr);
    let seen = read(&file);
    for track in ["vCPU 0", "vCPU 1"] {
        assert!(seen.tracks.contains(track), "{:?}", seen.tracks);
    }
    for slice in ["cv_wait", "off", "off: cv_wait", "running on vCPU 0"] {
        assert!(seen.slices.contains(slice), "{slice} is not in {:?}", seen.slices);
    }
    // What goes on at the end has no end: a state of a thread, and the virtual CPU that it has.
    assert!(seen.begun > 100 && seen.ended <= seen.begun && seen.begun - seen.ended <= 2 * seen.tracks.len());
}

#[test]
fn in_mode_exact_every_call_is_there() {
    let file = scratch("exact.pftrace");
    let ended = trace(&["--workload", "locks", "--duration", "100ms", "--timing", "exact"], &file);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let seen = read(&file);
    assert!(seen.slices.contains("mutex_enter") && seen.slices.contains("mutex_exit"), "{:?}", seen.slices);
}

#[test]
fn a_condition_saves_what_led_to_it() {
    let file = scratch("when.pftrace");
    // Short traces, so that the guest is still there for the second one, however slow the host is.
    let often = ["--workload", "condvars", "--duration", "5s", "--last", "20ms"];
    let ended = trace(&[&often[..], &["--when", "wait:condvar>10us", "--times", "2"]].concat(), &file);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("wait:condvar>10us: thread "), "{}", ended.stderr);
    assert!(!read(&file).slices.is_empty() && !read(&scratch("when.2.pftrace")).slices.is_empty());
    let never = scratch("never.pftrace");
    let ended = trace(&["--workload", "condvars", "--duration", "100ms", "--when", "call>1h"], &never);
    assert_eq!(ended.status, Some(3), "{}", ended.stderr);
    assert!(ended.stderr.contains("never came true") && !never.exists(), "{}", ended.stderr);
}

#[test]
fn a_guest_that_is_over_before_anybody_looks_is_looked_at() {
    let file = scratch("short.pftrace");
    let ended = trace(&["--when", "call:init>0s", "--", stand_in(), "7"], &file);
    assert_eq!(ended.status, Some(7), "{}", ended.stderr);
    assert!(ended.stderr.contains("call:init>0s: thread ") && file.exists(), "{}", ended.stderr);
}

#[test]
fn what_makes_no_sense_is_2() {
    for arguments in [
        &["--when", "wait"][..],
        &["--when", "call:fly>1s"],
        &["--times", "2"],
        &["--events", "1KiB"],
        &["1", "--workload", "locks"],
        &["1", "--", "true"],
    ] {
        let ended = trace(arguments, &scratch("nothing"));
        assert_eq!(ended.status, Some(2), "{arguments:?}: {}", ended.stderr);
    }
}

#[test]
fn what_is_not_there_is_3() {
    // Process numbers end at 2^22.
    let missing = trace(&["9999999"], &scratch("nothing"));
    assert_eq!(missing.status, Some(3));
    assert!(missing.stderr.contains("there is no process 9999999"), "{}", missing.stderr);
    let foreign = trace(&[&std::process::id().to_string()], &scratch("nothing"));
    assert_eq!(foreign.status, Some(3));
    assert!(foreign.stderr.contains("is not measured"), "{}", foreign.stderr);
}

/// A guest that runs until it is killed.
struct Running(Child, u32);

impl Running {
    fn start(name: &str, events: &str) -> Self {
        let runtime = scratch(name);
        std::fs::create_dir_all(&runtime).unwrap();
        let mut command = rumpscope(&["run", "--workload", "condvars", "--duration", "1h"]);
        let command = command.env("XDG_RUNTIME_DIR", &runtime).env("RUMPSCOPE_EVENTS", events);
        let rumpscope = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Nothing tells when the guest is at work but its segment.
        loop {
            match segment_in(&runtime).and_then(|segment| segment.snapshot().ok()) {
                Some(seen) if !seen.vcpus.is_empty() => return Running(rumpscope, seen.process.pid),
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SAFETY: no preconditions; the guest runs for an hour, so the number is still its own.
        unsafe { libc::kill(self.1 as libc::pid_t, libc::SIGKILL) };
        let _ = self.0.wait();
    }
}

#[test]
fn a_running_process_is_traced() {
    let guest = Running::start("traced", "on");
    let pid = guest.1.to_string();
    let file = scratch("running.pftrace");
    let ended = trace(&[&pid, "--last", "100ms"], &file);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let seen = read(&file);
    assert_eq!(seen.pid.to_string(), pid);
    assert!(!seen.slices.is_empty());
    let ended = trace(&[&pid, "--when", "wait:condvar>1us"], &file);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
}

#[test]
fn a_process_without_events_is_told() {
    let guest = Running::start("without", "off");
    let ended = programs::finish(&mut rumpscope(&["trace", &guest.1.to_string(), "-o", "/dev/null"]));
    assert_eq!(ended.status, Some(3));
    assert!(ended.stderr.contains("records no events"), "{}", ended.stderr);
}
