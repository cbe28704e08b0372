//! How far figures are rounded, where a recording has no room for all of their digits.

use std::fmt::{Display, Formatter, Result};

/// How far figures are rounded down: what one has grown by since the sample before is told to be less than it was by a part of
/// that, which is below 1 / 2^`counts` or 1 / 2^`times`. What is rounded off is told with the next sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precision {
    /// Of counts; at most [`Precision::ALL_BITS`], and then not at all.
    pub counts: u32,
    /// The same of sums of times.
    pub times: u32,
}

impl Precision {
    /// That of figures which keep all of their bits.
    pub const ALL_BITS: u32 = u64::BITS - 1;

    /// Nothing is rounded.
    pub const EXACT: Self = Precision { counts: Self::ALL_BITS, times: Self::ALL_BITS };

    /// That of what is told by both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Precision { counts: self.counts.min(other.counts), times: self.times.min(other.times) }
    }
}

impl Display for Precision {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let part = |bits: u32| match bits {
            Self::ALL_BITS.. => "exact".to_owned(),
            bits => format!("within 1/{}", 1_u64 << bits),
        };
        write!(f, "counts {}, times {}", part(self.counts), part(self.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_in_words() {
        let (fine, coarse) = (Precision { times: 7, ..Precision::EXACT }, Precision { counts: 5, times: 3 });
        assert_eq!(Precision::EXACT.to_string(), "counts exact, times exact");
        assert_eq!(fine.to_string(), "counts exact, times within 1/128");
        assert_eq!(coarse.and(fine).to_string(), "counts within 1/32, times within 1/8");
        // What nobody writes.
        assert_eq!(Precision { counts: 62, times: 64 }.to_string(), "counts within 1/4611686018427387904, times exact");
    }
}
