//! `rumpscope ls` and `top` without a terminal: of guests that run, have ended, or left something that cannot be read.

use crate::programs::{self, Ended, outcome, rumpscope};
use rumpscope_probes::reader::Segment;
use serde_json::Value;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What no test waits longer for.
const LONG: Duration = Duration::from_secs(60);

/// The runtime folder of one test; removed with all that is in it.
struct Runtime(PathBuf);

impl Runtime {
    fn new(name: &str) -> Self {
        let path = programs::scratch(&format!("live-{name}"));
        std::fs::create_dir_all(&path).unwrap();
        Runtime(path)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = rumpscope(arguments);
        command.env("XDG_RUNTIME_DIR", &self.0);
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        outcome(self.command(arguments).output().unwrap())
    }

    /// The file of segments with this name.
    fn segment(&self, name: &str) -> PathBuf {
        self.0.join("rumpscope").join(name)
    }

    fn list(&self) -> Value {
        let ended = self.run(&["ls", "--json"]);
        assert_eq!(ended.status, Some(0), "{}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The embedded guest, as a process of its own that makes its own segment; killed when it is dropped.
struct Guest(Child);

impl Guest {
    fn start(runtime: &Runtime) -> Self {
        let mut command = runtime.command(&["guest", "--workload=locks", "--ncpu=2", "--duration=1h"]);
        let guest = Guest(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let begin = Instant::now();
        // At work when it has a virtual CPU.
        while !Segment::open(&runtime.segment(&format!("{}.segment", guest.0.id())))
            .and_then(|segment| segment.snapshot())
            .is_ok_and(|snapshot| snapshot.vcpus.len() == 2)
        {
            assert!(begin.elapsed() < LONG, "the guest has no segment");
            std::thread::sleep(Duration::from_millis(5));
        }
        guest
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.kill();
    }
}

fn kernel<'a>(list: &'a Value, pid: &str) -> Option<&'a Value> {
    let pid: Value = pid.parse::<u32>().unwrap().into();
    list["kernels"].as_array().unwrap().iter().find(|kernel| kernel["pid"] == pid)
}

#[test]
fn ls_lists_those_that_run_and_those_that_ran_and_cleans() {
    let runtime = Runtime::new("ls");
    assert!(runtime.run(&["ls"]).stdout.starts_with("No instrumented kernel "));
    let (guest, mut other) = (Guest::start(&runtime), Guest::start(&runtime));
    other.kill();
    let list = runtime.list();
    assert_eq!((list["schema"].as_str(), list["version"].as_u64()), (Some("rumpscope.kernels"), Some(1)));
    let alive = kernel(&list, &guest.pid()).unwrap();
    assert_eq!((alive["state"].as_str(), alive["vcpus"].as_u64()), (Some("alive"), Some(2)));
    assert!(alive["hypercalls_per_second"].as_f64().unwrap() > 0.0, "{alive}");
    let dead = kernel(&list, &other.pid()).unwrap();
    assert_eq!((dead["state"].as_str(), dead["hypercalls_per_second"].as_f64()), (Some("dead"), None));
    let text = runtime.run(&["ls", "--ascii"]).stdout;
    let line = |pid: &str| text.lines().find(|line| line.starts_with(pid)).unwrap().to_owned();
    assert!(line(&guest.pid()).contains(" runs "), "{text}");
    assert!(line(&other.pid()).contains(" dead "), "{text}");

    let cleaned = runtime.run(&["ls", "--clean"]);
    assert_eq!(cleaned.status, Some(0), "{}", cleaned.stderr);
    assert!(cleaned.stderr.contains("removed 1 segment"), "{}", cleaned.stderr);
    let list = runtime.list();
    assert!(kernel(&list, &guest.pid()).is_some() && kernel(&list, &other.pid()).is_none(), "{list}");
}

#[test]
fn what_cannot_be_read_is_listed_with_the_reason() {
    let runtime = Runtime::new("unreadable");
    let mut guest = Guest::start(&runtime);
    let whole = runtime.segment(&format!("{}.segment", guest.pid()));
    let write = |name: &str, change: &dyn Fn(&std::fs::File)| {
        let path = runtime.segment(name);
        std::fs::copy(&whole, &path).unwrap();
        change(&std::fs::OpenOptions::new().write(true).open(&path).unwrap());
    };
    write("1.segment", &|file| file.set_len(1000).unwrap());
    write("2.segment", &|file| file.write_all_at(&77u64.to_ne_bytes(), 8).unwrap());
    write("3.segment", &|file| file.write_all_at(&u64::MAX.to_ne_bytes(), 24).unwrap());
    write("4.segment", &|file| file.write_all_at(&[0xff; 8], 18 * 8).unwrap());
    std::fs::write(runtime.segment("5.segment"), "no segment").unwrap();
    let list = runtime.list();
    let reason = |name: &str| {
        let unreadable = list["unreadable"].as_array().unwrap().iter();
        let mut of = unreadable.filter(|entry| entry["segment"].as_str().unwrap().ends_with(name));
        of.next().unwrap_or_else(|| panic!("{name} in {list}"))["reason"].as_str().unwrap().to_owned()
    };
    assert!(reason("/1.segment").contains("damaged"), "{}", reason("/1.segment"));
    assert!(reason("/2.segment").contains("version 77"), "{}", reason("/2.segment"));
    assert!(reason("/3.segment").contains("damaged"), "{}", reason("/3.segment"));
    assert!(reason("/4.segment").contains("damaged"), "{}", reason("/4.segment"));
    assert!(reason("/5.segment").contains("no segment"), "{}", reason("/5.segment"));
    // Nobody knows whose they are: they are not removed.
    guest.kill();
    assert_eq!(runtime.run(&["ls", "--clean"]).status, Some(0));
    assert_eq!(runtime.list()["unreadable"].as_array().unwrap().len(), 5);
    for name in ["1.segment", "2.segment", "3.segment", "4.segment", "5.segment", "missing.segment"] {
        let path = runtime.segment(name);
        let ended = runtime.run(&["top", "--once", path.to_str().unwrap()]);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(3), ""), "{name}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("rumpscope: ") && !ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
}

#[test]
fn top_prints_one_interval() {
    let runtime = Runtime::new("once");
    let guest = Guest::start(&runtime);
    // Without a number it is the only one that runs.
    let ended = runtime.run(&["top", "--once", "--ascii", "--interval", "300ms"]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains(&format!("({})\n", guest.pid())), "{}", ended.stdout);
    for part in ["Virtual CPUs\n", "\nHypercalls", "\nmutex_enter ", "\nThreads", "locks0"] {
        assert!(ended.stdout.contains(part), "{part:?} in {}", ended.stdout);
    }
    let nobody = runtime.run(&["top", "--once", "99999999"]);
    assert_eq!(nobody.status, Some(3));
    assert!(nobody.stderr.contains("there is no process 99999999"), "{}", nobody.stderr);
}

#[test]
fn several_kernels_and_no_number_are_listed() {
    let runtime = Runtime::new("several");
    let none = runtime.run(&["top", "--once"]);
    assert_eq!(none.status, Some(3));
    assert!(none.stderr.contains("no instrumented kernel runs"), "{}", none.stderr);
    let guests = [Guest::start(&runtime), Guest::start(&runtime)];
    let ended = runtime.run(&["top", "--once"]);
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""));
    for guest in &guests {
        assert!(ended.stderr.contains(&guest.pid()), "{}", ended.stderr);
    }
}

