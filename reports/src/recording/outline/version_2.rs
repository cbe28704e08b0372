//! Outlines of recordings of version 2, which are still read: of times less was rounded off, and nothing of counts, and
//! what figures grow by was told by themselves alone. `docs/recording.md` has them at its end.

use super::before::Before;
use super::figure::Kind;
use super::lines::{self, CELLS, KINDS, TABLES};
use super::scale;
use crate::precision::Precision;
use crate::recording::bytes::{BitSource, Flaw, Source, unzigzag};
use crate::recording::edits::{self, Keyed, Room};
use crate::recording::tables::{Key, Row, Table};
use crate::sample::Sample;

/// What an outline tells, and what the next one is expected to tell.
#[derive(Clone, Debug)]
pub struct Outline {
    taken: u64,
    /// How long after the sample before.
    interval: u64,
    tables: [Vec<Line>; TABLES],
}

/// A row.
#[derive(Clone, Debug)]
struct Line {
    key: Key,
    figures: Vec<Figure>,
}

/// A figure, and how it went so far.
#[derive(Clone, Copy, Debug, Default)]
struct Figure {
    value: u64,
    /// What it grew by last, and how much went on meanwhile of what it grows with, by the clock or a count.
    grown: (u64, u64),
    /// How long the numbers were that were written of it, on average, in parts of a bit.
    length: u32,
}

/// Parts of a bit that lengths are kept in.
const PARTS: u32 = 16;

/// log2 of the steps of an octave that times are rounded down to.
const STEPS: u32 = 7;

impl Outline {
    /// What its rows are.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.tables.iter().flatten().map(|line| &line.key)
    }

    /// What a whole sample tells of what is in an outline, after `before`, the same of the whole sample before it.
    pub fn of_whole(sample: &Sample, before: Option<&Outline>) -> Self {
        let snapshot = &sample.snapshot;
        let began = before.map_or(snapshot.began, |before| before.taken);
        let interval = snapshot.taken.saturating_sub(began);
        let mut rows = lines::of(sample);
        for Row { figures, .. } in &mut rows[CELLS] {
            // All events, and then those of them that were not timed.
            (figures[0], figures[1]) = (figures[0].saturating_add(figures[1]), figures[0]);
        }
        let tables = std::array::from_fn(|table| {
            let before = before.map_or(&[][..], |before| &before.tables[table]);
            whole_lines(std::mem::take(&mut rows[table]), before, table, interval)
        });
        Outline { taken: snapshot.taken, interval, tables }
    }

    /// Makes it the next one.
    pub fn read(&mut self, structure: &[u8], bits: &[u8], room: &mut Room) -> Result<(), Flaw> {
        let (mut source, mut bits) = (Source(structure), BitSource::new(bits));
        self.interval = source.take()?;
        self.taken = self.taken.wrapping_add(self.interval);
        for (table, lines) in self.tables.iter_mut().enumerate() {
            let empty =
                |key| Line { key, figures: KINDS[table].iter().map(|kind| Figure::new(*kind, 0, 0, 0)).collect() };
            let each = size_of::<Line>() + KINDS[table].len() * size_of::<Figure>();
            *lines = edits::read(std::mem::take(lines), empty, each, &mut source, room)?;
            for line in lines {
                line.read(table, self.taken, self.interval, &mut bits)?;
            }
        }
        match source.0 {
            [] => Ok(()),
            _ => Err(Flaw("it has more bytes than it says")),
        }
    }

    /// The sample, of which all that is not told is as in `whole`, the last whole one before it.
    pub fn sample(&self, whole: &Sample) -> Result<Sample, Flaw> {
        let row = |line: &Line| {
            let figures = line.figures.iter().map(|figure| figure.value).collect();
            Row { key: line.key.clone(), figures, histograms: Vec::new() }
        };
        let mut tables = std::array::from_fn(|table| self.tables[table].iter().map(row).collect::<Table>());
        for Row { figures, .. } in &mut tables[CELLS] {
            let timed = figures[0].checked_sub(figures[1]);
            (figures[0], figures[1]) = (figures[1], timed.ok_or(Flaw("more events were not timed than there were"))?);
        }
        lines::sample(&tables, self.taken, Precision { times: STEPS, ..Precision::EXACT }, whole)
    }
}

/// What a figure grows with, which is further left in the row.
fn grows_with(table: usize, figure: usize) -> Option<usize> {
    (table == CELLS && figure > 0).then_some(0)
}

