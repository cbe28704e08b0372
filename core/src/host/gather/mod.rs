//! Whether the guest's threads run side by side or all on one processor, and whether they may wait actively.
//!
//! Threads that hand something to each other all the time gain little from running side by side: what they hand over has to come
//! from the other processor's cache, line by line, and one that is woken for each piece has the other one signal for each piece.
//! On one processor who is woken waits until the waker sleeps, and finds all that there is to do by then. Measured on two
//! processors, with a genuine kernel, pipelines and datagrams through a loopback make two to three times as much of it; what
//! answers at once through a pipe, or has work for both, makes half.
//!
//! Nobody can tell that by the waits. So it is tried, again and again ([`Trials`]): the guest's threads are gathered on one
//! processor, and if more calls are made than before ([`progress`](rumpscope_probes::progress()), the reason why this needs calls
//! to be counted) they stay there until it is tried the other way round. Each thread goes there by itself as it comes to wait for
//! another one, so those that compute stay where they are; and all that are there are let go at once. Waits that begin meanwhile
//! are not active, and nothing is learnt of how long those last that end meanwhile.
//!
//! Nor can anybody tell by the waits, each of which ends the sooner for it, whether those that are active are in the way of others
//! that have work for the processor. So that no wait is active is tried as well.
//!
//! A thread that may not run on all processors that the process had in the beginning is left alone: somebody else has said where
//! it is to run. (Who says so while threads are gathered, and means just the processor that they are on, is not told from them.)
//! What gathered threads make begins where they are; threads are let go with them, and what is forked at once.

mod trials;

use crate::host::cpus::{self, Mask};
use crate::host::{setting, sync};
use core::cell::Cell;
use core::mem;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use libc::pid_t;
use rumpscope_probes::{gathering_begins, gathering_ends, progress};
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
static CHANGE: Mutex<Change> = Mutex::new(Change { others: Vec::new(), began: 0 });

/// What is known of the change that gathered the threads.
#[derive(Debug)]
struct Change {
    /// Who was there alone before it, because somebody else has put them there.
    others: Vec<pid_t>,
    /// When it was, for [`gathering_ends`].
    began: u64,
}

/// The CPU + 1 where threads were gathered last; 0: they never were.
static LAST: AtomicU32 = AtomicU32::new(0);

/// No wait is to be active.
static ASLEEP: AtomicBool = AtomicBool::new(false);

/// When [`Trials`] are to be asked, in nanoseconds of [`sync::now`].
static DUE: AtomicU64 = AtomicU64::new(NEVER);
const NEVER: u64 = u64::MAX;
static TRIALS: Mutex<Trials> = Mutex::new(Trials::NEW);

/// Where the process could run in the beginning.
#[derive(Debug)]
struct Home {
    mask: Mask,
    /// What threads are given that are let go.
    free: Mask,
}

static HOME: OnceLock<Home> = OnceLock::new();

thread_local! {
    /// What [`PLACE`] was when the thread looked.
    static SEEN: Cell<u64> = const { Cell::new(0) };
    /// The CPU + 1 that it has gone to by itself; 0: none, or it has been let go.
    static GONE_TO: Cell<u32> = const { Cell::new(0) };
}

/// Guests with more threads than that are left alone: who gathers them, or lets them go, looks at each in a system call.
const MOST_THREADS: usize = 256;
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
    if let Some(mask) = Mask::of_caller().filter(|_| is_possible) {
        HOME.get_or_init(|| Home { free: *mask.with_later_ones(), mask });
        // SAFETY: the handler makes system calls and writes to atomics and the thread's own storage, which is allowed after a fork.
        unsafe { libc::pthread_atfork(None, None, Some(in_forked_child)) };
        continue_in_forked_child();
    }
}

/// A child is one thread, and may become another program: it runs where it likes.
extern "C" fn in_forked_child() {
    // Relaxed, here and below: hints, or read under a lock.
    DUE.store(NEVER, Ordering::Relaxed);
    PLACE.store(0, Ordering::Relaxed);
    ASLEEP.store(false, Ordering::Relaxed);
    let Some(home) = HOME.get() else { return };
    // One that has not looked yet may have been made by one that was gathered.
    let is_ours = GONE_TO.replace(0) != 0 || SEEN.get() == 0;
    SEEN.set(0);
    let there = gathered_at(LAST.load(Ordering::Relaxed));
    if is_ours && there.is_some() && Mask::of_caller() == there {
        home.free.set();
    }
}

/// The guest is the child from now on.
pub(crate) fn continue_in_forked_child() {
    if HOME.get().is_some() {
        DUE.store(0, Ordering::Relaxed);
    }
}

/// Whether the guest's threads are on one processor.
#[inline]
pub fn is_gathered() -> bool {
    // Relaxed: who sees it late waits in the other way for once.
    PLACE.load(Ordering::Relaxed) as u32 != 0
}

/// Whether waits are not to be active for a while, and nothing is to be learnt of how long they last.
#[inline]
pub fn is_quiet() -> bool {
    // Relaxed: as above.
    is_gathered() || ASLEEP.load(Ordering::Relaxed)
}

