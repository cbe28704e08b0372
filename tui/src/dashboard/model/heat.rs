//! A column of a heat map: how many events took how long, by powers of two.

use rumpscope_probes::{ClockInfo, Distribution};

/// Counts of times; row *r* counts from 2^*r* to below 2^(*r* + 1) nanoseconds, row 0 all below 2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heat {
    first: u8,
    counts: Box<[u32]>,
}

/// Rows that there can be: up to 2^63 ns.
const ROWS: usize = 64;

impl Heat {
    /// That of the timed events of `kinds`, each weighed as if all its events had been timed.
    /// None of them where it is not known how long each took.
    pub fn new(kinds: &[Distribution], clock: &ClockInfo) -> Self {
        if !kinds.iter().all(Distribution::is_placed) {
            return Heat::default();
        }
        let mut rows = [0.0; ROWS];
        for kind in kinds {
            let timed = kind.timed();
            let weight = if timed == 0 { 0.0 } else { (timed + kind.untimed) as f64 / timed as f64 };
            for (low, high, count) in kind.buckets() {
                rows[row(clock.nanoseconds(low + (high - low) / 2))] += count as f64 * weight;
            }
        }
        Self::of(&rows)
    }

    fn of(rows: &[f64; ROWS]) -> Self {
        let Some(first) = rows.iter().position(|count| *count > 0.0) else { return Heat::default() };
        let last = rows.iter().rposition(|count| *count > 0.0).unwrap_or(first);
        // What was seen at all is not lost by rounding.
        let count = |count: &f64| if *count > 0.0 { count.round().clamp(1.0, f64::from(u32::MAX)) as u32 } else { 0 };
        Heat { first: first as u8, counts: rows[first..=last].iter().map(count).collect() }
    }

    /// A part of it; what is in it at all stays.
    pub fn part(&self, part: f64) -> Heat {
        let mut rows = [0.0; ROWS];
        self.rows().for_each(|(row, count)| rows[row] = f64::from(count) * part);
        Self::of(&rows)
    }

    /// All of `parts` together.
    pub fn sum<'a>(parts: impl IntoIterator<Item = &'a Heat>) -> Self {
        let mut rows = [0.0; ROWS];
        for part in parts {
            for (row, count) in part.rows() {
                rows[row] += f64::from(count);
            }
        }
        Self::of(&rows)
    }

    /// How many events are in row `row`.
    pub fn count(&self, row: usize) -> u32 {
        row.checked_sub(usize::from(self.first)).and_then(|index| self.counts.get(index)).copied().unwrap_or(0)
    }

    /// The rows from the first to the last that counted something, and their counts.
    pub fn rows(&self) -> impl Iterator<Item = (usize, u32)> + '_ {
        self.counts.iter().enumerate().map(|(index, count)| (index + usize::from(self.first), *count))
    }

    /// The lowest and the highest row that counted something.
    pub fn range(&self) -> Option<(usize, usize)> {
        let first = usize::from(self.first);
        (!self.counts.is_empty()).then(|| (first, first + self.counts.len() - 1))
    }

    /// The shortest time of a row, in nanoseconds.
    pub fn shortest_ns(row: usize) -> f64 {
        if row == 0 { 0.0 } else { (row as f64).exp2() }
    }
}

fn row(nanoseconds: f64) -> usize {
    if nanoseconds < 1.0 { 0 } else { (nanoseconds.log2() as usize).min(ROWS - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::testing;

    #[test]
    fn rows_are_powers_of_two() {
        assert_eq!([0.0, 1.0, 1.9, 2.0, 1023.9, 1024.0, 1e30].map(row), [0, 0, 0, 1, 9, 10, 63]);
        assert_eq!([0, 1, 10].map(Heat::shortest_ns), [0.0, 2.0, 1024.0]);
    }

    #[test]
    fn what_was_not_timed_weighs_as_what_was() {
        let mut kind = Distribution::default();
        // Two ticks are a nanosecond here.
        (0..10).for_each(|_| kind.record(3_000));
        kind.untimed = 90;
        let heat = Heat::new(&[kind], &testing::clock());
        assert_eq!((heat.range(), heat.count(10), heat.count(9), heat.count(63)), (Some((10, 10)), 100, 0, 0));
    }

    #[test]
    fn columns_add_up() {
        let clock = testing::clock();
        let parts = [testing::spread(10, 100, 200), testing::spread(10, 100_000, 200_000)];
        let sum = Heat::sum(&parts.clone().map(|part| Heat::new(&[part], &clock)));
        assert_eq!(sum, Heat::new(&parts, &clock));
        assert_eq!(sum.rows().map(|(_, count)| count).sum::<u32>(), 20);
        assert_eq!(Heat::sum([]).range(), None);
    }
}
