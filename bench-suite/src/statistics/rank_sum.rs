//! Two samples without pairs: how far one lies from the other, how sure that is, and whether they differ at all.
//!
//! Under "no difference" every way to deal the values out to two samples of these sizes is as likely as any other. The
//! *permutation test* counts over all of them how often the ranks of one sample add up to as little or as much (Wilcoxon,
//! 1945; Mann and Whitney, "On a test of whether one of two random variables is stochastically larger than the other",
//! 1947). Ties get the mean of their ranks. The *shift* and its *interval* are the same test turned round (Hodges and
//! Lehmann, 1963; Hollander, Wolfe and Chicken, 4.1 to 4.3). Where many are dealt out ([`is_counted`]), the sum
//! of ranks is taken to be normal, with the variance that the ties leave.

use super::median;

/// Whether all ways to deal values out to samples of these sizes are counted. Beyond that the normal distribution differs by
/// less than 0.002 where p is small, 0.005 elsewhere; with fewer in one sample it does not come that close (1 and 80: 0.11).
fn is_counted(one: usize, two: usize) -> bool {
    one + two <= 80 || one.min(two) < 20
}

/// How likely it is, between 0 and 1, that samples without a true difference lie as far apart as these. 1 of nothing.
pub fn p_value(one: &[f64], two: &[f64]) -> f64 {
    // Whichever is the smaller: both lean to a side alike, and of few there are fewer sums.
    let (one, two) = if one.len() <= two.len() { (one, two) } else { (two, one) };
    let ranks = doubled_ranks(one, two);
    if is_counted(one.len(), two.len()) { exact_p(&ranks, one.len()) } else { normal_p(&ranks, one.len()) }
}

/// The chance that `count` of `ranks` add up to what is as far from their mean as the first of them do.
fn exact_p(ranks: &[usize], count: usize) -> f64 {
    let (sum, total): (usize, usize) = (ranks[..count].iter().sum(), ranks.iter().sum());
    // Times the number of ranks: the mean need not be whole.
    let lean = |sum: usize| (sum * ranks.len()).abs_diff(total * count);
    let chances = sums(ranks, count);
    let as_far = chances.iter().enumerate().filter(|(other, _)| lean(*other) >= lean(sum));
    as_far.map(|(_, chance)| chance).sum::<f64>().min(1.0)
}

