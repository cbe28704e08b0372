//! The frames that a recording is made of: what is in one, how long it is, and whether it is as it was written.

use super::bytes::{Flaw, Sink, Source};

/// What a recording begins with.
pub(super) const MAGIC: [u8; 8] = *b"RUMPSREC";

/// Bytes of a frame before its body: kind, length of the body, checksum.
pub(super) const HEAD: usize = 9;

/// The longest body. A frame is never longer than what it unpacks to.
pub(super) const LONGEST: u32 = 128 << 20;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// What is recorded.
    About = 1,
    /// A sample as it is: reading may begin here.
    Key = 2,
    /// A sample as changes of the whole one before.
    Changes = 3,
    /// How it ended. Nothing follows.
    End = 4,
    /// The outline of a sample, as changes of the one before.
    Outline = 5,
}

impl Kind {
    fn from_number(number: u8) -> Option<Self> {
        [Kind::About, Kind::Key, Kind::Changes, Kind::End, Kind::Outline].into_iter().find(|kind| *kind as u8 == number)
    }
}

/// The frame with `body`, as it stands in the file. `number`: how many frames come before it; a frame is believed only
/// in its place.
pub(super) fn frame(kind: Kind, number: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind as u8];
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(checksum(kind, number, body).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Of what follows the checksum, of what stands before it, and of the frame's number.
fn checksum(kind: Kind, number: u64, body: &[u8]) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    hash.update(&number.to_le_bytes());
    hash.update(&[kind as u8]);
    hash.update(&(body.len() as u32).to_le_bytes());
    hash.update(body);
    hash.finalize()
}

/// What the bytes before a body say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// What it holds.
    pub kind: Kind,
    /// Bytes of the body.
    pub length: u32,
    checksum: u32,
}

impl Head {
    /// From the bytes.
    pub fn new(bytes: &[u8; HEAD]) -> Result<Self, Flaw> {
        let [kind, l0, l1, l2, l3, c0, c1, c2, c3] = *bytes;
        let kind = Kind::from_number(kind).ok_or(Flaw("no frame begins here"))?;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        if length > LONGEST {
            return Err(Flaw("a frame is longer than any can be"));
        }
        Ok(Head { kind, length, checksum: u32::from_le_bytes([c0, c1, c2, c3]) })
    }

    /// Whether `body` is what was written as frame `number`.
    pub fn check(&self, number: u64, body: &[u8]) -> Result<(), Flaw> {
        match checksum(self.kind, number, body) == self.checksum {
            true => Ok(()),
            false => Err(Flaw("a frame is not as it was written")),
        }
    }
}

/// The body of a sample's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Body<'a> {
    /// Since the sample before, in nanoseconds; 0 for the first.
    pub length_ns: u64,
    /// Hypercalls that returned in that time.
    pub calls: u64,
    /// Time that threads waited for locks, of the waits that ended since the last whole sample, in nanoseconds; 0 in an
    /// outline.
    pub waited_ns: u64,
    /// Bytes of the structure before it was packed; 0 in an outline, whose structure is not.
    pub unpacked: usize,
    /// The structure of the changes.
    pub packed: &'a [u8],
    /// Their bits.
    pub bits: &'a [u8],
}

impl<'a> Body<'a> {
    /// As bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut sink = Sink::default();
        for number in [self.length_ns, self.calls, self.waited_ns, self.unpacked as u64] {
            sink.put(number);
        }
        sink.put_bytes(self.packed);
        sink.0.extend_from_slice(self.bits);
        sink.0
    }

    /// From bytes.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Flaw> {
        let mut source = Source(bytes);
        Ok(Body {
            length_ns: source.take()?,
            calls: source.take()?,
            waited_ns: source.take()?,
            unpacked: source.take_count()?,
            packed: source.take_bytes()?,
            bits: source.0,
        })
    }
}
