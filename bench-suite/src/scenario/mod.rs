//! Contention with a known answer: a guest in which it is certain who waits for what, from where, and because of whom, and
//! which measures by itself for how long. What the profile says is held against it.
//!
//! The functions that wait and that hold have names that say so; none of them is inlined.

mod big_lock;
mod disk;
mod held;
mod starved;

use crate::guest::image::Image;
use crate::guest::thread::Thread;
use crate::guest::{GuestError, clock, entry, hypercall, kernel};
use crate::hypervisor::Hypervisor;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

/// The scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// A mutex is held for 300 us every 2 ms.
    Held,
    /// Three readers of a lock starve one writer.
    Starved,
    /// A convoy behind the big kernel lock.
    BigLock,
    /// A mutex is held during writes to a disk.
    Disk,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Scenario; 4] = [Scenario::Held, Scenario::Starved, Scenario::BigLock, Scenario::Disk];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Scenario::Held => "held",
            Scenario::Starved => "starved",
            Scenario::BigLock => "big_lock",
            Scenario::Disk => "disk",
        }
    }

    /// Has the guest run it on `hypervisor`: for how long threads waited for the lock that it is about, as they saw it. Once
    /// per process.
    ///
    /// # Errors
    /// When the guest could not be booted or shut down.
    pub fn run(self, hypervisor: Hypervisor) -> Result<Duration, GuestError> {
        if !hypercall::install(hypervisor) {
            return Err(GuestError::AlreadyRan);
        }
        // As many virtual CPUs as there are threads: nobody waits for one.
        let booted = kernel::boot(Some(CLIENTS as u32 + 1))?;
        let waited = match self {
            Scenario::Held => held::run(),
            Scenario::Starved => starved::run(),
            Scenario::BigLock => big_lock::run(),
            Scenario::Disk => disk::run(&Image::new(None)?),
        };
        booted.shutdown()?;
        Ok(waited)
    }
}

/// How many clients there are at most.
const CLIENTS: usize = 4;

/// Time that clients have waited, in nanoseconds.
#[derive(Debug, Default)]
struct Waited(AtomicU64);

impl Waited {
    /// Runs `wait`, and adds the time that it took.
    fn add<R>(&self, wait: impl FnOnce() -> R) -> R {
        let start = clock::now();
        let outcome = wait();
        let took = clock::now().saturating_sub(start);
        // Relaxed: a counter; read when the clients have been joined.
        self.0.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
        outcome
    }
}

/// What a client does.
type Work = Box<dyn FnOnce(&Waited) + Send>;

/// Runs the clients, each as a process of the guest with one system call that lasts as long as it, and says for how long
/// they have waited in all.
fn clients(work: Vec<Work>) -> Duration {
    assert!(work.len() <= CLIENTS);
    let waited = Arc::new(Waited::default());
    let threads: Vec<Thread> = work
        .into_iter()
        .enumerate()
        .map(|(nth, work)| {
            let waited = Arc::clone(&waited);
            let main = Box::new(move || entry::system_call(|| work(&waited)));
            Thread::client(&format!("client {nth}"), main).expect("a thread of the host")
        })
        .collect();
    threads.into_iter().for_each(Thread::join);
    Duration::from_nanos(waited.0.load(Ordering::Relaxed))
}

/// Keeps the virtual CPU for `time`.
fn spin(time: Duration) {
    let end = clock::now() + time;
    while clock::now() < end {
        core::hint::spin_loop();
    }
}

/// A function whose last act is to call another one may jump there, and then is in no call chain. One that ends with this
/// does not jump where it gives a lock back.
#[inline(always)]
fn stays_in_its_chain() {
    core::hint::black_box(());
}
