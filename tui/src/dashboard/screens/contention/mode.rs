//! The lists that there are of who waits for what.

use rumpscope_reports::contention::group::{By, Realm};

/// What the list is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Locks,
    Conditions,
    Classes,
    Sites,
    Threads,
    Edges,
}

impl Mode {
    /// All, in the order in which they stand on the screen.
    pub const ALL: [Mode; 6] = [Mode::Locks, Mode::Conditions, Mode::Classes, Mode::Sites, Mode::Threads, Mode::Edges];

    /// What it is called there.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Locks => "locks",
            Mode::Conditions => "condition variables",
            Mode::Classes => "classes",
            Mode::Sites => "where",
            Mode::Threads => "threads",
            Mode::Edges => "who blocks whom",
        }
    }

    /// What waits are merged by, where the list is not of single locks.
    pub fn by(self) -> Option<By> {
        match self {
            Mode::Locks | Mode::Conditions => None,
            Mode::Classes => Some(By::Class),
            Mode::Sites => Some(By::Site),
            Mode::Threads => Some(By::Thread),
            Mode::Edges => Some(By::Edge),
        }
    }

    /// Which waits it is of.
    pub fn realm(self) -> Realm {
        if self == Mode::Conditions { Realm::Conditions } else { Realm::Locks }
    }
}
