//! An adaptive binary range coder: yes or no, in as few bits as it is expected.

use crate::recording::bytes::Flaw;

/// How likely a yes is, learned from those that there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chance {
    /// In 65536ths.
    yes: u16,
    /// How many it is the mean of, as far as is known.
    seen: u8,
}

/// No more than so many count: older ones are forgotten little by little.
const MEMORY: u8 = 120;

/// Nothing is ever certain: in 65536ths.
const LEAST: u16 = 48;

impl Chance {
    /// As likely as not.
    pub const EVEN: Self = Chance { yes: 1 << 15, seen: 0 };

    /// Half of that for each of `times`, and what is left of one for a negative number; believed as if it had been so a few
    /// times.
    pub fn halved(times: i32) -> Self {
        let part = (u16::MAX / 2) >> times.unsigned_abs().min(15);
        Chance { yes: if times < 0 { u16::MAX - part } else { part }, seen: 3 }
    }

    fn learn(&mut self, yes: bool) {
        let aim = if yes { i32::from(u16::MAX) } else { 0 };
        let was = i32::from(self.yes);
        self.yes = (was + 2 * (aim - was) / (2 * i32::from(self.seen) + 3)) as u16;
        self.seen = (self.seen + 1).min(MEMORY);
    }
}

/// The part of all numbers of 32 bits that stands for what was coded so far. The bytes that its ends have in common are
/// known.
#[derive(Clone, Copy, Debug)]
struct Range {
    low: u32,
    high: u32,
}

impl Range {
    const ALL: Self = Range { low: 0, high: u32::MAX };

    /// The last number of the part that stands for a yes; never the last of all.
    fn last_of_yes(&self, yes: u16) -> u32 {
        let size = u64::from(self.high - self.low);
        self.low + ((size * u64::from(yes.clamp(LEAST, u16::MAX - LEAST))) >> 16) as u32
    }

    fn narrow(&mut self, yes: bool, last_of_yes: u32) {
        match yes {
            true => self.high = last_of_yes,
            false => self.low = last_of_yes + 1,
        }
    }

    /// Takes the first byte off, if it is known.
    fn shift(&mut self) -> Option<u8> {
        let first = (self.low >> 24) as u8;
        ((self.high >> 24) as u8 == first).then(|| {
            (self.low, self.high) = (self.low << 8, self.high << 8 | 0xff);
            first
        })
    }
}

/// What has the same done when it is written and when it is read.
pub trait Coder {
    /// Writes `yes`, and gives it back; or reads it, whatever was given.
    fn code(&mut self, yes: bool, chance: &mut Chance) -> bool;

    /// Whether that still says anything: behind the last byte there would be zeros without end.
    fn check(&self) -> Result<(), Flaw>;
}

/// Writes.
#[derive(Debug)]
pub struct Encoder {
    range: Range,
    bytes: Vec<u8>,
}

impl Encoder {
    /// Nothing yet.
    pub fn new() -> Self {
        Encoder { range: Range::ALL, bytes: Vec::new() }
    }

    /// All of it. What follows is read as zeros.
    pub fn finish(mut self) -> Vec<u8> {
        if self.range.low != 0 {
            // It is in the range, whose ends differ in their first byte.
            self.bytes.push((self.range.low >> 24) as u8 + 1);
        }
        self.bytes
    }
}

impl Coder for Encoder {
    fn code(&mut self, yes: bool, chance: &mut Chance) -> bool {
        self.range.narrow(yes, self.range.last_of_yes(chance.yes));
        while let Some(byte) = self.range.shift() {
            self.bytes.push(byte);
        }
        chance.learn(yes);
        yes
    }

    fn check(&self) -> Result<(), Flaw> {
        Ok(())
    }
}

/// Reads: whatever bytes there are, they say something.
#[derive(Debug)]
pub struct Decoder<'a> {
    range: Range,
    /// Of the numbers in the range, the one that is told.
    told: u32,
    bytes: &'a [u8],
    /// How many were taken off the range.
    known: usize,
}

impl<'a> Decoder<'a> {
    /// At the beginning of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        let first = std::array::from_fn(|at| bytes.get(at).copied().unwrap_or(0));
        Decoder { range: Range::ALL, told: u32::from_be_bytes(first), bytes, known: 0 }
    }

    /// Whether all bytes were needed, and none was missing.
    pub fn finish(self) -> Result<(), Flaw> {
        self.check()?;
        // The last one was chosen freely.
        match self.bytes.len() - self.known {
            0 | 1 => Ok(()),
            _ => Err(Flaw("it has more bytes than it says")),
        }
    }
}

impl Coder for Decoder<'_> {
    fn code(&mut self, _: bool, chance: &mut Chance) -> bool {
        let last_of_yes = self.range.last_of_yes(chance.yes);
        let yes = self.told <= last_of_yes;
        self.range.narrow(yes, last_of_yes);
        while self.range.shift().is_some() {
            self.known += 1;
            self.told = self.told << 8 | u32::from(self.bytes.get(self.known + 3).copied().unwrap_or(0));
        }
        chance.learn(yes);
        yes
    }

    fn check(&self) -> Result<(), Flaw> {
        if self.known > self.bytes.len() { Err(Flaw("it ends within a number")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(told in proptest::collection::vec((any::<bool>(), 0..3usize), 0..3_000), biased: bool) {
            let chances = [Chance::EVEN, Chance::halved(20), Chance::halved(-3)];
            let (mut encoder, mut written) = (Encoder::new(), chances);
            for &(yes, chance) in &told {
                encoder.code(yes && !biased, &mut written[chance]);
            }
            let bytes = encoder.finish();
            let (mut decoder, mut read) = (Decoder::new(&bytes), chances);
            for &(yes, chance) in &told {
                prop_assert_eq!(decoder.code(false, &mut read[chance]), yes && !biased);
                prop_assert_eq!(decoder.check(), Ok(()));
            }
            prop_assert_eq!(read, written);
            prop_assert_eq!(decoder.finish(), Ok(()));
        }

        #[test]
        fn any_bytes_say_something(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            let (mut decoder, mut chance) = (Decoder::new(&bytes), Chance::EVEN);
            for _ in 0..1_000 {
                decoder.code(false, &mut chance);
            }
            let checked = decoder.check();
            prop_assert!(decoder.finish().is_ok() <= checked.is_ok());
        }
    }

    /// However much is asked for.
    #[test]
    fn behind_the_end_nothing_is_read() {
        let mut decoder = Decoder::new(&[]);
        let read = std::iter::repeat_with(|| {
            decoder.code(false, &mut { Chance::EVEN });
            decoder.check()
        });
        assert_eq!(read.take_while(Result::is_ok).count(), 7);
        assert_eq!(decoder.finish(), Err(Flaw("it ends within a number")));
    }

    #[test]
    fn what_is_expected_takes_little() {
        let (mut encoder, mut chance) = (Encoder::new(), Chance::EVEN);
        for nth in 0..10_000 {
            encoder.code(nth % 100 == 0, &mut chance);
        }
        // 808 bits, were it known that one in a hundred is one.
        let bytes = encoder.finish();
        assert!((100..120).contains(&bytes.len()), "{}", bytes.len());
        assert_eq!(Decoder::new(&bytes).finish(), Err(Flaw("it has more bytes than it says")));
    }
}
