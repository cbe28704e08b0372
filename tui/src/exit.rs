//! Exit statuses; a run otherwise ends with the guest's. Bad usage is 2, as clap has it.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// What was asked for makes no sense.
pub const BAD_USAGE: i32 = 2;
/// The profile could not be taken or written.
pub const NO_PROFILE: i32 = 3;
/// The program could not be started, as shells say it.
pub const CANNOT_START: i32 = 126;
/// There is no such program, as shells say it.
pub const NOT_FOUND: i32 = 127;

/// The status that tells of a child that ended like this: its own, or 128 and the number of the signal.
pub fn like(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(NO_PROFILE)
}
