//! Who is in the way of threads that are late: the guest's own, or others.

use crate::host::sync;
use core::cell::Cell;
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicU32, Ordering};
use core::{mem, ptr};
use libc::clockid_t;
use rumpscope_probes::thread::{self, AtEnd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who runs for so many nanoseconds, on average, before it sleeps or wakes somebody, computes.
const LONG_RUN: u64 = 1_000_000;
/// Two that are late tell something if so many nanoseconds lie between them: many time slices, and more than a host that
/// is a guest itself is usually without its own processors; but not so many that nobody was late for most of the time.
const APART: RangeInclusive<u64> = 30_000_000..=200_000_000;
/// For how many nanoseconds others are left alone at first; then for twice as long each time, up to the most.
const PAUSE: u64 = 1_000_000_000;
const LONGEST_PAUSE: u64 = 8 * PAUSE;

/// The threads that have joined, as they were last.
static THREADS: Mutex<Vec<Seen>> = Mutex::new(Vec::new());
static CROWD: Mutex<Crowd> = Mutex::new(Crowd::NEW);

thread_local! {
    /// The calling thread's, from `Arc::into_raw`; null: it has not joined, or has left. (A value with a destructor would have the
    /// C library allocate memory.)
    static MINE: Cell<*const Thread> = const { Cell::new(ptr::null()) };
}

/// The calling thread leaves.
static LEAVE: AtEnd = AtEnd(|| {
    let mine = MINE.replace(ptr::null());
    if !mine.is_null() {
        // SAFETY: from `join`, which kept it nowhere else.
        leave(&unsafe { Arc::from_raw(mine) });
    }
});

/// A thread, for the others.
#[derive(Debug)]
struct Thread {
    /// That of its processor time.
    clock: clockid_t,
    /// How often it has gone to sleep or woken others. Only it writes.
    dealings: AtomicU32,
}

/// A thread as it was when it was last looked at.
#[derive(Debug)]
struct Seen {
    thread: Arc<Thread>,
    /// Its processor time, in nanoseconds.
    used: u64,
    dealings: u32,
}

/// The calling thread is one of the guest's from now on, until it ends.
pub(super) fn join() {
    if MINE.get().is_null() && thread::at_end(&LEAVE) {
        MINE.set(Arc::into_raw(enter()));
    }
}

/// It is about to sleep, or to wake somebody.
pub(super) fn deals() {
    // SAFETY: null, or the calling thread's own, which only it lets go of.
    if let Some(thread) = unsafe { MINE.get().as_ref() } {
        thread.deals();
    }
}

/// Somebody is late at `now`, in nanoseconds. Until when others are to be left alone, if it is they who want the processors.
pub(super) fn late(now: u64) -> Option<u64> {
    // Where somebody else says the same just now, that is enough.
    let mut crowd = CROWD.try_lock().ok()?;
    crowd.late(now, used, sync::processors())
}

fn threads() -> MutexGuard<'static, Vec<Seen>> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has the calling thread among [`THREADS`].
fn enter() -> Arc<Thread> {
    let mut clock = libc::CLOCK_THREAD_CPUTIME_ID;
    // SAFETY: the calling thread; the clock may be written, and is right for this thread at least where it is not.
    unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut clock) };
    let thread = Arc::new(Thread { clock, dealings: AtomicU32::new(0) });
    threads().push(Seen { used: thread.used(), dealings: 0, thread: Arc::clone(&thread) });
    thread
}

/// Forgets a thread.
fn leave(thread: &Arc<Thread>) {
    threads().retain(|seen| !Arc::ptr_eq(&seen.thread, thread));
}

