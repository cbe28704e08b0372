//! What runs on a genuine kernel; each load checks what it gets.

pub mod churn;
pub mod fan;
pub mod files;
pub mod null;
pub mod pair;
pub mod rawdisk;
pub mod rawdisk_files;
pub mod ring;
pub mod sleep;

/// `Err` with what `what` says, unless it is `right`.
fn check(right: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if right { Ok(()) } else { Err(what()) }
}
