//! What ran, and how it ended: what the measured process does not know of itself.

use crate::host::Host;
use serde::Serialize;

/// What ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Ran {
    /// The embedded guest.
    Embedded {
        /// The workload on it.
        workload: String,
        /// What its choices are made from.
        seed: u64,
    },
    /// A program with a rump kernel in it.
    Program {
        /// The program and its arguments; bytes that are not UTF-8 are replaced.
        command: Vec<String>,
    },
}

/// How the measured process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Ended {
    /// By itself.
    Exited {
        /// Its exit status.
        status: i32,
    },
    /// By a signal that it got from somewhere.
    Killed {
        /// The signal's number on this host.
        signal: i32,
        /// Its name, `SIGSEGV`.
        name: String,
    },
    /// It was stopped because its time was up, or nobody looked at it any more.
    Stopped {
        /// Whether it had to be killed because it did not end when it was asked to.
        killed: bool,
    },
    /// It went on when it was looked at.
    Running,
    /// It has ended; how is not known to who looked at it.
    Gone,
}

/// A run, as who started it knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// What ran.
    pub ran: Ran,
    /// How it ended.
    pub ended: Ended,
    /// Where.
    pub host: Host,
}
