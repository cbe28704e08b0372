//! Outlines as recordings of any version have them.

use super::{Line, Outline, lines, version_2};
use crate::recording::bytes::Flaw;
use crate::recording::edits::Room;
use crate::recording::tables::Key;
use crate::sample::Sample;

/// An outline that is read.
#[derive(Clone, Debug)]
pub enum Reading {
    /// Of version 2.
    Version2(version_2::Outline),
    /// Of this version.
    Current(Box<Outline>),
}

impl Reading {
    /// What a whole sample tells of what is in an outline, after the whole sample `before`; see [`Outline::of_whole`].
    pub fn of_whole(version: u32, sample: &Sample, before: Option<&Sample>, room: &mut Room) -> Result<Self, Flaw> {
        // As it is now, and as it will be in the outline that is read last.
        room.take(lines::count(sample).saturating_mul(2 * Line::bytes(lines::MOST_FIGURES)))?;
        if version == 2 {
            let before = before.map(|before| version_2::Outline::of_whole(before, None));
            return Ok(Reading::Version2(version_2::Outline::of_whole(sample, before.as_ref())));
        }
        let before = before.map(|before| Outline::of_whole(before, None));
        Ok(Reading::Current(Box::new(Outline::of_whole(sample, before.as_ref()))))
    }

    /// Makes it the next one.
    pub fn read(&mut self, structure: &[u8], bits: &[u8], room: &mut Room) -> Result<(), Flaw> {
        match self {
            Reading::Version2(outline) => outline.read(structure, bits, room),
            Reading::Current(outline) => outline.read(structure, bits, room),
        }
    }

    /// How much memory it takes, in bytes; it may be less.
    pub fn bytes(&self) -> usize {
        let line = |key: &Key| Line::bytes(lines::MOST_FIGURES) + key.bytes();
        match self {
            Reading::Version2(outline) => outline.keys().map(line).sum(),
            Reading::Current(outline) => outline.keys().map(line).sum(),
        }
    }

    /// The sample, of which all that is not told is as in `whole`, the last whole one before it.
    pub fn sample(&self, whole: &Sample) -> Result<Sample, Flaw> {
        match self {
            Reading::Version2(outline) => outline.sample(whole),
            Reading::Current(outline) => outline.sample(whole),
        }
    }
}
