//! Waiting actively: looking again and again for a short time, before sleeping.
//!
//! To be woken on an idle processor takes some 25 microseconds on a virtual machine; who is still looking goes on at
//! once. But it uses a processor. So a wait is active only
//! - where waits have been short of late: each object learns how long its waits last (`Habit`), and each thread how long
//!   those on objects that are new, because some live for one wait only;
//! - and while fewer threads do it than there are processors, less one for whoever ends the wait (`Seat`);
//! - and while the host has nothing better to do with the processor: every few microseconds it is offered to others.
//!   If somebody takes it, the host is crowded, and for a while nobody waits actively (`CROWDED_UNTIL`).

use super::deadline::Deadline;
use super::primitive::{AtomicU32, Ordering, spin_loop, yield_now};
#[cfg(not(loom))]
use crate::host::fiber;
use core::cell::Cell;

/// What it takes to be woken on an idle processor, in nanoseconds: as measured on a virtual machine.
pub(super) const WAKE_UP: u64 = 25_000;

/// A wait is never active for longer than this. To wait actively for as long as sleeping would cost is at most twice as
/// bad as to know the future (Karlin, Li, Manasse, Owicki, "Empirical studies of competitive spinning for a
/// shared-memory multiprocessor", SOSP 1991).
const LONGEST: u64 = WAKE_UP;

/// A wait of this length or longer is as long as any other.
const LONG: u64 = 4 * LONGEST;

/// How long the waits on an object last: the moving mean in nanoseconds, where no wait counts for more than `LONG`.
///
/// An object whose waits are long has its waiters sleep at once. It costs nothing to find out that they have become
/// shorter, because the length of a wait is known when it ends, however it was spent.
#[derive(Debug)]
pub(in crate::host) struct Habit {
    // `NEW`, or the mean. Approximate: two threads that learn at once may lose one of their lessons.
    mean: AtomicU32,
}

/// In place of a mean: nobody has waited yet.
const NEW: u32 = u32::MAX;

thread_local! {
    /// The same mean of the thread's waits on objects that were new. At first it is long.
    static FIRST_WAITS: Cell<u32> = const { Cell::new(LONG as u32) };
}

/// `mean` after a wait from `since` to `now`, in nanoseconds: one of eight that it looks back on.
fn blend(mean: u32, since: u64, now: u64) -> u32 {
    mean - mean / 8 + length(since, now) / 8
}

fn length(since: u64, now: u64) -> u32 {
    now.saturating_sub(since).min(LONG) as u32
}

/// The caller has waited from `since` to `now`, in nanoseconds, on an object that was new. For `active` of these it
/// looked; if it slept after that, the wait had ended when it began to wake up.
pub(super) fn learn_first(since: u64, active: u64, now: u64) {
    let asleep = now.saturating_sub(since + active);
    let end = now - asleep.min(WAKE_UP);
    FIRST_WAITS.set(blend(FIRST_WAITS.get(), since, end));
}

impl Habit {
    /// That of an object that is new.
    pub(in crate::host) fn new() -> Self {
        Habit { mean: AtomicU32::new(NEW) }
    }

    /// Whether nobody has waited yet.
    pub(super) fn is_new(&self) -> bool {
        // Relaxed, here and below: nothing else depends on it.
        !cfg!(loom) && self.mean.load(Ordering::Relaxed) == NEW
    }

    /// A wait lasted from `since` to `now`, in nanoseconds.
    pub(in crate::host) fn learn(&self, since: u64, now: u64) {
        let mean = self.mean.load(Ordering::Relaxed);
        let mean = if mean == NEW { length(since, now) } else { blend(mean, since, now) };
        self.mean.store(mean, Ordering::Relaxed);
    }

    /// For how many nanoseconds a wait should be active; 0: not at all.
    pub(in crate::host) fn patience(&self) -> u64 {
        if cfg!(loom) {
            return 1;
        }
        let mean = match self.mean.load(Ordering::Relaxed) {
            NEW => FIRST_WAITS.get(),
            mean => mean,
        };
        let mean = u64::from(mean);
        if mean > LONGEST { 0 } else { (2 * mean + 2_000).min(LONGEST) }
    }
}

