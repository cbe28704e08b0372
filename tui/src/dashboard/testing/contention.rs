//! Who waits for whom in the hand-made samples: clients create files, and the disk is slow.

use super::{MICROSECOND, spread};
use rumpscope_probes::contention::{Contention, LockKind, Part, Wait};
use rumpscope_probes::{Distribution, Hypercall, Place};
use rumpscope_reports::contention::Waiting;
use rumpscope_reports::testing::{Known, lock, stacks};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What was waited for in the last of so many samples, of the interval before it.
pub fn waiting(vcpus: u16, count: u64) -> Waiting {
    let samples = super::samples(vcpus, count);
    let [.., earlier, later] = &samples[..] else { panic!("two samples at least") };
    Waiting::between(&earlier.snapshot, &later.snapshot, &mut Known)
}

/// All that was recorded up to this second. Threads are those of the samples: lane 0 is main, 1 ioflush, 3 and 4 clients.
pub(super) fn contention(second: u64) -> Contention {
    let ms = 1_000 * MICROSECOND;
    let kinds = [
        (1, LockKind::Mutex, 0x9000, 4, 100, ms),
        (2, LockKind::Rwlock, 0xa000, 6, 40, 30 * ms),
        (3, LockKind::Rwlock, 0xa080, 6, 9, 5 * ms),
        (4, LockKind::Condvar, 0xa100, 0, 41, 30 * ms),
        (5, LockKind::Condvar, 0xa200, 0, 5, 90 * ms),
    ];
    let locks = kinds.map(|(number, kind, address, made, waits, longest)| {
        let mut wait = Distribution::default();
        // It comes and goes.
        (1..=second).for_each(|second| wait.merge(&spread(waits + (second * number as u64) % 7, 300, longest)));
        (number, lock(kind, address, made, wait))
    });
    let mut locks = BTreeMap::from(locks);
    let mut now = |number: u32, holder, waiters| {
        if let Some(lock) = locks.get_mut(&number) {
            (lock.holder, lock.waiters) = (holder, waiters);
        }
    };
    now(2, Some(1), 2);
    now(4, None, 1);
    let wait = |call, lock, waiter_lane, waiter, part, holder_lane, holder, count, ticks: u64, max| Wait {
        call,
        lock,
        place: Place::Vcpu(0),
        waiter,
        waiter_lane,
        part,
        holder,
        holder_lane,
        count: count * second,
        ticks: ticks * second,
        max,
    };
    let (rw, mutex, cv) = (Hypercall::RwEnter, Hypercall::MutexEnter, Hypercall::CvWait);
    let behind = |call| Part::HolderWaited(call);
    let waits = vec![
        wait(rw, 2, 3, 1, behind(cv), Some(1), 3, 4, 200 * ms, 30 * ms),
        wait(rw, 2, 3, 1, Part::Held, Some(1), 2, 30, 40 * ms, 9 * ms),
        wait(rw, 2, 3, 1, Part::HandOver, Some(1), 2, 6, 10 * ms, 4 * ms),
        wait(cv, 4, 1, 3, behind(Hypercall::Bio), Some(2), 0, 40, 150 * ms, 30 * ms),
        wait(cv, 4, 1, 3, Part::HandOver, Some(2), 0, 1, 10 * ms, 2 * ms),
        wait(cv, 5, 5, 5, Part::Alone, None, 0, 5, 400 * ms, 90 * ms),
        wait(rw, 3, 4, 1, Part::Held, Some(1), 2, 9, 9 * ms, 5 * ms),
        wait(mutex, 1, 4, 4, Part::Unknown, None, 0, 100, 5 * ms, ms),
        wait(Hypercall::ClockSleep, 0, 5, 5, Part::Alone, None, 0, 20, 500 * ms, 12 * ms),
    ];
    Contention { recorded: true, stacks: stacks(), modules: Arc::default(), locks, waits, lost: 0 }
}
