//! The measured process: how it is started, what it says, what it leaves.

use rumpscope_bench_suite::hypervisor::{Hypervisor, own_library};
use rumpscope_probes::reader::Segment;
use rumpscope_probes::{ENV_SEGMENT, ENV_SWITCH, ENV_TIMING, Snapshot};
use rumpuser::host::backend::choice::VARIABLE;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// The environment variable that makes this program the measured process, and says which.
const CHILD: &str = "RUMPSCOPE_PROFILE_TEST";

/// Is the measured process where this one was started as that; returns otherwise.
pub fn child_main() {
    let Ok(what) = std::env::var(CHILD) else { return };
    end_if_it_hangs();
    let library = own_library().expect("librumpuser.so is built with this test");
    let hypervisor = Hypervisor::load(&library).expect("our own library");
    match what.split_once(' ').expect("kind and argument") {
        ("calls", _) => crate::calls::main(hypervisor),
        ("guest", options) => crate::accounting::child_main(options, hypervisor),
        ("contention", scenario) => crate::contention::child_main(scenario, hypervisor),
        ("crash", signal) => crate::crash::child_main(signal, hypervisor),
        _ => panic!("no such process: {what}"),
    }
}

/// Has the calling process killed by SIGALRM in a minute; nothing in these tests takes that long. A copy made by fork has
/// to call it again.
pub fn end_if_it_hangs() {
    // SAFETY: no preconditions; the action is the default one.
    unsafe { libc::alarm(60) };
}

/// What became of a measured process.
pub struct Ended {
    pub status: ExitStatus,
    stdout: String,
    stderr: String,
    segment: PathBuf,
}

/// Runs measured process `what`; `name` is the test's own. `environment` is what it is told beside that.
pub fn run(name: &str, what: &str, environment: &[(&str, &str)]) -> Ended {
    let segment = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("profile-{name}-{}", std::process::id()));
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    // Not the library either: ours, which was built with this program.
    for variable in [ENV_TIMING, ENV_SWITCH, VARIABLE, "RUMPSCOPE_LIBRARY"] {
        command.env_remove(variable);
    }
    command.env(CHILD, what).env(ENV_SEGMENT, &segment).envs(environment.iter().copied());
    // Also where the process goes on in a child: the end of its output is its end.
    let output = command.stdin(Stdio::null()).output().expect("it can be started");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    Ended { status: output.status, stdout, stderr, segment }
}

impl Ended {
    /// Whether it made a segment at all.
    pub fn has_segment(&self) -> bool {
        self.segment.exists()
    }

    /// Its segment.
    pub fn open(&self) -> Segment {
        Segment::open(&self.segment).expect("a segment")
    }

    /// What is in its segment.
    pub fn snapshot(&self) -> Snapshot {
        self.open().snapshot().expect("a sound segment")
    }

    /// The number that it told as `key`; see [`tell`].
    pub fn told(&self, key: &str) -> u64 {
        self.told_if(key).unwrap_or_else(|| panic!("it did not tell {key}: {}", self.stdout))
    }

    /// The same, where it told one.
    pub fn told_if(&self, key: &str) -> Option<u64> {
        let told =
            self.stdout.lines().find_map(|line| line.strip_prefix("told ")?.strip_prefix(key)?.strip_prefix(' '));
        told.map(|number| number.parse().expect("a number"))
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("The measured process of this failed test ({}) said:\n{}", self.status, self.stderr);
        }
        let _ = std::fs::remove_file(&self.segment);
    }
}

/// Tells the test a number; called in the measured process.
pub fn tell(key: &str, number: u64) {
    println!("told {key} {number}");
}
