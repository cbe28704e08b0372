//! The embedded guest with each of its workloads, each time in a process of its own, on our library or the one that
//! `RUMPSCOPE_LIBRARY` names. The guest checks its own results; here it is seen that it comes to its end, with all that
//! it was asked to do, and that the segment of our library tells the same numbers of hypercalls as the guest.

use rumpscope_probes::reader::Segment;
use rumpscope_probes::{CATALOGUE, ENV_SEGMENT, Hypercall};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// No guest of these tests takes this long on any machine, unless it hangs.
const HANGS: Duration = Duration::from_secs(60);

struct Guest {
    success: bool,
    output: String,
    errors: String,
    segment: PathBuf,
}

/// Runs a guest to its end.
fn run(arguments: &[&str]) -> Guest {
    let segment = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.segment", arguments.join("-")));
    let _ = std::fs::remove_file(&segment);
    let child = Command::new(env!("CARGO_BIN_EXE_embedded-guest"))
        .args(arguments)
        .arg("--hypercalls")
        .env(ENV_SEGMENT, &segment)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the guest's program starts");
    let pid = child.id() as libc::pid_t;
    let (ended, end) = mpsc::channel();
    let waiter = std::thread::spawn(move || {
        let output = child.wait_with_output();
        let _ = ended.send(());
        output
    });
    if end.recv_timeout(HANGS).is_err() {
        // SAFETY: our own child, not waited for yet, so the number is still its own. ABRT: a core dump shows the threads.
        unsafe { libc::kill(pid, libc::SIGABRT) };
    }
    let output = waiter.join().expect("the waiting thread does not panic").expect("the guest's output can be read");
    Guest {
        success: output.status.success(),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stderr)),
        segment,
    }
}

impl Guest {
    /// What stands behind `name` in the line of the output that begins with `kind name`, as a number.
    fn number(&self, kind: &str, name: &str) -> u64 {
        let line = self.output.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some(kind) && words.next() == Some(name)).then(|| words.next())?
        });
        line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {kind} {name} in:\n{}", self.output))
    }

    fn assert_success(&self) {
        assert!(self.success, "{}{}", self.output, self.errors);
    }

    /// The library counted what the guest counted. Another library than ours makes no segment.
    fn assert_counts(&self) {
        if !self.segment.exists() && std::env::var_os("RUMPSCOPE_LIBRARY").is_some() {
            return;
        }
        let snapshot = Segment::open(&self.segment).and_then(|segment| segment.snapshot()).expect("a good segment");
        for entry in CATALOGUE.iter().filter(|entry| entry.call.is_exported() || entry.call == Hypercall::BioDone) {
            let counted = snapshot.calls(entry.call);
            assert_eq!(counted, self.number("hypercall", entry.name), "calls of {} ({:?})", entry.name, self.segment);
        }
    }
}

/// Runs `workload` on one, two and more virtual CPUs than threads.
fn workload(workload: &str, operations: u64) {
    for ncpu in ["1", "2", "7"] {
        let guest = run(&[workload, "--ncpu", ncpu, "--operations", &operations.to_string()]);
        guest.assert_success();
        assert_eq!(guest.number("part", workload), operations, "{}", guest.output);
        assert!(guest.output.contains(&format!("on {ncpu} virtual CPUs")), "{}", guest.output);
        guest.assert_counts();
    }
}

macro_rules! workloads {
    ($($name:ident $operations:literal;)*) => {
        $(
            #[test]
            fn $name() {
                workload(stringify!($name), $operations);
            }
        )*
    };
}

workloads! {
    locks 20_000;
    rwlocks 20_000;
    condvars 4_000;
    timers 200;
    threads 400;
    memory 4_000;
    disk 1_000;
    database 200;
    network 1_000;
    syscalls 20_000;
}

#[test]
fn mixed() {
    // Few and many clients; as many operations as each of the ten parts can share out evenly.
    for (ncpu, threads) in [("1", "2"), ("3", "2"), ("2", "6")] {
        let guest = run(&["mixed", "--ncpu", ncpu, "--threads", threads, "--operations", "1800"]);
        guest.assert_success();
        for part in ["locks", "condvars", "threads", "disk", "database", "network", "syscalls"] {
            assert_eq!(guest.number("part", part), 180, "{}", guest.output);
        }
        guest.assert_counts();
    }
}

#[test]
fn the_same_seed_does_the_same_and_another_does_not() {
    let run = |seed| {
        let guest = run(&["memory", "--threads", "1", "--ncpu", "1", "--operations", "500", "--seed", seed]);
        guest.assert_success();
        ["malloc", "free", "anonmmap", "unmap"].map(|call| guest.number("hypercall", call))
    };
    let first = run("7");
    assert_eq!(run("7"), first);
    assert_ne!(run("8"), first);
}

#[test]
fn time_ends_a_guest_that_has_no_number_of_operations() {
    let guest = run(&["syscalls", "--seconds", "0.2"]);
    guest.assert_success();
    assert!(guest.number("part", "syscalls") > 0);
}

#[test]
fn a_guest_without_its_disk_says_so() {
    let guest = run(&["disk", "--image", "/nonexistent/image"]);
    assert!(!guest.success);
    assert!(guest.errors.contains("getfileinfo failed with NetBSD error 2"), "{}", guest.errors);
}

#[test]
fn a_disk_that_is_too_small_is_refused() {
    let image = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("small.img");
    std::fs::write(&image, [0; 4096]).expect("a small file can be written");
    let guest = run(&["disk", "--image", image.to_str().expect("a path in UTF-8")]);
    assert!(!guest.success);
    assert!(guest.errors.contains("the disk has 4096 bytes"), "{}", guest.errors);
}
