//! Workload `database`: clients are the threads of a program with an embedded database, redb, on the guest's disk.
//!
//! The program runs outside of the kernel: its threads are its own, the database's locks are their business, and each
//! access to its storage is a system call, as it would be with a file.

use super::partition::Partition;
use super::rng::{has_pattern, pattern};
use super::{Client, Kind, Load, Setup};
use crate::guest::GuestError;
use crate::guest::entry;
use crate::guest::kmutex::KMutex;
use core::ffi::c_int;
use core::sync::atomic::{AtomicU64, Ordering};
use redb::{Database as Redb, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    name: "database",
    description: "transactions of an embedded database (redb) on the guest's disk, read back and reopened",
    threads: 2,
    multiple: 1,
    disk: 24 << 20,
    burst: None,
    host_locks: true,
    setup,
};

/// The table: number to bytes.
const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("values");
/// Keys of all clients together.
const KEYS: u64 = 1024;
/// Bytes of the database's own cache: little, so that the guest's is used.
const CACHE: usize = 256 << 10;

/// A file of the program: a partition with a length.
#[derive(Clone, Debug)]
struct Storage {
    partition: Partition,
    length: Arc<AtomicU64>,
}

fn io_error(errno: c_int) -> io::Error {
    io::Error::other(format!("NetBSD error {errno}"))
}

impl StorageBackend for Storage {
    fn len(&self) -> Result<u64, io::Error> {
        // Relaxed: the database orders its own calls.
        Ok(self.length.load(Ordering::Relaxed))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        if offset + out.len() as u64 > self.length.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        entry::system_call(|| self.partition.read(offset, out)).map_err(io_error)
    }

    fn set_len(&self, length: u64) -> Result<(), io::Error> {
        if length > self.partition.size() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut end = self.length.load(Ordering::Relaxed);
        let zeros = [0; 16384];
        while end < length {
            let count = (length - end).min(zeros.len() as u64) as usize;
            entry::system_call(|| self.partition.write(end, &zeros[..count], false)).map_err(io_error)?;
            end += count as u64;
        }
        self.length.store(length, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        entry::system_call(|| self.partition.sync()).map_err(io_error)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        entry::system_call(|| self.partition.write(offset, data, false)).map_err(io_error)
    }
}

struct Database {
    storage: Storage,
    threads: u64,
    redb: KMutex<Option<Arc<Redb>>>,
    /// What the clients left in the database.
    left: KMutex<Vec<Values>>,
}

/// By key: what the value's pattern is made from, and its length.
type Values = BTreeMap<u64, (u64, usize)>;

fn open(storage: &Storage) -> Result<Redb, redb::Error> {
    let redb = Redb::builder().set_cache_size(CACHE).create_with_backend(storage.clone())?;
    let transaction = redb.begin_write()?;
    transaction.open_table(TABLE)?;
    transaction.commit()?;
    Ok(redb)
}

fn setup(setup: &Setup) -> Result<Arc<dyn Load>, GuestError> {
    let partition = setup.partition.clone().ok_or(GuestError::Parameter("disk"))?;
    let storage = Storage { partition, length: Arc::default() };
    let redb = entry::outside(|| open(&storage))
        .map_err(|error| GuestError::Check { workload: KIND.name, what: format!("cannot make a database: {error}") })?;
    Ok(Arc::new(Database {
        storage,
        threads: setup.threads as u64,
        redb: KMutex::new(Some(Arc::new(redb))),
        left: KMutex::new(Vec::new()),
    }))
}

/// Changes some values of the keys from `first` to `end`; a part of the transactions is given up.
fn change(redb: &Redb, client: &mut Client<'_>, keys: (u64, u64), values: &mut Values) -> Result<(), redb::Error> {
    let mut changed = values.clone();
    let transaction = redb.begin_write()?;
    {
        let mut table = transaction.open_table(TABLE)?;
        for _ in 0..=client.rng.below(16) {
            let key = keys.0 + client.rng.below(keys.1 - keys.0);
            if client.rng.one_in(4) {
                let there = table.remove(key)?.is_some();
                client.check_eq(there, changed.remove(&key).is_some(), "a value was there to be removed");
            } else {
                let (seed, length) = (client.rng.next(), client.rng.below(1000) as usize);
                let mut data = vec![0; length];
                pattern(seed, &mut data);
                table.insert(key, &data[..])?;
                changed.insert(key, (seed, length));
            }
        }
    }
    if client.rng.one_in(8) {
        transaction.abort()?;
    } else {
        transaction.commit()?;
        *values = changed;
    }
    Ok(())
}

fn is_value(data: &[u8], expected: (u64, usize)) -> bool {
    data.len() == expected.1 && has_pattern(expected.0, data)
}

/// Reads some values of the keys from `first` to `end`.
fn look(redb: &Redb, client: &mut Client<'_>, keys: (u64, u64), values: &Values) -> Result<(), redb::Error> {
    let table = redb.begin_read()?.open_table(TABLE)?;
    for _ in 0..8 {
        let key = keys.0 + client.rng.below(keys.1 - keys.0);
        let found = table.get(key)?;
        let right = match (&found, values.get(&key)) {
            (Some(found), Some(expected)) => is_value(found.value(), *expected),
            (None, None) => true,
            _ => false,
        };
        client.check(right, || format!("the value of key {key} is not what was committed"));
    }
    Ok(())
}

impl Load for Database {
    fn run(&self, client: &mut Client<'_>) {
        let Some(redb) = client.system_call(|| self.redb.enter().clone()) else { return };
        let count = (KEYS / self.threads).max(1);
        let first = client.index() as u64 * count;
        let keys = (first, first + count);
        let mut values = Values::new();
        while client.more() {
            let outcome = if client.rng.one_in(4) {
                change(&redb, client, keys, &mut values)
            } else {
                look(&redb, client, keys, &values)
            };
            if let Err(error) = outcome {
                client.check(false, || format!("the database failed: {error}"));
            }
            client.done();
        }
        drop(redb);
        client.system_call(|| self.left.enter().push(values));
    }

    /// Closes the database, opens it again from the disk, and reads all of it.
    fn verify(&self, _: u64) -> Result<u64, String> {
        let redb = self.redb.enter().take();
        entry::outside(|| drop(redb));
        self.storage
            .partition
            .purge()
            .map_err(|errno| format!("writing all of the cache failed with error {errno}"))?;
        let values: Values = core::mem::take(&mut *self.left.enter()).into_iter().flatten().collect();
        entry::outside(|| self.compare(&values))
            .map_err(|error| format!("the database cannot be read again: {error}"))?
    }
}

impl Drop for Database {
    /// After a failed check the database is still open; closing it writes to its storage, and so is not for the kernel.
    fn drop(&mut self) {
        let redb = self.redb.enter().take();
        entry::outside(|| drop(redb));
    }
}

impl Database {
    fn compare(&self, values: &Values) -> Result<Result<u64, String>, redb::Error> {
        let redb = open(&self.storage)?;
        let table = redb.begin_read()?.open_table(TABLE)?;
        let mut expected = values.iter();
        for entry in table.iter()? {
            let (key, data) = entry?;
            match expected.next() {
                Some((expected_key, value)) if *expected_key == key.value() && is_value(data.value(), *value) => {}
                _ => return Ok(Err(format!("key {} of the reopened database is wrong", key.value()))),
            }
        }
        Ok(match expected.next() {
            None => Ok(values.len() as u64),
            Some((key, _)) => Err(format!("key {key} is not in the reopened database")),
        })
    }
}
