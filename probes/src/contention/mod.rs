//! Contention: which lock, who waits, from where, and who held it.
//!
//! Nothing of this is on the way of a lock that is free. Who has to wait says so in the lock's record ([`Watch::wait`]),
//! with the call chain that led it there. Who gives the lock back sees that somebody waits ([`Watch::is_watched`]), and
//! notes with each one who waits how long that was, and its own chain. When the wait is over the waiter charges these times
//! to (lock, chain of the waiter, chain of the holder), and what is left, from the last release on, to the way from there;
//! and who has a lock alone then not before it has given that back ([`Watch::take_put_off`]): else locks that are held for
//! less time than that takes would be waited for because they are looked at. So the parts of a wait add up to the wait,
//! every waiter's time counts, not only the first one's, and nobody is kept by it but the one who waited: the others may be
//! many, and all served by one thread.
//!
//! ```text
//!   waiter   |<----------------------- wait ---------------------->|
//!   holders  ----- A holds --->|<------ B holds ------>|
//!   charged       Held by A    |      Held by B        |  HandOver |
//! ```
//! Where a holder itself waited meanwhile, for a disk or another lock, that part is charged to its wait
//! ([`Part::HolderWaited`]): this is how a chain of blocking finds its root.
//!
//! For a condition variable the "holder" is who gives the signal. It finds what the waiter shows it with the waiter, in the
//! condition variable's own queue, and says there what it has to say ([`Note`], [`Reply`]), so neither of them uses the record
//! until the wait is over.

mod hash;
mod ledger;
mod model;
mod note;
mod own;
mod pieces;
mod reading;
mod record;
mod rows;
mod stacks;
mod waiting;
mod watch;

pub(crate) use ledger::{Ledger, start_recording, stop_recording};
pub use ledger::{alone, is_recorded};
pub use model::{Contention, Lock, LockKind, Module, Part, StackId, Wait};
pub use note::{Note, Reply};
pub(crate) use reading::KeptContention;
pub(crate) use record::Records;
pub(crate) use stacks::Stacks;
pub use watch::{Ended, PutOff, Tried, Watch};

/// `on` (default) or `off`: waits are timed, but it is not recorded who waits for whom.
pub const ENV_CONTENTION: &str = "RUMPSCOPE_CONTENTION";
