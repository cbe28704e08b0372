//! Whether the guest's threads run side by side, or all on one processor.
//!
//! Threads that hand something to each other all the time gain little from running side by side: what they hand over has to come
//! from the other processor's cache, line by line, and one that is woken for each piece has the other one signal for each piece.
//! On one processor who is woken waits until the waker sleeps, and finds all that there is to do by then. Measured on two
//! processors, with a genuine kernel, pipelines and datagrams through a loopback make two to three times as much of it; what
//! answers at once through a pipe, or has work for both, makes half.
//!
//! Nobody can tell that by the waits. So it is tried, again and again ([`Trials`]): the guest's threads are gathered on one
//! processor, and if more calls are made than before ([`progress`](rumpscope_probes::progress()), the reason why this needs calls
//! to be counted) they stay there until it is tried the other way round. Each thread goes there by itself as it comes to wait, so
//! those that compute stay where they are; and all that are there are let go at once. Meanwhile no wait is active, and nothing is
//! learnt of waits.
//!
//! A thread that may not run on all processors that the process had in the beginning is left alone: somebody else has said where
//! it is to run. What gathered threads make begins where they are; threads are let go with them, and what is forked at once.

mod trials;

use crate::host::cpus::{self, Mask};
use crate::host::{setting, sync};
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};
use rumpscope_probes::progress;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use trials::{Trials, Way};

/// `on` (default) or `off`: threads run wherever the host puts them.
pub const VARIABLE: &str = "RUMPSCOPE_GATHER";

/// Where the guest's threads are to be.
///
/// ```text
///  63              32 31             0
/// +------------------+----------------+
/// | how many changes |    CPU + 1     |    0: wherever the host puts them
/// +------------------+----------------+
/// ```
/// Changed, and followed, under [`CHANGE`].
static PLACE: AtomicU64 = AtomicU64::new(0);
const ONE_CHANGE: u64 = 1 << 32;
static CHANGE: Mutex<()> = Mutex::new(());

/// When [`Trials`] are to be asked, in nanoseconds of [`sync::now`].
static DUE: AtomicU64 = AtomicU64::new(u64::MAX);
static TRIALS: Mutex<Trials> = Mutex::new(Trials::NEW);

/// Where the process could run in the beginning.
static HOME: OnceLock<Mask> = OnceLock::new();

thread_local! {
    /// What [`PLACE`] was when the thread looked.
    static SEEN: Cell<u64> = const { Cell::new(0) };
}

/// How often [`scatter`] looks for threads that were made while it looked.
const LOOKS: usize = 3;

/// The guest's threads may be gathered from now on, unless the environment says otherwise, or there is one processor only, or the
/// host does not tell what threads there are.
pub fn begin() {
    if !setting::is_on(VARIABLE) {
        return;
    }
    // How many processors there are is found out before there seems to be only one.
    let is_possible = sync::processors() > 1 && !cpus::threads().is_empty();
    if let Some(home) = Mask::of_caller().filter(|_| is_possible) {
        HOME.get_or_init(|| home);
        // SAFETY: the handler makes a system call and writes to atomics and the thread's own storage, which is allowed after a fork.
        unsafe { libc::pthread_atfork(None, None, Some(in_forked_child)) };
        // Relaxed, here and below: a hint.
        DUE.store(0, Ordering::Relaxed);
    }
}

/// A child is one thread, and may become another program: it runs where it likes.
extern "C" fn in_forked_child() {
    DUE.store(u64::MAX, Ordering::Relaxed);
    PLACE.store(0, Ordering::Relaxed);
    if let Some(home) = HOME.get().filter(|_| SEEN.replace(0) as u32 != 0) {
        home.set();
    }
}

/// Whether the guest's threads are on one processor.
#[inline]
pub fn is_gathered() -> bool {
    // Relaxed: who sees it late waits in the other way for once.
    PLACE.load(Ordering::Relaxed) as u32 != 0
}

/// The calling thread is about to wait, at `now`, in nanoseconds, for another one of the guest.
#[inline]
pub(super) fn waits(now: u64) {
    // Relaxed: hints; what is done about it is done under locks.
    if now >= DUE.load(Ordering::Relaxed) {
        step(now);
    }
    if SEEN.get() != PLACE.load(Ordering::Relaxed) {
        follow();
    }
}

#[cold]
fn step(now: u64) {
    // Where somebody else is at it, or has been just now, that is enough.
    let Ok(mut trials) = TRIALS.try_lock() else { return };
    if now < DUE.load(Ordering::Relaxed) {
        return;
    }
    let due = progress().map_or(u64::MAX, |calls| {
        let (way, pause) = trials.step(now, calls);
        match way {
            Way::Together if !is_gathered() => gather(),
            Way::Apart if is_gathered() => scatter(),
            _ => {}
        }
        now.saturating_add(pause)
    });
    DUE.store(due, Ordering::Relaxed);
}

/// Has the guest's threads run where the calling one does, from when they next wait.
pub fn gather() {
    let cpu = cpus::current();
    if HOME.get().is_some_and(|home| home.has(cpu)) {
        let _change = changing();
        change(cpu as u64 + 1);
    }
}

/// Has them run wherever the host puts them, at once.
pub fn scatter() {
    let _change = changing();
    let Some((home, there)) = HOME.get().zip(gathered_at(PLACE.load(Ordering::Relaxed))) else { return };
    change(0);
    for _ in 0..LOOKS {
        let mut gathered = cpus::threads();
        gathered.retain(|tid| Mask::of(*tid).as_ref() == Some(&there));
        if gathered.is_empty() {
            break;
        }
        gathered.into_iter().for_each(|tid| _ = home.set_for(tid));
    }
}

/// The calling thread goes where the guest's threads are to be.
#[cold]
fn follow() {
    let _change = changing();
    let place = PLACE.load(Ordering::Relaxed);
    SEEN.set(place);
    let Some((home, mask)) = HOME.get().zip(Mask::of_caller()) else { return };
    if let Some(there) = gathered_at(place).filter(|_| mask == *home) {
        there.set();
    }
}

/// Where threads are gathered at such a [`PLACE`].
fn gathered_at(place: u64) -> Option<Mask> {
    (place as u32).checked_sub(1).map(|cpu| Mask::only(cpu as usize))
}

/// Changes the place, under [`CHANGE`].
fn change(cpu: u64) {
    let changes = PLACE.load(Ordering::Relaxed) & !(ONE_CHANGE - 1);
    PLACE.store(changes.wrapping_add(ONE_CHANGE) | cpu, Ordering::Relaxed);
}

fn changing() -> MutexGuard<'static, ()> {
    CHANGE.lock().unwrap_or_else(PoisonError::into_inner)
}
