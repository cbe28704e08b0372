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

/// The hash of what is charged.
#[inline]
pub(super) fn of_words(words: &[u64; 4]) -> u64 {
    let mut hasher = QuickHasher(0);
    words.iter().for_each(|word| hasher.mix(*word));
    hasher.finish()
}

/// The hash of a call chain. Not zero.
pub(super) fn of_chain(frames: &[u64]) -> u64 {
    let mut hasher = QuickHasher(frames.len() as u64);
    frames.iter().for_each(|frame| hasher.mix(*frame));
    hasher.finish().max(1)
}
