//! Recordings that are as they were written, by somebody who means harm: their checksums are right.

use super::About;
use super::bytes::Flaw;
use super::changes;
use super::compression::{LARGEST, Packer};
use super::edits::Room;
use super::frame::{Body, Kind, MAGIC, frame};
use super::layout::{VERSION, table};
use super::outline::{Outline, Reading};
use super::reader::Recording;
use super::tables::Tables;
use super::testing::{FINEST, TemporaryFile, about, sample, series};
use crate::contention::testing::Known;
use crate::contention::{Waiting, offcpu};
use crate::{Ended, Run, Style, Summary};
use proptest::prelude::*;
use rumpscope_probes::{CHAIN_DEPTH, Snapshot};

/// A frame of a sample: kind, structure and bits.
type Frame = (Kind, Vec<u8>, Vec<u8>);

/// A file of these frames, of which the first is a key frame.
fn forge(frames: &[Frame]) -> Vec<u8> {
    let mut packer = Packer::new().unwrap();
    let mut bytes = [&MAGIC[..], &VERSION.to_le_bytes(), &frame(Kind::About, 0, &about().bytes())].concat();
    for (number, (kind, structure, bits)) in frames.iter().enumerate() {
        let (unpacked, packed) = match kind {
            Kind::Outline => (0, structure.clone()),
            _ => (structure.len(), packer.pack(structure, *kind == Kind::Key).unwrap()),
        };
        let body = Body { length_ns: 1, calls: 1, waited_ns: 1, unpacked, packed: &packed, bits };
        bytes.extend(frame(*kind, number as u64 + 1, &body.bytes()));
    }
    bytes
}

/// The frames of a series of samples, of which two thirds are outlines.
fn frames(events: &[u64]) -> Vec<Frame> {
    let mut tables = Tables::default();
    let (mut whole, mut outline) = (None, None);
    let frame = |(number, sample): (usize, _)| match number % 3 {
        0 => {
            let changes = changes::write(&mut tables, Tables::of(&sample));
            whole = Some(Outline::of_whole(&sample, whole.as_ref()));
            outline.clone_from(&whole);
            (if number == 0 { Kind::Key } else { Kind::Changes }, changes.structure, changes.bits)
        }
        _ => {
            let written = outline.as_mut().map(|outline: &mut Outline| outline.write(&sample, FINEST)).unwrap();
            (Kind::Outline, written.structure, written.bits)
        }
    };
    series(events).into_iter().enumerate().map(frame).collect()
}

/// Reads all that can be read, makes of it what reports do, and says what is wrong with the rest.
fn read(bytes: &[u8]) -> Result<usize, String> {
    let file = TemporaryFile::new("forged");
    std::fs::write(file.path(), bytes).unwrap();
    let mut recording = Recording::open(file.path()).map_err(|error| error.to_string())?;
    for index in 0..recording.len() {
        let sample = recording.at(index).map_err(|error| error.to_string())?;
        tell(&sample.snapshot);
    }
    Ok(recording.len())
}

fn tell(snapshot: &Snapshot) {
    let waiting = Waiting::new(snapshot, &mut Known);
    drop(offcpu::stacks(&waiting, true));
    let (About { ran, host }, ended) = (about(), Ended::Running);
    let summary = Summary::new(snapshot, Run { ran, ended, host }).with_contention(waiting);
    crate::json::render(&summary).unwrap();
    crate::table::render(&summary, &Style { width: 100, colour: true, ascii: false });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The structure or the bits of a frame are changed before they are packed.
    #[test]
    fn a_forged_recording_is_read_or_refused(
        events in proptest::collection::vec(0..1u64 << 40, 0..6),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut frames = frames(&events);
        for (frame, at, value) in changes {
            let (_, structure, bits) = frame.get_mut_of(&mut frames);
            let at = at.index(structure.len() + bits.len());
            match structure.get_mut(at) {
                Some(byte) => *byte = value,
                None => bits[at - structure.len()] = value,
            }
        }
        if let Err(problem) = read(&forge(&frames)) {
            prop_assert!(problem.contains("is damaged: at byte"), "{}", problem);
        }
    }
}

/// What [`prop::sample::Index`] has for slices that are not changed.
trait GetMutOf {
    fn get_mut_of<'a, T>(&self, of: &'a mut [T]) -> &'a mut T;
}

impl GetMutOf for prop::sample::Index {
    fn get_mut_of<'a, T>(&self, of: &'a mut [T]) -> &'a mut T {
        let at = self.index(of.len());
        &mut of[at]
    }
}

#[test]
fn what_was_not_forged_is_read() {
    assert_eq!(read(&forge(&frames(&[5, 6, 7, 8]))), Ok(5));
    // An outline of nothing.
    let mut without = frames(&[5]);
    without.remove(0);
    assert!(read(&forge(&without)).unwrap_err().contains("it begins with changes of nothing"));
}

