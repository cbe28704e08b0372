//! One setting, and how it is run.

use super::child::CONTEND;
use super::figures::Figures;
use crate::ab::Variant;
use crate::process::{Failed, Process};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// What is wanted by many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A mutex of the guest's own kind.
    Mutex,
    /// A reader/writer lock, of which one in ten is a writer.
    Rwlock,
    /// A token that the threads hand round, each waiting for it on a condition variable of its own.
    Handoff,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 3] = [Kind::Mutex, Kind::Rwlock, Kind::Handoff];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Mutex => "mutex",
            Kind::Rwlock => "rwlock, 1 writer in 10",
            Kind::Handoff => "condition variables, token handed round",
        })
    }
}

/// A setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// What is wanted.
    pub kind: Kind,
    /// How many threads want it.
    pub threads: usize,
    /// Work inside, in nanoseconds.
    pub section_ns: u64,
    /// Work outside, in nanoseconds.
    pub outside_ns: u64,
    /// For how long.
    pub duration: Duration,
}

/// Runs `load` on `variant`, in a process of its own.
///
/// # Errors
/// When the process cannot be started or fails.
pub fn measure(variant: &Variant, load: &Load) -> Result<Figures, Failed> {
    let library = &variant.library;
    let told = serde_json::to_string(load).map_err(|error| Failed::of(library, &error))?;
    let process = Process::new(variant.env.clone());
    let output = process.run(&[], [CONTEND.into(), library.into(), told.into()])?;
    serde_json::from_slice(&output).map_err(|error| Failed::of(library, &error))
}
