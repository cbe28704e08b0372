//! Paired differences: where their center is, how sure that is, and whether it is zero.
//!
//! Two runs of one block that differ in nothing but a label are as likely to come out one way as the other, so under
//! "no difference" each difference may change its sign. The *permutation test* counts, over all ways to choose the signs,
//! how often the differences lean to one side as much as they do. It is made with their ranks (Wilcoxon, "Individual
//! comparisons by ranking methods", 1945), so one wild run does not decide it. Zeros are ranked and lean nowhere (Pratt,
//! 1959); ties get the mean of their ranks, and the count is of these ranks, so it stays exact. The *center* and its
//! *interval* are the same test turned round: all shifts that it would not refute (Hodges and Lehmann, 1963; Hollander,
//! Wolfe and Chicken, "Nonparametric statistical methods", 3.1 to 3.3). They cannot contradict the test.

use super::median;

/// How likely it is, between 0 and 1, that differences without a true center other than zero lean to one side as much as
/// these or more. 1 of nothing.
pub fn p_value(differences: &[f64]) -> f64 {
    let ranks = doubled_ranks(differences);
    let signed: Vec<_> = differences.iter().zip(ranks).filter(|(difference, _)| **difference != 0.0).collect();
    let positive: usize = signed.iter().filter(|(difference, _)| **difference > 0.0).map(|(_, rank)| rank).sum();
    let all: Vec<_> = signed.iter().map(|(_, rank)| *rank).collect();
    let total: usize = all.iter().sum();
    let lean = (2 * positive).abs_diff(total);
    let sums = sums(&all);
    let as_far = sums.iter().enumerate().filter(|(sum, _)| (2 * sum).abs_diff(total) >= lean);
    as_far.map(|(_, chance)| chance).sum::<f64>().min(1.0)
}

/// The center of the differences: the median of their Walsh averages. `None` of nothing.
pub fn center(differences: &[f64]) -> Option<f64> {
    median(&walsh_averages(differences))
}

/// An interval that holds the true center with at least the chance `confidence` (below 1), where differences lie evenly
/// around it. `None` where there are too few: 95 % take six.
pub fn interval(differences: &[f64], confidence: f64) -> Option<(f64, f64)> {
    let tail = (1.0 - confidence) / 2.0;
    let ranks: Vec<_> = (1..=differences.len()).collect();
    let mut below = 0.0;
    let cut = sums(&ranks)
        .iter()
        .take_while(|chance| {
            below += **chance;
            below <= tail
        })
        .count();
    let averages = walsh_averages(differences);
    let last = averages.len().checked_sub(cut)?;
    Some((*averages.get(cut.checked_sub(1)?)?, *averages.get(last)?))
}

/// The rank of each absolute value among all, from 1, times two: the mean of two ranks stays whole.
fn doubled_ranks(values: &[f64]) -> Vec<usize> {
    let size = |value: &f64| value.abs();
    let rank = |value: &f64| {
        let smaller = values.iter().filter(|other| size(other) < size(value)).count();
        let equal = values.iter().filter(|other| size(other) == size(value)).count();
        2 * smaller + equal + 1
    };
    values.iter().map(rank).collect()
}

/// The chance of each sum of a random choice among `ranks`.
fn sums(ranks: &[usize]) -> Vec<f64> {
    let mut chances = vec![0.0; ranks.iter().sum::<usize>() + 1];
    chances[0] = 1.0;
    for &rank in ranks {
        // From above: what is added was not changed for this rank yet.
        for sum in (0..chances.len()).rev() {
            let with = sum.checked_sub(rank).map_or(0.0, |without| chances[without]);
            chances[sum] = (chances[sum] + with) / 2.0;
        }
    }
    chances
}

