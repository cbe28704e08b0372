//! A mutex is held during writes to a disk.

use super::{Waited, clients, stays_in_its_chain};
use crate::guest::cache::Cache;
use crate::guest::clock;
use crate::guest::image::Image;
use crate::guest::kmutex::KMutex;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;

const ROUNDS: u64 = 40;
/// What is written at a time, in bytes.
const PIECE: usize = 256 << 10;

struct Shared {
    disk: KMutex<Option<Cache>>,
    over: AtomicBool,
}

#[inline(never)]
fn writes_through(shared: &Shared, round: u64) {
    let disk = shared.disk.enter();
    let cache = disk.as_ref().expect("closed at the end");
    cache.write(round % 4 * PIECE as u64, &vec![round as u8; PIECE], true).expect("a disk that works");
    drop(disk);
    stays_in_its_chain();
}

#[inline(never)]
fn wants_the_disk(shared: &Shared, waited: &Waited) {
    let disk = match shared.disk.try_enter() {
        Some(disk) => disk,
        None => waited.add(|| shared.disk.enter()),
    };
    drop(disk);
}

pub(super) fn run(image: &Image) -> Duration {
    let cache = Cache::open(image.path()).expect("a disk");
    let shared = Arc::new(Shared { disk: KMutex::new(Some(cache)), over: AtomicBool::new(false) });
    let writer = Arc::clone(&shared);
    let reader = Arc::clone(&shared);
    let waited = clients(vec![
        Box::new(move |_| {
            for round in 0..ROUNDS {
                writes_through(&writer, round);
                clock::sleep(Duration::from_millis(1));
            }
            writer.over.store(true, Ordering::Relaxed);
        }),
        Box::new(move |waited| {
            while !reader.over.load(Ordering::Relaxed) {
                wants_the_disk(&reader, waited);
                clock::sleep(Duration::from_micros(300));
            }
        }),
    ]);
    let cache = shared.disk.enter().take().expect("closed once");
    cache.close().expect("a disk that can be closed");
    waited
}