#[test]
fn intervals_follow_one_another_as_lines_of_json() {
    let runtime = Runtime::new("json");
    let guest = Guest::start(&runtime);
    let ended = runtime.run(&["top", "--json", "--count", "4", "--interval", "50ms", &guest.pid()]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{value} is no whole number"));
    for line in &lines {
        assert_eq!((line["schema"].as_str(), line["version"].as_u64()), (Some("rumpscope.interval"), Some(1)));
        assert_eq!((line["pid"].to_string(), line["state"].as_str()), (guest.pid(), Some("alive")));
        let vcpus = line["vcpus"].as_array().unwrap();
        assert_eq!(vcpus.len(), 2);
        for vcpu in vcpus {
            let shares = ["running", "wanted", "idle"].map(|part| vcpu["shares"][part].as_f64().unwrap());
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{vcpu}");
        }
        for call in line["hypercalls"].as_array().unwrap() {
            assert!(number(&call["count"]) != 0 && number(&call["timed"]) <= number(&call["count"]), "{call}");
        }
        for thread in line["threads"].as_array().unwrap() {
            let counters = &thread["host"]["counters"];
            for event in ["cycles", "instructions", "cache_misses", "branch_misses", "migrations"] {
                let counter = &counters[event];
                assert!(counter["value"].is_u64() || counter["missing"].is_string(), "{thread}");
            }
        }
    }
    // One begins where the one before ended.
    for pair in lines.windows(2) {
        let begin = number(&pair[1]["time_ns"]) - number(&pair[1]["duration_ns"]);
        // The rate of the clock is known better each time: by far less than a millisecond.
        assert!(begin.abs_diff(number(&pair[0]["time_ns"])) < 1_000_000, "{pair:?}");
    }
}

#[test]
fn top_ends_with_the_kernel_and_shows_what_is_left_of_it() {
    let runtime = Runtime::new("ends");
    let mut guest = Guest::start(&runtime);
    let segment = runtime.segment(&format!("{}.segment", guest.pid()));
    let mut top = runtime.command(&["top", "--json", "--interval", "50ms", &guest.pid()]);
    let mut top = top.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(top.stdout.take().unwrap()));
    let mut next = || -> Option<Value> { Some(serde_json::from_str(&lines.next()?.unwrap()).unwrap()) };
    assert_eq!(next().unwrap()["state"], "alive");
    guest.kill();
    let mut last = None;
    while let Some(line) = next() {
        last = Some(line);
    }
    assert_eq!(last.unwrap()["state"], "dead");
    assert_eq!(top.wait().unwrap().code(), Some(0));
    // Of one that has ended, all that it has done is the interval.
    let ended = runtime.run(&["top", "--json", segment.to_str().unwrap()]);
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    let all: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(all["state"], "dead");
    let enter = all["hypercalls"].as_array().unwrap().iter().find(|call| call["name"] == "mutex_enter");
    assert!(enter.unwrap()["count"].as_u64().unwrap() > 0);
}

