//! Reading a recording.

use super::about::About;
use super::bytes::Flaw;
use super::changes;
use super::compression::Unpacker;
use super::edits::{MEMORY, Room};
use super::error::{Damage, RecordingError};
use super::frame::{Body, HEAD, Head, Kind, MAGIC};
use super::interval::Interval;
use super::layout::{OLDEST, VERSION};
use super::marks::Marks;
use super::outline::Reading;
use super::restore::Extent;
use super::tables::Tables;
use crate::run::Ended;
use crate::sample::Sample;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// An open recording. What is in memory is where its samples are, and one of them.
pub struct Recording {
    path: PathBuf,
    file: File,
    version: u32,
    about: About,
    ended: Option<Ended>,
    damage: Option<Damage>,
    /// Where each sample is.
    places: Vec<Place>,
    intervals: Vec<Interval>,
    unpacker: Unpacker,
    /// The whole sample that was read last, and which one that is.
    tables: Tables,
    room: Room,
    at: Option<usize>,
    /// Where outlines are read.
    outlines: Option<Outlines>,
}

/// A whole sample, and the outlines after it.
struct Outlines {
    /// Which one.
    whole: usize,
    sample: Arc<Sample>,
    /// What an outline would have told of it, and what is left then for rows of outlines.
    first: (Reading, Room),
    /// The outline that was read last, and which one after the whole sample that is.
    last: Option<(usize, (Reading, Room))>,
    /// Some of those before it.
    marks: Marks<(Reading, Room)>,
}

/// Where the frame of a sample is.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Of the frame.
    offset: u64,
    head: Head,
    /// The number of the frame.
    number: u64,
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Recording").field("path", &self.path).field("samples", &self.len()).finish_non_exhaustive()
    }
}

