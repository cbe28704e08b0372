//! How long the waits on an object last, whether looking for their ends is of use, and so for how long the next one should
//! be active.

use super::active::{LONGEST, Looked, WAKE_UP};
use super::primitive::{AtomicU32, Ordering};
use crate::host::gather;
use core::cell::Cell;

/// A wait of this length or longer is as long as any other, in nanoseconds.
const LONG: u64 = 4 * LONGEST;

/// From this mean on nothing is to be gained by waiting actively: waits this long are not each other's wake-ups.
const HOPELESS: u64 = LONG - LONG / 8;

/// How many waits in a row are active on trial: in as many, waits that become short bring a mean below [`HOPELESS`] down
/// to less than [`LONGEST`].
const TRIAL: u32 = 12;

/// From one trial to the next, in waits; twice as many after each that was in vain.
const TRIAL_AFTER: u32 = 64;
/// So many times at most.
const MOST_DOUBLINGS: u32 = 4;

/// When trust is lost, the next trial comes after so many waits: it may have been the host that was busy for a moment.
const SOON: u32 = 8;

/// What a look that was in the way, or for nothing, costs a trial: it is over after a few of them.
const TRIES: u32 = TRIAL / 3;

/// At most so much trust is put into looking. A look that is of use adds one; one that was in the way takes one for each so
/// many nanoseconds that it lasted, less than there is to be won; one that was for nothing takes [`NOTHING`].
const MOST_TRUST: u32 = 15;
const LOSS: u64 = 8_000;
/// What a look costs that was for nothing: a signal and a wait more than where things gather, of both threads.
const NOTHING: u64 = 3 * LOSS;

/// How long the waits on an object last, as the moving mean, where no wait counts for more than [`LONG`]; and whether
/// looking is not in the way of what is looked for.
///
/// An object whose waits are long has its waiters sleep at once, and so has one where looking is in the way or for nothing.
/// It costs nothing to find out that waits have become shorter, because the length of a wait is known when it ends, however
/// it was spent. But where two threads wait for each other, and both sleep, the waits of each are as long as it takes to
/// wake the other, and remain so. Therefore some waits in a row are active all the same from time to time, if they may be
/// short.
#[derive(Debug)]
pub(in crate::host) struct Habit {
    // ```text
    //  31       28 27       25 24             14 13           0
    // +-----------+-----------+-----------------+--------------+
    // |   trust   | doublings |  waits asleep   |     mean     |    or `NEW`
    // +-----------+-----------+-----------------+--------------+
    //
    //  mean          in units of `UNIT`, at most `LONG`
    //  waits asleep  since a trial
    //  doublings     of the way to the next trial
    //  trust         in looking
    // ```
    // Approximate: two threads that learn at once may lose one of their lessons.
    word: AtomicU32,
}

/// In place of what is known: nobody has waited yet.
const NEW: u32 = u32::MAX;

/// Of the mean, in nanoseconds.
const UNIT: u64 = 8;
const MEAN_BITS: u32 = 14;
const ASLEEP_BITS: u32 = 11;
const DOUBLINGS_BITS: u32 = 3;
const _: () = assert!(LONG / UNIT < 1 << MEAN_BITS && TRIAL_AFTER << MOST_DOUBLINGS < 1 << ASLEEP_BITS);
// And no word that says something is `NEW`.
const _: () = assert!(MOST_DOUBLINGS < 7 && MOST_TRUST < 16);

thread_local! {
    /// The same of the thread's waits on objects that were new. At first they are long.
    static FIRST_WAITS: Cell<Known> = const { Cell::new(Known { mean: LONG, ..Known::NOTHING }) };
}

/// What a [`Habit`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    /// In nanoseconds.
    mean: u64,
    asleep: u32,
    doublings: u32,
    trust: u32,
}

impl Known {
    const NOTHING: Known = Known { mean: 0, asleep: 0, doublings: 0, trust: MOST_TRUST };

    /// `None`: nothing.
    fn unpack(word: u32) -> Option<Known> {
        let part = |shift: u32, bits: u32| word >> shift & ((1 << bits) - 1);
        (word != NEW).then(|| Known {
            mean: u64::from(part(0, MEAN_BITS)) * UNIT,
            asleep: part(MEAN_BITS, ASLEEP_BITS),
            doublings: part(MEAN_BITS + ASLEEP_BITS, DOUBLINGS_BITS),
            trust: word >> (MEAN_BITS + ASLEEP_BITS + DOUBLINGS_BITS),
        })
    }

    fn pack(self) -> u32 {
        let high = self.trust << DOUBLINGS_BITS | self.doublings;
        (high << ASLEEP_BITS | self.asleep) << MEAN_BITS | (self.mean / UNIT) as u32
    }

    /// Whether waits are active as a rule.
    fn pays(self) -> bool {
        self.mean <= LONGEST && self.trust != 0
    }

    fn is_on_trial(self) -> bool {
        self.asleep + TRIAL >= TRIAL_AFTER << self.doublings
    }

