//! Contention: which lock, who waits, from where, and who held it.

mod model;

pub use model::{Contention, Lock, LockKind, Module, Part, StackId, Wait};
