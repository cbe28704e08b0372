//! `rumpscope run` with a genuine NetBSD rump kernel: `RUMP_PREFIX` names the folder that one was installed to, with
//! `include` and shared libraries in `lib`. Without it, there is nothing to see here.

#[path = "../run/programs.rs"]
#[allow(dead_code, reason = "shared with the tests of `run`, which use all of it")]
mod programs;

mod bench;

use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// What the client's process exits with when all went well.
const WELL: i32 = 7;
/// Virtual CPUs.
const VCPUS: usize = 2;
/// More than a kernel has threads at boot. Each enters the kernel as clients do, once, at a time of its own.
const KERNEL_THREADS: u64 = 64;

fn prefix() -> Option<PathBuf> {
    let prefix = std::env::var_os("RUMP_PREFIX").map(PathBuf::from);
    if prefix.is_none() {
        // Not by `eprintln`, which says nothing in a test that passes.
        let _ = std::io::stderr().write_all(b"skipped: RUMP_PREFIX is not set\n");
    }
    prefix
}

/// The client, compiled and linked with the kernel in `prefix`.
fn client(prefix: &Path) -> &'static str {
    static CLIENT: OnceLock<String> = OnceLock::new();
    CLIENT.get_or_init(|| {
        let program = programs::scratch("client").into_os_string().into_string().unwrap();
        let source = format!("{}/tests/genuine/client.c", env!("CARGO_MANIFEST_DIR"));
        let [include, lib] = ["include", "lib"].map(|folder| prefix.join(folder).display().to_string());
        let (headers, search, needed) = (format!("-I{include}"), format!("-L{lib}"), format!("-Wl,-rpath-link,{lib}"));
        let mut arguments = vec!["-O1", "-o", &program, &source, &headers, &search, &needed, "-Wl,--no-as-needed"];
        // The newer kernels have one more between the file systems and FIFOs.
        let newer = prefix.join("lib/librumpvfs_nofifofs.so").exists().then_some("-lrumpvfs_nofifofs");
        arguments.extend(["-lrumpdev_disk", "-lrumpdev"].into_iter().chain(newer));
        arguments.extend(["-lrumpvfs", "-lrump", "-lrumpuser", "-lpthread"]);
        programs::compile(&arguments);
        program
    })
}

/// A file of blocks, each of which begins with its number.
fn blocks() -> &'static str {
    static FILE: OnceLock<String> = OnceLock::new();
    FILE.get_or_init(|| {
        let file = programs::scratch("blocks");
        let blocks: Vec<u8> = (0..64).flat_map(|number| [number; 4096]).collect();
        std::fs::write(&file, blocks).unwrap();
        file.into_os_string().into_string().unwrap()
    })
}

struct Profile(Value);

/// Has the client make `count` of `what` on `backend`; its profile.
fn run(prefix: &Path, backend: &str, what: &str, count: u64) -> Profile {
    let kind = backend.split(':').next().unwrap();
    let file = programs::scratch(&format!("{kind}-{what}-{count}.json"));
    let (ncpu, count) = (VCPUS.to_string(), count.to_string());
    let json = file.to_str().unwrap();
    let options = ["run", "--backend", backend, "--ncpu", &ncpu, "--json", json, "--"];
    let arguments = [&options[..], &[client(prefix), what, &count, blocks()]].concat();
    let ended = programs::finish(programs::rumpscope(&arguments).env("LD_LIBRARY_PATH", prefix.join("lib")));
    assert_eq!(ended.status, Some(WELL), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains(&format!("ended with status {WELL}")), "{}", ended.stdout);
    let profile = Profile(serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap());
    assert!(profile.0["backend"].as_str().unwrap().starts_with(kind), "{}", profile.0["backend"]);
    let booted = ended.stdout.lines().find_map(|line| line.strip_prefix("booted ")).unwrap();
    profile.is_covered();
    profile.adds_up(booted.parse().unwrap());
    // The completion that ended the last wait may still be under way when the process exits.
    assert!(profile.calls("bio") - profile.calls("bio_done") <= 1);
    profile
}

impl Profile {
    fn number(value: &Value) -> u64 {
        value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
    }

