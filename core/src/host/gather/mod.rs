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
//! Where several groups of threads hand things to each other, but not one group to another, there is work for more processors. So
//! it is tried as well to have each group on a processor of its own, as found by who ends whose waits ([`hands`]).
//!
//! Nor can anybody tell by the waits, each of which ends the sooner for it, whether those that are active are in the way of others
//! that have work for the processor. So that no wait is active is tried as well.
//!
//! A thread that may not run on all processors that the process had in the beginning is left alone: somebody else has said where
//! it is to run. (Who says so while threads are gathered, and means just a processor that some are on, is not told from them.)
//! What gathered threads make begins where they are; threads are let go with them, and what is forked at once.

pub mod hands;
mod trials;

use crate::host::cpus::{self, Mask};
use crate::host::{setting, sync};
use core::cell::Cell;
use core::cmp::Reverse;
use core::mem;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use hands::Group;
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
/// | how many changes |    CPU + 1     |    0: wherever the host puts them; `IN_GROUPS`
/// +------------------+----------------+
/// ```
/// Changed, and followed, under [`CHANGE`].
static PLACE: AtomicU64 = AtomicU64::new(0);
const ONE_CHANGE: u64 = 1 << 32;
/// Each where [`Change::groups`] says, no CPU + 1.
const IN_GROUPS: u32 = u32::MAX;
static CHANGE: Mutex<Change> = Mutex::new(Change::NONE);

/// What is known of the change that gathered the threads.
#[derive(Debug)]
struct Change {
    /// Who was there alone before it, because somebody else has put them there.
    others: Vec<pid_t>,
    /// Where in groups: the number of each thread that is in one ([`hands::me`]), and its CPU.
    groups: Vec<(usize, usize)>,
    /// When it was, for [`gathering_ends`].
    began: u64,
}

impl Change {
    const NONE: Change = Change { others: Vec::new(), groups: Vec::new(), began: 0 };

    /// Whether threads that may run there alone have been gathered there.
    fn has_gathered(&self, place: u32, mask: &Mask) -> bool {
        let is_one_of = |(_, cpu): &(usize, usize)| Mask::only(*cpu) == *mask;
        gathered_at(place).as_ref() == Some(mask) || place == IN_GROUPS && self.groups.iter().any(is_one_of)
    }

    /// The CPU + 1 where the calling thread is to be; 0: wherever the host puts it.
    fn of_caller(&self, place: u32) -> u32 {
        if place != IN_GROUPS {
            return place;
        }
        let caller = hands::me();
        self.groups.iter().find(|(thread, _)| *thread == caller).map_or(0, |(_, cpu)| *cpu as u32 + 1)
    }
}

/// The CPU + 1 where threads were gathered last, or `IN_GROUPS`; 0: they never were.
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
    let last = LAST.load(Ordering::Relaxed);
    let is_there = |mask: Mask| gathered_at(last) == Some(mask) || last == IN_GROUPS && mask.count() == 1;
    if is_ours && Mask::of_caller().is_some_and(is_there) {
        home.free.set();
    }
}

/// The guest is the child from now on.
pub(crate) fn continue_in_forked_child() {
    if HOME.get().is_some() {
        DUE.store(0, Ordering::Relaxed);
    }
}

/// Whether threads of the guest that wait for each other share processors.
#[inline]
pub fn is_gathered() -> bool {
    // Relaxed, here and below: who sees it late waits in the other way for once.
    PLACE.load(Ordering::Relaxed) as u32 != 0
}

/// Whether they share one.
pub(super) fn is_on_one_processor() -> bool {
    !matches!(PLACE.load(Ordering::Relaxed) as u32, 0 | IN_GROUPS)
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
        while !change_way(way) {
            (way, pause) = trials.cannot(way);
        }
        if trials.begin() {
            hands::begin();
        }
        // Relaxed: a hint.
        ASLEEP.store(way == Way::Asleep, Ordering::Relaxed);
        sync::now().saturating_add(pause)
    });
    DUE.store(due, Ordering::Relaxed);
}

/// Whether the threads run that way now.
fn change_way(way: Way) -> bool {
    match way {
        Way::Together => gather(),
        Way::InGroups => gather_in_groups(),
        Way::Apart | Way::Asleep => {
            scatter();
            true
        }
    }
}

/// Has the guest's threads run where the calling one does, from when they next wait, if they are not gathered yet; not where that is
/// not for us to say. Whether they are now.
pub fn gather() -> bool {
    if is_on_one_processor() {
        return true;
    }
    scatter();
    let cpu = cpus::current();
    HOME.get().is_some_and(|home| home.mask.has(cpu)) && change_to(cpu as u32 + 1, Vec::new())
}

