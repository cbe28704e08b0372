//! A kernel that runs by itself, with its segment where `top` looks for it.

use rumpscope_probes::reader::Segment;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What no test waits longer for.
const LONG: Duration = Duration::from_secs(30);

/// The embedded guest; killed when it is dropped.
pub struct Guest(Child);

impl Guest {
    /// Starts it, with `runtime` as the user's runtime folder, and waits until it works.
    pub fn start(runtime: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rumpscope"));
        command.args(["guest", "--workload=timers", "--ncpu=2", "--duration=1h"]).env("XDG_RUNTIME_DIR", runtime);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let guest = Guest(command.spawn().unwrap());
        let segment = runtime.join("rumpscope").join(format!("{}.segment", guest.pid()));
        let begin = Instant::now();
        let works = || Segment::open(&segment)?.snapshot().map(|snapshot| snapshot.vcpus.len() == 2);
        while !works().is_ok_and(|works| works) {
            assert!(begin.elapsed() < LONG, "the guest has no segment");
            std::thread::sleep(Duration::from_millis(5));
        }
        guest
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Ends it.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.kill();
    }
}
