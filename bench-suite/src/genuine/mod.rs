//! A genuine NetBSD rump kernel as a guest: its libraries are loaded at run time, and loads of the same kinds as the
//! [workloads](crate::workload) of the embedded guest run through its system calls.
//!
//! Nothing of the kernel is part of this: its folder is named by the user, and the few functions that are called are
//! looked up by their names in its public interface. One process holds at most one kernel, once.
//!
//! ```text
//! runner (host threads) -> load -> Kernel: a table of rump_* functions -> librump*.so -> librumpuser.so.0 under test
//! ```

mod error;
mod image;
mod kernel;
mod libraries;
mod load;
mod loads;
mod runner;
mod worker;

pub use error::KernelError;
pub use libraries::Libraries;
pub use load::{Load, UnknownLoad};
pub use runner::{Options, run};