#[test]
fn a_segment_that_is_damaged_meanwhile_is_told() {
    let runtime = Runtime::new("damaged");
    let mut guest = Guest::start(&runtime);
    let copy = runtime.0.join("copy");
    std::fs::copy(runtime.segment(&format!("{}.segment", guest.pid())), &copy).unwrap();
    let mut top = runtime.command(&["top", "--json", "--interval", "20ms", copy.to_str().unwrap()]);
    let mut top = top.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = std::io::BufReader::new(top.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    assert!(line.contains("rumpscope.interval"), "{line}");
    truncate(&copy);
    let mut stderr = std::io::BufReader::new(top.stderr.take().unwrap());
    let mut said = String::new();
    std::io::BufRead::read_line(&mut stderr, &mut said).unwrap();
    assert!(said.contains("no segment") || said.contains("damaged"), "{said}");
    // It ends with the process, and says by its status that it did not see that.
    guest.kill();
    drop(stdout);
    assert_eq!(top.wait().unwrap().code(), Some(3));
}

fn truncate(path: &Path) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(10).unwrap();
}

#[test]
fn a_run_is_listed_while_it_goes_on() {
    let runtime = Runtime::new("run");
    let mut run = runtime.command(&["run", "--workload=locks", "--ncpu=2", "--duration=1h"]);
    let mut run = run.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    let kernel = loop {
        let list = runtime.list();
        if let Some(kernel) = list["kernels"].as_array().unwrap().iter().find(|kernel| kernel["vcpus"] == 2) {
            break kernel.clone();
        }
        assert!(begin.elapsed() < LONG, "{list}");
    };
    assert!(kernel["segment"].as_str().unwrap().contains(&format!("run-{}/", run.id())), "{kernel}");
    let pid = kernel["pid"].as_i64().unwrap();
    // SAFETY: no preconditions; the guest runs for an hour, so the number is its own.
    assert_eq!(unsafe { libc::kill(pid as libc::pid_t, libc::SIGKILL) }, 0);
    // Its profile comes from the segment, which nobody may take away meanwhile.
    runtime.run(&["ls", "--clean"]);
    let mut out = String::new();
    std::io::Read::read_to_string(&mut run.stdout.take().unwrap(), &mut out).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(128 + libc::SIGKILL));
    assert!(out.contains("killed by SIGKILL"), "{out}");
    assert_eq!(runtime.list()["kernels"].as_array().unwrap().len(), 0);
}

#[test]
fn bad_usage_of_top_is_2() {
    let runtime = Runtime::new("usage");
    for arguments in [
        &["top", "--interval", "1ms"][..],
        &["top", "--interval", "soon"],
        &["top", "--count", "0"],
        &["top", "--once", "--count", "2"],
        &["top", "--palette", "pink"],
        &["ls", "4711"],
    ] {
        let ended = runtime.run(arguments);
        assert_eq!(ended.status, Some(2), "{arguments:?}: {}", ended.stderr);
    }
}
