//! A mutex is held for 300 us every 2 ms.

use super::{Waited, clients, spin, stays_in_its_chain};
use crate::guest::clock;
use crate::guest::kmutex::KMutex;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;

const ROUNDS: u32 = 100;

#[derive(Debug)]
struct Shared {
    lock: KMutex<u32>,
    over: AtomicBool,
}

#[inline(never)]
fn holds_for_300_us(shared: &Shared) {
    let mut count = shared.lock.enter();
    spin(Duration::from_micros(300));
    *count += 1;
    drop(count);
    stays_in_its_chain();
}

#[inline(never)]
fn wants_the_lock(shared: &Shared, waited: &Waited) {
    let count = match shared.lock.try_enter() {
        Some(count) => count,
        None => waited.add(|| shared.lock.enter()),
    };
    drop(count);
}

pub(super) fn run() -> Duration {
    let shared = Arc::new(Shared { lock: KMutex::new(0), over: AtomicBool::new(false) });
    let holder = Arc::clone(&shared);
    clients(vec![
        Box::new(move |_| {
            for _ in 0..ROUNDS {
                holds_for_300_us(&holder);
                clock::sleep(Duration::from_micros(1700));
            }
            holder.over.store(true, Ordering::Relaxed);
        }),
        Box::new(move |waited| {
            while !shared.over.load(Ordering::Relaxed) {
                wants_the_lock(&shared, waited);
                // Asleep, so that the host has a processor for the holder; and so often that it is found at work.
                clock::sleep(Duration::from_micros(100));
            }
        }),
    ])
}