/// The lines of a whole sample's rows, which were `before`.
fn whole_lines(rows: Table, before: &[Line], table: usize, interval: u64) -> Vec<Line> {
    let mut before = Before::new(before);
    let lines = rows.into_iter().map(|Row { key, figures, .. }| {
        let was = before.find(&key);
        let grown = |figure: usize| figures[figure].wrapping_sub(was.map_or(0, |line| line.figures[figure].value));
        let figure = |(number, kind): (usize, &Kind)| {
            let (grown, per) = match grows_with(table, number) {
                // What did not happen tells nothing of how long it takes.
                Some(of) if grown(of) == 0 => (figures[number], figures[of]),
                Some(of) => (grown(number), grown(of)),
                None => (grown(number), interval),
            };
            Figure::new(*kind, figures[number], grown, per)
        };
        Line { figures: KINDS[table].iter().enumerate().map(figure).collect(), key }
    });
    lines.collect()
}

impl Line {
    fn read(&mut self, table: usize, taken: u64, interval: u64, bits: &mut BitSource) -> Result<(), Flaw> {
        let was: Vec<u64> = self.figures.iter().map(|figure| figure.value).collect();
        for (number, &kind) in KINDS[table].iter().enumerate() {
            let per = match grows_with(table, number) {
                Some(of) => self.figures[of].value.wrapping_sub(was[of]),
                None => interval,
            };
            if per != 0 || grows_with(table, number).is_none() {
                self.figures[number].read(kind, taken, per, bits)?;
            }
        }
        Ok(())
    }
}

impl Keyed for Line {
    fn key(&self) -> &Key {
        &self.key
    }
}

impl Figure {
    fn new(kind: Kind, value: u64, grown: u64, per: u64) -> Self {
        let bits = u64::BITS - grown.leading_zeros();
        let length = match kind {
            Kind::Count => bits.saturating_sub(2),
            Kind::Time | Kind::TimeOf(_) => bits.min(5),
            Kind::Value | Kind::Moment => 0,
        };
        Figure { value, grown: (grown, per), length: length * PARTS }
    }

    /// What it grows by if it goes on as before.
    fn expected(&self, per: u64) -> u64 {
        let (grown, of) = (u128::from(self.grown.0), u128::from(self.grown.1));
        (grown * u128::from(per)).checked_div(of).map_or(0, |grown| u64::try_from(grown).unwrap_or(u64::MAX))
    }

    fn read(&mut self, kind: Kind, taken: u64, per: u64, bits: &mut BitSource) -> Result<(), Flaw> {
        const WRONG: Flaw = Flaw("a time is larger than 64 bits");
        let word = self.take(bits)?;
        let value = match (kind, word) {
            (Kind::Count, _) => self.value.wrapping_add(self.expected(per)).wrapping_add(unzigzag(word)),
            (Kind::Time | Kind::TimeOf(_), _) => {
                let step = scale::step(self.expected(per), STEPS).wrapping_add(unzigzag(word));
                self.value.checked_add(scale::lowest(step, STEPS).ok_or(WRONG)?).ok_or(WRONG)?
            }
            (Kind::Value, _) => self.value.wrapping_add(unzigzag(word)),
            (Kind::Moment, 0) => self.value,
            (Kind::Moment, 1) => 0,
            (Kind::Moment, _) => {
                let away = scale::lowest((word - 2) >> 1, STEPS).ok_or(WRONG)?;
                if word & 1 == 0 { taken.wrapping_sub(away) } else { taken.wrapping_add(away) }
            }
        };
        if kind.grows() {
            self.grown = (value.wrapping_sub(self.value), per);
        }
        self.value = value;
        Ok(())
    }

    /// Golomb's code for powers of two, with Elias's gamma code for what is above the plain bits.
    fn take(&mut self, bits: &mut BitSource) -> Result<u64, Flaw> {
        const TOO_LARGE: Flaw = Flaw("a number is larger than 64 bits");
        let plain = ((self.length + PARTS / 2) / PARTS).saturating_sub(1);
        let mut length = 0;
        while bits.take(1)? == 0 {
            length += 1;
            if length > u64::BITS {
                return Err(TOO_LARGE);
            }
        }
        let above = (1_u128 << length | u128::from(bits.take(length)?)) - 1;
        let word = u64::try_from(above << plain).map_err(|_| TOO_LARGE)? | bits.take(plain)?;
        self.length = (3 * self.length + PARTS * (u64::BITS - word.leading_zeros())) / 4;
        Ok(word)
    }
}
