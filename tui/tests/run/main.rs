//! `rumpscope run -- PROGRAM`, with the real command and programs made for it: exit statuses, signals, and what is said
//! where there is no profile.

mod contention;
mod live;
mod programs;
mod recording;
mod trace;

use programs::{run, stand_in};
use rumpscope_probes::reader::Segment;
use rumpscope_probes::{Hypercall, Snapshot};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

#[test]
fn bad_usage_is_2() {
    for arguments in [
        &["run", "--timing", "guess"][..],
        &["run", "--block-io", "fast"],
        &["run", "--backend", "fast"],
        &["run", "--backend", "external:"],
        &["run", "--backend", "external:/nowhere/librumpuser.so.0"],
        &["run", "--duration", "10"],
        &["run", "--ncpu", "0"],
        &["fly"],
    ] {
        let ended = run(arguments);
        assert_eq!(ended.status, Some(2), "{arguments:?}: {}", ended.stderr);
    }
}

#[test]
fn help_has_examples() {
    let ended = run(&["run", "--help"]);
    assert_eq!(ended.status, Some(0));
    assert!(ended.stdout.contains("Examples:\n  rumpscope run "), "{}", ended.stdout);
}

#[test]
fn the_status_is_the_guests() {
    for status in [0, 7] {
        let ended = run(&["run", "--", stand_in(), &status.to_string()]);
        assert_eq!(ended.status, Some(status), "{}", ended.stderr);
        assert!(ended.stdout.contains("\ninit "), "{}", ended.stdout);
        // Both objects were found.
        assert_eq!(ended.stderr, "");
    }
}

