//! How samples follow one another, and what they may cost.

use rumpscope_probes::reader::Extent;
use std::time::{Duration, Instant};

/// How samples follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// A whole one each interval, whatever it costs.
    Even,
    /// The same, but later where samples, and all that this process does with them, would take more than 1/42 of a processor.
    Sparing,
    /// The same, but where whole samples would come later, outlines come between them.
    Outlining,
}

/// The time from one sample to the next at a sparing pace, in times of what a sample costs: that stays below 3 %.
const SPARING: u32 = 42;

/// But no longer: a picture that is older is of no use to who watches.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The same for whole samples where there are outlines: these come first.
const LONGEST_BETWEEN_WHOLE: Duration = Duration::from_secs(5);

/// Outlines are of use where they cost less than this part of what whole samples do; and they may always take this part of the
/// time.
const PART: u32 = 2;

/// The time that this process has had processors.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid; where there is no such clock, it stays as it is, and nothing has a cost.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// What the last two samples of a kind have cost.
#[derive(Clone, Copy, Debug, Default)]
struct LastTwo([Duration; 2]);

impl LastTwo {
    fn push(&mut self, cost: Duration) {
        self.0 = [self.0[1], cost];
    }

    /// What one costs. The lesser of the two: once in a while something else is done, as when names are found for the first
    /// time.
    fn one(&self) -> Duration {
        self.0[0].min(self.0[1])
    }

    /// None came for a while: they may cost less by now. What is never tried again never turns out to be cheap.
    fn fade(&mut self) {
        self.0 = self.0.map(|cost| cost * 31 / 32);
    }
}

/// What samples cost lately.
#[derive(Debug)]
pub(super) struct Cost {
    /// The time that the process had had processors when the last sample began, and what kind that was.
    spent: Duration,
    last: Option<Extent>,
    whole: LastTwo,
    outline: LastTwo,
    /// When the last whole sample began.
    whole_at: Instant,
}

impl Cost {
    pub(super) fn new(now: Instant) -> Self {
        let (whole, outline) = Default::default();
        Cost { spent: processor_time(), last: None, whole, outline, whole_at: now }
    }

    /// The sample that is to begin `now`; the one before has cost what was spent since that began.
    pub(super) fn next(&mut self, pace: Pace, now: Instant, interval: Duration) -> Extent {
        let spent = processor_time();
        let costs = spent.saturating_sub(std::mem::replace(&mut self.spent, spent));
        self.extent(pace, now, interval, costs)
    }

    fn extent(&mut self, pace: Pace, now: Instant, interval: Duration, costs: Duration) -> Extent {
        match self.last {
            Some(Extent::Whole) => {
                self.whole.push(costs);
                self.outline.fade();
            }
            Some(Extent::Outline) => self.outline.push(costs),
            None => {}
        }
        let is_whole = match pace {
            Pace::Outlining if self.outlines_help(interval) => {
                let pause = self.between_whole(interval);
                self.last.is_none() || now.saturating_duration_since(self.whole_at) >= pause
            }
            _ => true,
        };
        let extent = if is_whole { Extent::Whole } else { Extent::Outline };
        if is_whole {
            self.whole_at = now;
        }
        self.last = Some(extent);
        extent
    }

    /// Whether whole samples alone would come too late, and more would come with outlines.
    fn outlines_help(&self, interval: Duration) -> bool {
        let whole = self.whole.one();
        whole.saturating_mul(SPARING) > interval && self.outline.one().saturating_mul(PART) < whole
    }

    /// The time from one whole sample to the next, in which they take what outlines leave.
    fn between_whole(&self, interval: Duration) -> Duration {
        let left = 1.0 / f64::from(SPARING) - self.outline.one().as_secs_f64() / interval.as_secs_f64();
        let pause = if left > 0.0 { self.whole.one().as_secs_f64() / left } else { f64::INFINITY };
        Duration::try_from_secs_f64(pause).map_or(LONGEST_BETWEEN_WHOLE, |pause| pause.min(LONGEST_BETWEEN_WHOLE))
    }

