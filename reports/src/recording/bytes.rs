//! Numbers as bytes, and back from bytes that nobody vouches for.

/// What is wrong with bytes that cannot be what they say; for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flaw(pub &'static str);

/// Appends numbers to bytes.
#[derive(Debug, Default)]
pub(super) struct Sink(pub Vec<u8>);

impl Sink {
    /// Seven bits a byte, lowest first; the highest bit says that more follow.
    pub fn put(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// Its length, and its bytes.
    pub fn put_bytes(&mut self, bytes: &[u8]) {
        self.put(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

/// What is left of bytes that are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a>(pub &'a [u8]);

impl<'a> Source<'a> {
    /// The number that [`Sink::put`] has written.
    pub fn take(&mut self) -> Result<u64, Flaw> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(Flaw("it ends within a number"))?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Flaw("a number is larger than 64 bits"))
    }

    /// A number that says how many of something there are in memory.
    pub fn take_count(&mut self) -> Result<usize, Flaw> {
        usize::try_from(self.take()?).map_err(|_| Flaw("a number is larger than 64 bits"))
    }

    /// The next `count` bytes.
    pub fn take_exactly(&mut self, count: usize) -> Result<&'a [u8], Flaw> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Flaw("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// What [`Sink::put_bytes`] has written.
    pub fn take_bytes(&mut self) -> Result<&'a [u8], Flaw> {
        let count = self.take_count()?;
        self.take_exactly(count)
    }

    /// The same as text.
    pub fn take_text(&mut self) -> Result<String, Flaw> {
        String::from_utf8(self.take_bytes()?.to_vec()).map_err(|_| Flaw("a text is not UTF-8"))
    }
}

/// A signed number, as the difference of two that wraps, so that small ones of either sign are small.
pub(super) fn zigzag(difference: u64) -> u64 {
    difference << 1 ^ ((difference as i64) >> 63) as u64
}

/// The inverse of [`zigzag`].
pub(super) fn unzigzag(number: u64) -> u64 {
    number >> 1 ^ (number & 1).wrapping_neg()
}

/// Appends bits, lowest first.
#[derive(Debug, Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    /// Bits of the last byte that are in use, 0: all, or there is none.
    used: u32,
}

impl Bits {
    /// The lowest `count` bits of `number`.
    pub fn put(&mut self, mut number: u64, mut count: u32) {
        while count > 0 {
            if self.used == 0 {
                self.bytes.push(0);
            }
            let room = (8 - self.used).min(count);
            let taken = number & ((1 << room) - 1);
            if let Some(last) = self.bytes.last_mut() {
                *last |= (taken << self.used) as u8;
            }
            self.used = (self.used + room) % 8;
            number >>= room;
            count -= room;
        }
    }

    /// All of them; the last byte is filled up with zeros.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Bits that are read.
#[derive(Debug)]
pub(super) struct BitSource<'a> {
    bytes: &'a [u8],
    /// Bits of the first byte that were read.
    used: u32,
}

impl<'a> BitSource<'a> {
    /// All of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        BitSource { bytes, used: 0 }
    }

    /// The next `count` bits.
    pub fn take(&mut self, count: u32) -> Result<u64, Flaw> {
        let (mut number, mut have) = (0, 0);
        while have < count {
            let (&byte, rest) = self.bytes.split_first().ok_or(Flaw("it ends within a number"))?;
            let room = (8 - self.used).min(count - have);
            number |= (u64::from(byte) >> self.used & ((1 << room) - 1)) << have;
            have += room;
            self.used += room;
            if self.used == 8 {
                (self.bytes, self.used) = (rest, 0);
            }
        }
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_survive(numbers in proptest::collection::vec(any::<u64>().prop_perturb(|number, mut random| {
            number >> (random.next_u32() % 64)
        }), 0..50)) {
            let (mut sink, mut bits) = (Sink::default(), Bits::default());
            for &number in &numbers {
                sink.put(number);
                bits.put(number, u64::BITS - number.leading_zeros());
                prop_assert_eq!(unzigzag(zigzag(number)), number);
            }
            let (mut source, bits) = (Source(&sink.0), bits.finish());
            let mut bits = BitSource::new(&bits);
            for &number in &numbers {
                prop_assert_eq!(source.take(), Ok(number));
                prop_assert_eq!(bits.take(u64::BITS - number.leading_zeros()), Ok(number));
            }
            prop_assert!(source.0.is_empty() && source.take().is_err() && bits.take(8).is_err());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut source = Source(&bytes);
            while source.take().is_ok() {}
            let mut source = Source(&bytes);
            while source.take_text().is_ok() {}
        }
    }

    #[test]
    fn small_differences_are_small() {
        assert_eq!([0, 1, u64::MAX, 2].map(zigzag), [0, 2, 1, 4]);
        assert_eq!(Source(&[0xff; 11]).take(), Err(Flaw("a number is larger than 64 bits")));
    }
}