/// The same where the sum is normal.
fn normal_p(ranks: &[usize], count: usize) -> f64 {
    let (sum, total): (usize, usize) = (ranks[..count].iter().sum(), ranks.iter().sum());
    let (n, count) = (ranks.len() as f64, count as f64);
    let mean = total as f64 / n;
    let spread = ranks.iter().map(|rank| (*rank as f64 - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let deviation = (spread * count * (n - count) / n).sqrt();
    // Ranks are doubled, so the next sum is two away, and half of that is one.
    let lean = ((sum as f64 - count * mean).abs() - 1.0).max(0.0);
    if deviation == 0.0 { 1.0 } else { both_tails(lean / deviation) }
}

/// How much larger the values of `two` are than those of `one`: the median of all their differences. `None` of nothing.
pub fn shift(one: &[f64], two: &[f64]) -> Option<f64> {
    median(&differences(one, two))
}

/// An interval that holds the true shift with at least the chance `confidence` (below 1), where the two differ in nothing
/// else. `None` where there are too few: 95 % take four of each.
pub fn shift_interval(one: &[f64], two: &[f64], confidence: f64) -> Option<(f64, f64)> {
    let tail = (1.0 - confidence) / 2.0;
    let (few, many) = (one.len().min(two.len()), one.len().max(two.len()));
    let cut = if is_counted(few, many) { exact_cut(few, many, tail) } else { normal_cut(few, many, tail) };
    let n = few * many;
    let differences = differences(one, two);
    Some((*differences.get(cut.checked_sub(1)?)?, *differences.get(n.checked_sub(cut)?)?))
}

/// How many of the smallest differences lie outside of an interval that leaves the chance `tail` on each side.
fn exact_cut(one: usize, two: usize, tail: f64) -> usize {
    let ranks: Vec<_> = (1..=one + two).collect();
    let least = one * (one + 1) / 2;
    let mut below = 0.0;
    let fits = |chance: &&f64| {
        below += **chance;
        below <= tail
    };
    sums(&ranks, one).iter().skip(least).take_while(fits).count()
}

/// The same where the sum of ranks is normal.
fn normal_cut(one: usize, two: usize, tail: f64) -> usize {
    let (pairs, values) = ((one * two) as f64, (one + two) as f64);
    let deviation = (pairs * (values + 1.0) / 12.0).sqrt();
    let mut far = 0.0;
    while both_tails(far) > 2.0 * tail {
        far += 1e-3;
    }
    // Half of the step to the next sum, and the first difference is the one that no sum below 1 leaves out.
    (pairs / 2.0 - far * deviation + 0.5).floor().max(0.0) as usize
}

/// Each value of `two` less each of `one`, smallest first.
fn differences(one: &[f64], two: &[f64]) -> Vec<f64> {
    let mut all: Vec<_> = one.iter().flat_map(|one| two.iter().map(move |two| two - one)).collect();
    all.sort_by(f64::total_cmp);
    all
}

/// The rank of each value among those of both, from 1, times two: the mean of two ranks stays whole.
fn doubled_ranks(one: &[f64], two: &[f64]) -> Vec<usize> {
    let all: Vec<_> = one.iter().chain(two).collect();
    let rank = |value: &&f64| {
        let smaller = all.iter().filter(|other| *other < value).count();
        let equal = all.iter().filter(|other| *other == value).count();
        2 * smaller + equal + 1
    };
    all.iter().map(rank).collect()
}

/// The chance of each sum of `count` of `ranks`, chosen at random.
fn sums(ranks: &[usize], count: usize) -> Vec<f64> {
    let mut largest = ranks.to_vec();
    largest.sort_unstable_by(|one, two| two.cmp(one));
    let most = largest.iter().take(count).sum::<usize>() + 1;
    // By how many are chosen: how many ways lead to each sum.
    let mut ways = vec![vec![0.0; most]; count + 1];
    ways[0][0] = 1.0;
    for &rank in ranks {
        // From above: what is added to was not changed for this rank yet.
        for chosen in (1..=count).rev() {
            for sum in rank..most {
                let without = ways[chosen - 1][sum - rank];
                ways[chosen][sum] += without;
            }
        }
    }
    let all: f64 = ways[count].iter().sum();
    ways[count].iter().map(|ways| ways / all).collect()
}

/// The chance that a normal value is farther from its mean than so many standard deviations: Abramowitz and Stegun,
/// "Handbook of mathematical functions" (1964), 26.2.17, within 1.5e-7.
fn both_tails(deviations: f64) -> f64 {
    const COEFFICIENTS: [f64; 5] = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530];
    let t = 1.0 / (1.0 + 0.231_641_9 * deviations);
    let polynomial = COEFFICIENTS.iter().fold(0.0, |sum, coefficient| (sum + coefficient) * t);
    let density = (-deviations * deviations / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    (2.0 * density * polynomial).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::rng::Rng;

    fn numbers(values: impl IntoIterator<Item = i32>) -> Vec<f64> {
        values.into_iter().map(f64::from).collect()
    }

    #[test]
    fn chances_are_those_of_the_published_tables() {
        // Critical values of U at 5 %, both sides: n = m = 4: 0; 5: 2; 8: 13; 10: 23; 20: 127.
        assert_eq!(p_value(&numbers(1..=4), &numbers(5..=8)), 2.0 / 70.0);
        assert!(shift_interval(&numbers(1..=3), &numbers(4..=6), 0.95).is_none());
        for (size, critical) in [(4, 0), (5, 2), (8, 13), (10, 23), (20, 127)] {
            let (one, two) =
                (numbers((0..size).map(|value| 1000 * value)), numbers((0..size).map(|value| 1000 * value + 1)));
            let all = differences(&one, &two);
            let interval = shift_interval(&one, &two, 0.95).unwrap();
            assert_eq!(interval, (all[critical], all[all.len() - 1 - critical]), "{size}");
        }
    }

    #[test]
    fn nothing_and_equals_are_no_difference() {
        assert_eq!((p_value(&[], &[]), shift(&[], &[]), shift_interval(&[], &[1.0], 0.95)), (1.0, None, None));
        assert_eq!(p_value(&[2.0; 6], &[2.0; 6]), 1.0);
        assert_eq!(p_value(&[2.0; 60], &[2.0; 60]), 1.0);
    }

    #[test]
    fn ties_share_their_ranks() {
        // Of the 6 ways to take two of 1, 2.5, 2.5, 4, the sums 3.5, 3.5, 5, 5, 6.5, 6.5.
        assert_eq!(p_value(&[1.0, 2.0], &[2.0, 3.0]), 4.0 / 6.0);
        assert_eq!(shift(&[1.0, 2.0], &[2.0, 3.0]), Some(1.0));
    }

    #[test]
    fn the_normal_distribution_goes_on_where_counting_ends() {
        assert!((both_tails(1.959_964) - 0.05).abs() < 1e-6 && (both_tails(0.0) - 1.0).abs() < 1e-6);
        // As far as it is counted through; alike in size, and not.
        for (first, second) in [(40, 40), (20, 61), (20, 200)] {
            for rank in 0..40 {
                let one = numbers((0..first).map(|value| 2 * value));
                let two = numbers((0..second).map(|value| 2 * value * first / second + rank));
                let ranks = doubled_ranks(&one, &two);
                let (exact, normal) = (exact_p(&ranks, one.len()), normal_p(&ranks, one.len()));
                let near = if exact < 0.1 { 0.002 } else { 0.005 };
                assert!((exact - normal).abs() < near, "{first} and {second}: {exact} {normal}");
            }
            let (first, second) = (first as usize, second as usize);
            assert!(exact_cut(first, second, 0.025).abs_diff(normal_cut(first, second, 0.025)) <= 1);
        }
    }

    /// The most extreme of 81 places on either side: 2 of 81 ways.
    #[test]
    fn one_value_against_many_is_counted() {
        let (one, many) = (numbers([1000]), numbers(0..80));
        for p in [p_value(&one, &many), p_value(&many, &one)] {
            assert!((p - 2.0 / 81.0).abs() < 1e-12, "{p}");
        }
        assert!(shift_interval(&one, &many, 0.95).is_some() && shift_interval(&one, &numbers(0..30), 0.95).is_none());
    }

    /// The interval of 10 and 10 values holds the shift with a chance of 95.7 %; standard error of 4000 trials: 0.32 %.
    #[test]
    fn the_interval_covers_and_never_contradicts_the_test() {
        let mut rng = Rng::new(4);
        let mut value = |shift: f64| {
            let uniform = (rng.below(1 << 53) as f64 + 0.5) / (1u64 << 53) as f64;
            shift + if uniform < 0.5 { (2.0 * uniform).ln() } else { -(2.0 - 2.0 * uniform).ln() }
        };
        let mut covered = 0;
        for _ in 0..4000 {
            let one: Vec<_> = (0..10).map(|_| value(0.0)).collect();
            let two: Vec<_> = (0..10).map(|_| value(3.0)).collect();
            let (low, high) = shift_interval(&one, &two, 0.95).unwrap();
            covered += u32::from((low..=high).contains(&3.0));
            assert_eq!(p_value(&one, &two) <= 0.05, !(low..=high).contains(&0.0));
        }
        assert!((3780..3880).contains(&covered), "{covered}");
    }
}
