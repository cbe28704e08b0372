//! The timeline of a whole process. One test, because a process measures once.

use rumpscope_probes::events::{What, wake};
use rumpscope_probes::reader::{ReadError, Segment};
use rumpscope_probes::transition::{self, Direction};
use rumpscope_probes::{Context, ENV_EVENTS, Hypercall, Place, clock, measure, measure_quick};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// 16 blocks of 252 events: the least there can be.
const ROOM: &str = "64KiB";
const BLOCKS: u64 = 16;
const IN_BLOCK: u64 = 252;

/// Runs `work` on a thread of that name to its end, and until its lane is left: a scope's end alone does not wait for that.
fn on_thread(name: &str, work: impl FnOnce() + Send) {
    thread::scope(|scope| thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, work).unwrap().join())
        .unwrap();
}

/// The events of the threads of that name, one after the other.
fn of(segment: &Segment, name: &str) -> Vec<What> {
    let timeline = segment.timeline().unwrap();
    let tenures = timeline.lanes.iter().flat_map(|lane| &lane.tenures).filter(|tenure| tenure.name == name);
    tenures.flat_map(|tenure| &tenure.events).map(|event| event.what).collect()
}

fn in_upcall(direction: Direction, upcall: impl FnOnce()) {
    transition::in_upcall(Hypercall::CvWait, direction, || Place::Unknown, upcall);
}

/// A blocking call, its transitions and a wake, one by one, with times that fit into each other.
fn a_blocking_call_is_told(segment: &Segment) {
    on_thread("blocking", || {
        transition::entry();
        transition::schedule_begin();
        transition::schedule_end(|_| Place::Vcpu(3));
        // At hand, and so no event; and one that has to wait.
        measure_quick(Hypercall::MutexEnter, || Some(()), || ());
        measure_quick(Hypercall::MutexExit, || None, || wake(Hypercall::MutexExit, 77, clock::now()));
        measure(Hypercall::CvWait, || {
            in_upcall(Direction::Unschedule, || {
                transition::unschedule_begin();
                transition::unschedule_end();
            });
            in_upcall(Direction::Schedule, || {
                transition::schedule_begin();
                transition::schedule_end(|_| Place::Vcpu(4));
            });
        });
        transition::unschedule_begin();
        transition::unschedule_end();
        transition::visit_end();
    });
    let (entry, wait, own) = (Hypercall::GuestEntry, Hypercall::CvWait, Hypercall::GuestOwn);
    let (three, four) = (Place::Vcpu(3), Place::Vcpu(4));
    let expected = [
        What::Schedule { cause: entry, place: three },
        What::Wake { call: Hypercall::MutexExit, lane: 77 },
        What::Call(Hypercall::MutexExit),
        What::Unschedule { cause: wait, place: three },
        What::Schedule { cause: wait, place: four },
        What::Call(wait),
        What::Unschedule { cause: own, place: four },
        What::Away,
    ];
    assert_eq!(of(segment, "blocking"), expected);
    let timeline = segment.timeline().unwrap();
    let events =
        &timeline.lanes.iter().flat_map(|lane| &lane.tenures).find(|tenure| tenure.name == "blocking").unwrap().events;
    // By their ends, each after its beginning; and the call is around its transitions.
    assert!(events.is_sorted_by_key(|event| event.end) && events.iter().all(|event| event.begin <= event.end));
    assert!(events[5].begin <= events[3].begin && events[4].end <= events[5].end);
    assert!(timeline.began <= events[0].begin && events[7].end <= timeline.taken);
}

/// The threads of one lane are told apart, whatever the lane says now.
fn threads_follow_one_another(segment: &Segment) {
    for name in ["first", "the second one", "third"] {
        on_thread(name, || (0..3).for_each(|_| measure(Hypercall::Getrandom, || ())));
    }
    for name in ["first", "the second one", "third"] {
        assert_eq!(of(segment, name), [What::Call(Hypercall::Getrandom); 3], "{name}");
    }
}