/// Looks until `is_over` or for about `patience` nanoseconds, not beyond `deadline`. Says for how many it did; 0: it
/// did not look at all.
#[cfg(not(loom))]
pub(in crate::host) fn look(patience: u64, deadline: Option<&Deadline>, is_over: impl FnMut() -> bool) -> u64 {
    // What a fiber waits for may be for another fiber to give, which does not run meanwhile.
    if patience == 0 || fiber::is_running() { 0 } else { processors::look(patience, deadline, is_over) }
}

/// One look is enough: the model has every other thread run before and after it.
#[cfg(loom)]
pub(in crate::host) fn look(patience: u64, _: Option<&Deadline>, mut is_over: impl FnMut() -> bool) -> u64 {
    if patience != 0 {
        is_over();
    }
    0
}

/// Looks until `is_over`, or for as long as it takes to be woken, whatever the host's threads want; but the processor is
/// offered to them again and again. Says for how many nanoseconds.
pub(super) fn stay_awake(mut is_over: impl FnMut() -> bool) -> u64 {
    /// Looks between two offers: about a microsecond.
    const LOOKS: u32 = if cfg!(loom) { 1 } else { 32 };
    let start = now();
    loop {
        let mut looks = 0..LOOKS;
        let over = looks.any(|_| {
            spin_loop();
            is_over()
        });
        if over || cfg!(loom) || now() - start >= WAKE_UP {
            return now() - start;
        }
        yield_now();
    }
}

#[cfg(loom)]
pub(in crate::host) fn now() -> u64 {
    0
}

/// How many processors there are besides the caller's, but at least one.
#[cfg(loom)]
pub(super) fn others() -> u32 {
    1
}

#[cfg(not(loom))]
pub(in crate::host) use processors::now;
#[cfg(not(loom))]
pub(super) use processors::others;

#[cfg(not(loom))]
mod processors {
    use super::super::deadline::Deadline;
    use crate::host::clock::{self, Clock};
    use crate::host::cpus;
    use core::hint::spin_loop;
    use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
    use std::sync::OnceLock;
    use std::thread::yield_now;

    /// Looks between two reads of the clock: some 30 to 150 ns each.
    const LOOKS: u32 = 4;
    /// How often the processor is offered to others, in nanoseconds. An offer costs a system call of some 300 ns.
    const OFFER_EVERY: u64 = 3_000;
    /// Whoever comes back from an offer later than this was not alone on the processor.
    const TAKEN: u64 = 20_000;
    /// Or later than this, with the wait over: who was to end it has used this processor for it.
    const PASSED: u64 = 2_000;
    /// For how long nobody waits actively after that.
    const CROWDED_FOR: u64 = 2_000_000;

    /// Threads that wait actively.
    static ACTIVE: AtomicU32 = AtomicU32::new(0);
    /// A time on the monotonic clock, in nanoseconds.
    static CROWDED_UNTIL: AtomicU64 = AtomicU64::new(0);

    /// How many threads may wait actively at a time.
    fn seats() -> u32 {
        static SEATS: OnceLock<u32> = OnceLock::new();
        *SEATS.get_or_init(|| cpus::available() as u32 - 1)
    }

    /// How many processors there are besides the caller's, but at least one.
    pub(in super::super) fn others() -> u32 {
        seats().max(1)
    }

    /// Who finds no seat looks without one for so long, in nanoseconds, until one is free: a thread that ends another's
    /// wait and then waits itself meets the other before it has seen it.
    const STANDING: u64 = 500;

    /// The right to wait actively.
    struct Seat;

    impl Seat {
        fn take() -> Option<Seat> {
            let seats = seats();
            // Relaxed, here and below: only a count.
            if ACTIVE.load(Ordering::Relaxed) >= seats {
                return None;
            }
            if ACTIVE.fetch_add(1, Ordering::Relaxed) >= seats {
                ACTIVE.fetch_sub(1, Ordering::Relaxed);
                return None;
            }
            Some(Seat)
        }
    }