    /// How often hypercall `name` was made.
    fn calls(&self, name: &str) -> u64 {
        let calls = self.0["hypercalls"].as_array().unwrap();
        calls.iter().find(|call| call["name"] == name).map_or(0, |call| Self::number(&call["count"]))
    }

    /// How often a virtual CPU was given up on account of `cause`.
    fn unscheduled(&self, cause: &str) -> u64 {
        let transitions = self.0["transitions"].as_array().unwrap();
        let transition = transitions.iter().find(|transition| transition["cause"] == cause);
        transition.map_or(0, |transition| Self::number(&transition["unschedule"]["count"]))
    }

    /// The virtual CPUs and the guest's own transitions were seen, and nothing was lost.
    fn is_covered(&self) {
        let coverage = &self.0["coverage"];
        assert_eq!(coverage["vcpus_known"], true);
        assert_eq!(coverage["guest_transitions_seen"], true);
        assert_eq!((&coverage["lost_timings"], &coverage["lost_places"]), (&0.into(), &0.into()));
        assert_eq!(self.0["vcpus"].as_array().unwrap().len(), VCPUS);
    }

    /// The time of every virtual CPU adds up to the duration within 0.5 %, and it was used soon after the boot, which
    /// took `booted` nanoseconds.
    fn adds_up(&self, booted: u64) {
        let duration = Self::number(&self.0["duration_ns"]);
        for vcpu in self.0["vcpus"].as_array().unwrap() {
            let [running, idle, unused] =
                ["running_ns", "idle_ns", "unused_ns"].map(|part| Self::number(&vcpu["time"][part]));
            assert!((running + idle + unused).abs_diff(duration) <= duration / 200, "{vcpu} of {duration} ns");
            // Its own threads are made at boot, and on a busy host may start some time after it.
            assert!(unused <= 2 * booted, "{vcpu}: booted in {booted} ns");
            assert_ne!(running, 0, "{vcpu}");
        }
    }
}

/// Runs the client with `count` and twice as many. The differences are free of what boot and end take: `calls` of each
/// hypercall, and `entries` of system calls, for each of `what`.
fn difference(what: &str, count: u64, calls: &[(&str, u64)], entries: u64) {
    if let Some(prefix) = prefix() {
        difference_on(&prefix, "native", what, count, calls, entries);
    }
}

/// The same on `backend`.
fn difference_on(prefix: &Path, backend: &str, what: &str, count: u64, calls: &[(&str, u64)], entries: u64) {
    let [once, twice] = [count, 2 * count].map(|count| run(prefix, backend, what, count));
    for &(name, each) in calls {
        assert_eq!(twice.calls(name) - once.calls(name), each * count, "{name}");
    }
    let entered = twice.unscheduled("guest_entry") - once.unscheduled("guest_entry");
    assert!(entered.abs_diff(entries * count) <= KERNEL_THREADS, "{entered} entries for {count} times {entries}");
}

#[test]
fn system_calls_that_do_nothing() {
    difference("getpid", 50_000, &[("iovread", 0), ("bio", 0)], 1);
}

#[test]
fn reads_of_a_host_file() {
    difference("file", 2_000, &[("iovread", 1), ("seterrno", 1), ("bio", 0), ("open", 0)], 1);
}

#[test]
fn reads_of_a_device() {
    difference("device", 1_000, &[("bio", 1), ("seterrno", 1), ("iovread", 0)], 1);
}

#[test]
fn threads_that_wake_each_other() {
    // Four: both threads read and write.
    difference("pipe", 1_000, &[("seterrno", 4), ("bio", 0)], 4);
}

/// The stock library is one of them.
#[test]
fn other_back_ends() {
    let Some(prefix) = prefix() else { return };
    let stock = format!("external:{}", prefix.join("lib/librumpuser.so.0").display());
    for backend in ["pthread", "fiber", &stock] {
        difference_on(&prefix, backend, "device", 1_000, &[("bio", 1), ("seterrno", 1), ("iovread", 0)], 1);
        difference_on(&prefix, backend, "file", 1_000, &[("iovread", 1), ("seterrno", 1), ("bio", 0)], 1);
        difference_on(&prefix, backend, "pipe", 500, &[("seterrno", 4), ("bio", 0)], 4);
    }
}
