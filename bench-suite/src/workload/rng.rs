//! Repeatable random numbers: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).

/// A generator.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The generator of this seed.
    pub fn new(seed: u64) -> Self {
        Rng(seed)
    }

    /// The next 64 random bits.
    #[inline]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0. (High bits of a product: the bias is below 2^-64 x `bound`.)
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// True once in `n` times.
    #[inline]
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Fills `data` with random bytes.
    pub fn fill(&mut self, data: &mut [u8]) {
        for chunk in data.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

/// Fills `data` with what belongs to `key`: the same bytes whenever it is called.
pub fn pattern(key: u64, data: &mut [u8]) {
    Rng::new(key).fill(data);
}

/// Whether `data` is what [`pattern`] puts there for `key`.
pub fn has_pattern(key: u64, data: &[u8]) -> bool {
    let mut rng = Rng::new(key);
    data.chunks(8).all(|chunk| rng.next().to_le_bytes()[..chunk.len()] == *chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs for seed 1234567, as published with several implementations.
    #[test]
    fn it_is_splitmix64() {
        let mut rng = Rng::new(1_234_567);
        let outputs = [rng.next(), rng.next(), rng.next()];
        assert_eq!(outputs, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn a_pattern_is_recognised_and_a_changed_byte_too() {
        let mut data = [0; 29];
        pattern(7, &mut data);
        assert!(has_pattern(7, &data));
        assert!(!has_pattern(8, &data));
        data[28] ^= 1;
        assert!(!has_pattern(7, &data));
    }
}
