//! The distribution of a time, in nanoseconds.

use hdrhistogram::Histogram;
use rumpscope_probes::{ClockInfo, Distribution, Metric, Place, Snapshot};
use serde::Serialize;
use std::collections::BTreeMap;

/// Percentiles are told up to here; what is longer counts as this long there. Totals, maxima and histograms are not cut.
pub const LONGEST_NS: u64 = 3_600_000_000_000;

/// How often something happened, and how long it took.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Times {
    /// How often; exact.
    pub count: u64,
    /// How many of these were timed.
    pub timed: u64,
    /// The time of all of them, in nanoseconds; 0 where none was timed. Nothing is in it of a kind of them that was never
    /// timed.
    pub total_ns: u64,
    /// Not all were timed: total, percentiles and histogram are estimates, in which those that were not are taken to be
    /// like those of their kind that were.
    pub estimated: bool,
    /// `null` where none was timed, or none of one kind of them, or a recording does not tell how long each took.
    pub percentiles: Option<Percentiles>,
    /// How many lasted more than an hour, and count as an hour in the percentiles.
    pub over_an_hour: u64,
    /// All of them, or none where there are no percentiles: lower bound (inclusive) and upper bound (exclusive) in
    /// nanoseconds, and count, lowest first. Empty buckets are left out.
    pub histogram: Vec<(f64, f64, u64)>,
}

/// Points of a distribution, in nanoseconds, within 1 % or a step of the clock. The maximum is exact, but of a part of a
/// measurement the upper bound of the longest's bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Percentiles {
    pub p50_ns: u64,
    pub p90_ns: u64,
    pub p99_ns: u64,
    pub p99_9_ns: u64,
    pub max_ns: u64,
}

/// A time, and where it was spent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlaceTimes {
    /// `vcpu0` and so on, `off_cpu`, or `unknown`.
    pub place: String,
    /// The time.
    #[serde(flatten)]
    pub times: Times,
}

/// A time over all places and at each.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Over all places.
    #[serde(flatten)]
    pub all: Times,
    /// Place by place, virtual CPUs first.
    pub places: Vec<PlaceTimes>,
}

impl Times {
    /// What the distributions `kinds` say together, by a clock of this rate. Each may have been timed in part; its events
    /// are taken to be alike. Where one was never timed, the others tell nothing of it.
    pub fn new<'a>(kinds: impl IntoIterator<Item = &'a Distribution>, clock: &ClockInfo) -> Self {
        let mut all = Distribution::default();
        let (mut count, mut timed, mut is_told) = (0, 0, true);
        for kind in kinds {
            count = u64::saturating_add(count, kind.count());
            timed = u64::saturating_add(timed, kind.timed());
            is_told &= kind.timed() != 0 || kind.count() == 0;
            all.merge(&kind.extrapolated());
        }
        is_told &= all.is_placed();
        let (percentiles, over_an_hour) = if is_told { percentiles(&all, clock) } else { (None, 0) };
        Times {
            count,
            timed,
            total_ns: clock.nanoseconds(all.sum).round() as u64,
            estimated: timed != 0 && timed < count,
            percentiles,
            over_an_hour,
            histogram: all
                .buckets()
                .filter(|_| is_told)
                .map(|(low, high, count)| {
                    (picoseconds(clock.nanoseconds(low)), picoseconds(clock.nanoseconds(high + 1)), count)
                })
                .collect(),
        }
    }
}

/// Rounded to a thousandth: a clock's rate is not known better, and files stay short.
fn picoseconds(nanoseconds: f64) -> f64 {
    (nanoseconds * 1e3).round() / 1e3
}

/// The percentiles, and how many values were cut at [`LONGEST_NS`].
///
/// Each bucket of ticks goes, by its middle (off by at most 0.78 %), into an `hdrhistogram` of nanoseconds with three
/// significant digits (off by at most 0.1 %); that crate decides what a percentile is.
fn percentiles(distribution: &Distribution, clock: &ClockInfo) -> (Option<Percentiles>, u64) {
    let Ok(mut histogram) = Histogram::<u64>::new_with_bounds(1, LONGEST_NS, 3) else { return (None, 0) };
    let mut cut = 0;
    // The crate adds up all counts, and does not expect that there are more than fit.
    let mut room = u64::MAX;
    for (low, high, count) in distribution.buckets() {
        let count = count.min(room);
        room -= count;
        let middle = clock.nanoseconds(low + (high - low) / 2).round() as u64;
        if middle > LONGEST_NS {
            cut = u64::saturating_add(cut, count);
        }
        histogram.saturating_record_n(middle, count);
    }
    if histogram.is_empty() {
        return (None, cut);
    }
    let max_ns = clock.nanoseconds(distribution.max).round() as u64;
    // The crate answers with the upper end of what it cannot tell apart, which may lie above the exact maximum.
    let at = |quantile| histogram.value_at_quantile(quantile).min(max_ns);
    let percentiles = Percentiles { p50_ns: at(0.5), p90_ns: at(0.9), p99_ns: at(0.99), p99_9_ns: at(0.999), max_ns };
    (Some(percentiles), cut)
}

/// The name of a place in reports.
pub(crate) fn place_name(place: Place) -> String {
    match place {
        Place::Vcpu(index) => format!("vcpu{index}"),
        Place::OffCpu => "off_cpu".to_owned(),
        Place::Unknown => "unknown".to_owned(),
    }
}

