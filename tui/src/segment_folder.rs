//! The folder in which the guest makes its segment.

use anyhow::Context;
use rumpscope_probes::reader::{ReadError, Segment};
use rumpscope_probes::{Snapshot, own_folder, segment_folder};
use std::path::{Path, PathBuf};

/// A folder of this run alone, in the folder of segments of this user. It is deleted when this is dropped: a guest that
/// still runs goes on measuring into a file without a name.
#[derive(Debug)]
pub struct SegmentFolder {
    path: PathBuf,
}

impl SegmentFolder {
    /// Makes it.
    ///
    /// # Errors
    /// When it cannot be made, or one on the way to it is open to other users.
    pub fn new() -> anyhow::Result<Self> {
        let all = segment_folder();
        let path = all.join(format!("run-{}", std::process::id()));
        own_folder(&all).with_context(|| format!("the folder of segments {}", all.display()))?;
        // Left from an earlier process with our number, if it is there.
        let _ = std::fs::remove_dir_all(&path);
        own_folder(&path).with_context(|| format!("the folder {}", path.display()))?;
        Ok(SegmentFolder { path })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the guest's first process makes its segment.
    pub fn segment(&self) -> PathBuf {
        self.path.join("segment")
    }

    /// All that was measured up to the end of the guest's first process, which has ended or gone into the background.
    ///
    /// # Errors
    /// When there is no segment, or one that cannot be read.
    pub fn final_snapshot(&self) -> Result<Snapshot, ReadError> {
        let segment = Segment::open(&self.segment())?;
        let ended = segment.now()?;
        let snapshot = segment.snapshot()?;
        // A guest that said when it ended knows better; one that went on in the background has not ended.
        if snapshot.coverage.guest_ended || segment.is_alive()? {
            return Ok(snapshot);
        }
        segment.snapshot_ended(ended)
    }

    /// How many processes of the guest made a segment.
    pub fn segments(&self) -> usize {
        let is_segment = |entry: &std::fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(b"segment");
        std::fs::read_dir(&self.path).map_or(0, |entries| entries.flatten().filter(is_segment).count())
    }
}

impl Drop for SegmentFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tell!("rumpscope: cannot remove {}: {error}", self.path.display());
        }
    }
}
