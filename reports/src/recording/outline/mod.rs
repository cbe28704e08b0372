//! Outlines: what is written of a sample where there is no room for all of it.
//!
//! Of everything that happens often there are counts and sums of times, rounded down as far as there is no room for more; so
//! nothing is lost of them, only told a little later. Who has which virtual CPU and what each thread does is there as well.
//! Histograms, the longest times, who waited for what and performance counters stay as the last whole sample has them.
//!
//! An outline is changes of what the sample before it, whole or outline, has of the same. What a figure grows by is
//! expected from what it grew by before and from what others grow by ([`leaders`]); only the difference is written
//! ([`figure`]), as [`numbers`] of which short ones take few bits, by a [`coder`] that learns how short they are.

mod before;
mod coder;
mod figure;
mod leaders;
mod lines;
mod numbers;
mod reading;
mod scale;
mod version_2;

use super::bytes::{Flaw, Sink, Source};
use super::edits::{self, Keyed, Room};
use super::tables::{Key, Row, Table};
use crate::precision::Precision;
use crate::sample::Sample;
use before::Before;
use coder::{Coder, Decoder, Encoder};
use figure::{Circumstances, Figure, Kind};
use leaders::{Expectation, OWN, Pace, Rows, Trust};
use lines::{KINDS, TABLES};
use numbers::Numbers;

pub(super) use reading::Reading;

/// What an outline tells, and what the next one is expected to tell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outline {
    taken: u64,
    /// How far its figures are rounded.
    precision: Precision,
    tables: [Vec<Line>; TABLES],
    numbers: [Numbers; CLASSES],
}

/// A row.
#[derive(Clone, Debug, Default, PartialEq)]
struct Line {
    key: Key,
    figures: Vec<Figure>,
    /// Of each figure.
    trust: Vec<Trust>,
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
    /// What its rows are.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.tables.iter().flatten().map(|line| &line.key)
    }

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
        let numbers = std::array::from_fn(|_| Numbers::new());
        Outline { taken: snapshot.taken, precision: Precision::EXACT, tables, numbers }
    }

    /// Makes it that of `sample`, or what is written of that, rounded as far as `precision` says.
    pub fn write(&mut self, sample: &Sample, precision: Precision) -> Written {
        let (mut sink, mut encoder) = (Sink::default(), Encoder::new());
        let interval = sample.snapshot.taken.wrapping_sub(self.taken);
        for number in [interval, precision.counts.into(), precision.times.into()] {
            sink.put(number);
        }
        let now = self.pass(interval, precision);
        for ((lines, rows), kinds) in self.tables.iter_mut().zip(lines::of(sample)).zip(KINDS) {
            *lines = edits::write(std::mem::take(lines), &rows, |key| Line::empty(key, kinds), &mut sink);
            // What is written can be read.
            let _ = code(lines, Some(&rows), kinds, now, &mut self.numbers, &mut encoder);
        }
        Written { structure: sink.0, bits: encoder.finish() }
    }

    /// Makes it what [`write`](Self::write) has made of it.
    pub fn read(&mut self, structure: &[u8], bits: &[u8], room: &mut Room) -> Result<(), Flaw> {
        let (mut source, mut decoder) = (Source(structure), Decoder::new(bits));
        let interval = source.take()?;
        let mut steps = || source.take().map(|steps| steps.min(Precision::ALL_BITS.into()) as u32);
        let precision = Precision { counts: steps()?, times: steps()? };
        let now = self.pass(interval, precision);
        for (lines, kinds) in self.tables.iter_mut().zip(KINDS) {
            let each = Line::bytes(kinds.len());
            *lines = edits::read(std::mem::take(lines), |key| Line::empty(key, kinds), each, &mut source, room)?;
            code(lines, None, kinds, now, &mut self.numbers, &mut decoder)?;
        }
        match source.0 {
            [] => decoder.finish(),
            _ => Err(Flaw("it has more bytes than it says")),
        }
    }

    /// How far it is rounded.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The sample, of which all that is not told is as in `whole`, the last whole one before it.
    pub fn sample(&self, whole: &Sample) -> Result<Sample, Flaw> {
        let tables = std::array::from_fn(|table| self.tables[table].iter().map(Line::row).collect::<Table>());
        lines::sample(&tables, self.taken, self.precision, whole)
    }

    fn pass(&mut self, interval: u64, precision: Precision) -> Circumstances {
        (self.taken, self.precision) = (self.taken.wrapping_add(interval), precision);
        Circumstances { taken: self.taken, interval, precision }
    }
}

