//! A recording of any content: whatever sample it has is read, or refused. Every second input is the file itself; the others
//! are frames that were packed and signed, so that what comes after that is reached.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rumpscope_fuzz::{file, from_input, recording};
use rumpscope_reports::recording::Recording;

fuzz_target!(|input: &[u8]| {
    let Some((how, input)) = input.split_first() else { return };
    let bytes = if how % 2 == 0 { input.to_vec() } else { recording(&from_input(input)) };
    let Ok(mut recording) = Recording::open(&file(&bytes)) else { return };
    for index in (0..recording.len()).chain((0..recording.len()).rev()) {
        let _ = recording.at(index);
    }
});
