//! A reader that keeps what it knows sees what one sees that begins anew, also in a segment that is forged. One test,
//! because a process measures once.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rumpscope_probes::contention::{LockKind, Watch};
use rumpscope_probes::reader::{Extent, Reader, Segment};
use rumpscope_probes::{Hypercall, Place, Snapshot, measure, transition};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What a guest does in round `round`: old counters, new ones, and none.
fn work(round: u16) {
    if round % 4 == 3 {
        return;
    }
    transition::schedule_begin();
    transition::schedule_end(|_| Place::Vcpu(round % 5));
    measure(Hypercall::Malloc, || ());
    measure(Hypercall::Open, || std::hint::black_box(round));
    transition::unschedule_begin();
    transition::unschedule_end();
    let watch = Watch::new(0x1000 + usize::from(round / 8) * 64);
    let (_, ended) = watch.wait(LockKind::Mutex, Hypercall::MutexEnter, |announce| {
        announce();
        watch.release(|| ());
        0
    });
    ended.tell();
    // A thread of its own has a lane of its own, and leaves it to a later one: by the time it is joined, which a scope's
    // end alone does not wait for.
    std::thread::spawn(|| measure(Hypercall::Free, || ())).join().unwrap();
}

fn assert_same(kept: &Snapshot, anew: &Snapshot) {
    assert_eq!(kept.cells, anew.cells);
    assert_eq!(kept.vcpus, anew.vcpus);
    let totals = |snapshot: &Snapshot| -> Vec<_> {
        snapshot.threads.iter().map(|thread| (thread.lane, thread.tid, thread.name.clone(), thread.totals)).collect()
    };
    assert_eq!(totals(kept), totals(anew));
    let (kept, anew) = (&kept.contention, &anew.contention);
    assert_eq!((&kept.stacks, &kept.modules, &kept.waits), (&anew.stacks, &anew.modules, &anew.waits));
    assert_eq!(format!("{:?}", kept.locks), format!("{:?}", anew.locks));
}

/// An outline has all figures of `anew`, which was read at the same time, and the histograms of the whole snapshot `before`.
fn assert_outline(outline: &Snapshot, before: &Snapshot, anew: &Snapshot) {
    assert_eq!(outline.contention_as_of, Some(before.taken));
    assert!(std::sync::Arc::ptr_eq(&outline.contention, &before.contention));
    assert_eq!((&outline.vcpus, &outline.migrations), (&anew.vcpus, &anew.migrations));
    assert!(outline.cells.keys().eq(anew.cells.keys()));
    for (key, now) in &anew.cells {
        let outline = &outline.cells[key];
        assert_eq!((outline.count(), outline.untimed, outline.sum), (now.count(), now.untimed, now.sum), "{key:?}");
        let placed = before.cells.get(key).map_or(0, |before| before.timed());
        assert_eq!(outline.unplaced, now.timed() - placed, "{key:?}");
        let buckets: Vec<_> = before.cells.get(key).map(|before| before.buckets().collect()).unwrap_or_default();
        assert!(outline.buckets().eq(buckets), "{key:?}");
    }
    let totals = |snapshot: &Snapshot| snapshot.threads.iter().map(|thread| thread.totals).collect::<Vec<_>>();
    assert_eq!(totals(outline), totals(anew));
}

/// Words are overwritten one after the other while a reader goes on: it reads or refuses, and is of use again afterwards.
fn forge(path: &Path, whole: &[u8]) {
    let forged = path.with_extension("forged");
    std::fs::write(&forged, whole).unwrap();
    let words = whole.len() / 8;
    // Small words are what positions and numbers look like; the header is where most of them are.
    let word = prop_oneof![0..64usize, 0..words];
    let value = prop_oneof![0..words as u64, any::<u64>(), Just(u64::MAX), Just(0)];
    let changes = proptest::collection::vec((word, value), 1..12);
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&changes, |changes| {
        let file = std::fs::OpenOptions::new().write(true).open(&forged).unwrap();
        file.write_all_at(whole, 0).unwrap();
        let mut reader = Reader::new(Segment::open(&forged).unwrap());
        let before = reader.snapshot().unwrap();
        let mut outlining = Reader::new(Segment::open(&forged).unwrap());
        outlining.snapshot().unwrap();
        for (word, value) in changes {
            file.write_all_at(&value.to_ne_bytes(), word as u64 * 8).unwrap();
            // Whatever they say; that they say it is the test.
            let _ = reader.snapshot().map(|snapshot| snapshot.calls(Hypercall::Open));
            let _ = reader.snapshot();
            let _ = outlining.read(Extent::Outline).map(|outline| outline.calls(Hypercall::Open));
        }
        file.write_all_at(whole, 0).unwrap();
        // What was kept of a segment that lied may be wrong until something is refused; a new reader is not.
        let _ = reader.snapshot();
        assert_same(&before, &Segment::open(&forged).unwrap().snapshot().unwrap());
        Ok(())
    });
    std::fs::remove_file(&forged).unwrap();
    outcome.unwrap();
}

