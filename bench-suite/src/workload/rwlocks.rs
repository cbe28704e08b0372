//! Workload `rwlocks`: many readers, some writers, upgrades and downgrades.

use super::{Client, Kind, Load, Setup};
use crate::guest::krwlock::KRwLock;
use crate::guest::{GuestError, entry};
use core::ops::Deref;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    name: "rwlocks",
    description: "reader/writer locks: nine readers to one writer, upgrades and downgrades",
    threads: 4,
    multiple: 1,
    disk: 0,
    burst: Some(5_000),
    host_locks: false,
    setup,
};

/// What the lock protects: all words are equal whenever there is no writer.
type Words = [u64; 8];

struct RwLocks {
    lock: KRwLock<Words>,
}

fn setup(_: &Setup) -> Result<Arc<dyn Load>, GuestError> {
    Ok(Arc::new(RwLocks { lock: KRwLock::new([0; 8]) }))
}

/// What an operation found.
struct Found {
    consistent: bool,
    written: bool,
}

fn equal(words: &Words) -> bool {
    words.iter().all(|word| *word == words[0])
}

fn read(words: impl Deref<Target = Words>, slowly: bool) -> Found {
    let before = words[0];
    let was_equal = equal(&words);
    if slowly {
        entry::yield_cpu();
    }
    // No writer came in while this was a reader.
    Found { consistent: was_equal && equal(&words) && words[7] == before, written: false }
}

fn write(words: &mut Words, slowly: bool) -> Found {
    let consistent = equal(words);
    words[0] += 1;
    if slowly {
        entry::yield_cpu();
    }
    for word in &mut words[1..] {
        *word += 1;
    }
    Found { consistent: consistent && equal(words), written: true }
}

impl RwLocks {
    fn operate(&self, choice: u64, slowly: bool) -> Found {
        match choice {
            0 => write(&mut self.lock.write(), slowly),
            1 => {
                let mut words = match self.lock.try_write() {
                    Some(words) => words,
                    None => self.lock.write(),
                };
                let held = self.lock.write_held();
                let mut found = write(&mut words, slowly);
                found.consistent &= held;
                found
            }
            2 => {
                let mut words = self.lock.write();
                let found = write(&mut words, slowly);
                let written = words[0];
                // As a reader it sees what it wrote: no other writer got in between.
                let words = words.downgrade();
                let unchanged = words[0] == written && self.lock.read_held();
                Found { consistent: found.consistent && unchanged && read(words, slowly).consistent, written: true }
            }
            3 => {
                let words = self.lock.read();
                let seen = words[0];
                match words.try_upgrade() {
                    Ok(mut words) => {
                        let unchanged = words[0] == seen;
                        let found = write(&mut words, slowly);
                        Found { consistent: found.consistent && unchanged, written: true }
                    }
                    Err(words) => read(words, slowly),
                }
            }
            4 => match self.lock.try_read() {
                Some(words) => read(words, slowly),
                None => read(self.lock.read(), slowly),
            },
            _ => read(self.lock.read(), slowly),
        }
    }
}

impl Load for RwLocks {
    fn run(&self, client: &mut Client<'_>) {
        let mut written = 0_u64;
        while client.more() {
            let choice = client.rng.below(20);
            let slowly = client.rng.one_in(64);
            let found = client.system_call(|| self.operate(choice, slowly));
            written += u64::from(found.written);
            client.check(found.consistent, || format!("a writer was not alone (way {choice})"));
            client.done();
        }
        let counted = client.system_call(|| self.lock.read()[0]);
        client.check(counted >= written, || format!("{written} writes of one client left {counted}"));
    }

    fn verify(&self, _: u64) -> Result<u64, String> {
        Ok(0)
    }
}
