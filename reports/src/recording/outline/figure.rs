//! A figure of an outline: what it is expected to have become, and the bits that tell the rest.

use super::scale;
use crate::recording::bytes::{BitSource, Bits, Flaw, unzigzag, zigzag};

/// How a figure changes, which tells what is written of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It grows, as fast as it did before. Exact.
    Count,
    /// It grows with this count of the row, which is further left. Exact.
    CountOf(usize),
    /// The same of a time, rounded down.
    Time,
    /// See `Time`.
    TimeOf(usize),
    /// It has any value. Exact.
    Value,
    /// A moment: how long ago is rounded down.
    Moment,
}

/// Parts of a bit that lengths are kept in.
const PARTS: u32 = 16;

/// A figure, and how it went so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figure {
    /// What it is; a time may be less than it really is, never more.
    pub value: u64,
    /// What it grew by last, and how much went on meanwhile of what it grows with, by the clock or a count.
    grown: (u64, u64),
    /// How long the numbers were that were written of it, on average, in parts of a bit.
    length: u32,
}

/// What is known when a figure is written or read.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// When the sample was taken.
    pub taken: u64,
    /// How much went on of what the figure grows with.
    pub per: u64,
}

impl Figure {
    /// One that has grown to `value`: by `grown` while `per` went on of what it grows with.
    pub fn new(kind: Kind, value: u64, grown: u64, per: u64) -> Self {
        let bits = u64::BITS - grown.leading_zeros();
        let length = match kind {
            // Not known much better than a quarter of it, in most cases.
            Kind::Count | Kind::CountOf(_) => bits.saturating_sub(2),
            Kind::Time | Kind::TimeOf(_) => bits.min(5),
            Kind::Value | Kind::Moment => 0,
        };
        Figure { value, grown: (grown, per), length: length * PARTS }
    }

    /// What it grows by if it goes on as before.
    fn expected(&self, per: u64) -> u64 {
        let (grown, of) = (u128::from(self.grown.0), u128::from(self.grown.1));
        (grown * u128::from(per)).checked_div(of).map_or(0, |grown| u64::try_from(grown).unwrap_or(u64::MAX))
    }

    /// Makes it `is`, or what is written of that.
    pub fn write(&mut self, kind: Kind, is: u64, now: Circumstances, bits: &mut Bits) {
        let word = match kind {
            Kind::Count | Kind::CountOf(_) => zigzag(is.wrapping_sub(self.value).wrapping_sub(self.expected(now.per))),
            Kind::Time | Kind::TimeOf(_) => {
                // What was less than before grows when it has come up with that.
                let step = scale::step(is.saturating_sub(self.value));
                zigzag(step.wrapping_sub(scale::step(self.expected(now.per))))
            }
            Kind::Value => zigzag(is.wrapping_sub(self.value)),
            Kind::Moment if is_same(now.taken, is, self.value) => SAME,
            Kind::Moment => moment(now.taken, is),
        };
        self.put(word, bits);
        // It cannot be refused: it was just written.
        if let Ok(value) = self.value_of(kind, word, now) {
            self.settle(kind, value, now);
        }
    }

    /// Makes it what [`write`](Self::write) has made of it.
    pub fn read(&mut self, kind: Kind, now: Circumstances, bits: &mut BitSource) -> Result<(), Flaw> {
        let word = self.take(bits)?;
        let value = self.value_of(kind, word, now)?;
        self.settle(kind, value, now);
        Ok(())
    }

    fn value_of(&self, kind: Kind, word: u64, now: Circumstances) -> Result<u64, Flaw> {
        const WRONG: Flaw = Flaw("a time is larger than 64 bits");
        Ok(match kind {
            Kind::Count | Kind::CountOf(_) => {
                self.value.wrapping_add(self.expected(now.per)).wrapping_add(unzigzag(word))
            }
            Kind::Time | Kind::TimeOf(_) => {
                let step = scale::step(self.expected(now.per)).wrapping_add(unzigzag(word));
                self.value.checked_add(scale::lowest(step).ok_or(WRONG)?).ok_or(WRONG)?
            }
            Kind::Value => self.value.wrapping_add(unzigzag(word)),
            Kind::Moment => match word.checked_sub(OTHER) {
                Some(word) => {
                    let away = scale::lowest(word >> 1).ok_or(WRONG)?;
                    if word & 1 == 0 { now.taken.wrapping_sub(away) } else { now.taken.wrapping_add(away) }
                }
                None if word == SAME => self.value,
                None => 0,
            },
        })
    }

    fn settle(&mut self, kind: Kind, value: u64, now: Circumstances) {
        if !matches!(kind, Kind::Value | Kind::Moment) {
            self.grown = (value.wrapping_sub(self.value), now.per);
        }
        self.value = value;
    }

