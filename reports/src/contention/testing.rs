//! Hand-made waiting for tests: clients that create files in a folder while the disk is slow.

pub use crate::testing::{Known, MICROSECOND, spread};

use super::waiting::Waiting;
use crate::testing::{lock, stacks};
use proptest::prelude::*;
use rumpscope_probes::contention::{Contention, LockKind, Part, Wait};
use rumpscope_probes::{ClockInfo, ClockSource, Coverage, Hypercall, Mode, Place, Process, Snapshot, Thread};
use std::collections::BTreeMap;

/// A wait of client 1 for a vnode's lock.
fn wait() -> Wait {
    Wait {
        call: Hypercall::RwEnter,
        lock: 2,
        place: Place::Vcpu(0),
        waiter: 1,
        waiter_lane: 1,
        part: Part::Held,
        holder: 2,
        holder_lane: Some(2),
        count: 0,
        ticks: 0,
        max: 0,
    }
}

fn waits() -> Vec<Wait> {
    let ms = 1_000 * MICROSECOND;
    vec![
        // Client 1 waits for a vnode, which ioflush holds while the disk writes.
        Wait {
            part: Part::HolderWaited(Hypercall::CvWait),
            holder: 3,
            count: 40,
            ticks: 800 * ms,
            max: 30 * ms,
            ..wait()
        },
        Wait { count: 30, ticks: 150 * ms, max: 9 * ms, ..wait() },
        Wait { part: Part::HandOver, count: 30, ticks: 50 * ms, max: 4 * ms, ..wait() },
        // What ioflush waits for then: the signal at the end of a transfer, by the hypervisor's own thread.
        Wait {
            call: Hypercall::CvWait,
            lock: 4,
            waiter: 3,
            waiter_lane: 2,
            holder: 0,
            holder_lane: Some(5),
            part: Part::HolderWaited(Hypercall::Bio),
            count: 400,
            ticks: 900 * ms,
            max: 30 * ms,
            ..wait()
        },
        Wait {
            call: Hypercall::CvWait,
            lock: 4,
            waiter: 3,
            waiter_lane: 2,
            holder: 0,
            holder_lane: Some(5),
            part: Part::HandOver,
            count: 10,
            ticks: 100 * ms,
            max: 2 * ms,
            ..wait()
        },
        // Client 2 waits for another vnode and for a mutex.
        Wait { lock: 3, waiter_lane: 3, place: Place::Vcpu(1), count: 9, ticks: 20 * ms, max: 5 * ms, ..wait() },
        Wait {
            call: Hypercall::MutexEnter,
            lock: 1,
            waiter: 4,
            waiter_lane: 3,
            part: Part::Unknown,
            holder: 0,
            holder_lane: None,
            count: 100,
            ticks: 5 * ms,
            max: ms,
            ..wait()
        },
        // No lock.
        Wait {
            call: Hypercall::ClockSleep,
            lock: 0,
            waiter: 5,
            waiter_lane: 4,
            place: Place::OffCpu,
            part: Part::Alone,
            holder: 0,
            holder_lane: None,
            count: 200,
            ticks: 1_900 * ms,
            max: 12 * ms,
        },
    ]
}

/// All of it.
pub fn contention() -> Contention {
    let ms = 1_000 * MICROSECOND;
    let mut waited_for = lock(LockKind::Condvar, 0xa100, 0, spread(410, 500, 30 * ms));
    waited_for.acquisitions = 410;
    waited_for.waiters = 1;
    let locks = [
        (1, lock(LockKind::Mutex, 0x9000, 4, spread(100, 200, ms))),
        (2, lock(LockKind::Rwlock, 0xa000, 6, spread(100, 300, 30 * ms))),
        (3, lock(LockKind::Rwlock, 0xa080, 6, spread(9, 300, 5 * ms))),
        (4, waited_for),
    ];
    Contention {
        recorded: true,
        stacks: stacks(),
        modules: Default::default(),
        locks: BTreeMap::from(locks),
        waits: waits(),
        lost: 0,
    }
}

