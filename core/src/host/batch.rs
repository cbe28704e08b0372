//! The host's scheduling policy of the guest's threads.
//!
//! Under Linux's ordinary policy, `SCHED_OTHER`, a thread that is woken takes the processor from another that has had its
//! share of late. The threads of a guest wake each other all the time, and most often for what the waker still has, or
//! comes back for at once: a lock, a virtual CPU, the other end of a pipe. So it is stopped in the middle, others queue up
//! behind it, and each of them is a wake-up again. Under `SCHED_BATCH` a woken thread takes a processor that is idle, and
//! otherwise waits until one sleeps or has used up its time slice (sched(7)). Therefore the guest's threads have that
//! policy; each one changes its own, before it first sleeps.
//!
//! Where other programs keep the processors busy this would be bad: a woken thread would wait for their time slices, some
//! milliseconds at every wake-up. So who goes on late after it was woken says so ([`woken`]). If the guest has used less
//! than half of its processors' time from one such to another, it were not its own threads that were in the way, and they
//! go back to `SCHED_OTHER` for a while.
//!
//! A thread that has another policy from the beginning keeps it, and one that sleeps by the clock, which is to be on time,
//! has `SCHED_OTHER` ([`stay_ordinary`]).

use crate::host::{diagnostic::warn, sync};
use core::cell::Cell;
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use libc::c_int;
use std::sync::Mutex;

/// `on` (default) or `off`: the policy of the guest's threads is left alone.
pub const VARIABLE: &str = "RUMPSCOPE_BATCH";

/// From so many nanoseconds on a wake-up is late: more than it takes to wake a processor, less than a time slice.
const LATE: u64 = 1_000_000;
/// Two that are late tell something if so many nanoseconds lie between them: many time slices, and more than a host that
/// is a guest itself is usually without its own processors; but not so many that nobody was late for most of the time.
const APART: RangeInclusive<u64> = 30_000_000..=200_000_000;
/// For how many nanoseconds others are left alone at first; then for twice as long each time, up to the most.
const PAUSE: u64 = 1_000_000_000;
const LONGEST_PAUSE: u64 = 8 * PAUSE;

/// What a thread is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Policy {
    /// Nobody has looked yet: of a thread. Of the guest: its threads' policies are left alone.
    Unknown,
    /// `SCHED_BATCH`
    Batch,
    /// `SCHED_OTHER`
    Other,
    /// It keeps the one that it has.
    Kept,
}

/// What the guest's threads are to have: `Unknown`, `Batch` or `Other`.
static WANTED: AtomicU8 = AtomicU8::new(Policy::Unknown as u8);
/// If that is `Other`, until when, in nanoseconds of the monotonic clock.
static UNTIL: AtomicU64 = AtomicU64::new(0);
/// Whether a thread has ever had `SCHED_BATCH` from us, so that those it makes may have it from there.
static USED: AtomicBool = AtomicBool::new(false);
static CROWD: Mutex<Crowd> = Mutex::new(Crowd::NEW);

thread_local! {
    static MINE: Cell<Policy> = const { Cell::new(Policy::Unknown) };
}

/// The guest's threads may have their policies changed from now on, unless the environment says otherwise.
pub fn begin() {
    match std::env::var_os(VARIABLE) {
        Some(setting) if setting == "off" => return,
        Some(setting) if setting != "on" => {
            warn("init", format_args!("{VARIABLE}={}: not one of on, off; on is used", setting.display()));
        }
        _ => {}
    }
    // SAFETY: the handler makes a system call and writes to the thread's own storage, which is allowed after a fork.
    unsafe { libc::pthread_atfork(None, None, Some(in_forked_child)) };
    want(Policy::Batch);
}

/// A child has the policy of the thread that made it, and so has the program that it may begin. That is none of ours.
extern "C" fn in_forked_child() {
    if MINE.get() == Policy::Batch && change(libc::SCHED_OTHER) {
        MINE.set(Policy::Other);
    }
}

fn want(policy: Policy) {
    // Relaxed, here and below: a fact by itself; who sees it late changes its policy before its next sleep.
    WANTED.store(policy as u8, Ordering::Relaxed);
}

/// The calling thread is about to sleep in a lock.
#[inline]
pub(super) fn before_sleep() {
    let mut wanted = WANTED.load(Ordering::Relaxed);
    if wanted == Policy::Unknown as u8 {
        return;
    }
    if wanted == Policy::Other as u8 && sync::now() >= UNTIL.load(Ordering::Relaxed) {
        want(Policy::Batch);
        wanted = Policy::Batch as u8;
    }
    let mine = MINE.get();
    if mine as u8 != wanted && mine != Policy::Kept {
        adopt(if wanted == Policy::Batch as u8 { Policy::Batch } else { Policy::Other });
    }
}

/// The calling thread is to be on time: it sleeps by the clock, or does what the others wait for.
pub(super) fn stay_ordinary() {
    if WANTED.load(Ordering::Relaxed) != Policy::Unknown as u8 && MINE.get() != Policy::Kept {
        adopt(Policy::Other);
        MINE.set(Policy::Kept);
    }
}

/// Gives the calling thread this policy, if it has one of the two.
#[cold]
fn adopt(policy: Policy) {
    // SAFETY: asks the host about the calling thread.
    let has = unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) } as c_int;
    let wanted = if policy == Policy::Batch { libc::SCHED_BATCH } else { libc::SCHED_OTHER };
    let ours = has == libc::SCHED_OTHER || has == libc::SCHED_BATCH && USED.load(Ordering::Relaxed);
    if !ours || (has != wanted && !change(wanted)) {
        MINE.set(Policy::Kept);
        return;
    }
    if policy == Policy::Batch {
        USED.store(true, Ordering::Relaxed);
    }
    MINE.set(policy);
}