    /// For how many nanoseconds the next wait should be active; 0: not at all.
    fn patience(self) -> u64 {
        if self.pays() {
            (2 * self.mean + 2_000).min(LONGEST)
        } else if self.is_on_trial() {
            LONGEST
        } else {
            0
        }
    }

    /// After one wait more, which lasted so many nanoseconds.
    fn with(self, length: u64, looked: Looked) -> Known {
        let mean = self.mean - self.mean / 8 + length.min(LONG) / 8;
        let less = |lost: u64| (self.trust.saturating_sub((lost / LOSS) as u32), TRIES);
        let (trust, waits) = match looked {
            Looked::No => (self.trust, 1),
            Looked::Well => (MOST_TRUST.min(self.trust + 1), 1),
            Looked::ForNothing => less(NOTHING),
            Looked::InVain => (self.trust.max(1), 1),
            Looked::InTheWay(lost) => less(lost),
        };
        let next = Known { mean, trust, ..self };
        let asleep = self.asleep + waits;
        if next.pays() {
            // It may have been lost for a moment only: so trials do not become rare for that.
            let doublings = if trust == MOST_TRUST { 0 } else { self.doublings };
            Known { asleep: 0, doublings, ..next }
        } else if self.pays() && mean <= LONGEST {
            Known { asleep: TRIAL_AFTER - TRIAL - SOON, ..next }
        } else if self.pays() || mean >= HOPELESS {
            Known { asleep: 0, ..next }
        } else if asleep >= TRIAL_AFTER << self.doublings {
            Known { asleep: 0, doublings: MOST_DOUBLINGS.min(self.doublings + 1), ..next }
        } else {
            Known { asleep, ..next }
        }
    }
}

