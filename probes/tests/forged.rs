//! Whatever is in a segment, a reader reads it or says what is wrong; it neither falls over nor asks for memory without end.
//! One test, because a process measures once.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rumpscope_probes::contention::alone;
use rumpscope_probes::reader::{Reader, Segment};
use rumpscope_probes::{
    CATALOGUE, ENV_EVENTS, Hypercall, MOST_VCPUS, Place, guest_tells_transitions, measure, measure_quick, transition,
};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What the segment may grow to.
const FILE: u64 = 1 << 20;
/// What the process may have: many times what reading such a segment needs.
const MEMORY: u64 = 4 << 30;
/// Words of the header.
const HEADER: usize = 64;
/// Of the header: where the first virtual CPU is.
const VCPUS: usize = 20;

fn limit(what: libc::__rlimit_resource_t, value: u64) {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` is valid.
    assert_eq!(unsafe { libc::setrlimit(what, &limit) }, 0);
}

/// Something of everything that a segment can have.
fn fill() {
    guest_tells_transitions();
    for index in 0..3 {
        transition::entry();
        transition::schedule_begin();
        transition::schedule_end(|_| Place::Vcpu(index));
        CATALOGUE.iter().for_each(|entry| measure(entry.call, || ()));
        measure_quick(Hypercall::MutexEnter, || None, || ());
        measure(Hypercall::ClockSleep, || alone(Hypercall::ClockSleep, || ()));
        transition::unschedule_begin();
        transition::unschedule_end();
    }
}

/// A word of the file, most often one that leads somewhere.
fn word(used: usize) -> impl Strategy<Value = usize> {
    prop_oneof![0..HEADER, 0..used, HEADER..FILE as usize / 8]
}

/// A value that is unpleasant there.
fn value(used: usize) -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..used as u64,
        0..70_000_u64,
        Just(u64::MAX),
        Just(used as u64),
        Just(FILE / 8),
        (0..64u32).prop_map(|bit| 1 << bit),
    ]
}

fn read(path: &Path) {
    let Ok(segment) = Segment::open(path) else { return };
    let _ = segment.snapshot();
    let _ = segment.timeline();
    let _ = segment.is_alive();
    let mut reader = Reader::new(segment);
    let _ = reader.snapshot();
    // What was kept of the first time is no safer.
    let _ = reader.snapshot();
}

#[test]
fn a_forged_segment_is_read_or_refused() {
    let folder = std::env::temp_dir().join(format!("rumpscope-forged-{}", std::process::id()));
    rumpscope_probes::own_folder(&folder).unwrap();
    let path = folder.join("segment");
    // SAFETY: the process has no other threads that look at the environment yet.
    unsafe {
        std::env::set_var(rumpscope_probes::ENV_SEGMENT, &path);
        std::env::set_var(ENV_EVENTS, "64KiB");
    }
    limit(libc::RLIMIT_FSIZE, FILE);
    rumpscope_probes::begin("test", None).unwrap();
    std::thread::spawn(fill).join().unwrap();
    limit(libc::RLIMIT_FSIZE, libc::RLIM_INFINITY);
    let whole = std::fs::read(&path).unwrap();
    let snapshot = Segment::open(&path).unwrap().snapshot().unwrap();
    assert!(!snapshot.cells.is_empty() && !snapshot.contention.waits.is_empty());
    assert!(!Segment::open(&path).unwrap().timeline().unwrap().lanes.is_empty());
    let used = u64::from_ne_bytes(whole[24..32].try_into().unwrap()) as usize;
    let forged = folder.join("forged");
    std::fs::write(&forged, &whole).unwrap();
    let file = OpenOptions::new().write(true).open(&forged).unwrap();
    // Whoever shows virtual CPUs may make a table of all pairs.
    let word_of = |word: usize| u64::from_ne_bytes(whole[word * 8..word * 8 + 8].try_into().unwrap());
    let index = word_of(VCPUS) * 8 + 8;
    file.write_all_at(&(MOST_VCPUS as u64).to_ne_bytes(), index).unwrap();
    let refused = Segment::open(&forged).unwrap().snapshot().unwrap_err().to_string();
    assert!(refused.contains("more virtual CPUs than there can be"), "{refused}");
    file.write_all_at(&whole[index as usize..index as usize + 8], index).unwrap();
    limit(libc::RLIMIT_AS, MEMORY);
    let changes = proptest::collection::vec((word(used), value(used)), 1..6);
    let mut runner = TestRunner::new(ProptestConfig { cases: 2_000, failure_persistence: None, ..Default::default() });
    let result = runner.run(&changes, |changes| {
        for &(word, value) in changes.iter().filter(|(word, _)| word * 8 + 8 <= whole.len()) {
            file.write_all_at(&value.to_ne_bytes(), word as u64 * 8).unwrap();
        }
        read(&forged);
        for &(word, _) in changes.iter().filter(|(word, _)| word * 8 + 8 <= whole.len()) {
            file.write_all_at(&whole[word * 8..word * 8 + 8], word as u64 * 8).unwrap();
        }
        Ok(())
    });
    std::fs::remove_dir_all(&folder).unwrap();
    result.unwrap();
}
