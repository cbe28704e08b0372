//! The figures of a time that lists show.
//!
//! A list has dozens of them, ten times a second, so percentiles are read off the histogram that is there.
//! [`Times`](rumpscope_reports::Times) makes another histogram first; both are true within 1 %.

use rumpscope_probes::{ClockInfo, Distribution};

/// How often something happened, and how long it took; times in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// How often; exact.
    pub count: u64,
    /// How many of these were timed.
    pub timed: u64,
    /// It is known how long each of them took, not only all together, and of each kind some were timed: otherwise
    /// percentiles and the longest are 0.
    pub placed: bool,
    /// The time of all of them; 0 where none was timed.
    pub total_ns: f64,
    /// Half of them took no longer.
    pub p50_ns: f64,
    /// 99 % took no longer.
    pub p99_ns: f64,
    /// 99.9 % took no longer.
    pub p99_9_ns: f64,
    /// The longest.
    pub max_ns: f64,
}

impl Figures {
    /// What `kinds` of one thing say together, each of which may have been timed in part.
    pub fn new(kinds: &[Distribution], clock: &ClockInfo) -> Self {
        match kinds {
            [] => Figures::default(),
            [kind] if kind.untimed == 0 => Self::of(kind, kind.count(), kind.timed(), clock),
            kinds => {
                let mut all = Distribution::default();
                kinds.iter().for_each(|kind| all.merge(&kind.extrapolated()));
                let count = kinds.iter().map(Distribution::count).fold(0, u64::saturating_add);
                let timed = kinds.iter().map(Distribution::timed).fold(0, u64::saturating_add);
                let figures = Self::of(&all, count, timed, clock);
                // Those of one kind alone say nothing of all.
                let unknown = |kind: &Distribution| kind.untimed != 0 && kind.timed() == 0;
                if kinds.iter().any(unknown) { figures.without_percentiles() } else { figures }
            }
        }
    }

    fn of(all: &Distribution, count: u64, timed: u64, clock: &ClockInfo) -> Self {
        let (placed, total_ns) = (all.is_placed(), clock.nanoseconds(all.sum));
        if !placed {
            return Figures { count, timed, total_ns, ..Figures::default() };
        }
        let [p50_ns, p99_ns, p99_9_ns] = quantiles(all, [0.5, 0.99, 0.999], clock);
        let max_ns = clock.nanoseconds(all.max);
        Figures { count, timed, placed, total_ns, p50_ns, p99_ns, p99_9_ns, max_ns }
    }

    fn without_percentiles(self) -> Self {
        Figures { count: self.count, timed: self.timed, total_ns: self.total_ns, ..Figures::default() }
    }

    /// Not all were timed: times are estimates.
    pub fn estimated(&self) -> bool {
        self.timed != 0 && self.timed < self.count
    }

    /// Whether percentiles and the longest are known.
    pub fn has_percentiles(&self) -> bool {
        self.is_timed() && self.placed
    }

    /// Whether anything is known of its times.
    pub fn is_timed(&self) -> bool {
        self.timed != 0
    }
}

/// The values below which these parts of all timed events lie, in nanoseconds; `parts` rise.
pub fn quantiles<const N: usize>(of: &Distribution, parts: [f64; N], clock: &ClockInfo) -> [f64; N] {
    let timed = of.timed();
    let mut values = [0.0; N];
    let (mut next, mut seen) = (0, 0);
    for (low, high, count) in of.buckets() {
        seen = u64::saturating_add(seen, count);
        while next < N && seen as f64 >= (parts[next] * timed as f64).ceil() {
            values[next] = clock.nanoseconds((low + (high - low) / 2).min(of.max));
            next += 1;
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::testing;
    use rumpscope_reports::Times;

    #[test]
    fn they_are_those_of_the_reports() {
        let clock = testing::clock();
        let mut quick = testing::spread(4_000, 60, 9_000);
        quick.untimed = 396_000;
        for kinds in [vec![testing::spread(5_000, 100, 3_000_000)], vec![quick, testing::spread(700, 900, 4_000_000)]] {
            let (ours, theirs) = (Figures::new(&kinds, &clock), Times::new(&kinds, &clock));
            let percentiles = theirs.percentiles.unwrap();
            assert_eq!((ours.count, ours.timed, ours.estimated()), (theirs.count, theirs.timed, theirs.estimated));
            let pairs = [
                (ours.total_ns, theirs.total_ns),
                (ours.p50_ns, percentiles.p50_ns),
                (ours.p99_ns, percentiles.p99_ns),
                (ours.p99_9_ns, percentiles.p99_9_ns),
                (ours.max_ns, percentiles.max_ns),
            ];
            for (ours, theirs) in pairs {
                assert!((ours - theirs as f64).abs() <= 0.01 * theirs as f64 + 2.0, "{ours} for {theirs}");
            }
        }
    }

    #[test]
    fn percentiles_need_to_know_each_time() {
        let clock = testing::clock();
        let mut outline = testing::spread(4_000, 60, 9_000);
        (outline.unplaced, outline.sum) = (1_000, outline.sum * 2);
        let figures = Figures::new(&[outline.clone()], &clock);
        assert_eq!((figures.count, figures.total_ns), (5_000, clock.nanoseconds(outline.sum)));
        assert!(figures.is_timed() && !figures.has_percentiles() && figures.max_ns == 0.0);
        assert_eq!(Times::new([&outline], &clock).percentiles, None);
    }

    #[test]
    fn percentiles_of_one_kind_are_not_shown_for_two() {
        let clock = testing::clock();
        let mut quick = Distribution::default();
        quick.untimed = 1_000;
        let slow = testing::spread(10, 4_000, 9_000);
        let figures = Figures::new(&[quick.clone(), slow.clone()], &clock);
        assert_eq!((figures.count, figures.timed, figures.p99_ns), (1_010, 10, 0.0));
        assert!(figures.is_timed() && !figures.has_percentiles() && figures.total_ns > 0.0);
        quick.record(50);
        assert!(Figures::new(&[quick, slow], &clock).has_percentiles());
    }

    #[test]
    fn nothing_has_no_times() {
        let clock = testing::clock();
        assert_eq!(Figures::new(&[], &clock), Figures::default());
        let mut untimed = Distribution::default();
        untimed.untimed = 7;
        let figures = Figures::new(&[untimed], &clock);
        assert_eq!((figures.count, figures.is_timed(), figures.p99_ns), (7, false, 0.0));
    }
}
