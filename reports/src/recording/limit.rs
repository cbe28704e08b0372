//! How large a recording may become: where more happens than fits, outlines are written, rounded as far as they must be,
//! and whole samples as often as what is left allows.

use crate::precision::Precision;

const DAY_NS: u64 = 24 * 60 * 60 * 1_000_000_000;

/// The part of a day's size that outlines may take, in [`PARTS`]: they are rounded further where they would take more.
const OUTLINES: u64 = 13 * PARTS / 16;

/// Of what outlines leave, the part that whole samples may take at once: most recordings of minutes are not limited.
const AT_ONCE: u64 = 2;

/// A whole sample after a longer time, or at a new beginning, may have that many times the size of the last one.
const LARGER: u64 = 2;

/// How far outlines round: each step makes those of a busy guest smaller by about a tenth. Times go first, since what they
/// depend on is known less well in any case, but averages remain that are true to a few percent.
const PRECISIONS: [Precision; 11] = [
    precision(Precision::ALL_BITS, 7),
    precision(Precision::ALL_BITS, 6),
    precision(Precision::ALL_BITS, 5),
    precision(Precision::ALL_BITS, 4),
    precision(10, 4),
    precision(8, 4),
    precision(6, 4),
    precision(5, 4),
    precision(5, 3),
    precision(4, 3),
    precision(3, 2),
];

const fn precision(counts: u32, times: u32) -> Precision {
    Precision { counts, times }
}

/// What is to be written of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// All of it.
    Whole,
    /// Its outline.
    Outline,
    /// Nothing: not even that fits.
    Nothing,
}

/// What may still be written of a day, counted from the beginning of the recording.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    per_day: u64,
    /// Of this day; less than nothing where a sample was larger than expected.
    left: i128,
    /// Nanoseconds until the next day.
    rest: u64,
    /// Nanoseconds between the last two samples that were there to be written.
    interval: u64,
    /// Nanoseconds since something was written.
    since: u64,
    /// How large outlines are on average, in [`PARTS`] of a byte, and of how many that is.
    outline: (u64, u64),
    /// How far they round: which of the [`PRECISIONS`], and how many have been written since it is so.
    rounding: (usize, u64),
}

/// What an average is kept in.
const PARTS: u64 = 256;

/// The part of what outlines need that is left to whole samples where there is less than that.
const SPARE: i128 = 16;

/// The last so many outlines make most of the average: less, and whole samples would take the room of outlines whenever
/// some of these happen to be small.
const AVERAGED: u64 = 256;

/// So many outlines tell how large they are, rounded as they are.
const ENOUGH: u64 = 16;

/// Less is rounded off when outlines could be larger by this part of them: by more than one step makes, so that it stays so.
const MARGIN: i128 = 6;

impl Limit {
    /// No day takes more than `per_day` bytes.
    pub fn new(per_day: u64) -> Self {
        let (interval, rest, left) = (1, DAY_NS, i128::from(per_day));
        Limit { per_day, left, rest, interval, since: 0, outline: (0, 0), rounding: (0, 0) }
    }

    /// That much time has gone by since there was a sample, in nanoseconds.
    pub fn pass(&mut self, ns: u64) {
        self.interval = ns.max(1);
        self.since = self.since.saturating_add(ns);
        match self.rest.checked_sub(ns) {
            Some(rest) => self.rest = rest,
            None => {
                self.rest = DAY_NS - (ns - self.rest) % DAY_NS;
                self.left = self.left.min(0) + i128::from(self.per_day);
            }
        }
    }

    /// How far an outline is to be rounded.
    pub fn precision(&self) -> Precision {
        PRECISIONS[self.rounding.0]
    }