#[test]
fn the_embedded_guest_has_a_profile() {
    let ended = run(&["run", "--workload", "locks", "--duration", "100ms", "--ncpu", "2", "--json", "-"]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let profile: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(profile["run"]["ran"], serde_json::json!({ "kind": "embedded", "workload": "locks", "seed": 1 }));
    assert_eq!(profile["vcpus"].as_array().unwrap().len(), 2);
    let calls = profile["hypercalls"].as_array().unwrap();
    let enter = calls.iter().find(|call| call["name"] == "mutex_enter").unwrap();
    assert!(enter["count"].as_u64().unwrap() > 1000, "{enter}");
    assert!(profile["coverage"]["vcpus_known"].as_bool().unwrap());
}

#[test]
fn it_is_told_for_how_long_threads_were_gathered() {
    if std::thread::available_parallelism().unwrap().get() < 2 {
        eprintln!("skipped: there is one processor only");
        return;
    }
    // On trial at least; on a busy machine it may take some time until one is made.
    let is_told = |duration: &&str| {
        let ended = run(&["run", "--workload", "locks", "--duration", duration, "--ncpu", "2", "--json", "-"]);
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
        let profile: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        let [times, total, whole] =
            [&profile["gathered"]["times"], &profile["gathered"]["total_ns"], &profile["duration_ns"]]
                .map(|figure| figure.as_u64().unwrap());
        assert!(total <= whole && (times == 0) == (total == 0), "{times} times, {total} of {whole} ns");
        times > 0
    };
    assert!(["200ms", "2s", "10s"].iter().any(is_told), "never gathered");
}

#[test]
fn the_block_io_engine_is_chosen_and_named() {
    for (engine, backend) in [("auto", "native, pool"), ("thread", "native, thread"), ("inline", "native, inline")] {
        let ended = run(&["run", "--block-io", engine, "--workload", "disk", "--duration", "100ms", "--json", "-"]);
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
        let profile: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(profile["backend"], backend);
    }
}

#[test]
fn the_back_end_is_chosen_and_named() {
    for backend in ["native", "pthread"] {
        let ended = run(&["run", "--backend", backend, "--workload", "locks", "--duration", "100ms", "--json", "-"]);
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
        let profile: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(profile["backend"], format!("{backend}, pool"));
    }
}

#[test]
fn a_crash_leaves_its_profile() {
    let ended = run(&["run", "--", stand_in(), "crash"]);
    assert_eq!(ended.status, Some(128 + libc::SIGSEGV));
    assert!(ended.stderr.contains("killed by SIGSEGV"), "{}", ended.stderr);
    assert!(ended.stdout.contains("killed by SIGSEGV (11)") && ended.stdout.contains("\ninit "), "{}", ended.stdout);
}

#[test]
fn a_profile_is_written_though_nobody_reads_what_is_said_of_it() {
    let file = programs::scratch("unheard.json");
    let mut command = programs::rumpscope(&["run", "--json", file.to_str().unwrap(), "--", stand_in(), "crash"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = command.stdout(Stdio::null()).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(128 + libc::SIGSEGV));
    let profile: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(profile["run"]["ended"]["signal"], libc::SIGSEGV);
}

/// The segment of the guest that `rumpscope` runs, with the runtime folder `runtime`, once it has one.
fn segment_in(runtime: &Path) -> Option<Segment> {
    let folder = std::fs::read_dir(runtime.join("rumpscope")).ok()?.next()?.ok()?.path();
    std::fs::read_dir(folder).ok()?.find_map(|file| Segment::open(&file.ok()?.path()).ok())
}

#[test]
fn an_embedded_guest_that_is_killed_leaves_all_that_it_had_counted() {
    let runtime = programs::scratch("killed");
    std::fs::create_dir_all(&runtime).unwrap();
    let mut command = programs::rumpscope(&["run", "--workload", "locks", "--duration", "1h", "--json", "-"]);
    let command = command.env("XDG_RUNTIME_DIR", &runtime).stdout(Stdio::piped()).stderr(Stdio::piped());
    let rumpscope = command.spawn().unwrap();
    let entered = |snapshot: &Snapshot| snapshot.calls(Hypercall::MutexEnter);
    // Nothing tells when the guest is at work but its segment.
    let seen = loop {
        match segment_in(&runtime).and_then(|segment| segment.snapshot().ok()) {
            Some(snapshot) if entered(&snapshot) > 10_000 => break snapshot,
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    // SAFETY: no preconditions; the guest runs for an hour, so the number is still its own.
    assert_eq!(unsafe { libc::kill(seen.process.pid as libc::pid_t, libc::SIGKILL) }, 0);
    let ended = programs::outcome(rumpscope.wait_with_output().unwrap());
    assert_eq!(ended.status, Some(128 + libc::SIGKILL), "{}", ended.stderr);
    let profile: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(profile["run"]["ended"]["signal"], libc::SIGKILL);
    let calls = profile["hypercalls"].as_array().unwrap();
    let enter = calls.iter().find(|call| call["name"] == "mutex_enter").unwrap();
    assert!(enter["count"].as_u64().unwrap() >= entered(&seen), "{enter}");
}

#[test]
fn a_signal_to_rumpscope_reaches_the_guest_and_the_profile_is_printed() {
    let mut command = programs::rumpscope(&["run", "--", stand_in(), "wait"]);
    let mut rumpscope = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(rumpscope.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    // SAFETY: no preconditions; the process was not waited for.
    unsafe { libc::kill(rumpscope.id() as libc::pid_t, libc::SIGINT) };
    let mut summary = String::new();
    stdout.read_to_string(&mut summary).unwrap();
    assert_eq!(rumpscope.wait().unwrap().code(), Some(128 + libc::SIGINT));
    assert!(summary.contains("killed by SIGINT (2)"), "{summary}");
}

#[test]
fn a_guest_that_goes_into_the_background_is_profiled_up_to_then() {
    let mut command = programs::rumpscope(&["run", "--", stand_in(), "daemon"]);
    let mut rumpscope = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Held until the end: the guest goes on as long as it can be written to.
    let stdin = rumpscope.stdin.take();
    let ended = programs::outcome(rumpscope.wait_with_output().unwrap());
    drop(stdin);
    assert_eq!(ended.status, Some(0));
    assert!(ended.stderr.contains("goes on in the background"), "{}", ended.stderr);
    assert!(ended.stdout.contains("still running") && ended.stdout.contains("\ninit "), "{}", ended.stdout);
}

#[test]
fn a_program_whose_time_is_up_is_stopped_and_that_is_no_failure() {
    let ended = run(&["run", "--duration", "50ms", "--", stand_in(), "wait"]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("stopped by rumpscope"), "{}", ended.stdout);
}

#[test]
fn json_tells_the_same() {
    let file = programs::scratch("profile.json");
    let ended = run(&["run", "--timing", "counts", "--json", file.to_str().unwrap(), "--", stand_in(), "3"]);
    let text = std::fs::read_to_string(&file).unwrap();
    let alone = run(&["run", "--json", "-", "--", stand_in(), "3"]);
    assert_eq!((ended.status, alone.status), (Some(3), Some(3)), "{}", ended.stderr);
    for (text, timing) in [(text, "counts"), (alone.stdout, "full")] {
        let profile: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(profile["schema"], "rumpscope.summary");
        assert_eq!(profile["timing"], timing);
        assert_eq!(profile["run"]["ended"], serde_json::json!({ "how": "exited", "status": 3 }));
        assert_eq!(profile["run"]["ran"]["command"][1], "3");
        let init = profile["hypercalls"].as_array().unwrap().iter().find(|call| call["name"] == "init").unwrap();
        assert_eq!(init["count"], 1);
    }
}

/// Runs a program that makes no profile, and checks that the reasons say `reason`.
fn no_profile(command: &[&str], reason: &str) {
    let ended = run(&[&["run", "--"], command].concat());
    assert_eq!(ended.status, Some(3), "{command:?}: {}", ended.stderr);
    assert!(ended.stderr.contains("never called the hypervisor"), "{}", ended.stderr);
    assert!(ended.stderr.contains(reason), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
}

#[test]
fn a_program_without_a_rump_kernel_is_3() {
    no_profile(&["/bin/true"], "/bin/true holds no rump kernel");
    no_profile(&["false"], "It ended with status 1");
}

#[test]
fn a_rump_kernel_that_never_starts_is_3() {
    no_profile(&[stand_in(), "early"], "needs librumpuser.so.0, so there is a rump kernel in it; but it ended before");
}

#[test]
fn a_script_is_3_and_named() {
    let script = programs::scratch("script");
    std::fs::write(&script, "#!/bin/sh\nexit 0\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    no_profile(&[script.to_str().unwrap()], "is a script, run by /bin/sh");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_static_program_is_3() {
    no_profile(&[programs::static_program()], "is linked statically");
}

#[test]
fn measuring_that_is_switched_off_is_3() {
    let ended = programs::finish(programs::rumpscope(&["run", "--", stand_in(), "0"]).env("RUMPSCOPE", "0"));
    assert_eq!(ended.status, Some(3));
    assert!(ended.stderr.contains("RUMPSCOPE=0"), "{}", ended.stderr);
}

#[test]
fn a_script_that_starts_a_rump_kernel_is_measured() {
    let ended = run(&["run", "--", "/bin/sh", "-c", &format!("{0} 0; {0} 4", stand_in())]);
    assert_eq!(ended.status, Some(4), "{}", ended.stderr);
    assert!(ended.stderr.contains("1 more processes with a rump kernel ran"), "{}", ended.stderr);
}

#[test]
fn what_cannot_be_started_is_126_or_127() {
    let missing = run(&["run", "--", "/no/such/program"]);
    assert_eq!(missing.status, Some(127));
    assert!(missing.stderr.contains("there is no such program"), "{}", missing.stderr);
    let file = programs::scratch("no-program");
    std::fs::write(&file, "").unwrap();
    assert_eq!(run(&["run", "--", file.to_str().unwrap()]).status, Some(126));
}

#[test]
fn what_a_file_held_stays_where_there_is_nothing_to_write_to_it() {
    let file = programs::scratch("kept");
    let name = file.to_str().unwrap();
    // Process numbers end at 2^22.
    for (arguments, status) in [
        (&["offcpu", "--folded", "-o", name, "9999999"][..], 3),
        (&["trace", "-o", name, "--", "/no/such/program"], 127),
        (&["run", "--json", name, "--", "/no/such/program"], 127),
    ] {
        std::fs::write(&file, "what cost an hour").unwrap();
        let ended = run(arguments);
        assert_eq!(ended.status, Some(status), "{arguments:?}: {}", ended.stderr);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "what cost an hour", "{arguments:?}");
    }
}