/// The caller has waited from `since` to `now`, in nanoseconds, on an object that was new. For `active` of these it
/// looked; if it slept after that, the wait had ended when it began to wake up.
pub(super) fn learn_first(since: u64, active: u64, now: u64, looked: Looked) {
    if gather::is_quiet() {
        return;
    }
    let asleep = now.saturating_sub(since + active);
    let end = now - asleep.min(WAKE_UP);
    FIRST_WAITS.set(FIRST_WAITS.get().with(end.saturating_sub(since), looked));
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

    /// A wait lasted from `since` to `now`, in nanoseconds, and this came of looking.
    pub(in crate::host) fn learn(&self, since: u64, now: u64, looked: Looked) {
        if gather::is_quiet() {
            return;
        }
        let length = now.saturating_sub(since);
        let known = match Known::unpack(self.word.load(Ordering::Relaxed)) {
            None => Known { mean: length.min(LONG), ..Known::NOTHING },
            Some(known) => known.with(length, looked),
        };
        self.word.store(known.pack(), Ordering::Relaxed);
    }

    /// Whether waits are active as a rule, and not on trial.
    pub(super) fn pays(&self) -> bool {
        Known::unpack(self.word.load(Ordering::Relaxed)).is_some_and(Known::pays)
    }

    /// For how many nanoseconds a wait should be active; 0: not at all.
    pub(in crate::host) fn patience(&self) -> u64 {
        if cfg!(loom) {
            return 1;
        }
        Known::unpack(self.word.load(Ordering::Relaxed)).unwrap_or_else(|| FIRST_WAITS.get()).patience()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Looked::{ForNothing, InTheWay, InVain, No, Well};
    use super::*;

    fn after(habit: &Habit, waits: u32, nanoseconds: u64, looked: Looked) -> u64 {
        (0..waits).for_each(|_| habit.learn(1_000, 1_000 + nanoseconds, looked));
        habit.patience()
    }

    #[test]
    fn short_waits_are_learnt_and_long_ones_end_it() {
        let habit = Habit::new();
        assert_eq!(habit.patience(), 0, "nothing is known yet");
        let short = after(&habit, 50, 1_500, Well);
        assert!((1_500..6_000).contains(&short), "{short} ns for waits of 1500 ns");
        assert!(after(&habit, 1, 10_000_000, InVain) > 0, "one long wait among short ones");
        assert_eq!(after(&habit, 3, 10_000_000, InVain), 0);
        assert!(after(&habit, 50, 1_500, No) > 0, "and short ones again");
    }

    #[test]
    fn a_thread_knows_how_long_waits_on_new_objects_last() {
        let patience = |waits: u32, nanoseconds: u64, active: u64| {
            (0..waits).for_each(|_| learn_first(1_000, active, 1_000 + nanoseconds, No));
            Habit::new().patience()
        };
        assert_eq!(patience(0, 0, 0), 0, "nothing is known yet");
        assert!(patience(50, 1_500, 1_400) > 0);
        assert!(patience(50, 30_000, 0) > 0, "most of that is what it takes to wake up");
        assert_eq!(patience(50, 130_000, 0), 0);
        let known = Habit::new();
        known.learn(0, 1_000, No);
        assert!(known.patience() > 0 && !known.is_new(), "it goes by its own waits");
        std::thread::spawn(|| assert_eq!(Habit::new().patience(), 0, "another thread's")).join().expect("no panic");
    }

    #[test]
    fn a_timer_is_never_waited_for_actively() {
        let habit = Habit::new();
        for _ in 0..5_000 {
            assert_eq!(after(&habit, 1, 100_000, No), 0);
        }
    }

    /// Of `waits`, how many are active. Those that are last 30 us, what they look for in vain included, the others as long
    /// as is given.
    fn active(habit: &Habit, waits: usize, asleep: u64) -> usize {
        active_of(habit, waits, asleep, (30_000, InTheWay(LONGEST)))
    }

    /// The same, where so long last those that are active, and that comes of it.
    fn active_of(habit: &Habit, waits: usize, asleep: u64, active: (u64, Looked)) -> usize {
        let one = |_: &usize| {
            let is_active = habit.patience() != 0;
            let (length, looked) = if is_active { active } else { (asleep, No) };
            after(habit, 1, length, looked);
            is_active
        };
        (0..waits).filter(one).count()
    }

    #[test]
    fn two_that_wait_for_each_other_get_a_chance() {
        let habit = Habit::new();
        after(&habit, 50, 40_000, No);
        let mut trial = 0;
        // As long as a wake-up while they sleep; else the other answers, once both are awake.
        for _ in 0..10_000 {
            trial = if habit.patience() != 0 { trial + 1 } else { 0 };
            match trial {
                0 => habit.learn(0, 40_000, No),
                1 => habit.learn(0, 40_000, InVain),
                TRIAL => break,
                _ => habit.learn(0, 2_000, Well),
            }
        }
        assert_eq!(trial, TRIAL);
        (0..100).for_each(|_| assert!(after(&habit, 1, 2_000, Well) > 0, "they go on like that"));
    }

    #[test]
    fn where_looking_is_in_the_way_waits_sleep_however_short_they_are() {
        let habit = Habit::new();
        after(&habit, 50, 8_000, Well);
        let first = active(&habit, 100, 8_000);
        assert!((5..40).contains(&first), "{first} of 100");
        active(&habit, 10_000, 8_000);
        let rare = active(&habit, 10_000, 8_000);
        assert!((1..60).contains(&rare), "{rare} of 10000");
        // It is found out when that changes, and made up for.
        let waits = (0..10_000).take_while(|_| after(&habit, 1, 8_000, No) == 0).count();
        assert!(waits < 2_000, "{waits}");
        assert!(after(&habit, 50, 2_000, Well) > 0);
        assert!(active(&habit, 100, 8_000) >= first, "trials are frequent again");
    }

    #[test]
    fn where_nobody_waits_for_an_answer_waits_sleep_however_short_they_are() {
        let habit = Habit::new();
        after(&habit, 50, 1_500, Well);
        let first = active_of(&habit, 100, 9_000, (1_500, ForNothing));
        assert!((5..40).contains(&first), "{first} of 100");
        active_of(&habit, 10_000, 9_000, (1_500, ForNothing));
        let rare = active_of(&habit, 10_000, 9_000, (1_500, ForNothing));
        assert!((1..100).contains(&rare), "{rare} of 10000");
        // It is found out when that changes.
        let waits = (0..10_000).take_while(|_| after(&habit, 1, 8_000, No) == 0).count();
        assert!(waits < 2_000, "{waits}");
        assert!(after(&habit, 50, 1_500, Well) > 0);
    }

    #[test]
    fn a_few_looks_in_the_way_are_no_reason_to_sleep() {
        let habit = Habit::new();
        after(&habit, 50, 2_000, Well);
        for _ in 0..100 {
            assert!(after(&habit, 2, 27_000, InTheWay(LONGEST)) > 0);
            assert!(after(&habit, 6, 2_000, Well) > 0);
            assert!(after(&habit, 2, 40_000, InVain) > 0, "in vain, but not in the way");
        }
        assert!(after(&habit, 100, 9_000, InTheWay(LOSS - 1)) > 0, "nor is anything that costs next to nothing");
    }

    #[test]
    fn trials_in_vain_become_rare() {
        let habit = Habit::new();
        active(&habit, 10_000, 40_000);
        let rare = active(&habit, 10_000, 40_000);
        assert!((1..100).contains(&rare), "{rare} of 10000");
    }

    #[test]
    fn what_is_known_fits_into_a_word() {
        for known in [
            Known { mean: LONG, asleep: TRIAL_AFTER << MOST_DOUBLINGS, doublings: MOST_DOUBLINGS, trust: MOST_TRUST },
            Known { mean: 8_000, asleep: 0, doublings: 0, trust: 0 },
        ] {
            assert_eq!(Known::unpack(known.pack()), Some(known));
        }
        assert_eq!(Known::unpack(NEW), None);
    }

    #[test]
    fn a_clock_that_goes_back_is_no_error() {
        Habit::new().learn(2, 1, No);
    }
}
