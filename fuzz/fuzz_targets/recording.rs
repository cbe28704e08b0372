//! A recording of any content: whatever sample it has is read, or refused. Every third input is the file itself; the others
//! are frames that were packed and signed, so that what comes after that is reached, of both versions that have outlines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rumpscope_fuzz::{file, from_input, recording};
use rumpscope_reports::recording::Recording;

fuzz_target!(|input: &[u8]| {
    let Some((how, input)) = input.split_first() else { return };
    let bytes = match how % 3 {
        0 => input.to_vec(),
        1 => recording(3, &from_input(input)),
        _ => recording(2, &from_input(input)),
    };
    let Ok(mut recording) = Recording::open(&file(&bytes)) else { return };
    for index in (0..recording.len()).chain((0..recording.len()).rev()) {
        let _ = recording.at(index);
    }
});
