//! Host threads that go on with fibers which are about to block in the host.
//!
//! There are as many as there are such fibers at a time. One that has had nothing to do for a while ends.

use super::belongings::Host;
use super::carrier;
use super::strand::{Fiber, Pause};
use crate::host::sync::{Habit, Looked, look, now};
use crate::host::thread;
use core::ffi::c_void;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

/// How long a helper waits for work before it ends.
const IDLE: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Pool {
    /// Fibers that no helper has taken yet; one has been woken or made for each, or all are busy and no more can be made.
    queue: VecDeque<Job>,
    /// Helpers that wait, the last to do so at the end. One that is taken out is woken, and looks into the queue.
    idle: Vec<Thread>,
    helpers: usize,
}

#[derive(Debug)]
struct Job {
    fiber: Arc<Fiber>,
    /// When it came, in nanoseconds.
    came: u64,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { queue: VecDeque::new(), idle: Vec::new(), helpers: 0 });
/// The length of the queue, for who does not take the lock.
static LENGTH: AtomicUsize = AtomicUsize::new(0);

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has a helper go on with `fiber`. Gives it back where there is no helper and the host grants none.
pub(super) fn take_on(fiber: Arc<Fiber>) -> Result<(), Arc<Fiber>> {
    let mut pool = pool();
    let came = now();
    if let Some(idle) = pool.idle.pop() {
        pool.queue.push_back(Job { fiber, came });
        LENGTH.store(pool.queue.len(), Ordering::Relaxed);
        drop(pool);
        idle.unpark();
        return Ok(());
    }
    // SAFETY: `run` needs no argument.
    let made = unsafe { thread::spawn(run, core::ptr::null_mut(), Some(c"fiber-helper"), false) }.is_ok();
    if !made && pool.helpers == 0 {
        return Err(fiber);
    }
    pool.helpers += usize::from(made);
    pool.queue.push_back(Job { fiber, came });
    LENGTH.store(pool.queue.len(), Ordering::Relaxed);
    Ok(())
}

unsafe extern "C" fn run(_: *mut c_void) -> *mut c_void {
    // How long helpers wait for work.
    static HABIT: OnceLock<Habit> = OnceLock::new();
    let habit = HABIT.get_or_init(Habit::new);
    let host = Host::new();
    let own = std::thread::current();
    let mut pool = pool();
    let mut idle_since = None;
    let mut looked = Looked::No;
    loop {
        if let Some(Job { fiber, came }) = pool.queue.pop_front() {
            LENGTH.store(pool.queue.len(), Ordering::Relaxed);
            drop(pool);
            if let Some(since) = idle_since.take() {
                // Not until now: what it takes to be woken is what active waiting saves.
                habit.learn(since, came, looked);
            }
            // What it does as a helper's is to come back or to end.
            if fiber.run(&host) == Pause::Back {
                carrier::enqueue(fiber);
            }
            pool = self::pool();
            continue;
        }
        pool.idle.push(own.clone());
        drop(pool);
        let since = *idle_since.get_or_insert_with(now);
        // Relaxed: a hint.
        let work = || LENGTH.load(Ordering::Relaxed) != 0;
        (looked, _) = look(habit.patience(), None, work);
        if !work() {
            std::thread::park_timeout(IDLE);
        }
        let waited = now().saturating_sub(since);
        pool = self::pool();
        let listed = pool.idle.len();
        pool.idle.retain(|thread| thread.id() != own.id());
        let untold = pool.idle.len() != listed;
        if untold && pool.queue.is_empty() && u128::from(waited) >= IDLE.as_nanos() {
            pool.helpers -= 1;
            return core::ptr::null_mut();
        }
    }
}
