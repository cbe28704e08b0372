//! What runs on the embedded guest. Each workload is repeatable by its seed and checks its own results.

mod client;
mod condvars;
mod database;
mod disk;
mod locks;
mod memory;
mod network;
mod partition;
pub(crate) mod rng;
mod runner;
mod rwlocks;
pub(crate) mod stopwatch;
mod syscalls;
mod threads;
mod timers;
mod visits;

use client::Client;
pub(crate) use runner::{run, share};

use crate::guest::GuestError;
use core::fmt;
use core::str::FromStr;
use partition::Partition;
use std::sync::Arc;

/// A workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Workload {
    /// Mutexes.
    Locks,
    /// Reader/writer locks.
    RwLocks,
    /// Ping-pong over condition variables.
    Condvars,
    /// Sleeps, timeouts and callouts.
    Timers,
    /// Threads, processes and lwps.
    Threads,
    /// Memory.
    Memory,
    /// Random and sequential transfers of a disk.
    Disk,
    /// An embedded database.
    Database,
    /// TCP connections.
    Network,
    /// System calls.
    Syscalls,
    /// All of the others at once.
    Mixed,
}

/// What is known of a workload before it runs.
struct Kind {
    name: &'static str,
    description: &'static str,
    /// How many client threads it gets when nobody says.
    threads: usize,
    /// The number of client threads is a multiple of this.
    multiple: usize,
    /// Bytes of disk that it uses.
    disk: u64,
    /// In a mixed run, after how many operations a client sleeps for a moment, as programs do: a client that never
    /// waits would leave no virtual CPU to the others. `None`: it waits often enough by itself.
    burst: Option<u64>,
    /// Its clients use locks of the host, as a program's threads do: they are threads of the program then.
    host_locks: bool,
    /// Prepares it; called by a thread in the kernel.
    setup: fn(&Setup) -> Result<Arc<dyn Load>, GuestError>,
}

/// What a workload is prepared for.
struct Setup {
    threads: usize,
    seed: u64,
    /// As much of the disk as its kind asks for.
    partition: Option<Partition>,
}

/// A workload that is ready to run.
trait Load: Send + Sync {
    /// What one client thread does, outside of the kernel: [`Client::system_call`] enters it. Returns when
    /// [`Client::more`] says no.
    fn run(&self, client: &mut Client);

    /// Checks what is left when all client threads are done, in the kernel. `operations` is their number of operations.
    fn verify(&self, operations: u64) -> Result<u64, String>;
}

impl Kind {
    fn threads_for(&self, asked: usize) -> usize {
        asked.max(1).next_multiple_of(self.multiple)
    }
}

impl Workload {
    /// All of them.
    pub const ALL: [Workload; 11] = [
        Workload::Locks,
        Workload::RwLocks,
        Workload::Condvars,
        Workload::Timers,
        Workload::Threads,
        Workload::Memory,
        Workload::Disk,
        Workload::Database,
        Workload::Network,
        Workload::Syscalls,
        Workload::Mixed,
    ];

    fn kind(self) -> Option<&'static Kind> {
        match self {
            Workload::Locks => Some(&locks::KIND),
            Workload::RwLocks => Some(&rwlocks::KIND),
            Workload::Condvars => Some(&condvars::KIND),
            Workload::Timers => Some(&timers::KIND),
            Workload::Threads => Some(&threads::KIND),
            Workload::Memory => Some(&memory::KIND),
            Workload::Disk => Some(&disk::KIND),
            Workload::Database => Some(&database::KIND),
            Workload::Network => Some(&network::KIND),
            Workload::Syscalls => Some(&syscalls::KIND),
            Workload::Mixed => None,
        }
    }

    /// The workloads that run: itself, or all others.
    fn parts(self) -> impl Iterator<Item = (Workload, &'static Kind)> {
        let mixed = self == Workload::Mixed;
        Workload::ALL
            .into_iter()
            .filter(move |workload| mixed || *workload == self)
            .filter_map(|workload| Some((workload, workload.kind()?)))
    }

    /// How many client threads it has where `asked` are wanted: some take pairs. The mixed one has parts, each with its own.
    pub fn threads_for(self, asked: usize) -> usize {
        self.kind().map_or(asked, |kind| kind.threads_for(asked))
    }

    /// Bytes of disk that it uses.
    pub(crate) fn disk(self) -> u64 {
        self.parts().map(|(_, kind)| kind.disk).sum()
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        self.kind().map_or("mixed", |kind| kind.name)
    }

    /// What it does, in one line.
    pub fn description(self) -> &'static str {
        self.kind().map_or("all of the others at once", |kind| kind.description)
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// There is no workload of this name.
#[derive(Debug, thiserror::Error)]
#[error("there is no workload {0:?}; there are {names}", names = Workload::ALL.map(Workload::name).join(", "))]
pub struct UnknownWorkload(String);

impl FromStr for Workload {
    type Err = UnknownWorkload;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Workload::ALL
            .into_iter()
            .find(|workload| workload.name() == name)
            .ok_or_else(|| UnknownWorkload(name.to_owned()))
    }
}
