//! A figure of an outline: what is written of it, and what it has become.

use super::coder::Coder;
use super::numbers::{Length, Numbers};
use super::scale;
use crate::precision::Precision;
use crate::recording::bytes::{Flaw, unzigzag, zigzag};

/// How a figure changes, which tells what is written of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It counts what happens.
    Count,
    /// A sum of times, which grows all the time.
    Time,
    /// A sum of times, which grows with this count of the row, which is further left.
    TimeOf(usize),
    /// It has any value. Exact.
    Value,
    /// A moment: how long ago is rounded down.
    Moment,
}

/// When a figure is written or read.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// When the sample was taken.
    pub taken: u64,
    /// How long after the one before.
    pub interval: u64,
    /// How far it rounds: log2 of the steps of an octave.
    pub precision: Precision,
}

/// A figure, and how it went so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figure {
    /// What it is; what grows may be less than it really is, never more.
    pub value: u64,
    /// What it has grown by since the sample before.
    pub grown: u64,
    /// What it grew by in a tick, on average, before that.
    pub rate: f64,
    length: Length,
}

/// The part of an average that the last sample makes.
const NEWEST: f64 = 0.2;

impl Figure {
    /// One that has grown to `value`, by `grown` in `interval`.
    pub fn new(kind: Kind, value: u64, grown: u64, interval: u64) -> Self {
        let bits = u64::BITS - grown.leading_zeros();
        let length = match kind {
            // Not known much better than a quarter of it, in most cases.
            Kind::Count => bits.saturating_sub(2),
            Kind::Time | Kind::TimeOf(_) => bits.min(5),
            Kind::Value | Kind::Moment => 0,
        };
        Figure { value, grown: 0, rate: grown as f64 / interval.max(1) as f64, length: Length::new(length) }
    }

    /// Writes that it `is` now, which it becomes as far as that is told; or reads that, whatever it was said to be. It was
    /// expected to grow by `expected`.
    pub fn code(
        &mut self,
        kind: Kind,
        is: u64,
        expected: u64,
        now: Circumstances,
        numbers: &mut Numbers,
        coder: &mut impl Coder,
    ) -> Result<(), Flaw> {
        let word = numbers.code(self.word(kind, is, expected, now), &mut self.length, coder);
        let value = self.value_of(kind, word, expected, now)?;
        self.grown = value.saturating_sub(self.value);
        self.value = value;
        Ok(())
    }

    /// The sample is over: what it grew by is one more that it does on average.
    pub fn settle(&mut self, interval: u64) {
        self.rate += NEWEST * (self.grown as f64 / interval.max(1) as f64 - self.rate);
        self.grown = 0;
    }

    fn word(&self, kind: Kind, is: u64, expected: u64, now: Circumstances) -> u64 {
        let steps = kind.steps(now.precision);
        match kind {
            Kind::Count | Kind::Time | Kind::TimeOf(_) => {
                zigzag(down(is.wrapping_sub(self.value), steps).wrapping_sub(scale::step(expected, steps)))
            }
            Kind::Value => zigzag(is.wrapping_sub(self.value)),
            Kind::Moment if is_same(now.taken, is, self.value, steps) => SAME,
            Kind::Moment if is == 0 => NONE,
            Kind::Moment => {
                let ago = now.taken.wrapping_sub(is) as i64;
                OTHER.saturating_add(scale::step(ago.unsigned_abs(), steps) << 1 | u64::from(ago < 0))
            }
        }
    }

    fn value_of(&self, kind: Kind, word: u64, expected: u64, now: Circumstances) -> Result<u64, Flaw> {
        const WRONG: Flaw = Flaw("a figure is larger than 64 bits");
        let steps = kind.steps(now.precision);
        Ok(match kind {
            Kind::Count | Kind::Time | Kind::TimeOf(_) => {
                let step = scale::step(expected, steps).wrapping_add(unzigzag(word));
                self.value.wrapping_add(lowest(step, steps).ok_or(WRONG)?)
            }
            Kind::Value => self.value.wrapping_add(unzigzag(word)),
            Kind::Moment => match word.checked_sub(OTHER) {
                Some(word) => {
                    let away = scale::lowest(word >> 1, steps).ok_or(WRONG)?;
                    if word & 1 == 0 { now.taken.wrapping_sub(away) } else { now.taken.wrapping_add(away) }
                }
                None if word == SAME => self.value,
                None => 0,
            },
        })
    }
}

impl Kind {
    /// Whether it is only added to.
    pub fn grows(self) -> bool {
        !matches!(self, Kind::Value | Kind::Moment)
    }