    /// What to write of a sample whose outline has `outline` bytes; the last whole one had `whole`.
    pub fn choose(&mut self, outline: u64, whole: u64) -> Choice {
        let (average, of) = self.outline;
        let of = (of + 1).min(AVERAGED);
        self.outline = ((average * (of - 1) + outline.saturating_mul(PARTS)) / of, of);
        // Outlines that are yet to come have priority, and a part of what they leave is not used up at once.
        let outlines = self.needed();
        // What is rounded off is not for whole samples, after which outlines would only be larger for a while.
        let of_outlines = if self.rounding.0 == 0 { outlines.min(self.most()) } else { self.most() };
        let others = (self.of_rest(self.per_day) - of_outlines) / i128::from(AT_ONCE);
        if i128::from(whole.saturating_mul(LARGER)) <= self.left - of_outlines - others {
            return Choice::Whole;
        }
        self.round();
        // Where not even the roughest fit, they come at regular times, and leave a little for whole samples.
        let roughest = self.rounding.0 + 1 == PRECISIONS.len();
        let all = (outlines + outlines / SPARE).saturating_mul(i128::from(self.interval));
        let paced = !roughest || all <= self.left.saturating_mul(i128::from(self.since));
        if paced && i128::from(outline) <= self.left { Choice::Outline } else { Choice::Nothing }
    }

    /// Rounds further where outlines as large as they are take too much, and less where they take little.
    fn round(&mut self) {
        let (rounding, since) = self.rounding;
        self.rounding.1 = since + 1;
        if since < ENOUGH {
            return;
        }
        let (needed, most) = (self.needed(), self.most().min(self.left));
        let next = match needed {
            _ if needed > most => (rounding + 1).min(PRECISIONS.len() - 1),
            _ if needed + needed / MARGIN < most => rounding.saturating_sub(1),
            _ => rounding,
        };
        if next != rounding {
            (self.rounding, self.outline) = ((next, 0), (0, 0));
        }
    }

    /// What all outlines of the rest of the day take.
    fn needed(&self) -> i128 {
        i128::from(self.outline.0) * i128::from(self.rest) / i128::from(PARTS) / i128::from(self.interval)
    }

    /// What they may.
    fn most(&self) -> i128 {
        self.of_rest(self.per_day) * i128::from(OUTLINES) / i128::from(PARTS)
    }

    /// The part of `bytes` a day that the rest of the day has.
    fn of_rest(&self, bytes: u64) -> i128 {
        i128::from(bytes) * i128::from(self.rest) / i128::from(DAY_NS)
    }

    /// What may still be written today, in bytes.
    pub fn left(&self) -> u64 {
        u64::try_from(self.left.max(0)).unwrap_or(u64::MAX)
    }

