//! What a run takes of the host. This watches the guest and is no part of it, so it asks the host itself.

use crate::guest::HostTime;
use core::time::Duration;
use std::time::Instant;

/// Started with the run.
#[derive(Debug)]
pub struct Stopwatch {
    wall: Instant,
    cpu: Duration,
}

impl Stopwatch {
    /// Starts it.
    pub fn start() -> Self {
        Stopwatch { wall: Instant::now(), cpu: process_cpu_time() }
    }

    /// What it took since the start.
    pub fn stop(&self) -> HostTime {
        HostTime { wall: self.wall.elapsed(), cpu: process_cpu_time().saturating_sub(self.cpu) }
    }
}

fn process_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid; the clock exists on every Linux, so the call cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
