//! A copy of a segment's words, and blocks in it. Nothing in the copy is trusted: whatever points outside is `None`.

use crate::layout::{BLOCK_ALIGN, LINK};

/// A copy of the words in use.
#[derive(Clone, Copy)]
pub(crate) struct Words<'a> {
    words: &'a [u64],
    /// Positions from the copy's end up to here are blocks that were added while it was made.
    capacity: u64,
}

impl<'a> Words<'a> {
    /// `words` are at least a whole header.
    pub(super) fn new(words: &'a [u64], capacity: u64) -> Self {
        Words { words, capacity }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.words.len()
    }

    pub(crate) fn block(&self, position: u64, size: usize) -> Option<&'a [u64]> {
        let position = usize::try_from(position).ok()?;
        self.words.get(position..position.checked_add(size)?)
    }

    /// A word of the header.
    pub(crate) fn header(&self, word: usize) -> u64 {
        self.words[word]
    }

    /// Whether what is at `position` is newer than the copy.
    pub(crate) fn is_newer(&self, position: u64) -> bool {
        (self.words.len() as u64..self.capacity).contains(&position)
    }
}

/// The blocks of a chain. Blocks are only ever added, at its end: who looks again looks there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    positions: Vec<usize>,
}

impl Chain {
    /// Looks for blocks that were added; `head` is the word of the header with the position of the first, and `size` what
    /// each has at least. `None`: the chain runs outside or in a circle.
    pub(crate) fn extend(&mut self, words: &Words<'_>, head: usize, size: usize) -> Option<()> {
        let most = words.count() / size.next_multiple_of(BLOCK_ALIGN);
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

    /// Where its blocks are, in their order.
    pub(crate) fn positions(&self) -> &[usize] {
        &self.positions
    }
}