/// The lines of a whole sample's rows, which were `before`.
fn whole_lines(rows: Table, before: &[Line], kinds: &[Kind], interval: u64) -> Vec<Line> {
    let mut before = Before::new(before);
    let lines = rows.into_iter().map(|Row { key, figures, .. }| {
        let was = before.find(&key);
        let was = |figure: usize| was.map_or(0, |line| line.figures[figure].value);
        let figure = |(number, kind): (usize, &Kind)| {
            Figure::new(*kind, figures[number], figures[number].saturating_sub(was(number)), interval)
        };
        Line { figures: kinds.iter().enumerate().map(figure).collect(), ..Line::empty(key, kinds) }
    });
    lines.collect()
}

/// Writes what `rows` have become, or reads what becomes of them.
fn code(
    lines: &mut [Line],
    rows: Option<&Table>,
    kinds: &[Kind],
    now: Circumstances,
    numbers: &mut [Numbers; CLASSES],
    coder: &mut impl Coder,
) -> Result<(), Flaw> {
    let mut before = Rows::default();
    for (number, line) in lines.iter_mut().enumerate() {
        let is = rows.map_or(&[][..], |rows| &rows[number].figures);
        let pace = line.code(is, kinds, &before, now, numbers, coder)?;
        coder.check()?;
        before.push(&line.key, pace);
    }
    for line in lines {
        line.figures.iter_mut().for_each(|figure| figure.settle(now.interval));
    }
    Ok(())
}

/// Kinds of numbers, each of which is learned alone.
const CLASSES: usize = 4;

fn class(kind: Kind) -> usize {
    match kind {
        Kind::Count => 0,
        Kind::Time | Kind::TimeOf(_) => 1,
        Kind::Value => 2,
        Kind::Moment => 3,
    }
}

impl Line {
    fn empty(key: Key, kinds: &[Kind]) -> Self {
        let figures = kinds.iter().map(|kind| Figure::new(*kind, 0, 0, 0)).collect();
        Line { key, figures, trust: vec![Trust::default(); kinds.len()] }
    }

    /// What one with so many figures takes in memory, but for its key.
    const fn bytes(figures: usize) -> usize {
        size_of::<Line>() + figures * (size_of::<Figure>() + size_of::<Trust>())
    }

    fn row(&self) -> Row {
        let figures = self.figures.iter().map(|figure| figure.value).collect();
        Row { key: self.key.clone(), figures, histograms: Vec::new() }
    }

    /// Writes what it `is`, or reads it, after the rows `before`. What its counts have grown by.
    fn code(
        &mut self,
        is: &[u64],
        kinds: &[Kind],
        before: &Rows,
        now: Circumstances,
        numbers: &mut [Numbers; CLASSES],
        coder: &mut impl Coder,
    ) -> Result<Pace, Flaw> {
        let mut leaders = before.leaders(&self.key, now.interval);
        for (number, &kind) in kinds.iter().enumerate() {
            let numbers = &mut numbers[class(kind)];
            let is = is.get(number).copied().unwrap_or(0);
            let rate = self.figures[number].rate;
            match kind {
                Kind::Count => {
                    let expectation = Expectation::new(rate, &leaders);
                    let expected = expectation.best(&self.trust[number]);
                    let figure = &mut self.figures[number];
                    figure.code(kind, is, expected, now, numbers, coder)?;
                    expectation.learn(figure.grown, &mut self.trust[number]);
                    leaders[OWN] = leaders[OWN].and(figure);
                }
                Kind::TimeOf(of) if self.figures[of].grown == 0 => {}
                Kind::TimeOf(of) => {
                    let expected = Pace::default().and(&self.figures[of]).expected(rate);
                    self.figures[number].code(kind, is, expected, now, numbers, coder)?;
                }
                Kind::Time => {
                    let expected = leaders[0].expected(rate);
                    self.figures[number].code(kind, is, expected, now, numbers, coder)?;
                }
                Kind::Value | Kind::Moment => {
                    self.figures[number].code(kind, is, 0, now, numbers, coder)?;
                }
            }
        }
        Ok(leaders[OWN])
    }
}

impl Keyed for Line {
    fn key(&self) -> &Key {
        &self.key
    }
}