/// What fits into the tables, but not into a sample.
#[test]
fn numbers_that_are_too_large_are_refused() {
    let restored = |change: &dyn Fn(&mut Tables)| {
        let mut tables = Tables::of(&sample());
        change(&mut tables);
        tables.sample(crate::recording::restore::Extent::Whole)
    };
    assert_eq!(restored(&|_| ()), Ok(sample()));
    let many = Flaw("it has more virtual CPUs than there can be");
    for field in [0, 1] {
        assert_eq!(restored(&|tables| tables.0[table::MIGRATIONS][0].key.numbers[field] = 256), Err(many));
    }
    assert_eq!(restored(&|tables| tables.0[table::VCPUS][0].key.numbers[0] = 256), Err(many));
    let large = Flaw("a number is too large for its field");
    assert_eq!(restored(&|tables| tables.0[table::MIGRATIONS][0].key.numbers[0] = 1 << 16), Err(large));
    let holder = |of: u64| restored(&|tables| tables.0[table::LOCKS][0].figures[4] = of);
    assert_eq!(holder(1 << 32).unwrap().snapshot.contention.locks[&1].holder, Some(u32::MAX));
    assert_eq!(holder((1 << 32) + 1), Err(large));
    let short = restored(&|tables| tables.0[table::MIGRATIONS][0].key.numbers.truncate(1));
    assert_eq!(short, Err(Flaw("a row has not the fields of its table")));
}

/// Pictures of chains are made by functions that call themselves once for each frame.
#[test]
fn a_chain_deeper_than_any_that_is_taken_is_refused() {
    let restored = |frames: usize| {
        let mut tables = Tables::of(&sample());
        tables.0[table::STACKS][0].key.numbers.resize(1 + frames, 7);
        tables.sample(crate::recording::restore::Extent::Whole).map(drop)
    };
    assert_eq!(restored(CHAIN_DEPTH), Ok(()));
    assert_eq!(restored(CHAIN_DEPTH + 1), Err(Flaw("a call chain has more functions than are ever noted")));
}

#[test]
fn a_clock_that_is_none_is_refused() {
    let no_rate = Err(Flaw("its clock does not go on"));
    for rate in [f64::NAN, f64::INFINITY, -1.0, 0.0, 0.5] {
        let mut tables = Tables::of(&sample());
        tables.0[table::SAMPLE][0].figures[1] = rate.to_bits();
        assert_eq!(tables.sample(crate::recording::restore::Extent::Whole), no_rate);
        let mut forged = sample();
        forged.snapshot.clock.ticks_per_second = rate;
        assert_eq!(Outline::of_whole(&forged, None).sample(&sample()), no_rate);
    }
    for cost in [4, 5] {
        let mut tables = Tables::of(&sample());
        tables.0[table::SAMPLE][0].key.numbers[cost] = f64::NAN.to_bits();
        let refused = tables.sample(crate::recording::restore::Extent::Whole);
        assert_eq!(refused, Err(Flaw("what its clock costs is no time")));
    }
}

/// Little that unpacks to much is refused before it is unpacked.
#[test]
fn what_claims_too_much_is_refused() {
    let packed = Packer::new().unwrap().pack(&vec![0; 16 << 20], true).unwrap();
    assert!(packed.len() < 16 << 10);
    let forged = |unpacked: usize, packed: &[u8]| {
        let body = Body { length_ns: 0, calls: 0, waited_ns: 0, unpacked, packed, bits: &[] };
        let key = frame(Kind::Key, 1, &body.bytes());
        read(&[&MAGIC[..], &VERSION.to_le_bytes(), &frame(Kind::About, 0, &about().bytes()), &key].concat())
    };
    assert!(forged(1_000, &packed).unwrap_err().contains("does not unpack to what it says"));
    assert!(forged(LARGEST + 1, &packed).unwrap_err().contains("more than fits into a segment"));
    // Rows without end, of which each is two bytes.
    let mut structure = vec![1, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x01];
    structure.resize(1 << 20, 0);
    let too_much = Err(Flaw("it says more than fits into a segment"));
    let refused = changes::apply(&mut Tables::default(), &structure, &[], &mut Room(1 << 20));
    assert_eq!(refused, too_much);
    // The same of an outline, which begins with when it was taken and how far it rounds.
    structure.splice(0..0, [1, 63, 7]);
    let refused = Outline::of_whole(&sample(), None).read(&structure, &[0xff; 100], &mut Room(1 << 20));
    assert_eq!(refused, too_much);
    // And of what an outline would tell of the whole sample.
    let of_whole = |room: usize| Reading::of_whole(VERSION, &sample(), None, &mut Room(room)).map(drop);
    assert_eq!((of_whole(1 << 10), of_whole(1 << 20)), (too_much, Ok(())));
}
