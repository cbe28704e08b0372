//! The words of a segment as a reader sees them: read in pieces, since all of them are much, and most have not changed. Nothing
//! in them is trusted: whatever points outside is `None`.

use super::{ReadError, Segment};
use crate::layout::{LINK, MOST_WORDS, header};
use std::ops::Range;

/// What is read at least where one block is asked for: 4 KiB. Blocks of a kind lie side by side.
const LEAST: usize = 512;
/// What is read at once at most where many are: 64 KiB, which stay in a processor's own cache.
const MOST: usize = 8192;
/// What between two blocks is rather read than left out, 2 KiB: that is copied in the time of a system call.
const GAP: usize = 256;

/// The words in use, and a copy of some of them.
#[derive(Debug)]
pub(crate) struct Words<'a> {
    segment: &'a Segment,
    /// The header.
    head: &'a [u64],
    used: usize,
    /// A copy of `length` words from `from` on; kept for its memory.
    copy: &'a mut Vec<u64>,
    from: usize,
    length: usize,
    /// Why something could not be read.
    problem: Option<ReadError>,
}

impl<'a> Words<'a> {
    /// Those of `segment`, whose header is `head`; `copy` is for its memory.
    ///
    /// # Errors
    /// When it has fewer words than it says.
    pub(super) fn new(segment: &'a Segment, head: &'a [u64], copy: &'a mut Vec<u64>) -> Result<Self, ReadError> {
        let used = in_use(segment, head, head[header::USED])?;
        Ok(Words { segment, head, used, copy, from: 0, length: 0, problem: None })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.used
    }

    /// A word of the header.
    pub(crate) fn header(&self, word: usize) -> u64 {
        self.head[word]
    }

    /// Has what was added after the header was read among the words in use.
    pub(super) fn take_in_newer(&mut self) -> Option<()> {
        let used = self.segment.read_at(header::USED, 1).and_then(|word| in_use(self.segment, self.head, word[0]));
        // There are never fewer. In one that is forged: what was looked at is still there.
        used.map(|used| self.used = self.used.max(used)).map_err(|problem| self.problem = Some(problem)).ok()
    }

    /// Whether what is at `position` was added after the header was read.
    pub(crate) fn is_newer(&self, position: u64) -> bool {
        self.newer().contains(&position)
    }

    /// The positions of what was added after the header was read.
    pub(super) fn newer(&self) -> Range<u64> {
        self.used as u64..self.head[header::CAPACITY]
    }

    /// Why there was `None`: something could not be read, or what was read is `damaged`.
    pub(super) fn problem(&mut self, damaged: &'static str) -> ReadError {
        self.problem.take().unwrap_or_else(|| self.segment.damaged(damaged))
    }

    /// The block of `size` words at `position`.
    pub(crate) fn block(&mut self, position: u64, size: usize) -> Option<&[u64]> {
        let position = usize::try_from(position).ok()?;
        let end = position.checked_add(size).filter(|end| *end <= self.used)?;
        if position < self.from || end > self.from + self.length {
            self.read(position, size.max(LEAST).min(self.used - position))?;
        }
        self.copy.get(position - self.from..end - self.from)
    }

    /// Has `visit` look at the blocks of `size` words at `positions`, which had better rise: each with its number, as it is now.
    /// Ends where that says `None`.
    pub(crate) fn each(
        &mut self,
        positions: &[usize],
        size: usize,
        mut visit: impl FnMut(usize, &[u64]) -> Option<()>,
    ) -> Option<()> {
        let mut next = 0;
        while let Some(&first) = positions.get(next) {
            let fits = |pair: &&[usize]| {
                let (before, after) = (pair[0], pair[1]);
                before <= after
                    && after.saturating_sub(before) <= size.saturating_add(GAP)
                    && after.saturating_add(size).saturating_sub(first) <= MOST
            };
            let more = positions[next..].windows(2).take_while(fits).count();
            let end = positions[next + more].checked_add(size).filter(|end| *end <= self.used)?;
            self.read(first, end - first)?;
            for (number, position) in positions.iter().enumerate().skip(next).take(more + 1) {
                visit(number, self.copy.get(position - first..position - first + size)?)?;
            }
            next += more + 1;
        }
        Some(())
    }

    /// Copies the `length` words from `from` on, which are in use.
    fn read(&mut self, from: usize, length: usize) -> Option<()> {
        if self.copy.len() < length {
            self.copy.resize(length.max(MOST), 0);
        }
        (self.from, self.length) = (from, 0);
        match self.segment.fill(&mut self.copy[..length], from) {
            Ok(()) => {
                self.length = length;
                Some(())
            }
            Err(problem) => {
                self.problem = Some(problem);
                None
            }
        }
    }
}

/// How many words are in use if `used` is what the segment says; `head` is its header.
fn in_use(segment: &Segment, head: &[u64], used: u64) -> Result<usize, ReadError> {
    if used < header::SIZE as u64 || used > head[header::CAPACITY] {
        return Err(segment.damaged("it uses more words than it has"));
    }
    // Found out before anything is allocated for it. A file may be as long as it likes and take no room.
    if used > MOST_WORDS as u64 {
        return Err(segment.damaged("it uses more words than there can be"));
    }
    if used.checked_mul(8).is_none_or(|bytes| bytes > segment.length().unwrap_or(0)) {
        return Err(segment.damaged("the file is shorter than it says"));
    }
    Ok(used as usize)
}

/// The blocks of a chain. Blocks are only ever added, at its end: who looks again looks there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    positions: Vec<usize>,
    /// The same as they lie, those that have been looked at; and which of the chain's blocks these are.
    rising: Vec<usize>,
    numbers: Vec<u32>,
}

impl Chain {
    /// Looks for blocks that were added; `head` is the word of the header with the position of the first, and `size` what
    /// each has at least. `None`: the chain runs outside or in a circle.
    pub(crate) fn extend(&mut self, words: &mut Words<'_>, head: usize, size: usize) -> Option<()> {
        let most = words.count() / size;
        let mut next = match self.positions.last() {
            Some(last) => words.block(*last as u64, size)?[LINK],
            None => words.header(head),
        };
        while next != 0 && !words.is_newer(next) {
            if self.positions.len() >= most {
                return None;
            }
            let block = words.block(next, size)?;
            self.positions.push(next as usize);
            next = block[LINK];
        }
        Some(())
    }

    /// Has `visit` look at all of its blocks as they lie, each with its number in the chain's order; they have `size` words. Ends
    /// where that says `None`.
    pub(crate) fn each(
        &mut self,
        words: &mut Words<'_>,
        size: usize,
        mut visit: impl FnMut(usize, &[u64]) -> Option<()>,
    ) -> Option<()> {
        let Chain { positions, rising, numbers } = self;
        if numbers.len() != positions.len() {
            numbers.extend((numbers.len()..positions.len()).map(|number| number as u32));
            // What is there already is in order, which this one makes use of.
            numbers.sort_by_key(|number| positions[*number as usize]);
            rising.clear();
            rising.extend(numbers.iter().map(|number| positions[*number as usize]));
        }
        words.each(rising, size, |nth, block| visit(*numbers.get(nth)? as usize, block))
    }

    /// Where its blocks are, in their order.
    pub(crate) fn positions(&self) -> &[usize] {
        &self.positions
    }
}