/// Whether the host has agreed.
fn change(policy: c_int) -> bool {
    // SAFETY: all zero is right for both policies, which have no priorities.
    let parameters: libc::sched_param = unsafe { core::mem::zeroed() };
    // SAFETY: concerns the calling thread; the parameters are only read.
    unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const parameters) == 0 }
}

/// The calling thread was woken at `told`, and goes on now, in nanoseconds of the monotonic clock.
#[inline]
pub(super) fn woken(told: u64, now: u64) {
    if now.saturating_sub(told) >= LATE {
        late(now);
    }
}

#[cold]
fn late(now: u64) {
    if WANTED.load(Ordering::Relaxed) != Policy::Batch as u8 {
        return;
    }
    // Somebody else says the same just now.
    let Ok(mut crowd) = CROWD.try_lock() else { return };
    if let Some(until) = crowd.late(now, used(), sync::processors()) {
        UNTIL.store(until, Ordering::Relaxed);
        want(Policy::Other);
    }
}

/// The processor time of the whole process, in nanoseconds.
fn used() -> u64 {
    // SAFETY: all zero is a time.
    let mut time: libc::timespec = unsafe { core::mem::zeroed() };
    // SAFETY: the time may be written. Where the host does not tell, nothing was used.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// What tells whether others want the processors; times in nanoseconds.
#[derive(Debug)]
struct Crowd {
    /// When a wake-up was late, and how much processor time the guest had used then.
    before: Option<(u64, u64)>,
    pause: u64,
    /// The last pause's end.
    until: u64,
}

impl Crowd {
    const NEW: Crowd = Crowd { before: None, pause: PAUSE, until: 0 };

    /// A wake-up is late at `now`, when the guest has used so much time of its processors. Until when others are to be left
    /// alone, if it is they who want the processors.
    fn late(&mut self, now: u64, used: u64, processors: u32) -> Option<u64> {
        let Some((began, used_before)) = self.before.filter(|(began, _)| now.saturating_sub(*began) <= *APART.end())
        else {
            self.before = Some((now, used));
            return None;
        };
        let time = now.saturating_sub(began);
        if time < *APART.start() {
            return None;
        }
        if 2 * used.saturating_sub(used_before) >= u64::from(processors) * time {
            self.before = Some((now, used));
            return None;
        }
        self.before = None;
        let soon = self.until != 0 && now.saturating_sub(self.until) < 4 * self.pause;
        self.pause = if soon { LONGEST_PAUSE.min(2 * self.pause) } else { PAUSE };
        self.until = now + self.pause;
        Some(self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Tells of one that is late every 4 ms, while the guest uses `percent` of two processors.
    fn lates(crowd: &mut Crowd, from: u64, count: u64, percent: u64) -> Option<u64> {
        (0..count).find_map(|nth| crowd.late(from + nth * 4 * MS, from + nth * 4 * MS * 2 * percent / 100, 2))
    }

    #[test]
    fn who_is_late_for_its_own_kind_stays() {
        assert_eq!(lates(&mut Crowd { ..Crowd::NEW }, MS, 1000, 60), None);
    }

    #[test]
    fn who_is_late_for_others_gives_way_for_longer_and_longer() {
        let mut crowd = Crowd { ..Crowd::NEW };
        let mut now = MS;
        for pause in [1, 2, 4, 8, 8] {
            let until = lates(&mut crowd, now, 9, 40).expect("others");
            assert_eq!(until, now + 32 * MS + pause * PAUSE);
            now = until;
        }
        now += 5 * LONGEST_PAUSE;
        assert_eq!(lates(&mut crowd, now, 9, 40), Some(now + 32 * MS + PAUSE), "it was good for long");
    }

    #[test]
    fn one_that_is_late_now_and_then_tells_nothing() {
        let mut crowd = Crowd { ..Crowd::NEW };
        let alone = (1..100).find_map(|nth| crowd.late(nth * 201 * MS, 0, 2));
        let mut crowd = Crowd { ..Crowd::NEW };
        let at_once = (1..30).find_map(|nth| crowd.late(nth * MS, 0, 2));
        assert_eq!((alone, at_once), (None, None));
    }

    /// In threads of their own: nobody else's policy is changed.
    #[test]
    fn threads_change_their_own_policy() {
        let policy = || {
            // SAFETY: asks the host about the calling thread.
            unsafe { libc::syscall(libc::SYS_sched_getscheduler, 0) as c_int }
        };
        let run = |work: fn()| {
            std::thread::spawn(move || {
                work();
                (policy(), MINE.get())
            })
        };
        let ended = |work: fn()| run(work).join().expect("no panic");
        if policy() != libc::SCHED_OTHER {
            eprintln!("skipped: this program does not have the ordinary policy");
            return;
        }
        assert_eq!(ended(|| adopt(Policy::Batch)), (libc::SCHED_BATCH, Policy::Batch));
        let back = || [Policy::Batch, Policy::Other].into_iter().for_each(adopt);
        assert_eq!(ended(back), (libc::SCHED_OTHER, Policy::Other));
        let heir = || {
            adopt(Policy::Batch);
            std::thread::spawn(|| adopt(Policy::Other)).join().expect("no panic");
            let heirs = std::thread::spawn(|| {
                adopt(Policy::Other);
                MINE.get()
            });
            assert_eq!(heirs.join().expect("no panic"), Policy::Other, "it has it from us");
        };
        assert_eq!(ended(heir), (libc::SCHED_BATCH, Policy::Batch));
        let idle = || {
            assert!(change(libc::SCHED_IDLE));
            adopt(Policy::Batch);
        };
        assert_eq!(ended(idle), (libc::SCHED_IDLE, Policy::Kept), "somebody wants it so");
    }
}
