//! The scale that growth is rounded down to: log-linear, as that of the histograms, but over all words, and with as many
//! steps an octave as are asked for.

/// The step that `number` lies in, of a scale with 2^`steps` an octave. Below 2^(`steps` + 1) each number has one of its own.
pub fn step(number: u64, steps: u32) -> u64 {
    let octave = (number | 1 << steps).ilog2() - steps;
    (u64::from(octave) << steps) + (number >> octave)
}

/// The smallest number in `step`; `None`: there is no such step.
pub fn lowest(step: u64, steps: u32) -> Option<u64> {
    let octave = (step >> steps).saturating_sub(1);
    (octave <= u64::from(u64::BITS - 1 - steps)).then(|| (step - (octave << steps)) << octave)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn little_is_lost(number: u64, shift in 0..64, steps in 0..64u32) {
            let number = number >> shift;
            let rounded = lowest(step(number, steps), steps).unwrap();
            prop_assert!(rounded <= number && number - rounded <= number >> steps);
            prop_assert_eq!(step(rounded, steps), step(number, steps));
            prop_assert!(number == u64::MAX || step(number + 1, steps) - step(number, steps) <= 1);
        }
    }

    #[test]
    fn there_is_a_last_step() {
        assert_eq!([0, 127, 128, 255, 256, 258].map(|number| step(number, 7)), [0, 127, 128, 255, 256, 257]);
        assert_eq!([0, 1, 2, 3, 4, 7, 8].map(|number| step(number, 0)), [0, 1, 2, 2, 3, 3, 4]);
        for steps in 0..63 {
            assert_eq!(lowest(step(u64::MAX, steps) + 1, steps), None);
        }
        assert_eq!(lowest(u64::MAX, 7), None);
        assert_eq!((step(u64::MAX, 63), lowest(u64::MAX, 63)), (u64::MAX, Some(u64::MAX)));
    }
}