    /// Bits that are written as they are, below those that say how long the number is: as many as there most often are.
    fn plain(&self) -> u32 {
        ((self.length + PARTS / 2) / PARTS).saturating_sub(1)
    }

    /// Golomb's code for powers of two, with Elias's gamma code for what is above the plain bits.
    fn put(&mut self, word: u64, bits: &mut Bits) {
        let plain = self.plain();
        let above = (u128::from(word) >> plain) + 1;
        let length = above.ilog2();
        for _ in 0..length {
            bits.put(0, 1);
        }
        bits.put(1, 1);
        bits.put((above ^ 1 << length) as u64, length);
        bits.put(word, plain);
        self.learn(word);
    }

    fn take(&mut self, bits: &mut BitSource) -> Result<u64, Flaw> {
        const TOO_LARGE: Flaw = Flaw("a number is larger than 64 bits");
        let plain = self.plain();
        let mut length = 0;
        while bits.take(1)? == 0 {
            length += 1;
            if length > u64::BITS {
                return Err(TOO_LARGE);
            }
        }
        let above = (1_u128 << length | u128::from(bits.take(length)?)) - 1;
        let word = u64::try_from(above << plain).map_err(|_| TOO_LARGE)? | bits.take(plain)?;
        self.learn(word);
        Ok(word)
    }

    fn learn(&mut self, word: u64) {
        let length = PARTS * (u64::BITS - word.leading_zeros());
        self.length = (3 * self.length + length) / 4;
    }
}

/// What is written of a moment that is as it was, as far as is told.
const SAME: u64 = 0;

/// Of one that is none.
const NONE: u64 = 1;

/// Of all others, this and more.
const OTHER: u64 = 2;

/// What is written of a moment that has changed: how long ago, rounded down, and whether it is yet to come.
fn moment(taken: u64, is: u64) -> u64 {
    let ago = taken.wrapping_sub(is) as i64;
    match is {
        0 => NONE,
        _ => OTHER + (scale::step(ago.unsigned_abs()) << 1 | u64::from(ago < 0)),
    }
}

/// Whether a moment is as far as is told the one that it `was`, which was rounded before.
fn is_same(taken: u64, is: u64, was: u64) -> bool {
    is == was || is != 0 && was != 0 && is.abs_diff(was) <= taken.saturating_sub(is) / 128
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KINDS: [Kind; 6] = [Kind::Count, Kind::CountOf(0), Kind::Time, Kind::TimeOf(0), Kind::Value, Kind::Moment];

    proptest! {
        /// Whatever a figure becomes is read again, and is true as far as its kind says.
        #[test]
        fn figures_survive(values in proptest::collection::vec((any::<u64>(), 0..64u32, any::<u32>()), 1..20)) {
            for kind in KINDS {
                let mut written = Figure::default();
                let (mut read, mut bits) = (written, Bits::default());
                let mut states = Vec::new();
                for &(value, shift, per) in &values {
                    let now = Circumstances { taken: 1 << 60, per: u64::from(per) };
                    let before = written.value;
                    written.write(kind, value >> shift, now, &mut bits);
                    states.push((written, now));
                    let (is, told) = (value >> shift, written.value);
                    match kind {
                        Kind::Count | Kind::CountOf(_) | Kind::Value => prop_assert_eq!(told, is),
                        Kind::Time | Kind::TimeOf(_) => {
                            let by = is.saturating_sub(before);
                            prop_assert!(told - before <= by && by - (told - before) <= by / 128);
                        }
                        Kind::Moment => {
                            let ago = (now.taken.wrapping_sub(is) as i64).unsigned_abs();
                            let off = (told.wrapping_sub(is) as i64).unsigned_abs();
                            prop_assert!(is == told || off <= ago / 128, "{} for {}", told, is);
                        }
                    }
                }
                let bits = bits.finish();
                let mut source = BitSource::new(&bits);
                for (written, now) in states {
                    prop_assert_eq!(read.read(kind, now, &mut source), Ok(()));
                    prop_assert_eq!(read, written);
                }
            }
        }

        #[test]
        fn any_bits_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60), per: u64) {
            for kind in KINDS {
                let mut source = BitSource::new(&bytes);
                let mut figure = Figure::new(kind, 5, u64::MAX, 3);
                while figure.read(kind, Circumstances { taken: 77, per }, &mut source).is_ok() {}
            }
        }
    }

    #[test]
    fn what_is_as_expected_takes_a_bit() {
        let mut figure = Figure::new(Kind::Count, 1_000, 100, 10);
        let mut bits = Bits::default();
        for nth in 1..=40 {
            figure.write(Kind::Count, 1_000 + 100 * nth, Circumstances { taken: 0, per: 10 }, &mut bits);
        }
        // A few more before it is believed.
        assert!(bits.finish().len() <= 12);
    }
}
