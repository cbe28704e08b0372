//! Which of some ways the guest gets more done, by trying another one from time to time.

/// For how long it is looked how much the guest gets done, one way and the other, in nanoseconds: many hand-overs between threads.
const WINDOW: u64 = 1_000_000;
/// For how long nobody looks after a change: threads change as they come to wait.
const SETTLE: u64 = 300_000;
/// A trial in which less than one in so many of the calls is made by then, in nanoseconds, is given up at once.
const HOPELESS: u64 = 2;
const GLANCE: u64 = WINDOW / 4;
/// Where so many times as much is done as in the rest before, the guest has just begun with it, and how long its waits last is still
/// to be learnt: no trial for so long, in nanoseconds.
const JUST_BEGUN: u64 = 2;
const BEGINNING: u64 = 5_000_000;
/// From one trial to the next at first; then so many times as long each time, up to the most: so long may it take to see that
/// the guest does something else.
const PAUSE: u64 = 10_000_000;
const MORE: u64 = 4;
/// Where the way is not the usual one, and may be bad for what comes next; and where nothing is to be seen at all.
const LONGEST_UNUSUAL: u64 = 100_000_000;
/// Where it is.
pub(super) const LONGEST: u64 = 1_000_000_000;
/// An unusual way must be better by so many percent: changes cost something, and there is always some noise.
const BETTER: u64 = 12;
/// In so many trials one after the other: what one of a millisecond finds is chance at times.
const IN_A_ROW: u32 = 2;
/// The usual one needs no more than so many, in one trial: who is the other way by chance, or no longer with good reason, is soon
/// back.
const USUAL_BETTER: u64 = 5;
/// A window is one if somebody waited, or slept by the clock, so soon after its end: threads that share a processor, and find all
/// that they want, run for some milliseconds each before one waits.
const LATE: u64 = 10 * WINDOW;
/// And if so many calls were made in it. Where there are fewer the guest does next to nothing.
const FEW: u64 = 100;

/// How the threads of the guest are to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Wherever the host puts them; waits are active where that has paid.
    Apart,
    /// On one processor, where no wait is active.
    Together,
    /// Those that hand things to each other on one processor, each such group on its own, where no wait is active.
    InGroups,
    /// Wherever the host puts them, and no wait is active but those that take no longer than to be woken, for what is being handed
    /// over.
    Asleep,
}

impl Way {
    /// Those that are tried instead, one after the other, in a round of trials.
    fn others(self, round: u8) -> &'static [Way] {
        // Where a way is better than the usual one, most others are worse than both: of those one in each round.
        let is_even = round.is_multiple_of(2);
        match self {
            Way::Apart => &[Way::Together, Way::InGroups, Way::Asleep],
            Way::Together if is_even => &[Way::Apart, Way::InGroups],
            Way::InGroups | Way::Asleep if is_even => &[Way::Apart, Way::Together],
            Way::Together | Way::InGroups => &[Way::Apart, Way::Asleep],
            Way::Asleep => &[Way::Apart, Way::InGroups],
        }
    }

    /// In how many trials one after the other it must be better, and by how many percent.
    fn needs(self) -> (u32, u64) {
        if self == Way::Apart { (1, USUAL_BETTER) } else { (IN_A_ROW, BETTER) }
    }

    fn longest_pause(self) -> u64 {
        if self == Way::Apart { LONGEST } else { LONGEST_UNUSUAL }
    }
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The guest boots.
    New,
    /// Nothing is tried.
    Rest,
    /// It is looked how much is done as it is, since then and from so many calls on; in the rest before, so many were made in a
    /// second, if that is to be looked at.
    Look { since: u64, calls: u64, rested: Option<u64> },
    /// It is the other way now, but not for long enough; before, so many calls were made in a second.
    Settle { before: u64 },
    /// It is looked how much is done so.
    Try { before: u64, since: u64, calls: u64 },
}

/// The trials of a guest.
#[derive(Debug)]
pub(super) struct Trials {
    /// How the threads run, but for trials.
    way: Way,
    /// How many rounds of trials there were before, modulo 256.
    round: u8,
    /// Which of the others is tried now, or next.
    nth: usize,
    stage: Stage,
    /// In how many trials it has been better by now, one after the other.
    won: u32,
    /// From the end of this trial to the next one.
    pause: u64,
    /// When this round's rest began, and how many calls had been made by then; `None`: not known, or the guest has had its time.
    rested: Option<(u64, u64)>,
}

