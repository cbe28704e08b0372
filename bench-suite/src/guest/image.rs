//! The file behind the guest's disk. It is made by the host program, before the guest runs.

use super::GuestError;
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes of a temporary image.
pub const SIZE: u64 = 64 << 20;

/// A disk image: given, or temporary and removed at the end.
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    temporary: bool,
}

impl Image {
    /// The image at `path`, or a new temporary one.
    ///
    /// # Errors
    /// When no temporary file could be made.
    pub fn new(path: Option<&Path>) -> Result<Self, GuestError> {
        if let Some(path) = path {
            return Ok(Image { path: path.to_owned(), temporary: false });
        }
        let path = std::env::temp_dir().join(format!("rumpscope-guest-{}.img", std::process::id()));
        // Not through a link or into a file that somebody else put there.
        let made = fs::OpenOptions::new().write(true).create_new(true).open(&path).and_then(|file| file.set_len(SIZE));
        match made {
            Ok(()) => Ok(Image { path, temporary: true }),
            Err(reason) => Err(GuestError::Image { path, reason }),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if self.temporary {
            // A file that cannot be removed is not worth more than what the guest found.
            let _ = fs::remove_file(&self.path);
        }
    }
}