impl Recording {
    /// Opens the recording at `path`, and looks whether all of it is as it was written. One that was cut off, or is
    /// damaged, has the samples before that; see [`Recording::damage`].
    ///
    /// # Errors
    /// When it cannot be read, is none, one of another version, or has no whole sample.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let io = |reason| RecordingError::Io { path: path.to_owned(), reason };
        let file = File::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        let mut scan = Scan { input: BufReader::new(&file), left: length, offset: 0 };
        let version = see_what_it_is(&mut scan, path)?;
        let empty = |offset, problem: Problem| match problem {
            Problem::Io(reason) => io(reason),
            Problem::Cut(what) => empty(path, offset, what, true),
            Problem::Flaw(Flaw(what)) => empty(path, offset, what, false),
        };
        let at = scan.offset;
        let about = match scan.frame(0).map_err(|problem| empty(at, problem))? {
            Some((place, body)) if place.head.kind == Kind::About => {
                About::new(&body).map_err(|flaw| empty(at, Problem::Flaw(flaw)))?
            }
            Some(_) => return Err(empty(at, Problem::Flaw(Flaw("it does not say what is recorded")))),
            None => return Err(empty(at, Problem::Cut("the file ends"))),
        };
        let mut recording = Recording {
            path: path.to_owned(),
            version,
            about,
            ended: None,
            damage: None,
            places: Vec::new(),
            intervals: Vec::new(),
            unpacker: Unpacker::new().map_err(io)?,
            tables: Tables::default(),
            room: Room(MEMORY),
            at: None,
            outlines: None,
            file: file.try_clone().map_err(io)?,
        };
        let (offset, stopped) = loop {
            let offset = scan.offset;
            match recording.look_at_next(&mut scan) {
                Ok(true) => {}
                Ok(false) => break (offset, None),
                Err(problem) => break (offset, Some(problem)),
            }
        };
        let whole = recording.len();
        recording.damage = match stopped {
            None => None,
            Some(Problem::Io(reason)) => return Err(io(reason)),
            Some(Problem::Cut(what)) => Some(Damage { offset, whole, what, cut: true }),
            Some(Problem::Flaw(Flaw(what))) => Some(Damage { offset, whole, what, cut: false }),
        };
        if whole == 0 {
            let nothing = Damage { offset, whole, what: "no sample was recorded", cut: true };
            return Err(RecordingError::Empty { path: path.to_owned(), damage: recording.damage.unwrap_or(nothing) });
        }
        Ok(recording)
    }

    /// Whether the file at `path` says that it is a recording, of whatever version.
    pub fn is_one(path: &Path) -> bool {
        let mut start = [0; MAGIC.len()];
        File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == MAGIC
    }

    /// Notes where the next frame is; `false` at the end.
    fn look_at_next(&mut self, scan: &mut Scan) -> Result<bool, Problem> {
        let number = self.places.len() as u64 + 1;
        let Some((place, body)) = scan.frame(number)? else { return Ok(false) };
        match place.head.kind {
            Kind::About => return Err(Problem::Flaw(Flaw("what is recorded is said twice"))),
            Kind::End => {
                self.ended = Some(Ended::from_bytes(&body).map_err(Problem::Flaw)?);
                return match scan.left {
                    0 => Ok(false),
                    _ => Err(Problem::Flaw(Flaw("there is something behind its end"))),
                };
            }
            Kind::Changes | Kind::Outline if self.places.is_empty() => {
                return Err(Problem::Flaw(Flaw("it begins with changes of nothing")));
            }
            Kind::Key | Kind::Changes | Kind::Outline => {}
        }
        let body = Body::new(&body).map_err(Problem::Flaw)?;
        let length = Duration::from_nanos(body.length_ns);
        let elapsed = self.intervals.last().map_or(Duration::ZERO, |last| last.elapsed.saturating_add(length));
        let waited = Duration::from_nanos(body.waited_ns);
        let waited_in = match (place.head.kind, self.places.len().checked_sub(1)) {
            (Kind::Outline, _) | (_, None) => Duration::ZERO,
            (_, Some(last)) => elapsed.saturating_sub(self.intervals[self.last_whole(last)].elapsed),
        };
        self.intervals.push(Interval { elapsed, length, calls: body.calls, waited, waited_in });
        self.places.push(place);
        Ok(true)
    }

    /// What was recorded.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// How the process ended; `None`: nobody said so, since whoever recorded was killed or is still at it.
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// Why it ends before its file does, or in the middle of a frame; `None`: all of it is there.
    pub fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    /// How many samples it has, at least one.
    #[allow(clippy::len_without_is_empty, reason = "one that is empty is not opened")]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// What happened before each sample. The first has nothing before it.
    pub fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// The last sample at `elapsed` after the first or before.
    pub fn index_at(&self, elapsed: Duration) -> usize {
        self.intervals.partition_point(|interval| interval.elapsed <= elapsed).saturating_sub(1)
    }

    /// The last whole sample that is sample `index`, or before it; see [`Sample::is_outline`].
    pub fn last_whole(&self, index: usize) -> usize {
        self.last(index, |kind| kind != Kind::Outline)
    }

    /// The last sample up to `index` whose frame is as asked for. The first one is a key frame.
    fn last(&self, index: usize, is: impl Fn(Kind) -> bool) -> usize {
        let index = index.min(self.len() - 1);
        self.places[..=index].iter().rposition(|place| is(place.head.kind)).unwrap_or(0)
    }

    /// Sample `index`, from 0; the last one where there are not so many. The one after that was read last is read quickly,
    /// any other from the key frame before it.
    ///
    /// # Errors
    /// When the file cannot be read any more, or a frame contradicts itself.
    pub fn at(&mut self, index: usize) -> Result<Arc<Sample>, RecordingError> {
        self.extent_at(index, Extent::Whole)
    }

    /// The same without waits, call chains and modules, where that is less to do: for histories of figures.
    ///
    /// # Errors
    /// As for [`Recording::at`].
    pub fn figures_at(&mut self, index: usize) -> Result<Arc<Sample>, RecordingError> {
        self.extent_at(index, Extent::Figures)
    }

    fn extent_at(&mut self, index: usize, extent: Extent) -> Result<Arc<Sample>, RecordingError> {
        let index = index.min(self.len() - 1);
        let whole = self.last_whole(index);
        let outlined = self.places.get(whole + 1).is_some_and(|place| place.head.kind == Kind::Outline);
        if !outlined {
            return self.whole(whole, extent).map(Arc::new);
        }
        // What is half changed is no sample.
        let mut outlines = match self.outlines.take() {
            Some(outlines) if outlines.whole == whole => outlines,
            _ => self.outlines_after(whole)?,
        };
        let sample = self.outline(index, &mut outlines)?;
        self.outlines = Some(outlines);
        Ok(sample)
    }

    fn outlines_after(&mut self, whole: usize) -> Result<Outlines, RecordingError> {
        // What is expected of the first outline is what was so before.
        let before = match self.places[whole].head.kind {
            Kind::Key => None,
            _ => Some(self.whole(self.last_whole(whole - 1), Extent::Figures)?),
        };
        let sample = Arc::new(self.whole(whole, Extent::Whole)?);
        let mut room = self.room;
        let first = Reading::of_whole(self.version, &sample, before.as_ref(), &mut room);
        let first = first.map_err(|flaw| self.damaged(whole, flaw))?;
        Ok(Outlines { whole, sample, first: (first, room), last: None, marks: Marks::new() })
    }

    /// Sample `index`, of those after `outlines.whole` that are outlines, or that one.
    fn outline(&mut self, index: usize, outlines: &mut Outlines) -> Result<Arc<Sample>, RecordingError> {
        if index == outlines.whole {
            return Ok(Arc::clone(&outlines.sample));
        }
        let end = index - outlines.whole;
        let mark = outlines.marks.before(end);
        // The one that was read last, unless a mark is nearer or it is behind the end.
        let last = outlines.last.take().filter(|(last, _)| (mark.map_or(0, |(at, _)| *at)..=end).contains(last));
        let (start, mut state) = last.or_else(|| mark.cloned()).unwrap_or_else(|| (0, outlines.first.clone()));
        for at in start + 1..=end {
            let number = outlines.whole + at;
            let bytes = self.frame(number)?;
            let (outline, room) = &mut state;
            let read = Body::new(&bytes).and_then(|body| outline.read(body.packed, body.bits, room));
            read.map_err(|flaw| self.damaged(number, flaw))?;
            outlines.marks.pass(at, end, &state, |(outline, _)| outline.bytes());
        }
        let sample = state.0.sample(&outlines.sample).map_err(|flaw| self.damaged(index, flaw))?;
        outlines.last = Some((end, state));
        Ok(Arc::new(sample))
    }

    /// Sample `index`, which is whole.
    fn whole(&mut self, index: usize, extent: Extent) -> Result<Sample, RecordingError> {
        let key = self.last(index, |kind| kind == Kind::Key);
        let first = match self.at {
            Some(at) if (key..=index).contains(&at) => at + 1,
            _ => key,
        };
        for number in
            (first..=index).filter(|number| self.places[*number].head.kind != Kind::Outline).collect::<Vec<_>>()
        {
            // What is half changed is no sample.
            self.at = None;
            self.read(number)?;
            self.at = Some(number);
        }
        self.tables.sample(extent).map_err(|flaw| self.damaged(index, flaw))
    }

    fn read(&mut self, index: usize) -> Result<(), RecordingError> {
        let bytes = self.frame(index)?;
        let key = self.places[index].head.kind == Kind::Key;
        if key {
            (self.tables, self.room) = (Tables::default(), Room(MEMORY));
        }
        let applied = Body::new(&bytes).and_then(|body| {
            let structure = self.unpacker.unpack(body.packed, body.unpacked, key)?;
            changes::apply(&mut self.tables, &structure, body.bits, &mut self.room)
        });
        applied.map_err(|flaw| self.damaged(index, flaw))
    }

    /// The body of a sample's frame.
    fn frame(&self, index: usize) -> Result<Vec<u8>, RecordingError> {
        let Place { offset, head, number } = self.places[index];
        let mut bytes = vec![0; head.length as usize];
        let io = |reason| RecordingError::Io { path: self.path.clone(), reason };
        self.file.read_exact_at(&mut bytes, offset + HEAD as u64).map_err(io)?;
        // Again: the file may have changed since it was opened.
        head.check(number, &bytes).map_err(|flaw| self.damaged(index, flaw))?;
        Ok(bytes)
    }

    fn damaged(&self, index: usize, Flaw(what): Flaw) -> RecordingError {
        let offset = self.places[index].offset;
        RecordingError::Damaged { path: self.path.clone(), damage: Damage { offset, whole: index, what, cut: false } }
    }
}

