//! The loads for a genuine kernel.

use super::kernel::Kernel;
use super::loads::{churn, fan, files, null, pair, rawdisk, rawdisk_files, ring, sleep};
use super::worker::Worker;
use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

/// A load for a genuine kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Load {
    /// A system call that does nothing.
    Null,
    /// Files of a file system in memory.
    Files,
    /// Two threads that wake each other through pipes.
    Pipe,
    /// The same through a pair of local sockets.
    SocketPair,
    /// Bytes that go round all threads.
    Ring,
    /// One thread that writes to several.
    Fan,
    /// Random reads of a raw disk.
    RawDisk,
    /// The same, with threads that run outside of the kernel in between.
    RawDiskBusy,
    /// The same, with threads that sleep outside of the kernel in between.
    RawDiskIdle,
    /// A raw disk and files at once.
    RawDiskFiles,
    /// Sleeping.
    Sleep,
    /// Threads and processes that come and go.
    Churn,
}

/// What is known of a load before it runs.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    /// How many threads it gets when nobody says.
    pub(super) threads: usize,
    /// The number of threads is a multiple of this; the first of so many counts the operations.
    pub(super) multiple: usize,
    /// The libraries of the kernel that it needs beside `librump`, in an order in which they can be loaded.
    pub(super) components: &'static [&'static str],
    /// Prepares it for so many threads.
    pub(super) setup: fn(&Kernel, usize) -> Setup,
}

/// A prepared load, or what it was refused.
pub(super) type Setup = Result<Arc<dyn Run>, String>;

/// A load that is ready to run. An error is a call that failed or a result that is wrong, and ends the whole run.
pub(super) trait Run: Send + Sync {
    /// What one thread does, until [`Worker::more`] says no.
    fn run(&self, kernel: &Kernel, worker: &mut Worker) -> Result<(), String>;
}

impl Load {
    /// All of them.
    pub const ALL: [Load; 12] = [
        Load::Null,
        Load::Files,
        Load::Pipe,
        Load::SocketPair,
        Load::Ring,
        Load::Fan,
        Load::RawDisk,
        Load::RawDiskBusy,
        Load::RawDiskIdle,
        Load::RawDiskFiles,
        Load::Sleep,
        Load::Churn,
    ];

    pub(super) fn kind(self) -> &'static Kind {
        match self {
            Load::Null => &null::KIND,
            Load::Files => &files::KIND,
            Load::Pipe => &pair::PIPE,
            Load::SocketPair => &pair::SOCKET_PAIR,
            Load::Ring => &ring::KIND,
            Load::Fan => &fan::KIND,
            Load::RawDisk => &rawdisk::KIND,
            Load::RawDiskBusy => &rawdisk::BUSY,
            Load::RawDiskIdle => &rawdisk::IDLE,
            Load::RawDiskFiles => &rawdisk_files::KIND,
            Load::Sleep => &sleep::KIND,
            Load::Churn => &churn::KIND,
        }
    }

    /// How many threads it has where `asked` are wanted: some take pairs, or fours.
    pub fn threads_for(self, asked: usize) -> usize {
        asked.max(1).next_multiple_of(self.kind().multiple)
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        self.kind().name
    }

    /// What it does, in one line.
    pub fn description(self) -> &'static str {
        self.kind().description
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// There is no load of this name.
#[derive(Debug, thiserror::Error)]
#[error("there is no load {0:?} for a genuine kernel; there are {names}", names = Load::ALL.map(Load::name).join(", "))]
pub struct UnknownLoad(String);

impl FromStr for Load {
    type Err = UnknownLoad;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Load::ALL.into_iter().find(|load| load.name() == name).ok_or_else(|| UnknownLoad(name.to_owned()))
    }
}