/// The same for each group of them that hand things to each other, as [`hands`] says, on a processor of its own, as long as there
/// are some. Not where there is one group only.
pub fn gather_in_groups() -> bool {
    let place = PLACE.load(Ordering::Relaxed) as u32;
    if place == IN_GROUPS {
        return true;
    }
    let groups = hands::end();
    let Some(home) = HOME.get().filter(|_| groups.len() > 1) else { return false };
    scatter();
    change_to(IN_GROUPS, places(groups, home.mask.cpus()))
}

/// A CPU for each thread: those that hand over most come first, each group where least is handed over by then.
fn places(mut groups: Vec<Group>, cpus: impl Iterator<Item = usize>) -> Vec<(usize, usize)> {
    groups.sort_by_key(|group| Reverse(group.hands));
    let mut cpus: Vec<_> = cpus.map(|cpu| (0, cpu)).collect();
    let mut places = Vec::new();
    for Group { threads, hands } in groups {
        let Some((all, cpu)) = cpus.iter_mut().min() else { break };
        *all += hands;
        places.extend(threads.into_iter().map(|thread| (thread, *cpu)));
    }
    places
}

/// Gathers them, who are scattered, unless that is not for us to say. Whether it has.
fn change_to(place: u32, groups: Vec<(usize, usize)>) -> bool {
    if HOME.get().is_none_or(|home| Mask::of_caller() != Some(home.mask)) {
        return false;
    }
    // None: the host does not tell any more, so nobody could be let go.
    let mut others = cpus::threads();
    if !(1..=MOST_THREADS).contains(&others.len()) {
        return false;
    }
    let change = Change { others: Vec::new(), groups, began: gathering_begins() };
    others.retain(|tid| Mask::of(*tid).is_some_and(|mask| change.has_gathered(place, &mask)));
    let mut now = changing();
    *now = Change { others, ..change };
    LAST.store(place, Ordering::Relaxed);
    set_place(place);
    true
}

/// Has them run wherever the host puts them, at once.
pub fn scatter() {
    let mut change = changing();
    let place = PLACE.load(Ordering::Relaxed) as u32;
    let Some(home) = HOME.get().filter(|_| place != 0) else { return };
    set_place(0);
    let before = mem::replace(&mut *change, Change::NONE);
    // From here on nobody goes there, and who comes to wait need not wait for this.
    drop(change);
    for _ in 0..LOOKS {
        let mut gathered = cpus::threads();
        let is_gathered = |mask: Mask| before.has_gathered(place, &mask);
        gathered.retain(|tid| !before.others.contains(tid) && Mask::of(*tid).is_some_and(is_gathered));
        if gathered.is_empty() {
            break;
        }
        for (nth, tid) in gathered.into_iter().enumerate() {
            // The host would leave those that run there for some milliseconds.
            if place != IN_GROUPS && nth % home.mask.count() != 0 {
                home.mask.without(place as usize - 1).set_for(tid);
            }
            home.free.set_for(tid);
        }
    }
    gathering_ends(before.began);
}

/// The calling thread goes where it is to be.
#[cold]
fn follow() {
    let change = changing();
    let place = PLACE.load(Ordering::Relaxed);
    SEEN.set(place);
    let gone_to = gathered_at(GONE_TO.replace(0));
    let Some((home, mask)) = HOME.get().zip(Mask::of_caller()) else { return };
    let place = change.of_caller(place as u32);
    // SAFETY: no preconditions.
    if gathered_at(place).as_ref() == Some(&mask) && !change.others.contains(&unsafe { libc::gettid() }) {
        // It is there already: one that was gathered has made it.
        return GONE_TO.set(place);
    }
    // Whoever was to let it go may not have seen it.
    let is_left = gone_to.as_ref() == Some(&mask);
    if mask != home.mask && !is_left {
        return;
    }
    match gathered_at(place) {
        Some(there) if there.set() => GONE_TO.set(place),
        None if is_left => _ = home.free.set(),
        _ => {}
    }
}

/// Where threads are gathered that are on that CPU + 1; 0 and `IN_GROUPS`: on none.
fn gathered_at(place: u32) -> Option<Mask> {
    place.checked_sub(1).filter(|_| place != IN_GROUPS).map(|cpu| Mask::only(cpu as usize))
}

/// Changes the place, under [`CHANGE`].
fn set_place(place: u32) {
    let changes = PLACE.load(Ordering::Relaxed) & !(ONE_CHANGE - 1);
    PLACE.store(changes.wrapping_add(ONE_CHANGE) | u64::from(place), Ordering::Relaxed);
}

fn changing() -> MutexGuard<'static, Change> {
    CHANGE.lock().unwrap_or_else(PoisonError::into_inner)
}