/// A snapshot with that in it, after two seconds.
pub fn snapshot(contention: Contention) -> Snapshot {
    let second = 1_000_000 * MICROSECOND;
    let names = [(1, "client 1"), (2, "ioflush"), (3, "client 2"), (4, "worker"), (5, "block I/O")];
    Snapshot {
        process: Process { pid: 4711, start_time: 1, program: "server".to_owned(), began_unix_ns: 0 },
        clock: ClockInfo {
            source: ClockSource::Tsc,
            ticks_per_second: second as f64,
            two_reads_ns: 17.0,
            step_ns: 10.0,
        },
        mode: Mode::Full,
        backend: "native".to_owned(),
        began: 0,
        taken: 2 * second,
        coverage: Coverage::default(),
        vcpus: Vec::new(),
        migrations: BTreeMap::new(),
        threads: names
            .map(|(lane, name)| Thread {
                lane,
                tid: 100 + lane,
                name: name.to_owned(),
                now: Default::default(),
                totals: Default::default(),
            })
            .into(),
        contention: contention.into(),
        contention_as_of: None,
        cells: BTreeMap::new(),
    }
}

/// All of it, with names.
pub fn waiting() -> Waiting {
    Waiting::new(&snapshot(contention()), &mut Known)
}

/// The same locks and chains with other waits.
pub fn waiting_of(waits: Vec<Wait>) -> Waiting {
    Waiting::new(&snapshot(Contention { waits, ..contention() }), &mut Known)
}

/// Any wait, of locks, chains and threads that are there and that are not.
pub fn any_wait() -> impl Strategy<Value = Wait> {
    let call = prop_oneof![Just(Hypercall::MutexEnter), Just(Hypercall::CvWait), Just(Hypercall::Bio)];
    let place = prop_oneof![(0..3u16).prop_map(Place::Vcpu), Just(Place::OffCpu), Just(Place::Unknown)];
    let part = prop_oneof![
        Just(Part::Held),
        call.clone().prop_map(Part::HolderWaited),
        Just(Part::HandOver),
        Just(Part::Alone),
        Just(Part::Unknown)
    ];
    let who = (0..8u32, 0..8u32, 0..8u32, proptest::option::of(0..8u32));
    let figures = (0..1_000u64, 0..1u64 << 40, 0..1u64 << 40);
    (call, 0..6u32, place, part, who, figures).prop_map(|(call, lock, place, part, who, figures)| {
        let (waiter, waiter_lane, holder, holder_lane) = who;
        let (count, ticks, max) = figures;
        Wait { call, lock, place, waiter, waiter_lane, part, holder, holder_lane, count, ticks, max }
    })
}

/// Compares `text` with a file that people have read. `UPDATE_GOLDEN=1` writes it anew.
pub fn check(name: &str, text: &str) {
    let path = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == text, "{} is not what came out:\n{text}", path.display());
}

/// Clients 1 and 2 wait for each other at the same place: for another lock each, at different times.
pub fn circle() -> Vec<Wait> {
    let part = Part::HolderWaited(Hypercall::RwEnter);
    let ms = 1_000 * MICROSECOND;
    let first = Wait { part, holder: 1, holder_lane: Some(3), count: 10, ticks: 90 * ms, max: 9 * ms, ..wait() };
    let second = Wait { lock: 3, waiter_lane: 3, holder_lane: Some(1), ..first.clone() };
    let released = Wait { part: Part::HandOver, count: 1, ticks: 10 * ms, max: ms, ..first.clone() };
    vec![first, released, second]
}

/// Leaves one or two of each list, and one bucket of every histogram.
pub fn shorten(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, field) in fields {
                if let serde_json::Value::Array(items) = field {
                    items.truncate(if name == "histogram" { 1 } else { 2 });
                }
                shorten(field);
            }
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(shorten),
        _ => {}
    }
}
