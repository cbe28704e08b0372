//! Writing a recording.

use super::about::About;
use super::changes;
use super::compression::Packer;
use super::error::RecordError;
use super::frame::{self, Body, HEAD, Kind, LONGEST, MAGIC};
use super::interval::Sums;
use super::layout::VERSION;
use super::limit::{Choice, Limit};
use super::outline::Outline;
use super::tables::Tables;
use crate::precision::Precision;
use crate::run::Ended;
use crate::sample::Sample;
use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A key frame comes when the frames of changes since the last one have that many times its size: so key frames are at
/// most a tenth of a recording.
const CHANGES_PER_KEY: u64 = 10;

/// And when there are that many of them: so many are read at most to come to a sample.
const MOST_CHANGES: u64 = 600;

/// Writes samples to a file. Each is written at once, and readable from then on, whatever becomes of the recorder.
pub struct Recorder {
    path: PathBuf,
    file: File,
    /// Whether the file was not there before.
    made: bool,
    /// What the file begins with, until it is written, with the first that comes: an old file stays until then.
    head: Option<Vec<u8>>,
    packer: Packer,
    /// The last whole sample.
    before: Tables,
    sums: Option<Sums>,
    /// Bytes of whole frames.
    bytes: u64,
    frames: u64,
    samples: usize,
    /// Of the last key frame.
    key_bytes: u64,
    /// What the frame of the last whole sample took, or would have taken.
    whole_bytes: u64,
    /// Of the frames of changes since the last key frame, and how many there are.
    changes: (u64, u64),
    limit: Option<Limit>,
    /// What an outline would have told of the last whole sample; only where there is a limit.
    whole: Option<Outline>,
    /// The outline that was written last, since that.
    outline: Option<Outline>,
    outlines: usize,
    /// The least of all outlines.
    precision: Precision,
    ends_whole: bool,
    left_out: usize,
    /// When the last sample was offered, in ticks.
    offered: Option<u64>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Recorder").field("path", &self.path).field("samples", &self.samples).finish_non_exhaustive()
    }
}

impl Recorder {
    /// A recording of nothing yet. A file that is there is written over as soon as there is something to write, and left alone
    /// if that never comes.
    ///
    /// # Errors
    /// When the file cannot be made or opened for writing.
    pub fn create(path: &Path, about: &About) -> Result<Self, RecordError> {
        let failed = |reason| RecordError::Create { path: path.to_owned(), reason };
        let mut how = File::options();
        how.write(true);
        let (file, made) = match how.clone().create_new(true).open(path) {
            Ok(file) => (file, true),
            // It is there; or a name that leads to a file which is not.
            Err(_) => (how.create(true).truncate(false).open(path).map_err(failed)?, false),
        };
        let packer = Packer::new().map_err(failed)?;
        let mut recorder = Recorder {
            path: path.to_owned(),
            file,
            made,
            head: None,
            packer,
            before: Tables::default(),
            sums: None,
            bytes: 0,
            frames: 0,
            samples: 0,
            key_bytes: 0,
            whole_bytes: 0,
            changes: (0, 0),
            limit: None,
            whole: None,
            outline: None,
            outlines: 0,
            precision: Precision::EXACT,
            ends_whole: false,
            left_out: 0,
            offered: None,
        };
        let about = recorder.next_frame(Kind::About, &about.bytes()).map_err(failed)?;
        let head = [&MAGIC[..], &VERSION.to_le_bytes(), &about].concat();
        recorder.bytes = head.len() as u64;
        recorder.head = Some(head);
        Ok(recorder)
    }

    /// Writes outlines where a day of recording would take more than `bytes` otherwise, and leaves samples out where not even
    /// these fit.
    #[must_use]
    pub fn with_limit(mut self, bytes: u64) -> Self {
        let mut limit = Limit::new(bytes);
        limit.take(self.bytes);
        self.limit = Some(limit);
        self
    }