/// The calling thread is about to wait, at `now`, in nanoseconds, for another one of the guest.
#[inline]
pub(super) fn waits(now: u64) {
    if now >= DUE.load(Ordering::Relaxed) {
        step();
    }
    if SEEN.get() != PLACE.load(Ordering::Relaxed) {
        follow();
    }
}

/// The calling thread has slept by the clock. A guest has one that does so all the time, also where none waits for another any more,
/// and those that are gathered compute.
pub(super) fn woken_by_clock() {
    let due = DUE.load(Ordering::Relaxed);
    let now = sync::now();
    if due != NEVER && due > now.saturating_add(trials::LONGEST) {
        // Later than any pause: the clock has begun anew.
        DUE.store(0, Ordering::Relaxed);
    }
    if now >= DUE.load(Ordering::Relaxed) {
        step();
    }
}

#[cold]
fn step() {
    // Where somebody else is at it, or has been just now, that is enough.
    let Ok(mut trials) = TRIALS.try_lock() else { return };
    let now = sync::now();
    if now < DUE.load(Ordering::Relaxed) {
        return;
    }
    let due = progress().map_or(NEVER, |calls| {
        let (mut way, mut pause) = trials.step(now, calls);
        if way == Way::Together && !gather() {
            (way, pause) = trials.cannot();
        }
        if way != Way::Together {
            scatter();
        }
        // Relaxed: a hint.
        ASLEEP.store(way == Way::Asleep, Ordering::Relaxed);
        sync::now().saturating_add(pause)
    });
    DUE.store(due, Ordering::Relaxed);
}

/// Has the guest's threads run where the calling one does, from when they next wait, if they are not gathered yet; not where that is
/// not for us to say. Whether they are now.
pub fn gather() -> bool {
    if is_gathered() {
        return true;
    }
    let cpu = cpus::current();
    let Some(home) = HOME.get().filter(|home| home.mask.has(cpu)) else { return false };
    if Mask::of_caller() != Some(home.mask) {
        return false;
    }
    // None: the host does not tell any more, so nobody could be let go.
    let mut others = cpus::threads();
    if !(1..=MOST_THREADS).contains(&others.len()) {
        return false;
    }
    let there = Mask::only(cpu);
    others.retain(|tid| Mask::of(*tid).as_ref() == Some(&there));
    let mut change = changing();
    *change = Change { others, began: gathering_begins() };
    LAST.store(cpu as u32 + 1, Ordering::Relaxed);
    change_to(cpu as u64 + 1);
    true
}

/// Has them run wherever the host puts them, at once.
pub fn scatter() {
    let mut change = changing();
    let place = PLACE.load(Ordering::Relaxed);
    let Some((home, there)) = HOME.get().zip(gathered_at(place as u32)) else { return };
    change_to(0);
    let Change { others, began } = mem::replace(&mut *change, Change { others: Vec::new(), began: 0 });
    // From here on nobody goes there, and who comes to wait need not wait for this.
    drop(change);
    for _ in 0..LOOKS {
        let mut gathered = cpus::threads();
        gathered.retain(|tid| !others.contains(tid) && Mask::of(*tid).as_ref() == Some(&there));
        if gathered.is_empty() {
            break;
        }
        for (nth, tid) in gathered.into_iter().enumerate() {
            // The host would leave those that run there for some milliseconds.
            if nth % home.mask.count() != 0 {
                home.mask.without(place as u32 as usize - 1).set_for(tid);
            }
            home.free.set_for(tid);
        }
    }
    gathering_ends(began);
}

/// The calling thread goes where the guest's threads are to be.
#[cold]
fn follow() {
    let change = changing();
    let place = PLACE.load(Ordering::Relaxed);
    SEEN.set(place);
    let gone_to = gathered_at(GONE_TO.replace(0));
    let Some((home, mask)) = HOME.get().zip(Mask::of_caller()) else { return };
    // SAFETY: no preconditions.
    if gathered_at(place as u32).as_ref() == Some(&mask) && !change.others.contains(&unsafe { libc::gettid() }) {
        // It is there already: one that was gathered has made it.
        return GONE_TO.set(place as u32);
    }
    // Whoever was to let it go may not have seen it.
    let is_left = gone_to.as_ref() == Some(&mask);
    if mask != home.mask && !is_left {
        return;
    }
    match gathered_at(place as u32) {
        Some(there) if there.set() => GONE_TO.set(place as u32),
        None if is_left => _ = home.free.set(),
        _ => {}
    }
}

/// Where threads are gathered that are on that CPU + 1; 0: nowhere.
fn gathered_at(place: u32) -> Option<Mask> {
    place.checked_sub(1).map(|cpu| Mask::only(cpu as usize))
}

/// Changes the place, under [`CHANGE`].
fn change_to(cpu: u64) {
    let changes = PLACE.load(Ordering::Relaxed) & !(ONE_CHANGE - 1);
    PLACE.store(changes.wrapping_add(ONE_CHANGE) | cpu, Ordering::Relaxed);
}

fn changing() -> MutexGuard<'static, Change> {
    CHANGE.lock().unwrap_or_else(PoisonError::into_inner)
}
