//! Locks and condition variables on futexes.
//!
//! They know their owners only as numbers ([`Owner`]) and nothing of the guest: giving up the virtual CPU around a wait
//! is the caller's business, so every lock offers its parts (try, wait) one by one.
//!
//! Built with `--cfg loom`, the same code runs on loom's atomics and on a model of the futex; `tests/loom.rs` explores
//! the interleavings. Built with `RUMPSCOPE_DELAYS=1`, it runs on atomics that dawdle; `tests/stress.rs` looks what comes of it.

mod active;
mod answers;
mod condvar;
mod deadline;
#[cfg(delays)]
mod delayed;
#[cfg(not(loom))]
mod doze;
#[cfg(not(loom))]
mod futex;
#[cfg(loom)]
#[path = "futex_model.rs"]
mod futex;
mod habit;
mod monitor;
mod mutex;
mod offers;
mod owner;
mod pace;
mod primitive;
mod queue;
mod returns;
mod rwlock;
#[cfg(not(loom))]
mod seats;
#[cfg(not(loom))]
mod spread;
mod turns;

pub(super) use active::{Looked, look, monotonic, now, processors};
pub use condvar::{Condvar, Home, Note, Outcome, Reply, StillWaited, Waited};
pub use deadline::Deadline;
#[cfg(delays)]
pub use delayed::seed_delays;
#[cfg(not(loom))]
pub use doze::about_to_wait;
pub(super) use habit::Habit;
pub use monitor::Monitor;
pub use mutex::{Mutex, NotOwner};
pub use owner::Owner;
pub use rwlock::{NotHeld, OtherReaders, Rwlock};

/// A model has no time: nobody dozes in it.
#[cfg(loom)]
pub fn about_to_wait(_: [Owner; 2]) {}
