//! Time: reading the clock, sleeping, and the thread that makes the kernel tick.

use super::cpu;
use super::kernel::kernel;
use super::thread::Thread;
use super::{console, hypercall};
use core::ffi::{c_int, c_long};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use rumpuser::abi::types::clock::{ABSMONO, RELWALL};

/// Ticks per second; what rump kernels have.
pub const HZ: u32 = 100;

/// The time of one tick.
pub const TICK: Duration = Duration::from_nanos(1_000_000_000 / HZ as u64);

/// The monotonic clock.
pub fn now() -> Duration {
    let (mut seconds, mut nanoseconds) = (0, 0);
    // SAFETY: both take their results.
    let errno = unsafe { hypercall::clock_gettime(ABSMONO, &mut seconds, &mut nanoseconds) };
    match (errno, u64::try_from(seconds), u32::try_from(nanoseconds)) {
        (0, Ok(seconds), Ok(nanoseconds)) => Duration::new(seconds, nanoseconds),
        _ => console::panic(format_args!("clock_gettime: error {errno}, {seconds} s {nanoseconds} ns")),
    }
}

/// Sleeps for this time, off the virtual CPU.
pub fn sleep(time: Duration) {
    host_sleep(RELWALL, time);
}

/// Sleeps until the monotonic clock shows `time`, off the virtual CPU.
pub fn sleep_until(time: Duration) {
    host_sleep(ABSMONO, time);
}

fn host_sleep(which: c_int, time: Duration) {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    // SAFETY: called by an lwp on a virtual CPU.
    let errno = unsafe { hypercall::clock_sleep(which, seconds, c_long::from(time.subsec_nanos())) };
    if errno != 0 {
        console::panic(format_args!("clock_sleep for {time:?} (clock {which}): error {errno}"));
    }
}

/// The kernel's tick.
#[derive(Debug)]
pub struct Clock {
    ticks: AtomicU64,
    stop: AtomicBool,
}

impl Clock {
    /// A clock that stands still.
    pub fn new() -> Self {
        Clock { ticks: AtomicU64::new(0), stop: AtomicBool::new(false) }
    }

    /// Ticks since boot.
    pub fn ticks(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }

    /// Makes it tick, on the first virtual CPU.
    ///
    /// # Errors
    /// When the hypervisor gives no thread.
    pub fn start(&self) -> Result<Thread, c_int> {
        Thread::kernel("clock", Some(&cpu::all()[0]), Box::new(|| kernel().clock.run()))
    }

    fn run(&self) {
        let mut next = now();
        while !self.stop.load(Ordering::Relaxed) {
            // Relaxed: only this thread writes.
            let tick = self.ticks.load(Ordering::Relaxed) + 1;
            self.ticks.store(tick, Ordering::Relaxed);
            kernel().callouts.tick(tick);
            // A tick that is late is made up for: the sleep until a time gone by ends at once.
            next += TICK;
            sleep_until(next);
        }
    }

    /// Lets the thread end after its present sleep.
    pub fn stop(&self, thread: Thread) {
        self.stop.store(true, Ordering::Relaxed);
        thread.join();
    }
}
