//! Workload `disk`: each client reads and writes blocks of a part of the disk, and remembers what they hold.

use super::partition::Partition;
use super::rng::{has_pattern, pattern};
use super::{Client, Kind, Load, Setup};
use crate::guest::GuestError;
use crate::guest::kmutex::KMutex;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    name: "disk",
    description: "random and sequential transfers through the block cache, some written through, some synced",
    threads: 4,
    multiple: 1,
    disk: 32 << 20,
    burst: None,
    host_locks: false,
    setup,
};

/// Bytes that a client writes at a time, at least.
const BLOCK: usize = 4096;
/// Blocks in a sequential transfer.
const RUN: u64 = 16;

struct Disk {
    partition: Partition,
    threads: usize,
    /// What the clients left.
    left: KMutex<Vec<Written>>,
}

/// What a client wrote: by block, the key of its contents; 0 for a block that was never written.
struct Written {
    partition: Partition,
    keys: Vec<u64>,
}

fn setup(setup: &Setup) -> Result<Arc<dyn Load>, GuestError> {
    let partition = setup.partition.clone().ok_or(GuestError::Parameter("disk"))?;
    Ok(Arc::new(Disk { partition, threads: setup.threads, left: KMutex::new(Vec::new()) }))
}

/// A transfer.
#[derive(Debug, Clone, Copy)]
struct Transfer {
    first: u64,
    count: u64,
    kind: TransferKind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum TransferKind {
    Read,
    Write,
    WriteThrough,
    Sync,
}

impl Transfer {
    /// What to do next; `cursor` is where the sequential transfers have come to.
    fn choose(client: &mut Client<'_>, blocks: u64, cursor: &mut u64) -> Self {
        let kind = match client.rng.below(64) {
            0 => TransferKind::Sync,
            1..4 => TransferKind::WriteThrough,
            4..32 => TransferKind::Write,
            _ => TransferKind::Read,
        };
        let sequential = client.rng.one_in(2) && kind != TransferKind::WriteThrough;
        let count = if sequential { RUN.min(blocks) } else { (1 + client.rng.below(4)).min(blocks) };
        let first = if sequential {
            let first = if *cursor + count <= blocks { *cursor } else { 0 };
            *cursor = first + count;
            first
        } else {
            client.rng.below(blocks - count + 1)
        };
        Transfer { first, count, kind }
    }

    fn write(self, client: &mut Client<'_>, written: &mut Written, data: &mut [u8]) {
        let keys = &mut written.keys[self.first as usize..][..self.count as usize];
        for (key, block) in keys.iter_mut().zip(data.chunks_mut(BLOCK)) {
            *key = client.rng.next() | 1;
            pattern(*key, block);
        }
        let through = self.kind == TransferKind::WriteThrough;
        let outcome = client.system_call(|| written.partition.write(self.first * BLOCK as u64, data, through));
        client.check(outcome.is_ok(), || format!("{self:?} failed with error {outcome:?}"));
    }

    fn read(self, client: &mut Client<'_>, written: &Written, data: &mut [u8]) {
        let outcome = client.system_call(|| written.partition.read(self.first * BLOCK as u64, data));
        client.check(outcome.is_ok(), || format!("{self:?} failed with error {outcome:?}"));
        let keys = &written.keys[self.first as usize..];
        for (index, (key, block)) in keys.iter().zip(data.chunks(BLOCK)).enumerate() {
            if *key != 0 {
                let which = self.first + index as u64;
                client.check(has_pattern(*key, block), || format!("block {which} is not what was written to it"));
            }
        }
    }
}

impl Load for Disk {
    fn run(&self, client: &mut Client<'_>) {
        let partition = self.partition.part(client.index(), self.threads, BLOCK as u64);
        let blocks = partition.size() / BLOCK as u64;
        let mut written = Written { partition, keys: vec![0; blocks as usize] };
        let mut data = vec![0; RUN as usize * BLOCK];
        let mut cursor = 0;
        while client.more() && blocks > 0 {
            let transfer = Transfer::choose(client, blocks, &mut cursor);
            let data = &mut data[..transfer.count as usize * BLOCK];
            match transfer.kind {
                TransferKind::Read => transfer.read(client, &written, data),
                TransferKind::Write | TransferKind::WriteThrough => transfer.write(client, &mut written, data),
                TransferKind::Sync => {
                    let outcome = client.system_call(|| written.partition.sync());
                    client.check(outcome.is_ok(), || format!("a sync failed with error {outcome:?}"));
                }
            }
            client.done();
        }
        client.system_call(|| self.left.enter().push(written));
    }

    /// Reads everything again, from the disk itself.
    fn verify(&self, _: u64) -> Result<u64, String> {
        self.partition.purge().map_err(|errno| format!("writing all of the cache failed with error {errno}"))?;
        let mut checks = 0;
        let mut data = vec![0; BLOCK];
        for written in self.left.enter().iter() {
            for (block, key) in written.keys.iter().enumerate().filter(|(_, key)| **key != 0) {
                let read = written.partition.read((block * BLOCK) as u64, &mut data);
                read.map_err(|errno| format!("reading block {block} again failed with error {errno}"))?;
                if !has_pattern(*key, &data) {
                    return Err(format!("the disk does not hold what was written to block {block}"));
                }
                checks += 1;
            }
        }
        Ok(checks)
    }
}