    /// Adds a sample of the same process, later than those before: all of it, its outline, or nothing, as its limit allows.
    ///
    /// # Errors
    /// When it cannot be written: the recording is over then, and has all samples before this one.
    pub fn add(&mut self, sample: &Sample) -> Result<(), RecordError> {
        self.write_chosen(sample).map_err(|reason| self.failed(reason))
    }

    /// Adds all of it, whatever the limit.
    ///
    /// # Errors
    /// As for [`Recorder::add`].
    pub fn add_always(&mut self, sample: &Sample) -> Result<(), RecordError> {
        self.write_sample(sample, u64::MAX).map(drop).map_err(|reason| self.failed(reason))
    }

    /// Adds its outline, whatever the limit, of which there must be one; but for the first sample.
    #[cfg(test)]
    pub(super) fn add_outline(&mut self, sample: &Sample, precision: Precision) {
        let outline = self.outline(sample, precision).expect("a whole sample before");
        self.write_outline(sample, outline).expect("a file");
    }

    /// Says how the process ended, and ends the recording; its bytes. One that was not finished so is as readable, and does
    /// not say it. Where nothing was recorded nothing is written.
    ///
    /// # Errors
    /// As for [`Recorder::add`].
    pub fn finish(mut self, ended: &Ended) -> Result<u64, RecordError> {
        if self.head.is_some() {
            return Ok(0);
        }
        match self.write_frame(Kind::End, &ended.bytes()) {
            Ok(_) => Ok(self.bytes),
            Err(reason) => Err(self.failed(reason)),
        }
    }

    fn write_chosen(&mut self, sample: &Sample) -> io::Result<()> {
        let (choice, outline) = self.choose(sample);
        let left = self.limit.as_ref().map_or(u64::MAX, Limit::left);
        // Of the first sample there is no outline.
        let most = if outline.is_some() { left } else { u64::MAX };
        if choice == Choice::Whole && self.write_sample(sample, most)? {
            return Ok(());
        }
        match outline.filter(|(_, body)| choice != Choice::Nothing && (HEAD + body.len()) as u64 <= left) {
            Some(outline) => self.write_outline(sample, outline),
            None => {
                (self.left_out, self.ends_whole) = (self.left_out + 1, false);
                Ok(())
            }
        }
    }

    /// What to write of `sample`, and its outline, where that may be needed.
    fn choose(&mut self, sample: &Sample) -> (Choice, Option<(Outline, Vec<u8>)>) {
        let taken = sample.snapshot.taken;
        let passed = taken.saturating_sub(self.offered.replace(taken).unwrap_or(taken));
        let Some(mut limit) = self.limit.take() else { return (Choice::Whole, None) };
        limit.pass(sample.snapshot.clock.nanoseconds(passed) as u64);
        let outline = self.outline(sample, limit.precision());
        let choice = match &outline {
            Some((_, body)) => limit.choose((HEAD + body.len()) as u64, self.whole_bytes),
            None => Choice::Whole,
        };
        self.limit = Some(limit);
        (choice, outline)
    }

    /// The outline of `sample`, and the body of its frame; `None`: there is no whole sample before.
    fn outline(&self, sample: &Sample, precision: Precision) -> Option<(Outline, Vec<u8>)> {
        let mut outline = self.outline.as_ref().or(self.whole.as_ref())?.clone();
        let written = outline.write(sample, precision);
        let [length_ns, calls, _] = self.sums.map_or([0; 3], |earlier| Sums::of(sample).since(&earlier, sample));
        let (packed, bits) = (&written.structure[..], &written.bits[..]);
        let body = Body { length_ns, calls, waited_ns: 0, unpacked: 0, packed, bits }.bytes();
        Some((outline, body))
    }

    /// Where it is written to.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of it, with those that come first and may not be written yet.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Samples that were written.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Of these, those of which there is an outline, to stay below the limit.
    pub fn outlines(&self) -> usize {
        self.outlines
    }

    /// How far figures of these are rounded: of the one that is rounded most.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Whether the sample that was added last is written, and whole.
    pub fn ends_whole(&self) -> bool {
        self.ends_whole
    }

