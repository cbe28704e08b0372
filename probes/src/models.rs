//! The protocols between writers and readers, in all interleavings that loom can make of them.
//!
//! Run by `RUSTFLAGS="--cfg loom" cargo test --release -p rumpscope-probes models`.

use crate::catalogue::{Hypercall, Metric};
use crate::cell::Cell;
use crate::lane::Lane;
use crate::layout::{cell, chunk, header};
use crate::primitive::Ordering;
use crate::snapshot::Place;
use crate::testing::{arena, blocks, distribution};
use crate::vcpu::Vcpus;
use loom::sync::{Arc, Mutex};
use loom::thread;

/// Enough for the header and a few blocks; small, because loom tracks every word.
const WORDS: usize = header::SIZE + 2 * (cell::SIZE + 2 * chunk::SIZE);
const METRIC: usize = Metric::call(Hypercall::MutexEnter).number();

/// Two threads make and write cells of their own while a third reads: it sees whole cells only, and never more than was
/// counted; in the end nothing is lost.
#[test]
fn writers_and_a_reader() {
    loom::model(|| {
        let arena = Arc::new(arena(WORDS));
        let writers: Vec<_> = (0..2)
            .map(|lane| {
                let arena = arena.clone();
                thread::spawn(move || {
                    let cell = Cell::create(&arena, lane, Place::Vcpu(0), METRIC).unwrap();
                    cell.record(&arena, 3);
                    cell.record(&arena, 3);
                })
            })
            .collect();
        for block in blocks(&arena, header::CELLS) {
            let key = arena.word(block + cell::KEY).load(Ordering::Relaxed);
            assert_eq!(key & 0xffff, METRIC as u64, "chained before it was filled");
        }
        assert!(distribution(&arena, METRIC as u64).timed() <= 4);
        assert!(arena.word(header::USED).load(Ordering::Relaxed) as usize <= WORDS);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        let all = distribution(&arena, METRIC as u64);
        assert_eq!((all.count(), all.sum, all.max), (4, 12, 3));
    });
}

/// A thread ends and a later one takes its lane over: no count is lost, though both write with plain additions.
#[test]
fn a_lane_changes_hands() {
    loom::model(|| {
        let arena = Arc::new(arena(WORDS));
        let mut lane = Lane::create(&arena, 0).unwrap();
        lane.assign(&arena, 1, "one");
        let free = Arc::new(Mutex::new(None::<Lane>));
        let count = |arena: &crate::arena::Arena, lane: &mut Lane| {
            let number = lane.number;
            let row = lane.row(Place::OffCpu);
            // SAFETY: the lane is this thread's.
            let cell = unsafe { row.make_cell(arena, number, METRIC) }.unwrap();
            cell.count();
        };
        let first = thread::spawn({
            let (arena, free) = (arena.clone(), free.clone());
            move || {
                count(&arena, &mut lane);
                *free.lock().unwrap() = Some(lane);
            }
        });
        let second = thread::spawn({
            let (arena, free) = (arena.clone(), free.clone());
            move || {
                let taken = free.lock().unwrap().take();
                let mut lane = taken.unwrap_or_else(|| Lane::create(&arena, 1).unwrap());
                count(&arena, &mut lane);
            }
        });
        first.join().unwrap();
        second.join().unwrap();
        assert_eq!(distribution(&arena, METRIC as u64).count(), 2);
    });
}

/// A virtual CPU goes from thread to thread by a lock of the guest's: what a reader accepts are a holder and the time
/// at which that one came.
#[test]
fn a_virtual_cpu_changes_hands() {
    loom::model(|| {
        let arena = Arc::new(arena(header::SIZE + 32));
        let vcpus = Arc::new(Vcpus::new());
        vcpus.get(&arena, 0).unwrap().hold(0, 100);
        let guest = Arc::new(Mutex::new(()));
        let holder = thread::spawn({
            let (arena, vcpus, guest) = (arena.clone(), vcpus.clone(), guest.clone());
            move || {
                let _guest = guest.lock().unwrap();
                let vcpu = vcpus.get(&arena, 0).unwrap();
                vcpu.release(200);
                assert_eq!(vcpu.hold(1, 201), Some(200));
            }
        });
        if let Some(pair) = vcpus.get(&arena, 0).unwrap().read() {
            assert!([(1, 100), (0, 200), (2, 201)].contains(&pair), "{pair:?}");
        }
        holder.join().unwrap();
        let _guest = guest.lock().unwrap();
        assert_eq!(vcpus.get(&arena, 0).unwrap().read(), Some((2, 201)));
    });
}