    /// The time from one outline to the next, in which they take what whole samples leave.
    fn between_outlines(&self, interval: Duration) -> Duration {
        let all = 1.0 / f64::from(SPARING);
        let left = all - self.whole.one().as_secs_f64() / self.between_whole(interval).as_secs_f64();
        self.outline.one().div_f64(left.max(all / f64::from(PART)))
    }

    /// The least time from the beginning of the last sample to the next.
    pub(super) fn pause(&self, pace: Pace, interval: Duration) -> Duration {
        let pause = match pace {
            Pace::Even => Duration::ZERO,
            Pace::Outlining if self.outlines_help(interval) => self.between_outlines(interval),
            Pace::Sparing | Pace::Outlining => self.whole.one().saturating_mul(SPARING),
        };
        pause.min(LONGEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(100);

    /// What comes at `pace` in so many seconds, where a whole sample and an outline cost so many milliseconds: how many of each
    /// kind, and the part of a processor that they take.
    fn samples(pace: Pace, seconds: u64, costs: [u64; 2]) -> ([u32; 2], f64) {
        samples_after(&mut Cost::new(Instant::now()), pace, seconds, costs)
    }

    fn samples_after(cost: &mut Cost, pace: Pace, seconds: u64, [whole, outline]: [u64; 2]) -> ([u32; 2], f64) {
        let begin = Instant::now();
        let (mut now, mut due) = (begin, begin);
        let (mut counts, mut spent, mut costs) = ([0; 2], Duration::ZERO, Duration::ZERO);
        while now.duration_since(begin) < Duration::from_secs(seconds) {
            let extent = cost.extent(pace, now, INTERVAL, costs);
            counts[usize::from(extent == Extent::Outline)] += 1;
            costs = Duration::from_millis(if extent == Extent::Whole { whole } else { outline });
            spent += costs;
            due = (due + INTERVAL).max(now + cost.pause(pace, INTERVAL));
            now = due.max(now + costs);
        }
        (counts, spent.as_secs_f64() / seconds as f64)
    }

    #[test]
    fn cheap_samples_are_whole_and_come_each_interval() {
        for pace in [Pace::Even, Pace::Sparing, Pace::Outlining] {
            assert_eq!(samples(pace, 10, [2, 1]).0, [100, 0]);
        }
        assert_eq!(samples(Pace::Even, 10, [50, 1]).0, [100, 0]);
    }

    #[test]
    fn dear_samples_leave_the_processor_to_others() {
        let ([whole, outlines], part) = samples(Pace::Sparing, 100, [20, 1]);
        assert!((105..130).contains(&whole) && outlines == 0 && part < 0.03, "{whole} {part}");
        let ([whole, outlines], part) = samples(Pace::Outlining, 100, [40, 1]);
        assert!((34..39).contains(&whole) && outlines > 950 && part < 0.03, "{whole} {outlines} {part}");
        // Where there is not enough time, whole samples are rare, and outlines have the rest.
        let ([whole, outlines], part) = samples(Pace::Outlining, 100, [40, 4]);
        assert!(
            (20..22).contains(&whole) && (370..400).contains(&outlines) && part < 0.03,
            "{whole} {outlines} {part}"
        );
    }

    #[test]
    fn outlines_are_tried_again() {
        let mut cost = Cost::new(Instant::now());
        // Something else was done, twice.
        cost.outline = LastTwo([Duration::from_millis(50); 2]);
        let ([whole, outlines], part) = samples_after(&mut cost, Pace::Outlining, 100, [8, 1]);
        assert!((100..220).contains(&whole) && outlines > 600 && part < 0.03, "{whole} {outlines} {part}");
        // Where they are not much cheaper, there are none.
        let ([whole, outlines], part) = samples(Pace::Outlining, 100, [8, 7]);
        assert!((250..310).contains(&whole) && outlines < 60 && part < 0.03, "{whole} {outlines} {part}");
    }

    #[test]
    fn pictures_do_not_grow_old() {
        assert!(samples(Pace::Sparing, 100, [1_000, 1]).0[0] >= 50);
        let ([whole, outlines], _) = samples(Pace::Outlining, 100, [1_000, 200]);
        assert!(whole >= 15 && whole + outlines >= 50, "{whole} {outlines}");
    }
}
