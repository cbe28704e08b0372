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
//! are not active, but for signals the processor is offered to the others before a thread sleeps; and nothing is learnt of how long
//! those last that end meanwhile.
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

use crate::host::cpus::{self, AtomicMask, Mask};
use crate::host::{setting, sync};
use core::cell::Cell;
use core::cmp::Reverse;
use core::mem;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use hands::Group;
use libc::pid_t;
use rumpscope_probes::{gathering_begins, gathering_ends, progress};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use trials::{Trials, Way};

/// `on` (default) or `off`: threads run wherever the host puts them, and do not offer their processors to each other.
pub const VARIABLE: &str = "RUMPSCOPE_GATHER";

/// Where the guest's threads are to be.
///
/// ```text
///  63              32 31             0
/// +------------------+----------------+
/// | how many changes |    CPU + 1     |    0: wherever the host puts them; `IN_GROUPS`
/// +------------------+----------------+
/// ```
/// Changed under [`CHANGE`]; who follows reads it there, and again when it has.
static PLACE: AtomicU64 = AtomicU64::new(0);
const ONE_CHANGE: u64 = 1 << 32;
/// Each where [`Change::groups`] says, no CPU + 1.
const IN_GROUPS: u32 = u32::MAX;
static CHANGE: Mutex<Change> = Mutex::new(Change::NONE);

/// What is known of the change that gathered the threads.
#[derive(Debug)]
struct Change {
    /// The CPUs that they are on.
    there: Mask,
    /// Where in groups: the number of each thread that is in one ([`hands::me`]), and its CPU.
    groups: Vec<(u32, usize)>,
    /// Who was on one of them alone before it, because somebody else has put them there.
    others: Vec<pid_t>,
    /// When it was, for [`gathering_ends`].
    began: u64,
}

impl Change {
    const NONE: Change = Change { there: Mask::NONE, groups: Vec::new(), others: Vec::new(), began: 0 };

    /// The CPU that this thread, which may run on those in `mask`, has been gathered on.
    fn cpu_of(&self, tid: pid_t, mask: &Mask) -> Option<usize> {
        mask.single().filter(|cpu| self.there.has(*cpu) && !self.others.contains(&tid))
    }

    /// The CPU + 1 where the calling thread is to be; 0: wherever the host puts it.
    fn place_of_caller(&self, place: u32) -> u32 {
        if place != IN_GROUPS {
            return place;
        }
        let caller = hands::me();
        self.groups.iter().find(|(thread, _)| *thread == caller).map_or(0, |(_, cpu)| *cpu as u32 + 1)
    }
}

/// Those CPUs when threads were gathered last, for who cannot take the lock.
static USED: AtomicMask = AtomicMask::new();

/// No wait is to be active.
static ASLEEP: AtomicBool = AtomicBool::new(false);

/// When [`Trials`] are to be asked, in nanoseconds of [`sync::now`].
static DUE: AtomicU64 = AtomicU64::new(NEVER);
const NEVER: u64 = u64::MAX;
/// Where it is not for the calling thread to ask, another one is to so much later.
const SHORTLY: u64 = 100_000;
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

/// There is one processor only: threads need not be gathered. (Where time on more of them is limited to that of one there are more.)
static ONLY_ONE: AtomicBool = AtomicBool::new(false);

