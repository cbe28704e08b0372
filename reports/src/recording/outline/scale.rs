//! The scale that times are rounded down to, as that of the histograms: log-linear, here with 128 steps an octave, over
//! all words.

/// log2 of the steps of an octave.
const STEPS: u32 = 7;

/// The step that `number` lies in. Up to 255 each number has one of its own.
pub(super) fn step(number: u64) -> u64 {
    let octave = (number | 1 << STEPS).ilog2() - STEPS;
    (u64::from(octave) << STEPS) + (number >> octave)
}

/// The smallest number in `step`; `None`: there is no such step.
pub(super) fn lowest(step: u64) -> Option<u64> {
    let octave = (step >> STEPS).saturating_sub(1);
    (octave <= u64::from(u64::BITS - 1 - STEPS)).then(|| (step - (octave << STEPS)) << octave)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn little_is_lost(number: u64, shift in 0..64) {
            let number = number >> shift;
            let rounded = lowest(step(number)).unwrap();
            prop_assert!(rounded <= number && number - rounded <= number / 128);
            prop_assert_eq!(step(rounded), step(number));
            prop_assert!(number == u64::MAX || step(number + 1) - step(number) <= 1);
        }
    }

    #[test]
    fn there_is_a_last_step() {
        assert_eq!([0, 127, 128, 255, 256, 258].map(step), [0, 127, 128, 255, 256, 257]);
        assert_eq!(lowest(step(u64::MAX) + 1), None);
        assert_eq!(lowest(u64::MAX), None);
    }
}
