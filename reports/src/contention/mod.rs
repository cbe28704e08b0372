//! Who waited for what, from where, and who made them wait.
//!
//! [`Waiting`] is what a snapshot tells of it, with names. [`group`] merges it by whatever waits have in common.

mod book;
pub mod chains;
mod coverage;
mod figures;
pub mod flame;
pub mod group;
mod interval;
pub mod json;
mod names;
pub mod offcpu;
pub mod points;
pub mod ranking;
mod short;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;
mod waiting;
pub mod why;

pub use book::Book;
pub use figures::Figures;
pub use names::{Frame, Names, site};
pub use short::short;
pub use waiting::{NamedLock, NamedThread, Waiting, kind_name};
