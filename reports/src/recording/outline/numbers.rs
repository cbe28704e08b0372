//! Numbers, by a coder that learns how long those of each kind are.

use super::coder::{Chance, Coder};

/// Parts of a bit that lengths are kept in.
const PARTS: u16 = 16;

/// How long numbers were of which more are to come, on average, in parts of a bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Length(u16);

impl Length {
    /// As if they had had so many bits.
    pub fn new(bits: u32) -> Self {
        Length(bits as u16 * PARTS)
    }

    fn learn(&mut self, bits: u32) {
        self.0 = (3 * self.0 + PARTS * bits as u16) / 4;
    }

    /// In halves of a bit.
    fn halves(self) -> usize {
        usize::from((2 * self.0 + PARTS / 2) / PARTS)
    }
}

/// Half bits that average lengths are told apart by; above, they are not.
const HALVES: usize = 48;

/// How numbers of a kind are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// Whether a number is longer than so many bits, by the average of those before in half bits.
    longer: Vec<[Chance; 64]>,
    /// The bit below the highest one, by length.
    second: [Chance; 65],
}

impl Numbers {
    /// Nothing is known of them, but that they are about as long as those before.
    pub fn new() -> Self {
        let by_average = |halves: usize| {
            let chance = |bits: usize| {
                let over = 2 * bits as i32 + 1 - halves as i32;
                Chance::halved((over + over.signum()) / 2)
            };
            std::array::from_fn(chance)
        };
        Numbers { longer: (0..HALVES).map(by_average).collect(), second: [Chance::EVEN; 65] }
    }

    /// Writes `number` and gives it back, or reads it; `length`: of those of the same figure.
    pub fn code(&mut self, number: u64, length: &mut Length, coder: &mut impl Coder) -> u64 {
        let of_number = u64::BITS - number.leading_zeros();
        let longer = &mut self.longer[length.halves().min(HALVES - 1)];
        let bits = (0..u64::BITS).find(|&bits| !coder.code(of_number > bits, &mut longer[bits as usize]));
        let bits = bits.unwrap_or(u64::BITS);
        length.learn(bits);
        let mut coded = u64::from(bits > 0);
        for bit in (0..bits.saturating_sub(1)).rev() {
            // All but one are as good as random.
            let mut even = Chance::EVEN;
            let chance = if bit + 2 == bits { &mut self.second[bits as usize] } else { &mut even };
            coded = coded << 1 | u64::from(coder.code(number >> bit & 1 != 0, chance));
        }
        coded
    }
}

#[cfg(test)]
mod tests {
    use super::super::coder::{Decoder, Encoder};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_survive(numbers in proptest::collection::vec((any::<u64>(), 0..65u32), 0..200)) {
            let numbers: Vec<u64> = numbers.into_iter().map(|(number, by)| number.checked_shr(by).unwrap_or(0)).collect();
            let (mut encoder, mut written, mut length) = (Encoder::new(), Numbers::new(), Length::new(3));
            for &number in &numbers {
                prop_assert_eq!(written.code(number, &mut length, &mut encoder), number);
            }
            let bytes = encoder.finish();
            let (mut decoder, mut read, mut length) = (Decoder::new(&bytes), Numbers::new(), Length::new(3));
            for &number in &numbers {
                prop_assert_eq!(read.code(0, &mut length, &mut decoder), number);
            }
            prop_assert_eq!(decoder.finish(), Ok(()));
            prop_assert_eq!(read, written);
        }
    }

    /// Of as many bits as it says, or of the first bit alone where it is nearly always the same.
    #[test]
    fn numbers_take_about_their_length() {
        let bytes = |number: &dyn Fn(u64) -> u64| {
            let (mut encoder, mut numbers, mut length) = (Encoder::new(), Numbers::new(), Length::default());
            for nth in 0..1_000 {
                numbers.code(number(nth), &mut length, &mut encoder);
            }
            encoder.finish().len()
        };
        assert!(bytes(&|_| 0) < 20);
        assert!(bytes(&|_| 1000) < 1_100);
        // The multiplier of Knuth's MMIX: 7 random bits below the highest.
        let of_8_bits = bytes(&|nth| 128 | nth.wrapping_mul(6_364_136_223_846_793_005) >> 57);
        assert!((870..950).contains(&of_8_bits), "{of_8_bits}");
    }
}
