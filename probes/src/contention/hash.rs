//! A quick hash for what is looked up at every wait: multiply and rotate, as FxHash does, with the golden ratio as the
//! multiplier (Knuth, "The Art of Computer Programming", volume 3, 6.4). The guest gains nothing by choosing its own keys
//! badly.

use core::hash::{BuildHasherDefault, Hasher};

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// For maps.
pub(super) type Quick = BuildHasherDefault<QuickHasher>;

#[derive(Debug, Default)]
pub(super) struct QuickHasher(u64);

impl QuickHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(29) ^ word).wrapping_mul(MULTIPLIER);
    }
}

impl Hasher for QuickHasher {
    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            self.mix(u64::from_ne_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }
}

/// The hash of what is charged: a sum of products, which are made side by side, where a chain of them would be waited for
/// (Knuth, as above; the factors are odd powers of the golden ratio).
#[inline(always)]
pub(super) fn of_words(words: &[u64; 4]) -> u64 {
    const SQUARE: u64 = MULTIPLIER.wrapping_mul(MULTIPLIER);
    const CUBE: u64 = SQUARE.wrapping_mul(MULTIPLIER);
    const FACTORS: [u64; 4] =
        [MULTIPLIER, CUBE, CUBE.wrapping_mul(SQUARE), CUBE.wrapping_mul(SQUARE).wrapping_mul(SQUARE)];
    let sum = words.iter().zip(FACTORS).fold(0u64, |sum, (word, factor)| sum.wrapping_add(word.wrapping_mul(factor)));
    sum ^ sum >> 32
}

/// The hash of a call chain. Not zero.
pub(super) fn of_chain(frames: &[u64]) -> u64 {
    let mut hasher = QuickHasher(frames.len() as u64);
    frames.iter().for_each(|frame| hasher.mix(*frame));
    hasher.finish().max(1)
}