    impl Drop for Seat {
        fn drop(&mut self) {
            ACTIVE.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The monotonic clock in nanoseconds; 0 where the host does not tell.
    pub(in crate::host) fn now() -> u64 {
        clock::now(Clock::Monotonic).map_or(0, |now| now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
    }

    pub(super) fn look(patience: u64, deadline: Option<&Deadline>, mut is_over: impl FnMut() -> bool) -> u64 {
        let start = now();
        // Relaxed: a hint.
        if seats() == 0 || start < CROWDED_UNTIL.load(Ordering::Relaxed) {
            return 0;
        }
        let end = deadline.map_or(u64::MAX, Deadline::nanoseconds).min(start + patience);
        let mut seat = Seat::take();
        let mut offer = start + OFFER_EVERY;
        loop {
            for _ in 0..LOOKS {
                spin_loop();
                if is_over() {
                    return now() - start;
                }
            }
            let time = now();
            if seat.is_none() {
                seat = Seat::take();
            }
            if time >= end || (seat.is_none() && time >= start + STANDING) {
                return time - start;
            }
            if time >= offer {
                yield_now();
                let back = now();
                let gone = back - time;
                if gone > TAKEN || (gone > PASSED && is_over()) {
                    CROWDED_UNTIL.store(back + CROWDED_FOR, Ordering::Relaxed);
                    return back - start;
                }
                offer = back + OFFER_EVERY;
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn after(habit: &Habit, waits: u32, nanoseconds: u64) -> u64 {
        (0..waits).for_each(|_| habit.learn(1_000, 1_000 + nanoseconds));
        habit.patience()
    }

    #[test]
    fn short_waits_are_learnt_and_long_ones_end_it() {
        let habit = Habit::new();
        assert_eq!(habit.patience(), 0, "nothing is known yet");
        let short = after(&habit, 50, 1_500);
        assert!((1_500..6_000).contains(&short), "{short} ns for waits of 1500 ns");
        assert!(after(&habit, 1, 10_000_000) > 0, "one long wait among short ones");
        assert_eq!(after(&habit, 3, 10_000_000), 0);
        assert!(after(&habit, 50, 1_500) > 0, "and short ones again");
    }

    #[test]
    fn a_thread_knows_how_long_waits_on_new_objects_last() {
        let patience = |waits: u32, nanoseconds: u64, active: u64| {
            (0..waits).for_each(|_| learn_first(1_000, active, 1_000 + nanoseconds));
            Habit::new().patience()
        };
        assert_eq!(patience(0, 0, 0), 0, "nothing is known yet");
        assert!(patience(50, 1_500, 1_400) > 0);
        assert!(patience(50, 30_000, 0) > 0, "most of that is what it takes to wake up");
        assert_eq!(patience(50, 70_000, 0), 0);
        let known = Habit::new();
        known.learn(0, 1_000);
        assert!(known.patience() > 0 && !known.is_new(), "it goes by its own waits");
        std::thread::spawn(|| assert_eq!(Habit::new().patience(), 0, "another thread's")).join().expect("no panic");
    }

    #[test]
    fn a_timer_is_never_waited_for_actively() {
        let habit = Habit::new();
        for _ in 0..100 {
            assert_eq!(after(&habit, 1, 100_000), 0);
        }
    }

    #[test]
    fn a_clock_that_goes_back_is_no_error() {
        Habit::new().learn(2, 1);
    }

    #[test]
    fn nobody_looks_without_patience_or_beyond_the_deadline() {
        assert_eq!(look(0, None, || panic!("looked")), 0);
        let mut looks = 0u32;
        let late = look(u64::from(u32::MAX), Some(&Deadline::after(-1, 0)), || {
            looks += 1;
            false
        });
        assert!(looks < 100, "{looks} looks, {late} ns");
    }

    #[test]
    fn the_end_of_a_wait_is_seen() {
        // The host may be crowded at any moment; then it is not looked at all, so try until it is.
        let mut looks = 0;
        while looks == 0 && cpus() > 1 {
            look(LONGEST, None, || {
                looks += 1;
                true
            });
        }
        assert!(looks == 1 || cpus() == 1);
    }

    fn cpus() -> usize {
        crate::host::cpus::available()
    }
}
