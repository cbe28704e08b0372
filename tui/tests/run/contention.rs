//! `rumpscope locks`, `offcpu` and `why` with the embedded guest: started, running, and ended.

use crate::programs::{self, Ended, outcome, rumpscope, run, stand_in};
use rumpscope_probes::reader::Segment;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

/// What makes threads of the embedded guest wait for each other, soon and often.
const LOAD: [&str; 2] = ["--workload", "disk"];

/// Runs the command with these arguments and `LOAD` for a short time.
fn with_load(arguments: &[&str]) -> Ended {
    run(&[arguments, &LOAD, &["--duration", "300ms", "--ncpu", "2"]].concat())
}

fn groups(ended: &Ended) -> Vec<serde_json::Value> {
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let document: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(document["schema"], "rumpscope.locks");
    document["groups"].as_array().unwrap().clone()
}

#[test]
fn waits_are_merged_by_every_key() {
    for by in ["lock", "class", "site", "stack", "cpu", "thread", "holder", "edge"] {
        let groups = groups(&with_load(&["locks", "--json", "--by", by, "--top", "1000"]));
        let total: u64 = groups.iter().map(|group| group["total_ns"].as_u64().unwrap()).sum();
        assert!(total > 0, "{by}");
        for realm in ["locks", "condvars", "other"] {
            let of_realm = groups.iter().filter(|group| group["realm"] == realm);
            let shares: Vec<_> = of_realm.map(|group| group["share"].as_f64().unwrap()).collect();
            let sum: f64 = shares.iter().sum();
            assert!(shares.is_empty() || sum == 0.0 || (sum - 1.0).abs() < 1e-6, "{by}, {realm}: {shares:?}");
        }
    }
}

#[test]
fn tables_name_functions_of_the_guest() {
    let ended = with_load(&["locks", "--ascii", "--by", "site"]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("Condition variables, by the function that waited"), "{}", ended.stdout);
    assert!(ended.stdout.contains("What this does not show"), "{}", ended.stdout);
    // The threads of the guest's block I/O wait in a function of this name.
    assert!(ended.stdout.contains("Buffer::wait"), "{}", ended.stdout);
}