/// The mean of each pair, and each value itself; smallest first.
fn walsh_averages(values: &[f64]) -> Vec<f64> {
    let pairs = values.iter().enumerate().flat_map(|(index, one)| values[..=index].iter().map(move |two| (one, two)));
    let mut averages: Vec<_> = pairs.map(|(one, two)| (one + two) / 2.0).collect();
    averages.sort_by(f64::total_cmp);
    averages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::rng::Rng;

    /// Distinct sizes 1 to `n`, of which those in `negative` are negative.
    fn differences(n: i32, negative: &[i32]) -> Vec<f64> {
        (1..=n).map(|size| f64::from(if negative.contains(&size) { -size } else { size })).collect()
    }

    #[test]
    fn chances_are_those_of_the_published_tables() {
        // Two-sided chances of a smaller rank sum of at most T: 2/2^6; n = 10, T = 8: 0.048828; n = 10, T = 10: 0.083984.
        assert_eq!(p_value(&differences(6, &[])), 2.0 / 64.0);
        assert!((p_value(&differences(10, &[8])) - 0.048_828_125).abs() < 1e-12);
        assert!((p_value(&differences(10, &[10])) - 0.083_984_375).abs() < 1e-12);
        // n = 20, T = 52 is the largest that is significant at 5 %: 20 + 19 + 13.
        assert!(p_value(&differences(20, &[20, 19, 13])) <= 0.05);
        assert!(p_value(&differences(20, &[20, 19, 14])) > 0.05);
    }

    #[test]
    fn nothing_and_nothing_but_zeros_are_no_difference() {
        assert_eq!(p_value(&[]), 1.0);
        assert_eq!(p_value(&[0.0; 8]), 1.0);
        assert_eq!((center(&[]), interval(&[], 0.95)), (None, None));
    }

    #[test]
    fn ties_share_their_ranks() {
        // Sums of 1.5, 1.5, 3: 0, 1.5, 1.5, 3, 3, 4.5, 4.5, 6.
        assert_eq!(p_value(&[1.0, 1.0, 2.0]), 2.0 / 8.0);
        assert_eq!(p_value(&[-1.0, 1.0, 2.0]), 6.0 / 8.0);
    }

    #[test]
    fn an_interval_is_cut_where_the_tables_say() {
        // n = 6: the extremes; n = 5: none at 95 %; n = 10: the 9th of 55 from either end.
        let six = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
        assert_eq!(interval(&six, 0.95), Some((1.0, 32.0)));
        assert_eq!(interval(&six[..5], 0.95), None);
        let ten = differences(10, &[]);
        let averages = walsh_averages(&ten);
        assert_eq!(averages.len(), 55);
        assert_eq!(interval(&ten, 0.95), Some((averages[8], averages[46])));
        assert_eq!(center(&ten), Some(5.5));
    }

    /// Heavy tails: of a Laplace distribution, with one value in twenty ten times as far out.
    fn noise(rng: &mut Rng) -> f64 {
        let uniform = (rng.below(1 << 53) as f64 + 0.5) / (1u64 << 53) as f64;
        let laplace = if uniform < 0.5 { (2.0 * uniform).ln() } else { -(2.0 - 2.0 * uniform).ln() };
        if rng.one_in(20) { laplace * 10.0 } else { laplace }
    }

    /// Of `TRIALS` samples of ten around `shift`: how often the interval holds `shift`, how often the test sees a
    /// difference, and that both agree each time.
    fn simulate(shift: f64, seed: u64) -> (f64, f64) {
        const TRIALS: u32 = 4000;
        let mut rng = Rng::new(seed);
        let (mut covered, mut seen) = (0, 0);
        for _ in 0..TRIALS {
            let sample: Vec<_> = (0..10).map(|_| shift + noise(&mut rng)).collect();
            let (low, high) = interval(&sample, 0.95).unwrap();
            let significant = p_value(&sample) <= 0.05;
            assert_eq!(significant, !(low..=high).contains(&0.0), "{sample:?}");
            covered += u32::from((low..=high).contains(&shift));
            seen += u32::from(significant);
        }
        (f64::from(covered) / f64::from(TRIALS), f64::from(seen) / f64::from(TRIALS))
    }

    /// Of ten values the interval holds the center with a chance of 95.1 %; the standard error of 4000 trials is 0.34 %.
    #[test]
    fn the_interval_covers_and_the_test_errs_as_often_as_promised() {
        let (covered, seen) = simulate(0.0, 1);
        assert!((0.94..0.962).contains(&covered), "{covered}");
        assert!((0.038..0.06).contains(&seen), "{seen}");
        let (covered, seen) = simulate(4.0, 2);
        assert!((0.94..0.962).contains(&covered), "{covered}");
        assert!(seen > 0.9, "{seen}");
    }
}
