//! A process that may make only small files: the segment is small, then full; the counts stay exact. One test, because a
//! process measures once.

use rumpscope_probes::reader::Segment;
use rumpscope_probes::{CATALOGUE, Place, guest_tells_transitions, measure, transition};

/// What the segment may grow to: room for about a thousand histograms, of the three thousand that are asked for.
const LIMIT: u64 = 1 << 20;
const VCPUS: u16 = 50;
const CALLS: u64 = 3;

fn limit_files(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` is valid.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
}

#[test]
fn a_full_segment_counts_on() {
    let folder = std::env::temp_dir().join(format!("rumpscope-limits-{}", std::process::id()));
    rumpscope_probes::own_folder(&folder).unwrap();
    let path = folder.join("segment");
    // SAFETY: the process has no other threads that look at the environment yet.
    unsafe { std::env::set_var(rumpscope_probes::ENV_SEGMENT, &path) };
    limit_files(LIMIT);
    rumpscope_probes::begin("test", None).unwrap();
    guest_tells_transitions();
    for index in 0..VCPUS {
        transition::schedule_begin();
        transition::schedule_end(|_| Place::Vcpu(index));
        for entry in CATALOGUE {
            (0..CALLS).for_each(|_| measure(entry.call, || ()));
        }
        transition::unschedule_begin();
        transition::unschedule_end();
    }
    limit_files(libc::RLIM_INFINITY);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), LIMIT);
    let snapshot = Segment::open(&path).unwrap().snapshot().unwrap();
    assert!(snapshot.coverage.lost_places > 0);
    for entry in CATALOGUE {
        assert_eq!(snapshot.calls(entry.call), u64::from(VCPUS) * CALLS, "{}", entry.name);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
