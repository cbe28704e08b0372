//! How large a recording may become: where more happens than fits, outlines are written, and whole samples as often as
//! what is left allows.

const DAY_NS: u64 = 24 * 60 * 60 * 1_000_000_000;

/// The part of a day's size that may be written at once: recordings of minutes are hardly ever limited.
const AT_ONCE: u64 = 2;

/// The same where outlines need more than the rest.
const AT_LEAST_AT_ONCE: u64 = 4;

/// A whole sample after a longer time, or at a new beginning, may have that many times the size of the last one.
const LARGER: u64 = 2;

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
}

/// What an average is kept in.
const PARTS: u64 = 256;

/// The part of what outlines need that is kept for them besides, should they become larger.
const SPARE: i128 = 8;

/// The last so many outlines make most of the average: less, and whole samples would take the room of outlines whenever
/// some of these happen to be small.
const AVERAGED: u64 = 256;

impl Limit {
    /// No day takes more than `per_day` bytes.
    pub fn new(per_day: u64) -> Self {
        Limit { per_day, left: i128::from(per_day), rest: DAY_NS, interval: 1, since: 0, outline: (0, 0) }
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

    /// What to write of a sample whose outline has `outline` bytes; the last whole one had `whole`.
    pub fn choose(&mut self, outline: u64, whole: u64) -> Choice {
        let (average, of) = self.outline;
        let of = (of + 1).min(AVERAGED);
        self.outline = ((average * (of - 1) + outline.saturating_mul(PARTS)) / of, of);
        let rest = i128::from(self.rest);
        // Outlines that are yet to come have priority, and a part of the day is not used up at its beginning.
        let outlines = i128::from(self.outline.0) * rest / i128::from(PARTS) / i128::from(self.interval);
        let of_day = |bytes: u64| i128::from(bytes) * rest / i128::from(DAY_NS);
        let kept = (outlines + outlines / SPARE)
            .clamp(of_day(self.per_day / AT_ONCE), of_day(self.per_day - self.per_day / AT_LEAST_AT_ONCE));
        if i128::from(whole.saturating_mul(LARGER)) <= self.left - kept {
            return Choice::Whole;
        }
        // Where not even they fit, they come at regular times, and leave a little for whole samples.
        let all = (outlines + outlines / (2 * SPARE)).saturating_mul(i128::from(self.interval));
        let paced = all <= self.left.saturating_mul(i128::from(self.since));
        if paced && i128::from(outline) <= self.left { Choice::Outline } else { Choice::Nothing }
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
    }

    /// Several days; sizes vary, by a quarter around these.
    fn days<const N: usize>(per_day: u64, outline: u64, whole: u64) -> [Day; N] {
        let mut limit = Limit::new(per_day);
        let (mut random, mut since) = (1_u64, 0);
        [(); N].map(|()| {
            let mut day = Day::default();
            for _ in 0..24 * 60 * 60 {
                // The generator of Knuth's MMIX.
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let vary = |size: u64| size - size / 4 + size / 2 * (random >> 32) / (1 << 32);
                let (outline, whole) = (vary(outline), vary(whole));
                limit.pass(1_000_000_000);
                since += 1;
                let bytes = match limit.choose(outline, whole) {
                    Choice::Nothing => continue,
                    Choice::Whole => {
                        day.wholes += 1;
                        day.at_once += u64::from(day.outlines == 0);
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
        for (outline, whole) in [(220, 3_400), (240, 4_200), (440, 7_100), (770, 40_000), (670, 45_000)] {
            for day in days::<3>(LIMIT, outline, whole) {
                assert!(day.bytes <= LIMIT, "{day:?}");
                // All of it is made use of.
                assert!(day.bytes > LIMIT - LIMIT / 50, "{day:?}");
                assert_eq!((day.wholes + day.outlines, day.longest), (86_400, 1), "{day:?}");
                let spare = LIMIT - 86_400 * outline;
                assert!(day.wholes > spare / whole * 9 / 10, "{day:?}");
            }
        }
    }

    #[test]
    fn outlines_that_do_not_fit_come_at_regular_times() {
        for (outline, longest) in [(2_050, 5), (11_000, 30)] {
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
        assert!(days::<1>(LIMIT, 670, 45_000)[0].at_once > 600);
        assert!(days::<1>(LIMIT, 2_050, 110_000)[0].at_once > 180);
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
