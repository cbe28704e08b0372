//! A recording of any content: whatever sample it has is read, or refused, and what was read can be told. Every third input is
//! the file itself; the others are frames that were packed and signed, so that what comes after that is reached, of both
//! versions that have outlines.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rumpscope_fuzz::{file, from_input, recording};
use rumpscope_probes::Snapshot;
use rumpscope_probes::contention::{Contention, Lock};
use rumpscope_reports::contention::group::By;
use rumpscope_reports::contention::{Frame, Names, Waiting, flame, offcpu, table};
use rumpscope_reports::recording::{About, Recording};
use rumpscope_reports::{Ended, Run, Style, Summary};

fuzz_target!(|input: &[u8]| {
    let Some((how, input)) = input.split_first() else { return };
    let bytes = match how % 3 {
        0 => input.to_vec(),
        1 => recording(3, &from_input(input)),
        _ => recording(2, &from_input(input)),
    };
    let Ok(mut recording) = Recording::open(&file(&bytes)) else { return };
    let about = recording.about().clone();
    for index in 0..recording.len() {
        if let Ok(sample) = recording.at(index) {
            tell(&sample.snapshot, &about);
        }
    }
    for index in (0..recording.len()).rev() {
        let _ = recording.at(index);
    }
});

/// Names without the files that a recording may name.
struct Addresses;

impl Names for Addresses {
    fn chain(&mut self, addresses: &[u64]) -> Vec<Frame> {
        addresses.iter().map(|address| Frame { function: format!("{address:#x}"), source: None }).collect()
    }

    fn lock(&mut self, _: &Lock, _: &Contention) -> Option<String> {
        None
    }

    fn problems(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Makes of it what reports do.
fn tell(snapshot: &Snapshot, about: &About) {
    let style = Style { width: 100, colour: true, ascii: false };
    let waiting = Waiting::new(snapshot, &mut Addresses);
    for by in By::ALL {
        let _ = table::render(&waiting, &table::Options { by, top: 10, chains: 2 }, &style);
    }
    let caption = flame::Caption { title: String::new(), subtitle: String::new(), root: String::new() };
    let _ = flame::draw(&offcpu::stacks(&waiting, true), &caption);
    let run = Run { ran: about.ran.clone(), ended: Ended::Running, host: about.host.clone() };
    let summary = Summary::new(snapshot, run).with_contention(waiting);
    let _ = rumpscope_reports::table::render(&summary, &style);
    let _ = rumpscope_reports::json::render(&summary);
}