/// The guest's threads may be gathered from now on, unless the environment says otherwise, or there is one processor only, or the
/// host does not tell what threads there are.
pub fn begin() {
    if !setting::is_on(VARIABLE) {
        return;
    }
    // How many processors there are is found out before there seems to be only one.
    let is_possible = sync::processors() > 1 && !cpus::threads().is_empty();
    let mask = Mask::of_caller();
    // Relaxed: a fact by itself; it is only begun once.
    ONLY_ONE.store(mask.as_ref().is_some_and(|mask| mask.count() == 1), Ordering::Relaxed);
    if let Some(mask) = mask.filter(|_| is_possible) {
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
    let (seen, gone_to) = (SEEN.replace(0), gathered_at(GONE_TO.replace(0)));
    let is_there = |mask: Mask| match gone_to {
        Some(there) => mask == there,
        // One that has not looked yet may have been made by one that was gathered.
        None => seen == 0 && mask.single().is_some_and(|cpu| USED.has(cpu)),
    };
    if Mask::of_caller().is_some_and(is_there) {
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

/// Whether the calling thread shares its processor with those that it waits for: it has gone where they are, or there is no other.
/// Not where [`VARIABLE`] says that nothing is to be done about that.
#[inline]
pub(super) fn shares_processor() -> bool {
    ONLY_ONE.load(Ordering::Relaxed) || is_gathered() && GONE_TO.get() != 0
}

/// How many processors they share; `None`: they run wherever the host puts them.
pub(super) fn shared_processors() -> Option<u32> {
    is_gathered().then(|| USED.count())
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
    if !may_decide() {
        return DUE.store(now.saturating_add(SHORTLY), Ordering::Relaxed);
    }
    let due = progress().map_or(NEVER, |calls| {
        let (mut way, mut pause) = trials.step(now, calls);
        while !change_way(way) {
            (way, pause) = trials.cannot(way, now, calls);
        }
        if trials.are_to_have_groups() {
            hands::begin();
        } else {
            hands::pause();
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

/// Whether the calling thread may say where others are to be: not if somebody else has said where it is to be itself.
fn may_decide() -> bool {
    HOME.get().zip(Mask::of_caller()).is_some_and(|(home, mask)| {
        // SAFETY: no preconditions.
        mask == home.mask || changing().cpu_of(unsafe { libc::gettid() }, &mask).is_some()
    })
}

/// Has the guest's threads run where the calling one does, from when they next wait, if they are not gathered yet; not where that is
/// not for it to say. Whether they are now.
pub fn gather() -> bool {
    // Relaxed, here and below: changed under the lock of the trials, but for tests.
    if !matches!(PLACE.load(Ordering::Relaxed) as u32, 0 | IN_GROUPS) {
        return true;
    }
    if !may_decide() {
        return false;
    }
    scatter();
    let cpu = cpus::current();
    HOME.get().is_some_and(|home| home.mask.has(cpu)) && change_to(cpu as u32 + 1, Mask::only(cpu), Vec::new())
}

/// The same for each group of them that hand things to each other, as [`hands`] says: on a processor of its own, as long as there
/// are some. Not where there is one group only.
pub fn gather_in_groups() -> bool {
    if PLACE.load(Ordering::Relaxed) as u32 == IN_GROUPS {
        return true;
    }
    let groups = hands::end();
    let Some(home) = HOME.get().filter(|_| groups.len() > 1 && may_decide()) else { return false };
    scatter();
    let here = cpus::current();
    let (before, after): (Vec<_>, Vec<_>) = home.mask.cpus().partition(|cpu| *cpu < here);
    let places = places(groups, after.into_iter().chain(before));
    let there = places.iter().fold(Mask::NONE, |there, (_, cpu)| there.with(*cpu));
    change_to(IN_GROUPS, there, places)
}

/// A CPU for each thread: those that hand over most come first, each group where least is handed over by then.
fn places(mut groups: Vec<Group>, cpus: impl Iterator<Item = usize>) -> Vec<(u32, usize)> {
    groups.sort_by_key(|group| Reverse(group.hands));
    let mut cpus: Vec<_> = cpus.enumerate().map(|(nth, cpu)| (0, nth, cpu)).collect();
    let mut places = Vec::new();
    for Group { threads, hands } in groups {
        let Some((all, _, cpu)) = cpus.iter_mut().min() else { break };
        *all += hands;
        places.extend(threads.into_iter().map(|thread| (thread, *cpu)));
    }
    places
}

/// Gathers them there, who are scattered. Whether it has.
fn change_to(place: u32, there: Mask, groups: Vec<(u32, usize)>) -> bool {
    // None: the host does not tell any more, so nobody could be let go.
    let mut others = cpus::threads();
    if !(1..=MOST_THREADS).contains(&others.len()) {
        return false;
    }
    let change = Change { there, groups, others: Vec::new(), began: gathering_begins() };
    others.retain(|tid| Mask::of(*tid).is_some_and(|mask| change.cpu_of(*tid, &mask).is_some()));
    let mut now = changing();
    *now = Change { others, ..change };
    USED.store(&there);
    set_place(place);
    true
}

/// Has them run wherever the host puts them, at once.
pub fn scatter() {
    let mut change = changing();
    let Some(home) = HOME.get().filter(|_| PLACE.load(Ordering::Relaxed) as u32 != 0) else { return };
    set_place(0);
    let before = mem::replace(&mut *change, Change::NONE);
    // From here on nobody comes to go there, and who comes to wait need not wait for this.
    drop(change);
    // SeqCst: pairs with the one in `follow`.
    fence(Ordering::SeqCst);
    for _ in 0..LOOKS {
        let threads = cpus::threads().into_iter();
        let gathered: Vec<_> = threads.filter_map(|tid| Some((tid, before.cpu_of(tid, &Mask::of(tid)?)?))).collect();
        if gathered.is_empty() {
            break;
        }
        let mut on_each = BTreeMap::new();
        for (tid, cpu) in gathered {
            let nth: &mut usize = on_each.entry(cpu).or_default();
            // The host would leave those that run there for some milliseconds.
            if !nth.is_multiple_of(home.mask.count()) {
                home.mask.without(cpu).set_for(tid);
            }
            *nth += 1;
            home.free.set_for(tid);
        }
    }
    gathering_ends(before.began);
}

/// The calling thread goes where it is to be.
#[cold]
fn follow() {
    loop {
        // Nobody has to wait until it is there: others may run there first.
        if let Some((mask, place)) = next_place()
            && mask.set()
        {
            GONE_TO.set(place);
        }
        // SeqCst: pairs with the one in `scatter`. Either that sees the thread there, or the thread that it is not to be there.
        fence(Ordering::SeqCst);
        if SEEN.get() == PLACE.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Where the calling thread is to run from now on, with the CPU + 1 that it is gathered on then, if that is not where it may run now.
fn next_place() -> Option<(Mask, u32)> {
    let change = changing();
    let place = PLACE.load(Ordering::Relaxed);
    SEEN.set(place);
    let gone_to = gathered_at(GONE_TO.replace(0));
    let (home, mask) = HOME.get().zip(Mask::of_caller())?;
    // Whoever was to let it go may not have seen it; or one that was gathered has made it.
    // SAFETY: no preconditions.
    let is_ours = gone_to == Some(mask) || change.cpu_of(unsafe { libc::gettid() }, &mask).is_some();
    if mask != home.mask && !is_ours {
        return None;
    }
    let place = change.place_of_caller(place as u32);
    match gathered_at(place) {
        Some(there) => Some((there, place)),
        None => is_ours.then_some((home.free, 0)),
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