impl Thread {
    fn deals(&self) {
        // Relaxed, here and below: a count.
        self.dealings.store(self.dealings.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Its processor time, in nanoseconds; 0 where the host does not tell.
    fn used(&self) -> u64 {
        // SAFETY: all zero is a time.
        let mut time: libc::timespec = unsafe { core::mem::zeroed() };
        // SAFETY: the time may be written.
        unsafe { libc::clock_gettime(self.clock, &mut time) };
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
}

impl Seen {
    /// How much processor time the thread has used since it was last looked at, in nanoseconds; 0 for one that runs for
    /// long.
    fn look(&mut self) -> u64 {
        let (used, dealings) = (self.thread.used(), self.thread.dealings.load(Ordering::Relaxed));
        let since = used.saturating_sub(mem::replace(&mut self.used, used));
        let times = dealings.wrapping_sub(mem::replace(&mut self.dealings, dealings));
        if since < LONG_RUN * u64::from(times) { since } else { 0 }
    }
}

/// How much processor time the threads have used since this was last asked, in nanoseconds, but for those that run for long.
fn used() -> u64 {
    threads().iter_mut().map(Seen::look).sum()
}

/// What tells whether others want the processors; times in nanoseconds.
#[derive(Debug)]
struct Crowd {
    /// When a wake-up was late, from which on the processor time is counted, and of how many processors.
    began: Option<(u64, u32)>,
    pause: u64,
    /// The last pause's end.
    until: u64,
}

impl Crowd {
    const NEW: Crowd = Crowd { began: None, pause: PAUSE, until: 0 };

    /// A wake-up is late at `now`. `used` tells how much processor time the threads have used since it was asked last. Until
    /// when others are to be left alone, if it is they who want the processors.
    fn late(&mut self, now: u64, used: impl FnOnce() -> u64, processors: u32) -> Option<u64> {
        // Where the threads have just been gathered on one processor, or let go, what they used before says nothing.
        let began = self.began.filter(|(_, of)| *of == processors);
        let time = began.map(|(began, _)| now.saturating_sub(began)).filter(|time| time <= APART.end());
        if time.is_some_and(|time| time < *APART.start()) {
            return None;
        }
        let used = used();
        if time.is_none_or(|time| 2 * used >= u64::from(processors) * time) {
            self.began = Some((now, processors));
            return None;
        }
        self.began = None;
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
        let mut asked = from;
        (0..count)
            .map(|nth| from + nth * 4 * MS)
            .find_map(|now| crowd.late(now, || (now - mem::replace(&mut asked, now)) * 2 * percent / 100, 2))
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
    fn what_was_used_on_other_processors_tells_nothing() {
        let mut crowd = Crowd { ..Crowd::NEW };
        let mut late = |nth: u64| crowd.late(nth * 50 * MS, || 20 * MS, 1 + (nth % 2) as u32);
        assert_eq!((1..100).find_map(&mut late), None, "two fifths of one, then of two, and so on");
    }

    #[test]
    fn one_that_is_late_now_and_then_tells_nothing() {
        let mut crowd = Crowd { ..Crowd::NEW };
        let alone = (1..100).find_map(|nth| crowd.late(nth * 201 * MS, || 0, 2));
        let mut crowd = Crowd { ..Crowd::NEW };
        let at_once = (1..30).find_map(|nth| crowd.late(nth * MS, || 0, 2));
        assert_eq!((alone, at_once), (None, None));
    }

    #[test]
    fn who_runs_for_long_does_not_count() {
        /// What is seen of a thread that has used 20 ms and slept, or woken others, so often; it is forgotten in the end.
        fn seen(dealings: u32) -> u64 {
            let run = move || {
                join();
                // SAFETY: the calling thread's own, until it ends.
                let thread = unsafe { MINE.get().as_ref() }.expect("it has joined");
                let mine = |seen: &&mut Seen| ptr::eq(&raw const *seen.thread, thread);
                let look = || threads().iter_mut().find(mine).expect("it has an entry").look();
                let before = thread.used();
                look();
                while thread.used() < before + 20 * MS {}
                (0..dealings).for_each(|_| thread.deals());
                (look(), thread.clock)
            };
            let (used, clock) = std::thread::spawn(run).join().expect("no panic");
            assert!(!threads().iter().any(|seen| seen.thread.clock == clock));
            used
        }
        assert_eq!((seen(0), seen(5)), (0, 0));
        assert!((20 * MS..200 * MS).contains(&seen(200)));
    }
}