    fn steps(self, precision: Precision) -> u32 {
        if self == Kind::Count { precision.counts } else { precision.times }
    }
}

/// The step of a growth, which is rounded down also where it is below 0.
fn down(growth: u64, steps: u32) -> u64 {
    if (growth as i64) < 0 { !scale::step(!growth, steps) } else { scale::step(growth, steps) }
}

/// The lowest growth in such a step.
fn lowest(step: u64, steps: u32) -> Option<u64> {
    if (step as i64) < 0 {
        // What is rounded down there is as far below 0 as it can be in this step.
        scale::lowest((!step).wrapping_add(1), steps).map(u64::wrapping_neg)
    } else {
        scale::lowest(step, steps)
    }
}

/// What is written of a moment that is as it was, as far as is told.
const SAME: u64 = 0;

/// Of one that is none.
const NONE: u64 = 1;

/// Of all others, this and more: how long ago, and whether it is yet to come.
const OTHER: u64 = 2;

/// Whether a moment is as far as is told the one that it `was`, which was rounded before.
fn is_same(taken: u64, is: u64, was: u64, steps: u32) -> bool {
    is == was || is != 0 && was != 0 && is.abs_diff(was) <= taken.saturating_sub(is) >> steps
}

#[cfg(test)]
mod tests {
    use super::super::coder::{Decoder, Encoder};
    use super::*;
    use proptest::prelude::*;

    const KINDS: [Kind; 4] = [Kind::Count, Kind::TimeOf(0), Kind::Value, Kind::Moment];

    fn now(steps: u32) -> Circumstances {
        Circumstances { taken: 1 << 60, interval: 1_000, precision: Precision { counts: steps, times: steps } }
    }

    proptest! {
        /// Whatever a figure becomes is read again, and is true as far as it is to be.
        #[test]
        fn figures_survive(
            values in proptest::collection::vec((0..1_u64 << 62, 0..64u32, any::<u32>()), 1..20),
            steps in 0..=Precision::ALL_BITS,
        ) {
            for kind in KINDS {
                let (mut written, mut numbers, mut encoder) = (Figure::default(), Numbers::new(), Encoder::new());
                let mut states = Vec::new();
                for &(value, shift, expected) in &values {
                    let (is, before) = (value >> shift, written.value);
                    written.code(kind, is, u64::from(expected), now(steps), &mut numbers, &mut encoder).unwrap();
                    let told = written.value;
                    match kind {
                        Kind::Value => prop_assert_eq!(told, is),
                        Kind::Moment => {
                            let ago = (now(steps).taken.wrapping_sub(is) as i64).unsigned_abs();
                            let off = (told.wrapping_sub(is) as i64).unsigned_abs();
                            prop_assert!(is == told || off <= ago >> steps, "{} for {}", told, is);
                        }
                        _ => {
                            // One that became less, which it should not, may be told to be less than nothing.
                            let off = is.wrapping_sub(told);
                            prop_assert!(off <= is.abs_diff(before) >> steps, "{} for {}", told, is);
                        }
                    }
                    states.push(written.clone());
                }
                let bytes = encoder.finish();
                let (mut read, mut numbers, mut decoder) = (Figure::default(), Numbers::new(), Decoder::new(&bytes));
                for (written, &(.., expected)) in states.iter().zip(&values) {
                    read.code(kind, 0, u64::from(expected), now(steps), &mut numbers, &mut decoder).unwrap();
                    prop_assert_eq!(&read, written);
                }
                prop_assert_eq!(decoder.finish(), Ok(()));
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
            expected: u64,
            steps in 0..=Precision::ALL_BITS,
        ) {
            for kind in KINDS {
                let mut figure = Figure::new(kind, 5, u64::MAX, 3);
                let (mut numbers, mut decoder) = (Numbers::new(), Decoder::new(&bytes));
                for _ in 0..60 {
                    let _ = figure.code(kind, 0, expected, now(steps), &mut numbers, &mut decoder);
                    figure.settle(0);
                }
            }
        }
    }

    #[test]
    fn what_was_rounded_off_is_told_later() {
        let (mut figure, mut numbers, mut encoder) = (Figure::default(), Numbers::new(), Encoder::new());
        for (is, told) in [(1_000, 992), (1_001, 1_001), (1_000, 1_000), (3_000, 2_984), (3_000, 3_000)] {
            figure.code(Kind::Count, is, 0, now(4), &mut numbers, &mut encoder).unwrap();
            assert_eq!(figure.value, told);
        }
    }
}
