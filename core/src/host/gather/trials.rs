//! Which of two ways the guest gets more done, by trying the other one from time to time.

/// For how long it is looked how much the guest gets done, one way and the other, in nanoseconds: many hand-overs between threads.
const WINDOW: u64 = 1_000_000;
/// For how long nobody looks after a change: threads change as they come to wait.
const SETTLE: u64 = 300_000;
/// From one trial to the next at first; then so many times as long each time, up to the most: so long may it take to see that
/// the guest does something else.
const PAUSE: u64 = 10_000_000;
const MORE: u64 = 4;
/// Where threads are on one processor, which may be bad for what comes next; and where nothing is to be seen at all.
const LONGEST_TOGETHER: u64 = 100_000_000;
/// Where they are not.
const LONGEST_APART: u64 = LONGEST;
pub(super) const LONGEST: u64 = 1_000_000_000;
/// The other way must be better by so many percent: changes cost something, and there is always some noise.
const BETTER: u64 = 12;
/// In so many trials one after the other: what one of a millisecond finds is chance at times.
const IN_A_ROW: u32 = 2;
/// A window is one if somebody waited, or slept by the clock, so soon after its end: threads that share a processor, and find all
/// that they want, run for some milliseconds each before one waits.
const LATE: u64 = 10 * WINDOW;
/// And if so many calls were made in it. Where there are fewer the guest does next to nothing.
const FEW: u64 = 100;

/// How the threads of the guest are to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Wherever the host puts them.
    Apart,
    /// On one processor.
    Together,
}

