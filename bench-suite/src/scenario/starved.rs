//! Three readers of a lock starve one writer.

use super::{Waited, Work, clients, stays_in_its_chain};
use crate::guest::clock;
use crate::guest::krwlock::KRwLock;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;

const WRITES: u32 = 40;

#[derive(Debug)]
struct Shared {
    lock: KRwLock<u32>,
    over: AtomicBool,
}

#[inline(never)]
fn reads(shared: &Shared) {
    let value = shared.lock.read();
    // Asleep with the lock: the readers overlap without a gap.
    clock::sleep(Duration::from_millis(1));
    drop(value);
    stays_in_its_chain();
}

#[inline(never)]
fn writes(shared: &Shared, waited: &Waited) {
    let mut value = match shared.lock.try_write() {
        Some(value) => value,
        None => waited.add(|| shared.lock.write()),
    };
    *value += 1;
}

pub(super) fn run() -> Duration {
    let shared = Arc::new(Shared { lock: KRwLock::new(0), over: AtomicBool::new(false) });
    let mut work: Vec<Work> = Vec::new();
    for _ in 0..3 {
        let shared = Arc::clone(&shared);
        work.push(Box::new(move |_| {
            while !shared.over.load(Ordering::Relaxed) {
                reads(&shared);
            }
        }));
    }
    work.push(Box::new(move |waited| {
        for _ in 0..WRITES {
            writes(&shared, waited);
            clock::sleep(Duration::from_millis(2));
        }
        shared.over.store(true, Ordering::Relaxed);
    }));
    clients(work)
}
