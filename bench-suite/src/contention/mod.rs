//! What becomes of locks that are wanted by many: throughput against the best schedule there could be, and how long who
//! waited.
//!
//! Threads of a guest that is none take a lock, work inside it, give it back, work outside. The *best schedule* has the
//! lock passed on without loss: one section follows the other as fast as a single thread makes them, or all processors
//! work all the time, whichever is less. What a thread waits is told from the moment in which it found the lock taken to
//! the moment in which it had it.
//!
//! * `load`: one setting; `child`: the process in which it runs; `sections`: the work.
//! * `figures`: what came of it; `table`: libraries side by side.

mod child;
mod figures;
mod handoff;
mod load;
mod locks;
mod sections;
mod table;

pub use child::child_main;
pub use figures::{Figures, Waits};
pub use load::{Kind, Load, measure};
pub use table::table;