/// Also where the block of the one before has no room left to say so, or just for a part of it: five events each fall on all
/// places of a block.
fn threads_follow_one_another_from_block_to_block(segment: &Segment) {
    let names: Vec<String> = (0..IN_BLOCK + 5).map(|number| format!("handed over {number:03}")).collect();
    for name in &names {
        on_thread(name, || measure(Hypercall::Getrandom, || ()));
    }
    let timeline = segment.timeline().unwrap();
    let tenures = timeline.lanes.iter().flat_map(|lane| &lane.tenures);
    let told: Vec<_> = tenures.filter(|tenure| tenure.name.starts_with("handed")).collect();
    assert_eq!(told.iter().map(|tenure| &tenure.name).collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
    assert!(told.iter().all(|tenure| tenure.events.len() == 1));
}

/// A context may have a name of 16 bytes, one more than a thread; each of its blocks says it.
fn a_long_name_is_one_name(segment: &Segment) {
    const CALLS: usize = 2 * IN_BLOCK as usize;
    on_thread("carrier", || {
        let mut context = Context::new();
        context.exchange();
        Context::begin("sixteen bytes xy");
        (0..CALLS).for_each(|_| measure(Hypercall::Getrandom, || ()));
        context.exchange();
    });
    let timeline = segment.timeline().unwrap();
    let tenures = timeline.lanes.iter().flat_map(|lane| &lane.tenures);
    let told: Vec<_> = tenures.filter(|tenure| tenure.name.starts_with("sixteen")).collect();
    assert_eq!(told.iter().map(|tenure| tenure.name.as_str()).collect::<Vec<_>>(), ["sixteen bytes xy"]);
    assert_eq!(told[0].events.len(), CALLS);
}

/// A thread that records much overwrites what is oldest, its own and that of others, but for the last block of each.
fn the_last_events_are_kept(segment: &Segment) {
    const CALLS: u64 = 10_000;
    on_thread("busy", || (0..CALLS).for_each(|_| measure(Hypercall::Getrandom, || ())));
    let timeline = segment.timeline().unwrap();
    let lane = timeline.lanes.iter().find(|lane| lane.tenures.iter().any(|tenure| tenure.name == "busy")).unwrap();
    assert!(lane.overwritten > 0 && timeline.lost == 0);
    let busy = lane.tenures.iter().find(|tenure| tenure.name == "busy").unwrap();
    let there = busy.events.len() as u64;
    // All but those of the lanes that there were before it.
    assert!((IN_BLOCK * (BLOCKS - 4)..=IN_BLOCK * BLOCKS).contains(&there), "{there}");
    assert_eq!(busy.gaps, [0]);
    assert!(busy.events.is_sorted_by_key(|event| event.end));
    assert!(busy.events.iter().all(|event| event.what == What::Call(Hypercall::Getrandom)));
}

/// Who reads again and again sees each event once, and knows how many it has missed.
fn a_follower_counts(segment: &Segment) {
    const CALLS: u64 = 30_000;
    let done = AtomicBool::new(false);
    let mut follower = segment.follow().unwrap();
    follower.read(segment).unwrap();
    let (mut seen, mut missed, mut last) = (0, 0, 0);
    let mut read = || {
        for lane in follower.read(segment).unwrap().lanes {
            missed += lane.overwritten;
            for tenure in lane.tenures.iter().filter(|tenure| tenure.name == "followed") {
                seen += tenure.events.len() as u64;
                assert!(tenure.events.iter().all(|event| std::mem::replace(&mut last, event.end) <= event.end));
            }
        }
    };
    thread::scope(|scope| {
        let calls = || {
            for call in 0..CALLS {
                measure(Hypercall::Getrandom, || ());
                if call % 1000 == 0 {
                    thread::sleep(std::time::Duration::from_millis(1));
                }
            }
            done.store(true, Ordering::Release);
        };
        thread::Builder::new().name("followed".to_owned()).spawn_scoped(scope, calls).unwrap();
        // Acquire: the last events are there then.
        while !done.load(Ordering::Acquire) {
            read();
        }
    });
    read();
    // A thread's number and name are events of its lane as well, here three.
    assert!((CALLS..=CALLS + 3).contains(&(seen + missed)), "{seen} seen, {missed} missed");
    assert!(seen > 0);
}

/// Whatever is in the file, a reader says what is wrong with it or reads it.
fn forged_events_are_refused(path: &Path) {
    let whole = std::fs::read(path).unwrap();
    let word = |word: usize| u64::from_ne_bytes(whole[word * 8..word * 8 + 8].try_into().unwrap()) as usize;
    let (events, blocks) = (word(61), word(62));
    assert!(events != 0 && blocks as u64 == BLOCKS && (events + 512 * blocks) * 8 == whole.len());
    // A copy in which the room for what is not used is cut out.
    let begin = word(3);
    let mut small = [&whole[..begin * 8], &whole[events * 8..]].concat();
    let forged = path.with_extension("forged");
    let mut read = |changes: &[(usize, u64)]| {
        let before = small.clone();
        for (word, value) in [(61, begin as u64)].iter().chain(changes) {
            small[word * 8..word * 8 + 8].copy_from_slice(&value.to_ne_bytes());
        }
        std::fs::write(&forged, &small).unwrap();
        small = before;
        Segment::open(&forged).and_then(|segment| segment.timeline())
    };
    assert!(!read(&[]).unwrap().lanes.is_empty());
    assert!(read(&[(61, 0)]).unwrap().lanes.is_empty());
    let damaged = |read: Result<_, ReadError>| matches!(read, Err(ReadError::Damaged { .. }));
    assert!(damaged(read(&[(61, u64::MAX)])) && damaged(read(&[(62, u64::MAX)])) && damaged(read(&[(62, 17)])));
    assert!(damaged(read(&[(begin + 3, 253)])) && damaged(read(&[(begin + 3, u64::MAX)])));
    for block in 0..2 {
        for word in (0..8).chain([8, 9, 100, 101]) {
            for value in [0, 1, u64::MAX, 1 << 63, 6 << 60, 7 << 60 | 0xff] {
                let _ = read(&[(begin + 512 * block + word, value)]);
            }
        }
    }
    std::fs::remove_file(&forged).unwrap();
}

#[test]
fn events() {
    let folder = std::env::temp_dir().join(format!("rumpscope-events-{}", std::process::id()));
    rumpscope_probes::own_folder(&folder).unwrap();
    let path = folder.join("segment");
    // SAFETY: the process has no other threads that look at the environment yet.
    unsafe {
        std::env::set_var(rumpscope_probes::ENV_SEGMENT, &path);
        std::env::set_var(ENV_EVENTS, ROOM);
    }
    rumpscope_probes::begin("test", None).unwrap();
    let segment = Segment::open(&path).unwrap();
    assert!(segment.records_events().unwrap() && segment.timeline().unwrap().lanes.is_empty());
    rumpscope_probes::guest_tells_transitions();
    a_blocking_call_is_told(&segment);
    threads_follow_one_another(&segment);
    threads_follow_one_another_from_block_to_block(&segment);
    a_long_name_is_one_name(&segment);
    the_last_events_are_kept(&segment);
    a_follower_counts(&segment);
    forged_events_are_refused(&path);
    std::fs::remove_dir_all(&folder).unwrap();
}
