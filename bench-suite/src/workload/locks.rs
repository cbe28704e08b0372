//! Workload `locks`: clients take a few mutexes, one of them hot, and keep what they protect consistent.

use super::{Client, Kind, Load, Setup};
use crate::guest::kmutex::{KMutex, KMutexGuard};
use crate::guest::{GuestError, entry};
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    name: "locks",
    description: "mutexes: one hot, some cool, one spin mutex; sometimes kept while the virtual CPU is given up",
    threads: 4,
    multiple: 1,
    disk: 0,
    burst: Some(5_000),
    host_locks: false,
    setup,
};

/// What a mutex protects: all words are equal whenever nobody has it.
type Words = [u64; 8];

struct Locks {
    hot: KMutex<Words>,
    cool: Box<[KMutex<Words>]>,
    spin: KMutex<Words>,
}

fn setup(_: &Setup) -> Result<Arc<dyn Load>, GuestError> {
    Ok(Arc::new(Locks {
        hot: KMutex::new([0; 8]),
        cool: (0..8).map(|_| KMutex::new([0; 8])).collect(),
        spin: KMutex::new_spin([0; 8]),
    }))
}

/// Adds one to all words; says whether they were equal.
fn add_one(words: &mut Words) -> bool {
    let equal = words.iter().all(|word| *word == words[0]);
    for word in words {
        *word += 1;
    }
    equal
}

/// As [`add_one`], and others run on the virtual CPU in the middle of it.
fn add_one_slowly(mut words: KMutexGuard<'_, Words>) -> bool {
    words[0] += 1;
    entry::yield_cpu();
    let equal = words[1..].iter().all(|word| *word == words[0] - 1);
    for word in &mut words[1..] {
        *word += 1;
    }
    equal
}

impl Load for Locks {
    fn run(&self, client: &mut Client<'_>) {
        while client.more() {
            let choice = client.rng.below(256);
            let consistent = client.system_call(|| match choice {
                0..4 => add_one_slowly(self.hot.enter()),
                4..32 => add_one(&mut self.spin.enter()),
                32..64 => {
                    let mut words = match self.hot.try_enter() {
                        Some(words) => words,
                        None => self.hot.enter(),
                    };
                    self.hot.owned() && add_one(&mut words)
                }
                64..160 => add_one(&mut self.cool[choice as usize % self.cool.len()].enter()),
                _ => add_one(&mut self.hot.enter()),
            });
            client.check(consistent, || format!("two lwps had one mutex (way {choice})"));
            client.done();
        }
    }

    fn verify(&self, operations: u64) -> Result<u64, String> {
        let cool: u64 = self.cool.iter().map(|mutex| mutex.enter()[7]).sum();
        let counted = cool + self.hot.enter()[7] + self.spin.enter()[7];
        if counted == operations { Ok(1) } else { Err(format!("{operations} increments under mutexes left {counted}")) }
    }
}