#[test]
fn the_summary_has_contention() {
    let ended = with_load(&["run", "--json", "-"]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let profile: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    let contention = &profile["contention"];
    let waits = contention["waits"].as_array().unwrap();
    assert!(!waits.is_empty() && !contention["locks"].as_array().unwrap().is_empty());
    let chains = contention["chains"].as_array().unwrap();
    for wait in waits {
        assert!(wait["waiter"].as_u64().is_none_or(|chain| (chain as usize) < chains.len()), "{wait}");
    }
}

#[test]
fn folded_stacks_and_pictures_are_written() {
    let folded = with_load(&["offcpu", "--folded", "--holders"]);
    assert_eq!(folded.status, Some(0), "{}", folded.stderr);
    assert!(folded.stdout.contains(";--;") && folded.stdout.contains(";rumpuser_cv_wait;["), "{}", folded.stdout);
    for line in folded.stdout.lines() {
        let (stack, nanoseconds) = line.rsplit_once(' ').unwrap();
        assert!(!stack.is_empty() && nanoseconds.parse::<u64>().is_ok_and(|time| time != 0), "{line}");
    }
    let path = programs::scratch("offcpu.svg");
    let drawn = with_load(&["offcpu", "--svg", "-o", path.to_str().unwrap()]);
    assert_eq!((drawn.status, drawn.stdout.as_str()), (Some(0), ""), "{}", drawn.stderr);
    let svg = std::fs::read_to_string(path).unwrap();
    assert!(svg.starts_with("<?xml") && svg.ends_with("</svg>\n"));
}

#[test]
fn why_tells_causes() {
    let worst = with_load(&["why", "--ascii"]);
    assert_eq!(worst.status, Some(0), "{}", worst.stderr);
    assert!(worst.stdout.starts_with("Why ") && worst.stdout.contains("Because of"), "{}", worst.stdout);
    let nobody = with_load(&["why", "--of", "nobody"]);
    assert_eq!(nobody.status, Some(3));
    assert!(nobody.stderr.contains("no thread or lock is called nobody; there are "), "{}", nobody.stderr);
}

/// A guest that runs until it is killed, with its segment where every process of ours has it.
struct Guest {
    process: Child,
    runtime: PathBuf,
}

impl Guest {
    fn start(name: &str) -> Self {
        let runtime = programs::scratch(name);
        std::fs::create_dir_all(&runtime).unwrap();
        let mut command = rumpscope(&[&["guest", "--duration", "1h"][..], &LOAD].concat());
        let command = command.env("XDG_RUNTIME_DIR", &runtime).stdout(Stdio::null()).stderr(Stdio::null());
        let guest = Guest { process: command.spawn().unwrap(), runtime };
        // Nothing tells when it is at work but its segment.
        while !Segment::open(&guest.segment())
            .is_ok_and(|segment| segment.snapshot().is_ok_and(|snapshot| snapshot.contention.waits.len() > 10))
        {
            std::thread::sleep(Duration::from_millis(2));
        }
        guest
    }

    fn segment(&self) -> PathBuf {
        self.runtime.join("rumpscope").join(format!("{}.segment", self.process.id()))
    }

    fn asked(&self, arguments: &[&str]) -> Ended {
        outcome(rumpscope(arguments).env("XDG_RUNTIME_DIR", &self.runtime).output().unwrap())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_running_process_is_looked_at_and_one_that_has_ended() {
    let mut guest = Guest::start("attached");
    let pid = guest.process.id().to_string();
    let whole = groups(&guest.asked(&["locks", &pid, "--json"]));
    let interval = guest.asked(&["locks", &pid, "--json", "--duration", "100ms"]);
    let document: serde_json::Value = serde_json::from_str(&interval.stdout).unwrap();
    assert!(document["duration_ns"].as_u64().unwrap() >= 100_000_000, "{}", document["duration_ns"]);
    assert!(!whole.is_empty() && !groups(&interval).is_empty());

    guest.process.kill().unwrap();
    guest.process.wait().unwrap();
    let segment = guest.segment();
    for target in [pid.as_str(), segment.to_str().unwrap()] {
        assert!(!groups(&guest.asked(&["locks", target, "--json"])).is_empty(), "{target}");
        let too_late = guest.asked(&["locks", target, "--duration", "1s"]);
        assert_eq!(too_late.status, Some(3));
        assert!(too_late.stderr.contains("has ended"), "{}", too_late.stderr);
    }
}

#[test]
fn what_cannot_be_looked_at_is_said() {
    let own = std::process::id().to_string();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (target, problem) in [
        ("99999999", "there is no process 99999999"),
        (own.as_str(), "is not measured"),
        ("no/such/file", "neither the number of a process nor a file"),
        (folder.join("Cargo.toml").to_str().unwrap(), "is no segment of rumpscope"),
    ] {
        let ended = run(&["locks", target]);
        assert_eq!(ended.status, Some(3), "{target}: {}", ended.stderr);
        assert!(ended.stderr.contains(problem), "{target}: {}", ended.stderr);
    }
}

#[test]
fn waits_that_were_not_recorded_are_not_shown_as_none() {
    let mut command = rumpscope(&["locks", "--duration", "100ms", "--workload", "locks"]);
    let ended = programs::finish(command.env("RUMPSCOPE_CONTENTION", "off"));
    assert_eq!(ended.status, Some(3));
    assert!(ended.stderr.contains("RUMPSCOPE_CONTENTION"), "{}", ended.stderr);
    let ended = run(&["locks", "--timing", "counts", "--duration", "100ms", "--workload", "locks"]);
    assert_eq!(ended.status, Some(3));
    assert!(ended.stderr.contains("its timing mode is counts"), "{}", ended.stderr);
}

#[test]
fn nobody_waits_in_a_program_that_makes_one_call() {
    let ended = run(&["locks", "--", stand_in(), "7"]);
    assert_eq!(ended.status, Some(7), "{}", ended.stderr);
    assert!(ended.stdout.starts_with("Nobody has waited for a lock"), "{}", ended.stdout);
    let ended = run(&["why", "--", stand_in(), "0"]);
    assert_eq!(ended.status, Some(3));
    assert!(ended.stderr.contains("nobody has waited for anything"), "{}", ended.stderr);
}
