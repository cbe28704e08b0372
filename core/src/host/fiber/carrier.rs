//! The host thread that runs the fibers, in the order in which they came to be able to run.

use super::belongings::Host;
use super::strand::{Fiber, Pause};
use super::{helpers, timers};
use crate::host::errno::Errno;
use crate::host::sync::{Deadline, Habit, look, monotonic, now};
use crate::host::thread;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

/// How long a fiber runs before it lets others go first, where it is asked, in nanoseconds: what the hosts that we know
/// give to a thread at least.
const LONG_RUN: u64 = 3_000_000;

#[derive(Debug)]
struct RunQueue {
    fibers: VecDeque<Arc<Fiber>>,
    /// The carrier sleeps, or is about to, and must be woken.
    asleep: bool,
}

static QUEUE: Mutex<RunQueue> = Mutex::new(RunQueue { fibers: VecDeque::new(), asleep: false });
/// The length of the queue, for who does not take the lock.
static LENGTH: AtomicUsize = AtomicUsize::new(0);
/// The carrier, once it runs.
static CARRIER: OnceLock<Thread> = OnceLock::new();
/// When the carrier was woken last, in nanoseconds.
static WOKEN: AtomicU64 = AtomicU64::new(0);
/// When the running fiber began to run, in nanoseconds.
static RUNS_SINCE: AtomicU64 = AtomicU64::new(0);

fn queue() -> MutexGuard<'static, RunQueue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the carrier where there is none.
///
/// # Errors
/// EAGAIN where the host grants no thread.
pub(super) fn start() -> Result<(), Errno> {
    static STARTED: Mutex<bool> = Mutex::new(false);
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*started {
        // SAFETY: `run` needs no argument.
        unsafe { thread::spawn(run, core::ptr::null_mut(), Some(c"fibers"), false) }?;
        *started = true;
    }
    Ok(())
}

/// `fiber` can run. It is paused, or is about to pause.
pub(super) fn enqueue(fiber: Arc<Fiber>) {
    let mut queue = queue();
    queue.fibers.push_back(fiber);
    // Relaxed: a hint; the lock decides.
    LENGTH.store(queue.fibers.len(), Ordering::Relaxed);
    let asleep = core::mem::take(&mut queue.asleep);
    drop(queue);
    if asleep && let Some(carrier) = CARRIER.get() {
        // Relaxed: only for what the carrier learns.
        WOKEN.store(now(), Ordering::Relaxed);
        carrier.unpark();
    }
}

/// Whether a fiber is waiting for its turn.
pub(super) fn others_can_run() -> bool {
    // Relaxed: a hint.
    LENGTH.load(Ordering::Relaxed) != 0
}

/// Whether the running fiber has been running for long. To be asked by a fiber.
pub(super) fn has_run_for_long() -> bool {
    // Relaxed: only the carrier writes it, and asks.
    others_can_run() && now().saturating_sub(RUNS_SINCE.load(Ordering::Relaxed)) > LONG_RUN
}

unsafe extern "C" fn run(_: *mut c_void) -> *mut c_void {
    let host = Host::new();
    // Only one carrier is ever made.
    let _ = CARRIER.set(std::thread::current());
    let habit = Habit::new();
    loop {
        timers::fire(monotonic());
        let next = {
            let mut queue = queue();
            let next = queue.fibers.pop_front();
            LENGTH.store(queue.fibers.len(), Ordering::Relaxed);
            next
        };
        let Some(fiber) = next else {
            wait(&habit);
            continue;
        };
        RUNS_SINCE.store(now(), Ordering::Relaxed);
        match fiber.run(&host) {
            Pause::Parked | Pause::Ended => {}
            Pause::Away => {
                // No helper to be had: nothing else runs while it makes its call.
                if let Err(fiber) = helpers::take_on(fiber)
                    && fiber.run(&host) == Pause::Back
                {
                    enqueue(fiber);
                }
            }
            Pause::Back => enqueue(fiber),
        }
    }
}

/// Waits until a fiber can run or the next time comes: actively at first, where that has been short of late.
fn wait(habit: &Habit) {
    let since = now();
    let next = timers::next();
    let deadline = next.map(Deadline::at);
    let (looked, _) = look(habit.patience(), deadline.as_ref(), others_can_run);
    {
        let mut queue = queue();
        queue.asleep = queue.fibers.is_empty();
        if !queue.asleep {
            drop(queue);
            return habit.learn(since, now(), looked);
        }
    }
    match next {
        // At most 584 years.
        Some(next) => std::thread::park_timeout(Duration::from_nanos(next.saturating_sub(monotonic()))),
        None => std::thread::park(),
    }
    queue().asleep = false;
    // The wait was over when somebody woke it: what that takes itself is what active waiting saves. Or it was over by the
    // clock. Relaxed: as above.
    let woken = WOKEN.load(Ordering::Relaxed);
    habit.learn(since, if woken > since { woken } else { now() }, looked);
}
