//! How long the waits on an object last, and so for how long the next one should be active.

use super::active::{LONGEST, WAKE_UP};
use super::primitive::{AtomicU32, Ordering};
use core::cell::Cell;

/// A wait of this length or longer is as long as any other, in nanoseconds.
const LONG: u64 = 4 * LONGEST;

/// From this mean on nothing is to be gained by waiting actively: waits this long are not each other's wake-ups.
const HOPELESS: u32 = LONG as u32 - LONG as u32 / 8;

/// How many waits in a row are active on trial: in as many, waits that become short bring a mean below [`HOPELESS`] down
/// to less than [`LONGEST`].
const TRIAL: u32 = 12;

/// From one trial to the next, in waits; twice as many after each that was in vain.
const TRIAL_AFTER: u32 = 64;
/// So many times at most.
const MOST_DOUBLINGS: u32 = 4;

/// How long the waits on an object last: the moving mean, where no wait counts for more than [`LONG`].
///
/// An object whose waits are long has its waiters sleep at once. It costs nothing to find out that they have become
/// shorter, because the length of a wait is known when it ends, however it was spent. But where two threads wait for
/// each other, and both sleep, the waits of each are as long as it takes to wake the other, and remain so. Therefore some
/// waits in a row are active all the same from time to time, if they may be short.
#[derive(Debug)]
pub(in crate::host) struct Habit {
    // ```text
    //  31       29 28             17 16               0
    // +-----------+-----------------+------------------+
    // | doublings |  waits asleep   |       mean       |    or `NEW`
    // +-----------+-----------------+------------------+
    //
    //  mean          in nanoseconds, at most `LONG`
    //  waits asleep  since a trial
    //  doublings     of the way to the next trial
    // ```
    // Approximate: two threads that learn at once may lose one of their lessons.
    word: AtomicU32,
}

/// In place of what is known: nobody has waited yet.
const NEW: u32 = u32::MAX;

const MEAN_BITS: u32 = 17;
const ASLEEP_BITS: u32 = 12;
const _: () = assert!(LONG < 1 << MEAN_BITS && TRIAL_AFTER << MOST_DOUBLINGS < 1 << ASLEEP_BITS && MOST_DOUBLINGS < 7);

thread_local! {
    /// The same mean of the thread's waits on objects that were new. At first it is long.
    static FIRST_WAITS: Cell<u32> = const { Cell::new(LONG as u32) };
}

/// What a [`Habit`] holds.
#[derive(Clone, Copy, Debug)]
struct Known {
    mean: u32,
    asleep: u32,
    doublings: u32,
}

impl Known {
    /// `None`: nothing.
    fn unpack(word: u32) -> Option<Known> {
        let mean = word & ((1 << MEAN_BITS) - 1);
        let asleep = word >> MEAN_BITS & ((1 << ASLEEP_BITS) - 1);
        (word != NEW).then_some(Known { mean, asleep, doublings: word >> (MEAN_BITS + ASLEEP_BITS) })
    }

    fn pack(self) -> u32 {
        self.doublings << (MEAN_BITS + ASLEEP_BITS) | self.asleep << MEAN_BITS | self.mean
    }

    fn is_on_trial(self) -> bool {
        self.asleep + TRIAL >= TRIAL_AFTER << self.doublings
    }

    /// After one wait more, which makes the mean what is given.
    fn with(self, mean: u32) -> Known {
        let asleep = self.asleep + 1;
        if u64::from(mean) <= LONGEST {
            Known { mean, asleep: 0, doublings: 0 }
        } else if mean >= HOPELESS {
            Known { mean, asleep: 0, ..self }
        } else if asleep >= TRIAL_AFTER << self.doublings {
            Known { mean, asleep: 0, doublings: MOST_DOUBLINGS.min(self.doublings + 1) }
        } else {
            Known { mean, asleep, ..self }
        }
    }
}

/// `mean` after a wait from `since` to `now`, in nanoseconds: one of eight that it looks back on.
fn blend(mean: u32, since: u64, now: u64) -> u32 {
    mean - mean / 8 + length(since, now) / 8
}

fn length(since: u64, now: u64) -> u32 {
    now.saturating_sub(since).min(LONG) as u32
}

/// For how many nanoseconds a wait should be active where they last `mean`; 0: not at all.
fn patience(mean: u32) -> u64 {
    let mean = u64::from(mean);
    if mean > LONGEST { 0 } else { (2 * mean + 2_000).min(LONGEST) }
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
        Habit { word: AtomicU32::new(NEW) }
    }

    /// Whether nobody has waited yet.
    pub(super) fn is_new(&self) -> bool {
        // Relaxed, here and below: nothing else depends on it.
        !cfg!(loom) && self.word.load(Ordering::Relaxed) == NEW
    }

    /// A wait lasted from `since` to `now`, in nanoseconds.
    pub(in crate::host) fn learn(&self, since: u64, now: u64) {
        let known = match Known::unpack(self.word.load(Ordering::Relaxed)) {
            None => Known { mean: length(since, now), asleep: 0, doublings: 0 },
            Some(known) => known.with(blend(known.mean, since, now)),
        };
        self.word.store(known.pack(), Ordering::Relaxed);
    }

    /// For how many nanoseconds a wait should be active; 0: not at all.
    pub(in crate::host) fn patience(&self) -> u64 {
        if cfg!(loom) {
            return 1;
        }
        match Known::unpack(self.word.load(Ordering::Relaxed)) {
            None => patience(FIRST_WAITS.get()),
            Some(known) if known.is_on_trial() => LONGEST,
            Some(known) => patience(known.mean),
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
        for _ in 0..5_000 {
            assert_eq!(after(&habit, 1, 100_000), 0);
        }
    }

    /// Of `waits` of 40 us each, how many are active.
    fn active(habit: &Habit, waits: usize) -> usize {
        (0..waits).filter(|_| after(habit, 1, 40_000) != 0).count()
    }

    #[test]
    fn two_that_wait_for_each_other_get_a_chance() {
        let habit = Habit::new();
        assert_eq!(active(&habit, TRIAL_AFTER as usize), TRIAL as usize, "one trial");
        let (mut waits, mut trial) = (0, 0);
        while trial < TRIAL && waits < 10_000 {
            waits += 1;
            // As long as a wake-up while they sleep; else the other answers at once.
            let is_active = habit.patience() != 0;
            trial = if is_active { trial + 1 } else { 0 };
            habit.learn(0, if is_active { 2_000 } else { 40_000 });
        }
        assert!(
            trial == TRIAL
                && u64::from(Known::unpack(habit.word.load(Ordering::Relaxed)).expect("waits").mean) < LONGEST
        );
        (0..100).for_each(|_| assert!(after(&habit, 1, 2_000) > 0, "they go on like that"));
    }

    #[test]
    fn trials_in_vain_become_rare() {
        let habit = Habit::new();
        active(&habit, 10_000);
        let rare = active(&habit, 10_000);
        assert!((1..200).contains(&rare), "{rare} of 10000");
        after(&habit, 50, 1_000);
        after(&habit, 50, 40_000);
        assert!(active(&habit, 100) > 0, "short waits make them frequent again");
    }

    #[test]
    fn a_clock_that_goes_back_is_no_error() {
        Habit::new().learn(2, 1);
    }
}
