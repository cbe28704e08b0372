//! Reading a segment: of a running process, a dead one, or a forged one.
//!
//! A reader copies the words in use with `pread` and looks at the copy. It maps nothing: a file that is cut short while
//! it is read would otherwise be SIGBUS for the reader. The kernel copies whole aligned words, so no counter is torn;
//! different counters may be some nanoseconds of writing apart. Nothing in the copy is trusted: every position is
//! checked, every chain is bounded. Reading changes nothing, and any number of readers may do it.
//!
//! A [`Segment`] is read once; a [`Reader`] reads it again and again, and keeps what does not change.

mod cells;
mod error;
mod header;
mod histograms;
mod kept;
mod tallies;
mod words;

pub use error::ReadError;
pub(crate) use header::{clock_info, text};
pub(crate) use histograms::distributions;
pub(crate) use words::{Chain, Words};

use crate::catalogue::Hypercall;
use crate::clock;
use crate::layout::{self, header as word};
use crate::snapshot::{Process, Snapshot};
use header::{clock_source, process_of};
pub use kept::Extent;
use kept::Kept;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// An open segment.
#[derive(Debug)]
pub struct Segment {
    path: PathBuf,
    file: File,
}

impl Segment {
    /// Opens the segment at `path` and checks its header.
    ///
    /// # Errors
    /// When it cannot be read, is no segment, or one of another version.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file = File::open(path).map_err(|reason| ReadError::Io { path: path.to_owned(), reason })?;
        let segment = Segment { path: path.to_owned(), file };
        segment.header()?;
        Ok(segment)
    }

    /// The same segment for another reader, also when its file has been removed meanwhile.
    ///
    /// # Errors
    /// When the host has no file descriptor left.
    pub fn try_clone(&self) -> Result<Self, ReadError> {
        let file = self.file.try_clone().map_err(|reason| ReadError::Io { path: self.path.clone(), reason })?;
        Ok(Segment { path: self.path.clone(), file })
    }

    /// The current time on the segment's clock, in ticks.
    ///
    /// # Errors
    /// As for [`Segment::open`].
    pub fn now(&self) -> Result<u64, ReadError> {
        clock::adopt(clock_source(&self.header()?));
        Ok(clock::now())
    }

    /// The process that writes it.
    ///
    /// # Errors
    /// As for [`Segment::open`].
    pub fn process(&self) -> Result<Process, ReadError> {
        Ok(process_of(&self.header()?))
    }

    /// Whether its process still runs.
    ///
    /// # Errors
    /// As for [`Segment::open`].
    pub fn is_alive(&self) -> Result<bool, ReadError> {
        Ok(self.process()?.is_alive())
    }

    /// All that is in it now. Of a process that has ended without saying when, the last sign of life counts as the end.
    ///
    /// # Errors
    /// When it cannot be read or contradicts itself.
    pub fn snapshot(&self) -> Result<Snapshot, ReadError> {
        Kept::default().snapshot(self, Extent::Whole, None)
    }

    /// The same of a process that ended at `ended` (ticks, from [`Segment::now`]) as its parent has seen.
    ///
    /// # Errors
    /// As for [`Segment::snapshot`].
    pub fn snapshot_ended(&self, ended: u64) -> Result<Snapshot, ReadError> {
        Kept::default().snapshot(self, Extent::Whole, Some(ended))
    }

    pub(crate) fn header(&self) -> Result<Vec<u64>, ReadError> {
        let words = match self.read_at(0, word::SIZE) {
            Err(ReadError::Damaged { path, .. }) => return Err(ReadError::NoSegment { path }),
            words => words?,
        };
        if words[word::MAGIC] != layout::MAGIC {
            return Err(ReadError::NoSegment { path: self.path.clone() });
        }
        if words[word::VERSION] != layout::VERSION {
            let (found, known) = (words[word::VERSION], layout::VERSION);
            return Err(ReadError::Version { path: self.path.clone(), found, known });
        }
        Ok(words)
    }

    /// The bytes that the file has now.
    pub(crate) fn length(&self) -> Result<u64, ReadError> {
        let length = self.file.metadata().map(|data| data.len());
        length.map_err(|reason| ReadError::Io { path: self.path.clone(), reason })
    }

    /// Our hypercalls by the writer's number.
    pub(crate) fn calls(&self) -> Result<Vec<Option<Hypercall>>, ReadError> {
        let (head, mut copy) = (self.header()?, Vec::new());
        let mut words = Words::new(self, &head, &mut copy)?;
        match header::catalogue(&mut words) {
            Some(catalogue) => Ok(header::calls(catalogue)),
            None => Err(words.problem("its catalogue lies outside")),
        }
    }

    pub(crate) fn read_at(&self, position: usize, count: usize) -> Result<Vec<u64>, ReadError> {
        let mut words = vec![0; count];
        self.fill(&mut words, position)?;
        Ok(words)
    }

    /// Fills `words` with those from `position` on.
    fn fill(&self, words: &mut [u64], position: usize) -> Result<(), ReadError> {
        // SAFETY: the same memory, as bytes: these may be anything, and so may the words that they make.
        let bytes = unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), size_of_val(words)) };
        match self.file.read_exact_at(bytes, (position as u64).saturating_mul(8)) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.damaged("the file was cut short")),
            result => result.map_err(|reason| ReadError::Io { path: self.path.clone(), reason }),
        }
    }

    pub(crate) fn damaged(&self, what: &'static str) -> ReadError {
        ReadError::Damaged { path: self.path.clone(), what }
    }
}

/// Reads a segment again and again: what never changes is kept, and what has not changed is shared by the snapshots.
#[derive(Debug)]
pub struct Reader {
    segment: Segment,
    kept: Kept,
}

impl Reader {
    /// One for `segment`.
    pub fn new(segment: Segment) -> Self {
        Reader { segment, kept: Kept::default() }
    }

    /// What it reads.
    pub fn segment(&self) -> &Segment {
        &self.segment
    }

    /// As [`Segment::snapshot`], at less cost from the second time on.
    ///
    /// # Errors
    /// As for [`Segment::snapshot`].
    pub fn snapshot(&mut self) -> Result<Snapshot, ReadError> {
        self.read(Extent::Whole)
    }

    /// As much as `extent` says of what is in the segment now.
    ///
    /// # Errors
    /// As for [`Segment::snapshot`].
    pub fn read(&mut self, extent: Extent) -> Result<Snapshot, ReadError> {
        let snapshot = self.kept.snapshot(&self.segment, extent, None);
        if snapshot.is_err() {
            // What was kept of it may be what is wrong.
            self.kept = Kept::default();
        }
        snapshot
    }
}
