//! What can go wrong with a recording.

use std::io;
use std::path::PathBuf;

/// Why a recording ended early, or did not begin. What was written up to then is readable.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file could not be made.
    #[error("cannot make the recording {path}: {reason}")]
    Create {
        /// Which file.
        path: PathBuf,
        /// What the host said.
        reason: io::Error,
    },
    /// It could not be written to: the disk is full, or a limit of the size of files is reached.
    #[error("the recording {path} ends after {samples} samples, which are kept: cannot write to it: {reason}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Samples in it, outlines among them; all of them can be read.
        samples: usize,
        /// What the host said.
        reason: io::Error,
    },
}

/// Why a recording could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file could not be opened or read.
    #[error("cannot read the recording {path}: {reason}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the host said.
        reason: io::Error,
    },
    /// The file is no recording.
    #[error("{path} is no recording of rumpscope")]
    NoRecording {
        /// Which file.
        path: PathBuf,
    },
    /// The file is a recording of another version of the format.
    #[error(
        "{path} is a recording of version {found}; this rumpscope reads versions up to {known}: use the rumpscope that made it"
    )]
    Version {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest that we read.
        known: u32,
    },
    /// The file ends before its first whole sample, or is damaged there.
    #[error("{path} has no whole sample: {damage}")]
    Empty {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        damage: Damage,
    },
    /// A frame that is as it was written contradicts itself: nothing that rumpscope would have written.
    #[error("{path} is damaged: {damage}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        damage: Damage,
    },
}

/// Where a recording ceases to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {what}; {whole} samples before that are readable")]
pub struct Damage {
    /// The byte at which the first frame begins that is not as it was written.
    pub offset: u64,
    /// Samples before that, outlines among them; all of them can be read.
    pub whole: usize,
    /// What is wrong with it.
    pub what: &'static str,
    /// The file ends there: whoever recorded was killed, or the file was cut. Otherwise bytes have changed.
    pub cut: bool,
}
