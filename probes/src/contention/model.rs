//! What a snapshot tells of waiting.

use crate::catalogue::Hypercall;
use crate::distribution::Distribution;
use crate::snapshot::Place;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The number of a call chain in its snapshot; 0: none was taken.
pub type StackId = u32;

/// Everything that a snapshot tells of waiting. All figures only grow; times are in clock ticks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contention {
    /// Whether waits were recorded at all.
    pub recorded: bool,
    /// Call chains: return addresses, innermost first. The innermost frames are the hypervisor's own. A chain ends where
    /// unwinding had to; it need not be at a thread's first function. They never change, and are shared by snapshots.
    pub stacks: Arc<BTreeMap<StackId, Vec<u64>>>,
    /// The objects that the process had loaded, in which the addresses of `stacks` lie.
    pub modules: Arc<[Module]>,
    /// The locks and condition variables that anybody has waited for, by number.
    pub locks: BTreeMap<u32, Lock>,
    /// What the waits were spent on.
    pub waits: Vec<Wait>,
    /// Waits that are in the figures of their lock, but not in `waits`, for want of room.
    pub lost: u64,
}

/// A file that is loaded in the measured process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Where it was loaded from.
    pub path: String,
    /// Its first address in the process, and the one after its last.
    pub start: u64,
    /// See `start`.
    pub end: u64,
    /// What is to be added to an address in the file to have the address in the process.
    pub bias: u64,
}

/// What kind of object is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LockKind {
    /// A mutex whose waiters sleep.
    Mutex = 1,
    /// A mutex that is waited for on the virtual CPU.
    SpinMutex = 2,
    /// A reader/writer lock.
    Rwlock = 3,
    /// A condition variable; its "holder" is who gives the signal.
    Condvar = 4,
}

/// A lock or condition variable that was waited for, or several that were made at the same place (`merged`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// What it is.
    pub kind: LockKind,
    /// Where the guest keeps its pointer to it: the address of the guest's own lock, if that begins with the pointer.
    pub address: u64,
    /// The how manieth at that address that was waited for, from 1.
    pub generation: u32,
    /// The chain of its making.
    pub made: StackId,
    /// It has been destroyed.
    pub ended: bool,
    /// How many further locks, made at the same place, are counted here, because there are too many of them to be kept
    /// apart. Then `address` and `generation` are of the first.
    pub merged: u64,
    /// How often it was taken since it was made: exact for mutexes and writers, estimated from a sample for readers, and
    /// for these only since it was first waited for. It is told now and then, so the latest may be missing. Of a
    /// condition variable, how many signals found a waiter.
    pub acquisitions: u64,
    /// Of these, how often it was waited for.
    pub contended: u64,
    /// Of these, how often waiting actively was enough.
    pub spun: u64,
    /// The lane of who has it now, where it is known: who had waited for it for more than a moment is, and who is in the
    /// sample of hold times. Of several readers the one who came last; of locks that are counted together, any.
    pub holder: Option<u32>,
    /// How many wait now.
    pub waiters: u32,
    /// How many waited at the same time at most.
    pub most_waiters: u32,
    /// The waits.
    pub wait: Distribution,
    /// For how long it was held, by those who had waited for it for more than a moment: each one timed.
    pub held_after_wait: Distribution,
    /// The same of the others: a sample, which stands for all of them (`acquisitions - held_after_wait`).
    pub held: Distribution,
}

/// What a part of a wait was spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The lock was held by `holder`, which was running, or waiting for a virtual CPU or for the host's processor. For a
    /// condition variable: the signal had not been given yet by `holder`.
    Held,
    /// The lock was held by `holder`, which itself waited in this call; the holder's chain is that of its wait.
    HolderWaited(Hypercall),
    /// From when the last holder gave it up (or the signal was given) until the waiter had it and ran on.
    HandOver,
    /// There is no holder: a sleep, a disk, the end of a thread.
    Alone,
    /// Who held it is not known: there was no room, or the wait was over before the holder could be asked.
    Unknown,
}

/// Time that threads have waited: all that agrees in everything but the figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The hypercall that waited.
    pub call: Hypercall,
    /// What it waited for: a key of `locks`; 0: no lock.
    pub lock: u32,
    /// Where it was before.
    pub place: Place,
    /// The chain that led to it.
    pub waiter: StackId,
    /// The lane of the waiting thread.
    pub waiter_lane: u32,
    /// What it was spent on.
    pub part: Part,
    /// The chain with which the holder gave the lock up (or the signal was given), or in which it waited itself.
    pub holder: StackId,
    /// The holder's lane.
    pub holder_lane: Option<u32>,
    /// How many waits ended in this part: the counts of all parts add up to the waits.
    pub count: u64,
    /// The time.
    pub ticks: u64,
    /// The longest single time of this part.
    pub max: u64,
}