impl Way {
    fn other(self) -> Way {
        match self {
            Way::Apart => Way::Together,
            Way::Together => Way::Apart,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Nothing is tried.
    Rest,
    /// It is looked how much is done as it is, since then and from so many calls on.
    Look { since: u64, calls: u64 },
    /// It is the other way round now, but not for long enough; before, so many calls were made in a second.
    Settle { before: u64 },
    /// It is looked how much is done so.
    Try { before: u64, since: u64, calls: u64 },
}

/// The trials of a guest.
#[derive(Debug)]
pub(super) struct Trials {
    way: Way,
    stage: Stage,
    /// In how many trials the other way has been better by now, one after the other.
    won: u32,
    /// From the end of this trial to the next one.
    pause: u64,
}

impl Trials {
    pub(super) const NEW: Trials = Trials { way: Way::Apart, stage: Stage::Rest, won: 0, pause: PAUSE };

    /// To be asked at `now`, or some time later than it said, when `calls` have been made. Says how the threads are to run from now
    /// on, and in how many nanoseconds to ask again.
    pub(super) fn step(&mut self, now: u64, calls: u64) -> (Way, u64) {
        match self.stage {
            Stage::Rest => {
                self.stage = Stage::Look { since: now, calls };
                (self.way, WINDOW)
            }
            Stage::Look { since, calls: before } => match rate(since, before, now, calls) {
                Some(before) => {
                    self.way = self.way.other();
                    self.stage = Stage::Settle { before };
                    (self.way, SETTLE)
                }
                None => self.rest(Way::Apart, LONGEST_TOGETHER),
            },
            Stage::Settle { before } => {
                self.stage = Stage::Try { before, since: now, calls };
                (self.way, WINDOW)
            }
            Stage::Try { before, since, calls: first } => {
                let after = rate(since, first, now, calls);
                let is_better = after.is_some_and(|after| after * 100 > before * (100 + BETTER));
                self.won = if is_better { self.won + 1 } else { 0 };
                if self.won == IN_A_ROW {
                    self.pause = PAUSE;
                    return self.rest(self.way, PAUSE);
                }
                self.way = self.way.other();
                if is_better {
                    self.stage = Stage::Rest;
                    return (self.way, SETTLE);
                }
                match self.way {
                    Way::Together => self.rest(Way::Together, LONGEST_TOGETHER),
                    Way::Apart => self.rest(Way::Apart, LONGEST_APART),
                }
            }
        }
    }

    /// The guest's threads are to run that way for a while, and the next time for longer, up to `longest`.
    fn rest(&mut self, way: Way, longest: u64) -> (Way, u64) {
        let pause = self.pause.min(longest);
        *self = Trials { way, stage: Stage::Rest, won: 0, pause: longest.min(MORE * pause) };
        (way, pause)
    }
}

/// Calls in a second; `None`: too few to say anything.
fn rate(since: u64, before: u64, now: u64, calls: u64) -> Option<u64> {
    let (time, calls) = (now.saturating_sub(since), calls.saturating_sub(before));
    (time <= WINDOW + LATE && calls >= FEW)
        .then(|| (u128::from(calls) * 1_000_000_000 / u128::from(time.max(1))) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A guest that makes so many calls in a microsecond, if its threads are apart and together.
    struct Guest {
        trials: Trials,
        rates: [u64; 2],
        now: u64,
        calls: u64,
        way: Way,
        /// For how long its threads have run in either way.
        ran: [u64; 2],
    }

    impl Guest {
        fn new(rates: [u64; 2]) -> Self {
            Guest { trials: Trials::NEW, rates, now: 1_000_000, calls: 0, way: Way::Apart, ran: [0; 2] }
        }

        fn run(&mut self, nanoseconds: u64) -> &Self {
            let end = self.now + nanoseconds;
            self.ran = [0; 2];
            while self.now < end {
                let (way, pause) = self.trials.step(self.now, self.calls);
                self.way = way;
                self.ran[way as usize] += pause;
                self.calls += self.rates[way as usize] * pause / 1_000;
                self.now += pause;
            }
            self
        }

        /// In percent of the time.
        fn together(&self) -> u64 {
            100 * self.ran[1] / (self.ran[0] + self.ran[1])
        }
    }

    #[test]
    fn the_better_way_is_found_soon_and_kept() {
        let mut guest = Guest::new([3, 6]);
        assert_eq!(guest.run(20_000_000).way, Way::Together);
        assert!(guest.run(2_000_000_000).together() >= 96, "{}", guest.together());
        // It does something else now.
        guest.rates = [6, 3];
        guest.run(LONGEST_TOGETHER + 10_000_000);
        assert!(guest.run(2_000_000_000).together() <= 3, "{}", guest.together());
        guest.rates = [3, 6];
        guest.run(LONGEST_APART + 10_000_000);
        assert!(guest.run(2_000_000_000).together() >= 96, "{}", guest.together());
    }

    #[test]
    fn where_there_is_no_difference_they_stay_apart() {
        assert!(Guest::new([100, 104]).run(10_000_000_000).together() <= 1);
    }

    #[test]
    fn one_trial_is_not_enough() {
        let mut trials = Trials::NEW;
        let (mut now, mut calls) = (0, 0);
        // Every other trial finds the other way better.
        let ways = (0..1_000).map(|step| {
            let (way, pause) = trials.step(now, calls);
            now += pause;
            calls += if step % 8 == 2 { 2_000 } else { 1_000 } * pause / 1_000_000;
            (way, pause)
        });
        let together: u64 = ways.filter(|(way, _)| *way == Way::Together).map(|(_, pause)| pause).sum();
        assert!(together * 50 < now, "{together} of {now} ns");
    }

    #[test]
    fn an_idle_guest_has_no_trials() {
        assert_eq!(Guest::new([0, 0]).run(1_000_000_000).ran[1], 0);
        let mut guest = Guest::new([3, 6]);
        guest.run(50_000_000);
        guest.rates = [0, 0];
        assert_eq!(guest.run(2 * LONGEST_TOGETHER).way, Way::Apart);
    }

    #[test]
    fn who_comes_late_says_nothing_of_the_time_before() {
        let mut trials = Trials::NEW;
        trials.step(0, 0);
        assert_eq!(trials.step(WINDOW + LATE + 1, 1 << 40).0, Way::Apart);
        trials.step(50_000_000, 0);
        assert_eq!(trials.step(50_000_000 + WINDOW, 100_000).0, Way::Together);
        trials.step(50_500_000 + WINDOW, 100_000);
        assert_eq!(trials.step(51_000_000 + 2 * WINDOW + LATE, 1 << 40).0, Way::Apart);
    }
}
