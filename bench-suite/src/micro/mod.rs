//! What single, uncontended hypercalls cost, in time and in instructions, on any library and in any timing mode.
//!
//! The mode and the library are a process's own for as long as it lives, so every combination is a process, started
//! anew and in turn with the others; a general micro-benchmark harness, which runs all in one process, could not compare
//! them. What may be said of the differences is decided as in [`ab`](crate::ab), by the same statistics.
//!
//! * `rows`: the hypercalls that are measured.
//! * `child`: the process in which they run, for time or for `callgrind`.
//! * `rounds`, `table`: times, in turn, side by side.
//! * `instructions`: exact counts of instructions and the functions that they were executed in; `callgrind` reads what
//!   the tool has written.

mod callgrind;
mod child;
mod instructions;
mod rounds;
mod rows;
mod table;

pub use child::child_main;
pub use instructions::{Counted, Function, Unavailable, available, count};
pub use rounds::{Subject, Times, measure};
pub use rows::{ROWS, Row};
pub use table::table;
