//! What can be wrong with a segment.

use std::io;
use std::path::PathBuf;

/// Why a segment could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be opened or read.
    #[error("cannot read the segment {path}: {reason}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the host said.
        reason: io::Error,
    },
    /// The file is no segment, or not one yet.
    #[error("{path} is no segment of rumpscope (or its process has not finished making it)")]
    NoSegment {
        /// Which file.
        path: PathBuf,
    },
    /// The file is a segment of another version of rumpscope.
    #[error(
        "{path} is a segment of version {found}; this rumpscope reads version {known}: use the rumpscope that belongs to the hypervisor"
    )]
    Version {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// Ours.
        known: u64,
    },
    /// The file contradicts itself.
    #[error("{path} is damaged: {what}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Which of its statements cannot be true.
        what: &'static str,
    },
}
