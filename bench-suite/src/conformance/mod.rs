//! The conformance suite of the rumpuser interface.
//!
//! Each case states one sentence of the contract and checks it on a library that it loads: ours, or any other
//! `librumpuser.so`. A case runs in a process of its own, so that a library that aborts or hangs fails that case only.
//!
//! * `case`: what a case is; `cases`: all of them, one file per family.
//! * `guest`: the smallest guest that can be one: it records every upcall and checks that the upcalls follow the rules.
//! * `calls`: the hypercalls with Rust's arguments and results.
//! * [`run`](runner::run) starts a case and judges how it ended; [`child_main`](child::child_main) is the other side.

mod calls;
mod case;
mod cases;
mod child;
mod guest;
mod runner;

pub use case::Case;
pub use cases::all;
pub use child::child_main;
pub use runner::{BACKEND_VARIABLE, LIBRARY_VARIABLE, Subject, run};
