//! Outlines: what is written of a sample where there is no room for all of it.
//!
//! Of everything that happens often there are counts, exact, and times, rounded down by less than 1/128 of what was
//! added; so nothing is lost of them, only told a little later. Who has which virtual CPU and what each thread does is
//! there as well. Histograms, the longest times, who waited for what and performance counters stay as the last whole
//! sample has them.
//!
//! An outline is changes of what the sample before it, whole or outline, has of the same. What a figure grows by is
//! expected from what it grew by before; only the difference is written.

mod figure;
mod lines;
mod scale;

use super::bytes::{BitSource, Bits, Flaw, Sink, Source};
use super::edits::{self, Keyed, Room};
use super::tables::{Key, Row, Table};
use crate::sample::Sample;
use figure::{Circumstances, Figure, Kind};
use lines::{KINDS, TABLES};

/// What an outline tells, and what the next one is expected to tell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outline {
    taken: u64,
    /// How long after the sample before.
    interval: u64,
    tables: [Vec<Line>; TABLES],
}

/// A row.
#[derive(Clone, Debug, Default, PartialEq)]
struct Line {
    key: Key,
    figures: Vec<Figure>,
}

/// An outline as it is written.
#[derive(Debug)]
pub(super) struct Written {
    /// Which rows come and go.
    pub structure: Vec<u8>,
    /// The figures.
    pub bits: Vec<u8>,
}

impl Outline {
    /// What a whole sample tells of what is in an outline. Things go on as from `before`, the same of the whole sample before
    /// it, to this one; without one, as they did since measuring began.
    pub fn of_whole(sample: &Sample, before: Option<&Outline>) -> Self {
        let snapshot = &sample.snapshot;
        let began = before.map_or(snapshot.began, |before| before.taken);
        let interval = snapshot.taken.saturating_sub(began);
        let mut rows = lines::of(sample);
        let tables = std::array::from_fn(|table| {
            let before = before.map_or(&[][..], |before| &before.tables[table]);
            whole_lines(std::mem::take(&mut rows[table]), before, KINDS[table], interval)
        });
        Outline { taken: snapshot.taken, interval, tables }
    }

    /// Makes it that of `sample`, or what is written of that.
    pub fn write(&mut self, sample: &Sample) -> Written {
        let (mut sink, mut bits) = (Sink::default(), Bits::default());
        let interval = sample.snapshot.taken.wrapping_sub(self.taken);
        sink.put(interval);
        self.pass(interval);
        for ((lines, rows), kinds) in self.tables.iter_mut().zip(lines::of(sample)).zip(KINDS) {
            let empty = |key| Line::empty(key, kinds);
            *lines = edits::write(std::mem::take(lines), &rows, empty, &mut sink);
            for (line, row) in lines.iter_mut().zip(rows) {
                line.write(&row, kinds, self.taken, self.interval, &mut bits);
            }
        }
        Written { structure: sink.0, bits: bits.finish() }
    }

    /// Makes it what [`write`](Self::write) has made of it.
    pub fn read(&mut self, structure: &[u8], bits: &[u8], room: &mut Room) -> Result<(), Flaw> {
        let (mut source, mut bits) = (Source(structure), BitSource::new(bits));
        self.pass(source.take()?);
        for (lines, kinds) in self.tables.iter_mut().zip(KINDS) {
            let empty = |key| Line::empty(key, kinds);
            let each = size_of::<Line>() + kinds.len() * size_of::<Figure>();
            *lines = edits::read(std::mem::take(lines), empty, each, &mut source, room)?;
            for line in lines {
                line.read(kinds, self.taken, self.interval, &mut bits)?;
            }
        }
        match source.0 {
            [] => Ok(()),
            _ => Err(Flaw("it has more bytes than it says")),
        }
    }

    /// The sample, of which all that is not told is as in `whole`, the last whole one before it.
    pub fn sample(&self, whole: &Sample) -> Result<Sample, Flaw> {
        let tables = std::array::from_fn(|table| self.tables[table].iter().map(Line::row).collect::<Table>());
        lines::sample(&tables, self.taken, whole)
    }

    fn pass(&mut self, interval: u64) {
        (self.taken, self.interval) = (self.taken.wrapping_add(interval), interval);
    }
}

/// The lines of a whole sample's rows, which were `before`.
fn whole_lines(rows: Table, before: &[Line], kinds: &[Kind], interval: u64) -> Vec<Line> {
    let mut before = before.iter();
    let lines = rows.into_iter().map(|Row { key, figures, .. }| {
        // Rows stay in their order, so that those that are gone stand before the one that is looked for.
        let was = before.clone().position(|line| line.key == key).and_then(|at| before.nth(at));
        let was = |figure: usize| was.map_or(0, |line| line.figures[figure].value);
        let grown = |figure: usize| figures[figure].wrapping_sub(was(figure));
        let figure = |(number, kind): (usize, &Kind)| {
            let (grown, per) = match *kind {
                // What did not happen tells nothing of how long it takes.
                Kind::CountOf(of) | Kind::TimeOf(of) if grown(of) == 0 => (figures[number], figures[of]),
                Kind::CountOf(of) | Kind::TimeOf(of) => (grown(number), grown(of)),
                _ => (grown(number), interval),
            };
            Figure::new(*kind, figures[number], grown, per)
        };
        Line { figures: kinds.iter().enumerate().map(figure).collect(), key }
    });
    lines.collect()
}

impl Line {
    fn empty(key: Key, kinds: &[Kind]) -> Self {
        Line { key, figures: kinds.iter().map(|kind| Figure::new(*kind, 0, 0, 0)).collect() }
    }

    fn row(&self) -> Row {
        let figures = self.figures.iter().map(|figure| figure.value).collect();
        Row { key: self.key.clone(), figures, histograms: Vec::new() }
    }

    fn write(&mut self, row: &Row, kinds: &[Kind], taken: u64, interval: u64, bits: &mut Bits) {
        let was: Vec<u64> = self.figures.iter().map(|figure| figure.value).collect();
        for (number, &kind) in kinds.iter().enumerate() {
            if let Some(per) = self.per(kind, &was, interval) {
                self.figures[number].write(kind, row.figures[number], Circumstances { taken, per }, bits);
            }
        }
    }

    fn read(&mut self, kinds: &[Kind], taken: u64, interval: u64, bits: &mut BitSource) -> Result<(), Flaw> {
        let was: Vec<u64> = self.figures.iter().map(|figure| figure.value).collect();
        for (number, &kind) in kinds.iter().enumerate() {
            if let Some(per) = self.per(kind, &was, interval) {
                self.figures[number].read(kind, Circumstances { taken, per }, bits)?;
            }
        }
        Ok(())
    }

    /// How much went on of what a figure grows with; `None`: nothing, so it does not grow.
    fn per(&self, kind: Kind, was: &[u64], interval: u64) -> Option<u64> {
        match kind {
            Kind::CountOf(of) | Kind::TimeOf(of) => {
                Some(self.figures[of].value.wrapping_sub(was[of])).filter(|grown| *grown != 0)
            }
            _ => Some(interval),
        }
    }
}

impl Keyed for Line {
    fn key(&self) -> &Key {
        &self.key
    }
}
