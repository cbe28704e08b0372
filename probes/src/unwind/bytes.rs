//! Numbers in a table, one after the other.

/// What has not been read yet. Nothing is read beyond its end: then there is no number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_ne_bytes)
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_ne_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_ne_bytes)
    }

    /// The next `length` bytes.
    pub(super) fn part(&mut self, length: u64) -> Option<Bytes<'a>> {
        let (part, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(Bytes(part))
    }

    /// The bytes up to the next 0, which is left out.
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.0.iter().position(|byte| *byte == 0)?;
        let Bytes(string) = self.part(length as u64)?;
        self.u8()?;
        Some(string)
    }

    /// An unsigned LEB128 number (DWARF 5, 7.6); `None` also where it has more than 64 bits.
    #[inline]
    pub(super) fn unsigned(&mut self) -> Option<u64> {
        let byte = self.u8()?;
        if byte < 0x80 { Some(byte.into()) } else { self.long(byte, 1).map(|(number, _)| number) }
    }

    /// A signed one.
    #[inline]
    pub(super) fn signed(&mut self) -> Option<i64> {
        let byte = self.u8()?;
        let (number, bits) = if byte < 0x80 { (byte.into(), 7) } else { self.long(byte, 0x7f)? };
        // The sign is moved to the top, and comes back down.
        let above = 64u32.saturating_sub(bits);
        Some((number << above) as i64 >> above)
    }

    /// A number whose first byte says that others follow, and how many bits they are. `top`: what bit 63 and those above it may
    /// be but 0.
    fn long(&mut self, first: u8, top: u8) -> Option<(u64, u32)> {
        let (mut number, mut bits, mut byte) = (u64::from(first & 0x7f), 7, first);
        while byte >= 0x80 {
            byte = self.u8()?;
            if bits == 63 && byte != 0 && byte != top || bits > 63 {
                return None;
            }
            number |= u64::from(byte & 0x7f) << bits;
            bits += 7;
        }
        Some((number, bits))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_of_variable_length(unsigned: u64, signed: i64, shift in 0..64u32) {
            let (unsigned, signed) = (unsigned >> shift, signed >> shift);
            let mut bytes = Vec::new();
            let mut left = unsigned;
            loop {
                let more = left > 0x7f;
                bytes.push(left as u8 & 0x7f | u8::from(more) << 7);
                left >>= 7;
                if !more { break }
            }
            let mut left = signed;
            loop {
                let byte = left as u8 & 0x7f;
                left >>= 7;
                let more = !(left == 0 && byte & 0x40 == 0 || left == -1 && byte & 0x40 != 0);
                bytes.push(byte | u8::from(more) << 7);
                if !more { break }
            }
            let mut read = Bytes(&bytes);
            prop_assert_eq!((read.unsigned(), read.signed(), read.is_empty()), (Some(unsigned), Some(signed), true));
        }
    }

    #[test]
    fn what_ends_too_early_or_is_too_long_is_none() {
        assert_eq!(Bytes(&[0x80, 0x80]).unsigned(), None);
        assert_eq!(Bytes(&[0xff; 12]).signed(), None);
        let with_top = |top: u8| [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, top];
        assert_eq!([1, 2, 0x7f].map(|top| Bytes(&with_top(top)).unsigned()), [Some(1 << 63), None, None]);
        assert_eq!([1, 2, 0x7f].map(|top| Bytes(&with_top(top)).signed()), [None, None, Some(i64::MIN)]);
        assert_eq!((Bytes(&[1, 2, 3]).u32(), Bytes(&[]).u8()), (None, None));
        assert!(Bytes(b"ab").string().is_none() && Bytes(b"ab").part(3).is_none());
        assert_eq!(Bytes(b"ab\0c").string(), Some(&b"ab"[..]));
    }
}
