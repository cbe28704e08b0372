//! The protocols between writers and readers, in all interleavings that loom can make of them.
//!
//! Run by `RUSTFLAGS="--cfg loom" cargo test --release -p rumpscope-probes --lib models`.

use crate::catalogue::{Hypercall, Metric};
use crate::cell::{Cell, Slab};
use crate::events::{Owner, Packed, Store};
use crate::lane::Lane;
use crate::layout::{cell, chunk, event_block, header, table};
use crate::primitive::{AtomicU64, Ordering};
use crate::snapshot::Place;
use crate::testing::{arena, blocks, distribution};
use crate::vcpu::Vcpus;
use loom::sync::{Arc, Mutex};
use loom::thread;

/// Enough for the header and the first cells of two lanes; small, because loom tracks every word.
const WORDS: usize = header::SIZE + 2 * (cell::FIRST_SIDE_BY_SIDE * (cell::SIZE + table::SIZE) + 2 * chunk::SIZE);
const CALL: Hypercall = Hypercall::MutexEnter;
const METRIC: usize = Metric::call(CALL).number();

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
                    let cell = Cell::create(&arena, &Slab::default(), lane, Place::Vcpu(0), METRIC).unwrap();
                    // The second one has the chunk given room of its own.
                    cell.record(&arena, 3);
                    cell.record(&arena, 2);
                })
            })
            .collect();
        for block in blocks(&arena, header::CELLS) {
            let table = arena.word(block + cell::TABLE).load(Ordering::Relaxed) as usize;
            let key = arena.word(table + table::KEY).load(Ordering::Relaxed);
            assert_eq!(key & 0xffff, METRIC as u64, "chained before it was filled");
        }
        assert!(distribution(&arena, METRIC as u64).timed() <= 4);
        assert!(arena.word(header::USED).load(Ordering::Relaxed) as usize <= WORDS);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        let all = distribution(&arena, METRIC as u64);
        assert_eq!((all.count(), all.sum, all.max), (4, 10, 3));
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
            let row = core::ptr::from_ref(lane.row(Place::OffCpu));
            // SAFETY: the lane is this thread's, and the row the lane's own.
            let tallies = unsafe { (*row).make_tallies(arena, lane) }.unwrap();
            tallies.of(CALL).unwrap().count();
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

/// A block of events is left by one lane and used again by another, while a reader looks at both blocks: it sees events of
/// the lane that the block says, from the number on that it says, or nothing. Two lanes at the store at once do not wait.
#[test]
fn a_block_of_events_is_used_again() {
    const BLOCKS: usize = 2;
    let owner = |lane, first| Owner { lane, first, tid: 0, name: [0; 2] };
    // A stamp that tells whose it is, and the how manieth.
    let stamp = |lane: u32, number: u64| u64::from(lane) * 100 + number;
    let mut builder = loom::model::Builder::new();
    // Three threads with a dozen steps each: all interleavings with up to so many preemptions.
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let words: Vec<AtomicU64> = (0..BLOCKS * event_block::SIZE).map(|_| AtomicU64::new(0)).collect();
        let words: &'static [AtomicU64] = words.leak();
        // SAFETY: leaked and zero.
        let store = unsafe { Store::new((&words[0]).into(), 0, words.len(), |_, _, _| true) }.unwrap();
        let (store, used) = (Arc::new(store), Arc::new(AtomicU64::new(0)));
        let one = store.next(None, &owner(1, 0), &used).unwrap();
        let first = thread::spawn({
            let (store, used) = (store.clone(), used.clone());
            move || {
                assert!(one.push(stamp(1, 0), Packed::away()));
                let next = store.next(Some(one), &owner(1, one.end()), &used).unwrap();
                assert!(next.push(stamp(1, 1), Packed::away()));
            }
        });
        let second = thread::spawn({
            let (store, used) = (store.clone(), used.clone());
            move || {
                if let Some(block) = store.next(None, &owner(2, 0), &used) {
                    assert!(block.push(stamp(2, 0), Packed::away()));
                }
            }
        });
        // Acquire: as the reader's copy of the header.
        for index in 0..used.load(Ordering::Acquire) as usize {
            for (number, (ticks, packed)) in store.block(index).read().into_iter().flat_map(|(lane, first, events)| {
                events.into_iter().enumerate().map(move |(index, event)| ((lane, first + index as u64), event))
            }) {
                assert_eq!((ticks, Packed(packed)), (stamp(number.0, number.1), Packed::away()));
            }
        }
        first.join().unwrap();
        second.join().unwrap();
        let all = (0..used.load(Ordering::Acquire) as usize).filter_map(|index| store.block(index).read());
        assert!(all.flat_map(|(_, _, events)| events).any(|(ticks, _)| ticks == stamp(1, 1)), "the last is never lost");
    });
}