    /// Samples that were left out to stay below the limit.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Writes all of it, if that takes no more than `most` bytes; whether it did.
    fn write_sample(&mut self, sample: &Sample, most: u64) -> io::Result<bool> {
        let key = self.samples == 0
            || self.changes.0 > self.key_bytes.saturating_mul(CHANGES_PER_KEY)
            || self.changes.1 >= MOST_CHANGES;
        if key {
            self.before = Tables::default();
        }
        let written = changes::write(&mut self.before, Tables::of(sample));
        let packed = self.packer.pack(&written.structure, key)?;
        let sums = Sums::of(sample);
        let [length_ns, calls, waited_ns] = self.sums.map_or([0; 3], |earlier| sums.since(&earlier, sample));
        let body = Body {
            length_ns,
            calls,
            waited_ns,
            unpacked: written.structure.len(),
            packed: &packed,
            bits: &written.bits,
        }
        .bytes();
        self.whole_bytes = (HEAD + body.len()) as u64;
        if self.whole_bytes > most {
            // The next one cannot go on with what is not there.
            self.changes.1 = MOST_CHANGES;
            return Ok(false);
        }
        let bytes = self.write_frame(if key { Kind::Key } else { Kind::Changes }, &body)?;
        if let Some(limit) = &mut self.limit {
            limit.take(bytes);
            let before = self.whole.take().filter(|_| !key);
            (self.whole, self.outline) = (Some(Outline::of_whole(sample, before.as_ref())), None);
        }
        self.ends_whole = true;
        match key {
            true => (self.key_bytes, self.changes) = (bytes, (0, 0)),
            false => self.changes = (self.changes.0 + bytes, self.changes.1 + 1),
        }
        self.sums = Some(sums);
        self.samples += 1;
        Ok(true)
    }

    fn write_outline(&mut self, sample: &Sample, (outline, body): (Outline, Vec<u8>)) -> io::Result<()> {
        let bytes = self.write_frame(Kind::Outline, &body)?;
        if let Some(limit) = &mut self.limit {
            limit.take(bytes);
        }
        // What was waited for is told with the next whole sample.
        self.sums = self.sums.map(|before| before.with_calls_of(Sums::of(sample)));
        self.precision = self.precision.and(outline.precision());
        self.outline = Some(outline);
        self.ends_whole = false;
        (self.samples, self.outlines) = (self.samples + 1, self.outlines + 1);
        Ok(())
    }

    fn write_frame(&mut self, kind: Kind, body: &[u8]) -> io::Result<u64> {
        let bytes = self.next_frame(kind, body)?;
        if self.head.is_some() && self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        if let Some(head) = self.head.take() {
            // `bytes` has them already.
            self.file.write_all(&head).inspect_err(|_| self.bytes = 0)?;
        }
        self.file.write_all(&bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(bytes.len() as u64)
    }

    fn next_frame(&mut self, kind: Kind, body: &[u8]) -> io::Result<Vec<u8>> {
        if body.len() > LONGEST as usize {
            return Err(io::Error::other("a sample is larger than a recording can hold"));
        }
        let bytes = frame::frame(kind, self.frames, body);
        self.frames += 1;
        Ok(bytes)
    }

    fn failed(&self, reason: io::Error) -> RecordError {
        // A part of a frame is no use. Where that fails too, readers leave it out.
        if self.head.is_none() {
            let _ = self.file.set_len(self.bytes);
        }
        RecordError::Write { path: self.path.clone(), samples: self.samples, reason }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if !self.made || self.head.is_none() {
            return;
        }
        // Somebody else may have put another one there, or written to it.
        let is_ours =
            |ours: &Metadata, there: &Metadata| (ours.dev(), ours.ino(), 0) == (there.dev(), there.ino(), there.len());
        if let (Ok(ours), Ok(there)) = (self.file.metadata(), std::fs::symlink_metadata(&self.path))
            && is_ours(&ours, &there)
        {
            // An empty file that nobody asked for: not worth an error.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