    /// That many bytes have been written.
    pub fn take(&mut self, bytes: u64) {
        self.left -= i128::from(bytes);
        self.since = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 100_000_000;

    /// Of outlines and whole samples.
    const SIZES: [(u64, u64); 6] =
        [(200, 3_300), (190, 3_700), (340, 7_300), (590, 36_000), (490, 46_000), (530, 47_000)];

    /// What was written of a day at a sample a second.
    #[derive(Debug, Default)]
    struct Day {
        bytes: u64,
        wholes: u64,
        outlines: u64,
        /// The longest time without any, in seconds.
        longest: u64,
        /// Wholes before the first outline.
        at_once: u64,
        /// How far the last outline was rounded.
        rounding: usize,
    }

    /// Several days; sizes vary, by a quarter around these. The outline's is that of one that is hardly rounded.
    fn days<const N: usize>(per_day: u64, outline: u64, whole: u64) -> [Day; N] {
        growing_days(per_day, outline, whole, whole)
    }

    /// The same; a whole sample is larger the longer the one before is ago, from `whole` after a second to `largest` after a
    /// minute, and the outlines after it are larger for a while.
    fn growing_days<const N: usize>(per_day: u64, outline: u64, whole: u64, largest: u64) -> [Day; N] {
        let mut limit = Limit::new(per_day);
        let (mut random, mut since, mut since_whole, mut last_whole) = (1_u64, 0, 0, whole);
        [(); N].map(|()| {
            let mut day = Day::default();
            for _ in 0..24 * 60 * 60 {
                // The generator of Knuth's MMIX.
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let vary = |size: u64| size - size / 4 + size / 2 * (random >> 32) / (1 << 32);
                day.rounding = limit.rounding.0;
                let outline = (0..day.rounding).fold(outline, |size, _| size - size / 13);
                let outline = vary(outline + outline / (4 + since_whole));
                let whole = vary(whole + (largest - whole) * since_whole.min(60) / 60);
                limit.pass(1_000_000_000);
                (since, since_whole) = (since + 1, since_whole + 1);
                let bytes = match limit.choose(outline, last_whole) {
                    Choice::Nothing => continue,
                    Choice::Whole => {
                        day.wholes += 1;
                        day.at_once += u64::from(day.outlines == 0);
                        (since_whole, last_whole) = (0, whole);
                        whole
                    }
                    Choice::Outline => {
                        day.outlines += 1;
                        outline
                    }
                };
                limit.take(bytes);
                day.bytes += bytes;
                day.longest = day.longest.max(since);
                since = 0;
            }
            day
        })
    }

    #[test]
    fn what_fits_is_whole() {
        for day in days::<2>(LIMIT, 100, 500) {
            assert_eq!((day.wholes, day.outlines), (86_400, 0));
        }
        assert_eq!(days::<1>(u64::MAX, 1 << 20, 1 << 30)[0].wholes, 86_400);
    }

    /// The sizes are those of the embedded guest (`docs/recording.md`).
    #[test]
    fn a_day_has_an_outline_every_second_and_stays_below_its_limit() {
        for (outline, whole) in SIZES {
            for day in days::<3>(LIMIT, outline, whole) {
                assert!(day.bytes <= LIMIT, "{day:?}");
                // All of it is made use of.
                assert!(day.bytes > LIMIT - LIMIT / 50, "{day:?}");
                assert_eq!((day.wholes + day.outlines, day.longest), (86_400, 1), "{day:?}");
                assert_eq!(day.rounding, 0);
                let spare = LIMIT - 86_400 * outline;
                assert!(day.wholes > spare / whole * 9 / 10, "{day:?}");
            }
        }
    }

    /// Of one that is busier, too, and there is some room for whole samples.
    #[test]
    fn outlines_that_do_not_fit_are_rounded() {
        let [first, second] = growing_days::<2>(LIMIT, 1_530, 110_000, 1_200_000);
        for day in [&first, &second] {
            assert!(day.bytes <= LIMIT && day.bytes > LIMIT - LIMIT / 20, "{day:?}");
            assert_eq!((day.wholes + day.outlines, day.longest), (86_400, 1), "{day:?}");
            assert!((6..8).contains(&day.rounding), "{day:?}");
            assert!((5..40).contains(&(day.wholes - day.at_once)), "{day:?}");
        }
        // No further than they must be.
        for (outline, rounding) in [(900, 0), (1_000, 1), (1_100, 2), (1_300, 4)] {
            let [.., day] = days::<2>(LIMIT, outline, 1_000_000);
            assert!(day.rounding.abs_diff(rounding) <= 1, "{outline} {day:?}");
        }
    }

    #[test]
    fn outlines_that_do_not_fit_in_any_case_come_at_regular_times() {
        for (outline, longest) in [(4_000, 5), (22_000, 30)] {
            let [first, second] = days::<2>(LIMIT, outline, 110_000);
            for day in [&first, &second] {
                assert!(day.bytes <= LIMIT && day.bytes > LIMIT - LIMIT / 20, "{day:?}");
                assert!(day.longest <= longest, "{day:?}");
                // Who waited for whom is told of all times of the day.
                assert!(day.wholes > day.at_once + 10, "{day:?}");
            }
        }
        assert_eq!(days::<1>(0, 1, 1)[0].bytes, 0);
    }

    #[test]
    fn the_first_minutes_are_not_limited() {
        assert!(days::<1>(LIMIT, 530, 47_000)[0].at_once > 300);
        assert!(days::<1>(LIMIT, 1_530, 110_000)[0].at_once > 75);
        assert!(days::<1>(LIMIT, 160, 3_400)[0].at_once > 10_000);
    }

    /// A reader that was away for some days, or does not run at regular times.
    #[test]
    fn days_pass_at_any_steps() {
        let mut limit = Limit::new(1_000);
        limit.take(1_500);
        assert_eq!(limit.choose(10, 100), Choice::Nothing);
        limit.pass(DAY_NS * 3 + 5);
        // What was too much is taken from the next day.
        assert_eq!((limit.left, limit.rest), (500, DAY_NS - 5));
        limit.pass(DAY_NS - 5);
        assert_eq!((limit.left, limit.rest), (500, 0));
        limit.pass(1);
        assert_eq!((limit.left, limit.rest), (1_000, DAY_NS - 1));
    }
}