impl Totals {
    /// The events of `metrics`, which are kinds of one thing, over all places and at each.
    pub fn new(snapshot: &Snapshot, metrics: &[Metric]) -> Self {
        let mut places = BTreeMap::<Place, Vec<&Distribution>>::new();
        for ((place, metric), distribution) in &snapshot.cells {
            if metrics.contains(metric) {
                places.entry(*place).or_default().push(distribution);
            }
        }
        let sums: Vec<_> = metrics.iter().map(|metric| snapshot.total(*metric)).collect();
        let clock = &snapshot.clock;
        let at = |(place, kinds)| PlaceTimes { place: place_name(place), times: Times::new(kinds, clock) };
        Totals { all: Times::new(&sums, clock), places: places.into_iter().map(at).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rumpscope_probes::ClockSource;

    #[test]
    fn more_events_than_can_be_counted_have_percentiles() {
        let mut forged = Distribution::default();
        [0, 3].into_iter().for_each(|chunk| forged.set_chunk(chunk, &[u64::MAX; 64]));
        let times = Times::new([&forged], &clock(1e9));
        assert!(times.percentiles.is_some() && times.count == u64::MAX);
    }

    fn clock(ticks_per_second: f64) -> ClockInfo {
        ClockInfo { source: ClockSource::Tsc, ticks_per_second, two_reads_ns: 20.0, step_ns: 1.0 }
    }

    #[test]
    fn what_was_not_timed_is_estimated_from_what_was() {
        let mut distribution = Distribution::default();
        distribution.untimed = 6;
        let untimed = Times::new([&distribution], &clock(1e9));
        assert_eq!((untimed.count, untimed.total_ns, untimed.estimated, untimed.percentiles), (6, 0, false, None));

        distribution.record(10);
        distribution.record(30);
        let times = Times::new([&distribution], &clock(1e9));
        assert_eq!((times.count, times.timed, times.total_ns, times.estimated), (8, 2, 160, true));
    }

    #[test]
    fn a_sample_of_one_kind_does_not_hide_the_other() {
        let (mut quick, mut slow) = (Distribution::default(), Distribution::default());
        quick.untimed = 990;
        (0..10).for_each(|_| quick.record(10));
        (0..10).for_each(|_| slow.record(5_000));
        let times = Times::new([&quick, &slow], &clock(1e9));
        assert_eq!((times.count, times.timed, times.total_ns, times.estimated), (1_010, 20, 60_000, true));
        let percentiles = times.percentiles.unwrap();
        assert_eq!((percentiles.p50_ns, percentiles.p90_ns, percentiles.max_ns), (10, 10, 5_000));
        assert!(percentiles.p99_9_ns >= 4_950);
    }

    #[test]
    fn nothing_is_known_of_a_kind_that_was_never_timed() {
        let (mut quick, mut slow) = (Distribution::default(), Distribution::default());
        quick.untimed = 45;
        (0..5).for_each(|_| slow.record(300_000));
        let times = Times::new([&quick, &slow], &clock(1e9));
        assert_eq!((times.count, times.timed, times.total_ns, times.estimated), (50, 5, 1_500_000, true));
        assert_eq!((times.percentiles, times.histogram), (None, Vec::new()));
        let nothing = Distribution::default();
        assert!(Times::new([&nothing, &slow], &clock(1e9)).percentiles.is_some());
    }

    #[test]
    fn more_than_an_hour_is_counted() {
        let mut distribution = Distribution::default();
        distribution.record(2 * LONGEST_NS);
        distribution.record(5);
        let times = Times::new([&distribution], &clock(1e9));
        assert_eq!(times.over_an_hour, 1);
        let percentiles = times.percentiles.unwrap();
        assert_eq!(percentiles.max_ns, 2 * LONGEST_NS);
        assert!(percentiles.p99_ns >= LONGEST_NS);
    }

    /// Values over the whole range, as many of each size as of any other.
    fn nanoseconds() -> impl Strategy<Value = u64> {
        (0.0..(LONGEST_NS as f64).log2()).prop_map(|exponent| exponent.exp2() as u64)
    }

    proptest! {
        #[test]
        fn percentiles_are_those_of_a_direct_recording(
            values in proptest::collection::vec(nanoseconds(), 1..400),
            gigahertz in 0.5..5.0f64,
        ) {
            let clock = clock(gigahertz * 1e9);
            let mut distribution = Distribution::default();
            let mut direct = Histogram::<u64>::new_with_bounds(1, LONGEST_NS, 3).unwrap();
            for &value in &values {
                distribution.record((value as f64 * gigahertz).round() as u64);
                direct.record(value).unwrap();
            }
            let times = Times::new([&distribution], &clock);
            let ours = times.percentiles.unwrap();
            let quantiles = [(0.5, ours.p50_ns), (0.9, ours.p90_ns), (0.99, ours.p99_ns), (0.999, ours.p99_9_ns)];
            for (quantile, ours) in quantiles {
                let theirs = direct.value_at_quantile(quantile);
                // A tick of the slowest clock here is two nanoseconds.
                let allowed = 0.01 * theirs as f64 + 2.0;
                prop_assert!(ours.abs_diff(theirs) as f64 <= allowed, "p{quantile}: {ours} for {theirs}");
            }
            let max = *values.iter().max().unwrap();
            prop_assert!(ours.max_ns.abs_diff(max) <= 1);
            let in_histogram: u64 = times.histogram.iter().map(|bucket| bucket.2).sum();
            prop_assert_eq!(in_histogram, values.len() as u64);
        }
    }
}
