//! Values that stand far from the others of their sample.

use super::quantile;

/// The fence: how many times the distance of the quartiles a value may lie outside of them. Tukey, "Exploratory data
/// analysis" (1977), calls what is beyond three "far out".
const FENCE: f64 = 3.0;

/// The indices of the values that are far out.
pub fn outliers(values: &[f64]) -> Vec<usize> {
    let (Some(lower), Some(upper)) = (quantile(values, 0.25), quantile(values, 0.75)) else { return Vec::new() };
    let margin = FENCE * (upper - lower);
    let inside = lower - margin..=upper + margin;
    (0..values.len()).filter(|&index| !inside.contains(&values[index])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_far_out() {
        // Quartiles 2 and 4: the fences are -4 and 10.
        assert_eq!(outliers(&[1.0, 2.0, 3.0, 4.0, 9.9]), [0; 0]);
        assert_eq!(outliers(&[1.0, 2.0, 3.0, 4.0, 10.1]), [4]);
        assert_eq!(outliers(&[]), [0; 0]);
    }
}