impl Trials {
    pub(super) const NEW: Trials =
        Trials { way: Way::Apart, round: 0, nth: 0, stage: Stage::New, won: 0, pause: PAUSE, rested: None };

    /// To be asked at `now`, or some time later than it said, when `calls` have been made. Says how the threads are to run from now
    /// on, and in how many nanoseconds to ask again.
    pub(super) fn step(&mut self, now: u64, calls: u64) -> (Way, u64) {
        let other = self.other();
        match self.stage {
            Stage::New => {
                (self.stage, self.rested) = (Stage::Rest, Some((now, calls)));
                (self.way, PAUSE)
            }
            Stage::Rest => {
                let rest = self.rested.take();
                let rested =
                    rest.map(|(since, before)| in_a_second(now.saturating_sub(since), calls.saturating_sub(before)));
                self.stage = Stage::Look { since: now, calls, rested };
                (self.way, WINDOW)
            }
            Stage::Look { since, calls: first, rested } => match rate(since, first, now, calls) {
                Some(before) if rested.is_some_and(|rested| before >= JUST_BEGUN * rested) => {
                    self.stage = Stage::Rest;
                    (self.way, BEGINNING)
                }
                Some(before) => {
                    self.stage = Stage::Settle { before };
                    (other, SETTLE)
                }
                None => {
                    self.way = Way::Apart;
                    self.rest(LONGEST_UNUSUAL, now, calls)
                }
            },
            Stage::Settle { before } => {
                self.stage = Stage::Try { before, since: now, calls };
                (other, GLANCE)
            }
            Stage::Try { before, since, calls: first } => {
                let (time, made) = (now.saturating_sub(since), calls.saturating_sub(first));
                if time < WINDOW && !is_hopeless(before, time, made) {
                    return (other, WINDOW - time);
                }
                let (needed, better) = other.needs();
                let after = rate(since, first, now, calls);
                if after.is_none_or(|after| after * 100 <= before * (100 + better)) {
                    return self.next(now, calls);
                }
                self.won += 1;
                if self.won == needed {
                    (self.way, self.pause) = (other, PAUSE);
                    return self.rest(PAUSE, now, calls);
                }
                self.stage = Stage::Rest;
                (self.way, SETTLE)
            }
        }
    }

    /// Whether it is to be written down who hands things to whom: before threads are put in groups, on trial or again after trials of
    /// another way, and while nothing is looked at, because it takes its time.
    pub(super) fn are_to_have_groups(&self) -> bool {
        let is_again = self.way == Way::InGroups && self.nth == 0;
        matches!(self.stage, Stage::Rest) && self.won == 0 && (self.other() == Way::InGroups || is_again)
    }

    /// The way that is tried now, or next.
    fn other(&self) -> Way {
        self.way.others(self.round)[self.nth]
    }

    /// To be asked where the threads cannot run in that way now, as [`step`](Trials::step) wants it. Says the same as that.
    pub(super) fn cannot(&mut self, way: Way, now: u64, calls: u64) -> (Way, u64) {
        if self.way == way {
            (self.way, self.nth) = (Way::Apart, 0);
        }
        self.next(now, calls)
    }

    /// The one that is being tried is not better. After a moment the next one is tried, if there is one.
    fn next(&mut self, now: u64, calls: u64) -> (Way, u64) {
        self.nth += 1;
        if self.nth == self.way.others(self.round).len() {
            return self.rest(self.way.longest_pause(), now, calls);
        }
        (self.stage, self.won) = (Stage::Rest, 0);
        (self.way, if self.are_to_have_groups() { SETTLE + WINDOW } else { SETTLE })
    }

    /// Nothing is tried for a while, and the next time for longer, up to `longest`.
    fn rest(&mut self, longest: u64, now: u64, calls: u64) -> (Way, u64) {
        let pause = self.pause.min(longest);
        let next = longest.max(self.way.longest_pause()).min(MORE * pause);
        let round = self.round.wrapping_add(1);
        // Only there anything is learnt.
        let rested = (self.way == Way::Apart).then_some((now, calls));
        *self = Trials { way: self.way, round, nth: 0, stage: Stage::Rest, won: 0, pause: next, rested };
        (self.way, pause)
    }
}

/// Calls in a second; `None`: too few to say anything.
fn rate(since: u64, before: u64, now: u64, calls: u64) -> Option<u64> {
    let (time, calls) = (now.saturating_sub(since), calls.saturating_sub(before));
    (time <= WINDOW + LATE && calls >= FEW).then(|| in_a_second(time, calls))
}