/// A reader that came while blocks were added, which it leaves out, sees them the next time, though nothing has changed since.
fn come_early(path: &Path, whole: &[u8]) {
    let early = path.with_extension("early");
    std::fs::write(&early, whole).unwrap();
    let anew = Segment::open(&early).unwrap().snapshot().unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&early).unwrap();
    let say_used = |words: usize| file.write_all_at(&(words as u64).to_ne_bytes(), 3 * 8).unwrap();
    let used = whole.len() / 8;
    let mut left_out = 0;
    for words in (64..used).step_by(64) {
        let mut reader = Reader::new(Segment::open(&early).unwrap());
        say_used(words);
        if let Ok(snapshot) = reader.snapshot() {
            let timed = |snapshot: &Snapshot| snapshot.cells.values().map(|cell| cell.timed()).sum::<u64>();
            left_out += u32::from(timed(&snapshot) < timed(&anew));
        }
        say_used(used);
        assert_same(&reader.snapshot().unwrap(), &anew);
    }
    assert!(left_out > 0);
    std::fs::remove_file(&early).unwrap();
}

/// Two threads that have room made for cells at once may cross: then a cell lies before what was in use when its table was not
/// there yet. Such a cell is not known yet, and nothing is damaged.
fn cross(path: &Path, whole: &[u8]) {
    /// Words of a table.
    const TABLE: usize = 24;
    let crossed = path.with_extension("crossed");
    let mut words: Vec<_> = whole.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word)).collect();
    // Word 18 of the header leads to the first cell, word 0 of each to the next one, and word 1 to its table.
    let cells = std::iter::successors(Some(words[18]), |cell| Some(words[*cell as usize]));
    let last = cells.take_while(|cell| *cell != 0).last().unwrap() as usize;
    let (table, used) = (words[last + 1] as usize, words.len());
    words[last + 1] = used as u64;
    words.extend_from_within(table..table + TABLE);
    let bytes: Vec<_> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    std::fs::write(&crossed, &bytes).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&crossed).unwrap();
    let mut reader = Reader::new(Segment::open(&crossed).unwrap());
    let early = reader.snapshot().expect("it is not damaged");
    file.write_all_at(&(words.len() as u64).to_ne_bytes(), 3 * 8).unwrap();
    let anew = Segment::open(&crossed).unwrap().snapshot().unwrap();
    let events = |snapshot: &Snapshot| snapshot.cells.values().map(|cell| cell.count()).sum::<u64>();
    assert!(events(&early) < events(&anew));
    assert_same(&reader.snapshot().unwrap(), &anew);
    std::fs::remove_file(&crossed).unwrap();
}

#[test]
fn reading_again_is_reading_anew() {
    let folder = std::env::temp_dir().join(format!("rumpscope-reading-{}", std::process::id()));
    rumpscope_probes::own_folder(&folder).unwrap();
    let path = folder.join("segment");
    // SAFETY: the process has no other threads that look at the environment yet.
    unsafe { std::env::set_var(rumpscope_probes::ENV_SEGMENT, &path) };
    // SAFETY: as above.
    unsafe { std::env::set_var("RUMPSCOPE_EVENTS", "off") };
    rumpscope_probes::begin("test", None).unwrap();
    let mut reader = Reader::new(Segment::open(&path).unwrap());
    let anew = || Segment::open(&path).unwrap().snapshot().unwrap();
    assert_eq!(reader.read(Extent::Outline).unwrap().contention_as_of, None, "the first one is whole");
    for round in 0..100 {
        let before = reader.snapshot().unwrap();
        work(round);
        assert_outline(&reader.read(Extent::Outline).unwrap(), &before, &anew());
        work(round + 1);
        assert_outline(&reader.read(Extent::Outline).unwrap(), &before, &anew());
        assert_same(&reader.snapshot().unwrap(), &anew());
    }
    // As much of it as is in use, which the header says in word 3.
    let segment = std::fs::read(&path).unwrap();
    let used = u64::from_ne_bytes(segment[24..32].try_into().unwrap()) as usize * 8;
    come_early(&path, &segment[..used]);
    cross(&path, &segment[..used]);
    forge(&path, &segment[..used]);
    std::fs::remove_dir_all(&folder).unwrap();
}
