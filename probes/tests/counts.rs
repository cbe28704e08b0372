//! A process that only counts: what is not timed is told as not known. One test, because a process measures once.

use rumpscope_probes::reader::Segment;
use rumpscope_probes::transition::{self, Direction};
use rumpscope_probes::{Hypercall, Metric, Place, Quantity, guest_tells_transitions, measure_quick, progress};

fn schedule(index: u16) {
    transition::schedule_begin();
    transition::schedule_end(|_| Place::Vcpu(index));
}

fn unschedule() {
    transition::unschedule_begin();
    transition::unschedule_end();
}

fn in_upcall(direction: Direction, upcall: impl FnOnce()) {
    transition::in_upcall(Hypercall::MutexEnter, direction, || Place::Unknown, upcall);
}

#[test]
fn what_is_counted_is_where_it_belongs() {
    let folder = std::env::temp_dir().join(format!("rumpscope-counts-{}", std::process::id()));
    rumpscope_probes::own_folder(&folder).unwrap();
    let path = folder.join("segment");
    // SAFETY: the process has no other threads that look at the environment yet.
    unsafe {
        std::env::set_var(rumpscope_probes::ENV_SEGMENT, &path);
        std::env::set_var(rumpscope_probes::ENV_TIMING, "counts");
    }
    assert_eq!(progress(), None, "nothing is counted yet");
    rumpscope_probes::begin("test", None).unwrap();
    guest_tells_transitions();
    let segment = Segment::open(&path).unwrap();
    schedule(3);
    // One that has to wait, and comes back to another virtual CPU; one that waits and stays; and one at hand.
    for back in [4, 4] {
        let wait = || {
            in_upcall(Direction::Unschedule, unschedule);
            in_upcall(Direction::Schedule, || schedule(back));
        };
        measure_quick(Hypercall::MutexEnter, || None, wait);
    }
    measure_quick(Hypercall::MutexEnter, || Some(()), || ());
    let snapshot = segment.snapshot().unwrap();
    let count = |place, quantity| {
        snapshot.cells.get(&(place, Metric { quantity, call: Hypercall::MutexEnter })).map_or(0, |cell| cell.count())
    };
    let counts =
        [3, 4].map(|index| [Quantity::Slow, Quantity::Call].map(|quantity| count(Place::Vcpu(index), quantity)));
    assert_eq!(counts, [[1, 0], [1, 1]]);
    // Somebody is on it, but since when is not known.
    let vcpu = snapshot.vcpus.iter().find(|vcpu| vcpu.index == 4).unwrap();
    assert_eq!((vcpu.holder, vcpu.free_since), (None, None));
    // What the guest does for its own sake, on all threads, is progress; waiting is not.
    let before = progress().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                (0..100).for_each(|_| measure_quick(Hypercall::RwEnter, || Some(()), || ()));
                (0..7).for_each(|_| measure_quick(Hypercall::CvSignal, || Some(()), || ()));
            });
        }
    });
    assert_eq!(progress().unwrap() - before, 300);
    std::fs::remove_dir_all(&folder).unwrap();
}