fn in_a_second(time: u64, calls: u64) -> u64 {
    (u128::from(calls) * 1_000_000_000 / u128::from(time.max(1))) as u64
}

/// Whether so many calls in so much time are that much less than before that they say something.
fn is_hopeless(before: u64, time: u64, calls: u64) -> bool {
    let expected = (u128::from(before) * u128::from(time) / 1_000_000_000) as u64;
    expected >= FEW && HOPELESS * calls < expected
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A guest that makes so many calls in a microsecond, if its threads are apart, together, in groups, and asleep as they wait.
    struct Guest {
        trials: Trials,
        rates: [u64; 4],
        now: u64,
        calls: u64,
        way: Way,
        cannot: &'static [Way],
        /// For how long its threads have run in each way.
        ran: [u64; 4],
    }

    impl Guest {
        fn new(rates: [u64; 4]) -> Self {
            Guest { trials: Trials::NEW, rates, now: 1_000_000, calls: 0, way: Way::Apart, cannot: &[], ran: [0; 4] }
        }

        fn run(&mut self, nanoseconds: u64) -> &Self {
            let end = self.now + nanoseconds;
            self.ran = [0; 4];
            while self.now < end {
                let (mut way, mut pause) = self.trials.step(self.now, self.calls);
                while self.cannot.contains(&way) {
                    (way, pause) = self.trials.cannot(way, self.now, self.calls);
                }
                self.way = way;
                self.ran[way as usize] += pause;
                self.calls += self.rates[way as usize] * pause / 1_000;
                self.now += pause;
            }
            self
        }

        /// For how long that way, in percent of the time.
        fn percent(&self, way: Way) -> u64 {
            100 * self.ran[way as usize] / self.ran.iter().sum::<u64>()
        }
    }

    #[test]
    fn the_best_way_is_found_soon_and_kept() {
        let mut guest = Guest::new([3, 6, 4, 4]);
        assert_eq!(guest.run(30_000_000).way, Way::Together);
        assert!(guest.run(2_000_000_000).percent(Way::Together) >= 96, "{:?}", guest.ran);
        // It does something else now, and again.
        for (rates, best) in [
            ([6, 3, 3, 3], Way::Apart),
            ([3, 3, 3, 6], Way::Asleep),
            ([3, 6, 6, 8], Way::Asleep),
            ([3, 6, 8, 4], Way::InGroups),
            ([3, 8, 6, 4], Way::Together),
        ] {
            guest.rates = rates;
            guest.run(2 * LONGEST + 20_000_000);
            assert!(guest.run(2_000_000_000).percent(best) >= 96, "{best:?}: {:?}", guest.ran);
        }
    }

    #[test]
    fn it_is_found_whatever_is_better_than_the_usual_way_as_well() {
        for (rates, best) in [([3, 6, 5, 8], Way::Asleep), ([3, 5, 6, 8], Way::Asleep), ([3, 5, 8, 6], Way::InGroups)] {
            let mut guest = Guest::new(rates);
            guest.run(200_000_000);
            assert!(guest.run(2_000_000_000).percent(best) >= 90, "{best:?}: {:?}", guest.ran);
        }
    }

    #[test]
    fn where_there_is_no_difference_they_stay_apart() {
        assert!(Guest::new([100, 104, 102, 98]).run(10_000_000_000).percent(Way::Apart) >= 99);
    }

    #[test]
    fn chance_does_not_keep_them_away_from_the_usual_way() {
        let mut ran = [0; 4];
        for seed in 1..=20 {
            let mut trials = Trials::NEW;
            let (mut now, mut calls, mut random) = (0, 0, seed);
            while now < 20_000_000_000 {
                let (way, pause) = trials.step(now, calls);
                // Whatever way: between 1000 and 2000 calls in each millisecond (Knuth's MMIX generator).
                random = 6_364_136_223_846_793_005_u64.wrapping_mul(random).wrapping_add(1_442_695_040_888_963_407);
                now += pause;
                calls += (1_000 + (random >> 33) % 1_000) * pause / 1_000_000;
                ran[way as usize] += pause;
            }
        }
        assert!(ran[Way::Apart as usize] * 100 > ran.iter().sum::<u64>() * 88, "{ran:?}");
    }

    #[test]
    fn whoever_is_in_groups_is_looked_at_before_each_return_to_them() {
        let mut guest = Guest::new([3, 5, 8, 6]);
        guest.run(200_000_000);
        assert_eq!(guest.trials.way, Way::InGroups);
        let (mut returns, mut before, mut looked) = (0, guest.way, None::<bool>);
        for _ in 0..1_000 {
            let (way, pause) = guest.trials.step(guest.now, guest.calls);
            let returned = way == Way::InGroups && before != Way::InGroups && guest.trials.won == 0;
            if let Some(looked) = looked.filter(|_| returned) {
                assert!(looked, "{:?}", guest.trials);
                returns += 1;
            }
            // In the rest before each round.
            if guest.trials.nth == 0 && matches!(guest.trials.stage, Stage::Rest) {
                looked = Some(guest.trials.are_to_have_groups());
            }
            before = way;
            guest.now += pause;
            guest.calls += guest.rates[way as usize] * pause / 1_000;
        }
        assert!(returns >= 100, "{returns}");
    }

    #[test]
    fn a_trial_that_loses_much_is_short() {
        let mut guest = Guest::new([8, 3, 7, 3]);
        guest.run(60_000_000);
        let rounds = u64::from(guest.trials.round);
        let short = rounds * (SETTLE + GLANCE);
        assert_eq!(guest.ran[1..], [short, rounds * (SETTLE + WINDOW), short], "{rounds} rounds");
    }

    #[test]
    fn a_guest_that_has_just_begun_has_time_to_learn() {
        let mut guest = Guest::new([0; 4]);
        guest.run(150_000_000);
        // Its waits are not active yet.
        guest.rates = [2, 3, 3, 3];
        while guest.calls < 6_000 {
            guest.run(100_000);
            assert_eq!(guest.way, Way::Apart);
        }
        guest.rates = [4, 3, 3, 3];
        assert!(guest.run(100_000_000).percent(Way::Apart) >= 88, "{:?}", guest.ran);
    }

    #[test]
    fn it_is_tried_soon_what_is_better_for_one_that_has_just_begun() {
        let mut guest = Guest::new([0; 4]);
        guest.run(150_000_000);
        guest.rates = [2, 4, 2, 2];
        assert_eq!(guest.run(LONGEST_UNUSUAL + BEGINNING + 10_000_000).way, Way::Together);
    }

    #[test]
    fn where_they_cannot_be_together_the_rest_is_tried() {
        let mut guest = Guest::new([3, 9, 9, 6]);
        guest.cannot = &[Way::Together, Way::InGroups];
        guest.run(100_000_000);
        assert!(guest.run(2_000_000_000).percent(Way::Asleep) >= 96, "{:?}", guest.ran);
        assert_eq!(guest.percent(Way::Together) + guest.percent(Way::InGroups), 0);
        guest.cannot = &[Way::InGroups];
        assert_eq!(guest.run(200_000_000).way, Way::Together);
        guest.cannot = &[Way::Together];
        guest.run(200_000_000);
        assert!(guest.run(2_000_000_000).percent(Way::InGroups) >= 90, "{:?}", guest.ran);
        assert_eq!(guest.percent(Way::Together), 0);
        guest.cannot = &[Way::InGroups, Way::Together];
        assert!(guest.run(2_000_000_000).percent(Way::Asleep) >= 90, "{:?}", guest.ran);
    }

    #[test]
    fn an_idle_guest_has_no_trials() {
        assert_eq!(Guest::new([0; 4]).run(1_000_000_000).percent(Way::Apart), 100);
        let mut guest = Guest::new([3, 6, 3, 3]);
        guest.run(50_000_000);
        guest.rates = [0; 4];
        assert_eq!(guest.run(2 * LONGEST_UNUSUAL).way, Way::Apart);
    }

    #[test]
    fn who_comes_late_says_nothing_of_the_time_before() {
        let in_ms = |ms: u64| 100_000 * ms;
        let begun = || {
            let mut trials = Trials::NEW;
            trials.step(0, 0);
            trials.step(PAUSE, in_ms(10));
            trials
        };
        assert_eq!(begun().step(PAUSE + WINDOW + LATE, in_ms(21)).0, Way::Together);
        assert_eq!(begun().step(PAUSE + WINDOW + LATE + 1, in_ms(21)).0, Way::Apart);
        let tried = |late| {
            let mut trials = begun();
            trials.step(PAUSE + WINDOW, in_ms(11));
            trials.step(PAUSE + WINDOW + SETTLE, in_ms(12));
            trials.step(PAUSE + 2 * WINDOW + SETTLE + LATE + late, in_ms(100));
            trials.won
        };
        assert_eq!([tried(0), tried(1)], [1, 0]);
    }
}
