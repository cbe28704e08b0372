//! Compression of frames, one after the other: each begins where the one before ended, and can find in it what repeats.

use super::bytes::Flaw;
use std::io;
use zstd::stream::raw::{CParameter, DParameter, Decoder, Encoder, InBuffer, Operation, OutBuffer};

/// What one frame may become when it is unpacked. A key frame of the fullest segment has less.
pub(super) const LARGEST: usize = 128 << 20;

/// Higher levels find little more in such frames, and take longer.
const LEVEL: i32 = 6;

/// How far back, as a power of two: some hundred frames. More would be memory of the reader.
const WINDOW: u32 = 20;

/// Bytes that are unpacked at once.
const STEP: usize = 64 << 10;

/// Packs frames.
pub(super) struct Packer(Encoder<'static>);

impl Packer {
    /// One that has seen nothing.
    pub fn new() -> io::Result<Self> {
        let mut encoder = Encoder::new(LEVEL)?;
        encoder.set_parameter(CParameter::WindowLog(WINDOW))?;
        Ok(Packer(encoder))
    }

    /// `bytes`, packed. `anew`: without what came before.
    pub fn pack(&mut self, bytes: &[u8], anew: bool) -> io::Result<Vec<u8>> {
        if anew {
            self.0.reinit()?;
        }
        let mut packed = Vec::new();
        let mut input = InBuffer::around(bytes);
        let mut step = vec![0; STEP];
        let mut left = 1;
        while left != 0 {
            let mut output = OutBuffer::around(&mut step[..]);
            left = match input.pos() < bytes.len() {
                true => self.0.run(&mut input, &mut output).map(|_| 1)?,
                false => self.0.flush(&mut output)?,
            };
            packed.extend_from_slice(output.as_slice());
        }
        Ok(packed)
    }
}

/// Unpacks frames, in the same order.
pub(super) struct Unpacker(Decoder<'static>);

impl Unpacker {
    /// One that has seen nothing.
    pub fn new() -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW))?;
        Ok(Unpacker(decoder))
    }

    /// The `length` bytes that `packed` was made of.
    pub fn unpack(&mut self, packed: &[u8], length: usize, anew: bool) -> Result<Vec<u8>, Flaw> {
        const WRONG: Flaw = Flaw("it does not unpack to what it says");
        if length > LARGEST {
            return Err(Flaw("it says more than fits into a segment"));
        }
        if anew {
            self.0.reinit().map_err(|_| WRONG)?;
        }
        // Grows with what there is, and not with what is claimed.
        let mut bytes = Vec::new();
        let mut input = InBuffer::around(packed);
        let mut step = vec![0; STEP];
        loop {
            let mut output = OutBuffer::around(&mut step[..]);
            let before = input.pos();
            self.0.run(&mut input, &mut output).map_err(|_| WRONG)?;
            bytes.extend_from_slice(output.as_slice());
            if bytes.len() > length {
                return Err(WRONG);
            }
            if output.pos() < STEP && (input.pos() == packed.len() || input.pos() == before) {
                break;
            }
        }
        if bytes.len() == length && input.pos() == packed.len() { Ok(bytes) } else { Err(WRONG) }
    }
}