fn empty(path: &Path, offset: u64, what: &'static str, cut: bool) -> RecordingError {
    RecordingError::Empty { path: path.to_owned(), damage: Damage { offset, whole: 0, what, cut } }
}

/// Reads magic and version, which it gives back.
fn see_what_it_is(scan: &mut Scan, path: &Path) -> Result<u32, RecordingError> {
    let mut start = [0; 12];
    match scan.input.read_exact(&mut start) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            return Err(RecordingError::NoRecording { path: path.to_owned() });
        }
        read => read.map_err(|reason| RecordingError::Io { path: path.to_owned(), reason })?,
    }
    let [magic @ .., v0, v1, v2, v3] = start;
    if magic != MAGIC {
        return Err(RecordingError::NoRecording { path: path.to_owned() });
    }
    let found = u32::from_le_bytes([v0, v1, v2, v3]);
    if !(OLDEST..=VERSION).contains(&found) {
        return Err(RecordingError::Version { path: path.to_owned(), found, known: VERSION });
    }
    scan.offset = start.len() as u64;
    scan.left = scan.left.saturating_sub(scan.offset);
    Ok(found)
}

/// Why there is no frame.
enum Problem {
    Io(io::Error),
    Cut(&'static str),
    Flaw(Flaw),
}

/// Goes through the frames of a file.
struct Scan<'a> {
    input: BufReader<&'a File>,
    /// Bytes to the end of the file.
    left: u64,
    offset: u64,
}

impl Scan<'_> {
    /// Frame `number`, and its body; `None` at the end of the file.
    fn frame(&mut self, number: u64) -> Result<Option<(Place, Vec<u8>)>, Problem> {
        const CUT: Problem = Problem::Cut("the file ends within a frame");
        if self.left == 0 {
            return Ok(None);
        }
        let mut head = [0; HEAD];
        self.read(&mut head, CUT)?;
        let head = Head::new(&head).map_err(Problem::Flaw)?;
        // Before anything is allocated.
        if u64::from(head.length) > self.left {
            return Err(CUT);
        }
        let mut body = vec![0; head.length as usize];
        let offset = self.offset;
        self.read(&mut body, CUT)?;
        head.check(number, &body).map_err(Problem::Flaw)?;
        let place = Place { offset: offset - HEAD as u64, head, number };
        Ok(Some((place, body)))
    }

    fn read(&mut self, bytes: &mut [u8], cut: Problem) -> Result<(), Problem> {
        let count = bytes.len() as u64;
        if count > self.left {
            return Err(cut);
        }
        match self.input.read_exact(bytes) {
            // Cut while it is read.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(cut),
            read => read.map_err(Problem::Io)?,
        }
        self.left -= count;
        self.offset += count;
        Ok(())
    }
}
