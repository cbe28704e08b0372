//! The embedded guest with each of its workloads, each time in a process of its own, on our library or the one that
//! `RUMPSCOPE_LIBRARY` names. The guest checks its own results; here it is seen that it comes to its end, with all that
//! it was asked to do, and that the segment of our library tells the same numbers of hypercalls as the guest.

use rumpscope_probes::reader::Segment;
use rumpscope_probes::{CATALOGUE, ENV_SEGMENT, Hypercall};
use std::ffi::CString;
use std::io::Error;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
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
    run_with(&mut Command::new(env!("CARGO_BIN_EXE_embedded-guest")), arguments, segment)
}

/// The same with `command`, and its segment at a place of one's choice.
fn run_with(command: &mut Command, arguments: &[&str], segment: PathBuf) -> Guest {
    let _ = std::fs::remove_file(&segment);
    let child = command
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

/// More than a guest could do in the time that is taken for a hang, were a full disk asked for room at every call.
const MANY: &[&str] = &["locks", "--operations", "2000000", "--threads", "8", "--ncpu", "2"];

#[test]
fn a_missing_folder_costs_the_profile_and_not_the_guest() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_embedded-guest"));
    let guest = run_with(&mut command, MANY, PathBuf::from("/nowhere/segment"));
    guest.assert_success();
    let ours = std::env::var_os("RUMPSCOPE_LIBRARY").is_none();
    assert!(!ours || guest.errors.contains("cannot make the segment /nowhere/segment: "), "{}", guest.errors);
}

/// The guest's program, with a disk of its own at `folder` that has room for a header and little more.
fn on_a_small_disk(folder: &Path) -> Command {
    let place = CString::new(folder.as_os_str().as_bytes()).expect("no zero in a path");
    // SAFETY: no preconditions.
    let ids = unsafe { [libc::geteuid(), libc::getegid()] };
    let maps = ids.map(|id| format!("{id} {id} 1"));
    let mount = move || {
        // SAFETY: a flag.
        if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
            // Who is not root can be in a world of his own.
            // SAFETY: as above.
            if unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) } != 0 {
                return Err(Error::last_os_error());
            }
            std::fs::write("/proc/self/uid_map", &maps[0])?;
            std::fs::write("/proc/self/setgroups", "deny")?;
            std::fs::write("/proc/self/gid_map", &maps[1])?;
        }
        let none = c"none".as_ptr();
        // SAFETY: strings, and numbers.
        let failed = unsafe {
            libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, core::ptr::null()) != 0
                || libc::mount(none, place.as_ptr(), c"tmpfs".as_ptr(), 0, c"size=128k".as_ptr().cast()) != 0
        };
        if failed { Err(Error::last_os_error()) } else { Ok(()) }
    };
    let mut command = Command::new(env!("CARGO_BIN_EXE_embedded-guest"));
    // SAFETY: system calls, and nothing of what it shares with the parent; the files are opened by system calls alone.
    unsafe { command.pre_exec(mount) };
    command
}

#[test]
fn a_full_disk_costs_the_profile_and_not_the_guest() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("full");
    std::fs::create_dir_all(&folder).expect("a folder");
    if let Err(error) = on_a_small_disk(&folder).arg("--help").stdout(Stdio::null()).status() {
        eprintln!("skipped: this host lets nobody have a disk of his own: {error}");
        return;
    }
    run_with(&mut on_a_small_disk(&folder), MANY, folder.join("segment")).assert_success();
}
