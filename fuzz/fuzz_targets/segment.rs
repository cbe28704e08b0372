//! A segment of any content: it is read, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rumpscope_probes::reader::{Extent, Reader, Segment};

fuzz_target!(|bytes: &[u8]| {
    let Ok(segment) = Segment::open(&rumpscope_fuzz::file(bytes)) else { return };
    let _ = segment.snapshot();
    let _ = segment.timeline();
    let mut reader = Reader::new(segment);
    let _ = reader.snapshot();
    let _ = reader.read(Extent::Outline);
    let _ = reader.snapshot();
});
