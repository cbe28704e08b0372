//! What the targets have in common: a file for each input, and recordings that are as they were written.

use std::path::{Path, PathBuf};

/// A file of this process in memory, with `bytes` in it.
pub fn file(bytes: &[u8]) -> PathBuf {
    let folder = if Path::new("/dev/shm").is_dir() { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
    let path = folder.join(format!("rumpscope-fuzz-{}", std::process::id()));
    std::fs::write(&path, bytes).expect("a file in memory");
    path
}

/// A frame of a recording, whose structure is not packed: changes of packed bytes would only be refused by what unpacks them.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// 1 what is recorded, 2 key, 3 changes, 4 end, 5 outline; any other as well.
    pub kind: u8,
    /// Of a sample, what is to be packed; of another frame, its body.
    pub structure: Vec<u8>,
    /// Of a sample.
    pub bits: Vec<u8>,
}

/// Frames as input of the fuzzer: kind, length of the structure and of the bits (two bytes each), and these.
pub fn to_input(frames: &[Frame]) -> Vec<u8> {
    let mut input = Vec::new();
    for frame in frames {
        input.push(frame.kind);
        input.extend((frame.structure.len() as u16).to_le_bytes());
        input.extend((frame.bits.len() as u16).to_le_bytes());
        input.extend(&frame.structure);
        input.extend(&frame.bits);
    }
    input
}

/// The frames that any input stands for.
pub fn from_input(mut input: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let [kind, s0, s1, b0, b1, rest @ ..] = input {
        let structure = usize::from(u16::from_le_bytes([*s0, *s1])).min(rest.len());
        let (structure, rest) = rest.split_at(structure);
        let bits = usize::from(u16::from_le_bytes([*b0, *b1])).min(rest.len());
        let (bits, rest) = rest.split_at(bits);
        frames.push(Frame { kind: *kind, structure: structure.to_vec(), bits: bits.to_vec() });
        input = rest;
    }
    frames
}

/// The recording of `version` with these frames: packed, and with checksums that are right.
pub fn recording(version: u32, frames: &[Frame]) -> Vec<u8> {
    let mut bytes = [&b"RUMPSREC"[..], &version.to_le_bytes()].concat();
    for (number, frame) in frames.iter().enumerate() {
        let body = match frame.kind {
            2 | 3 => sample(frame, true),
            5 => sample(frame, false),
            _ => frame.structure.clone(),
        };
        bytes.extend(signed(number as u64, frame.kind, &body));
    }
    bytes
}

/// The body of a sample's frame.
fn sample(frame: &Frame, pack: bool) -> Vec<u8> {
    let (unpacked, packed) = match pack {
        true => (frame.structure.len(), zstd::encode_all(&frame.structure[..], 1).expect("memory to pack in")),
        false => (0, frame.structure.clone()),
    };
    // A second, a thousand calls, no waiting.
    let mut body = Vec::new();
    for number in [1_000_000_000, 1_000, 0, unpacked as u64, packed.len() as u64] {
        put(number, &mut body);
    }
    [body, packed, frame.bits.clone()].concat()
}

fn put(mut number: u64, to: &mut Vec<u8>) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// A frame as it stands in the file.
fn signed(number: u64, kind: u8, body: &[u8]) -> Vec<u8> {
    let start = [&[kind][..], &(body.len() as u32).to_le_bytes()].concat();
    let mut hash = crc32fast::Hasher::new();
    for bytes in [&number.to_le_bytes()[..], &start, body] {
        hash.update(bytes);
    }
    [&start[..], &hash.finalize().to_le_bytes(), body].concat()
}

/// The frames of a recording that is whole.
pub fn frames(recording: &[u8]) -> Vec<Frame> {
    use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};
    let mut frames = Vec::new();
    let mut decoder = Decoder::new().expect("memory to unpack in");
    let mut rest = &recording[12..];
    while let [kind, l0, l1, l2, l3, _, _, _, _, after @ ..] = rest {
        let (body, after) = after.split_at(u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize);
        rest = after;
        if !matches!(kind, 2 | 3 | 5) {
            frames.push(Frame { kind: *kind, structure: body.to_vec(), bits: Vec::new() });
            continue;
        }
        let mut body = body;
        let [_, _, _, unpacked, packed] = [(); 5].map(|()| take(&mut body));
        let (packed, bits) = body.split_at(packed as usize);
        if *kind == 5 {
            frames.push(Frame { kind: *kind, structure: packed.to_vec(), bits: bits.to_vec() });
            continue;
        }
        if *kind == 2 {
            decoder.reinit().expect("a decoder");
        }
        let mut structure = vec![0; unpacked as usize];
        let (mut input, mut output) = (InBuffer::around(packed), OutBuffer::around(&mut structure[..]));
        while input.pos() < packed.len() {
            decoder.run(&mut input, &mut output).expect("what was packed");
        }
        frames.push(Frame { kind: *kind, structure, bits: bits.to_vec() });
    }
    frames
}

fn take(from: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let byte = from[0];
        *from = &from[1..];
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}
