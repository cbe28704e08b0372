//! What of the tables has changed, as bytes that compress well, and back.
//!
//! A number is written as the length of its binary form, a byte, and its bits below the highest. The lengths of all
//! numbers of a column stand together: these are what compression finds something in. The bits are as good as random;
//! they are packed, and not compressed.

use super::bytes::{BitSource, Bits, Flaw, Sink, Source, unzigzag, zigzag};
use super::edits::{self, Room};
use super::layout::{LAYOUT, TAKEN, table};
use super::tables::{Column, Histogram, Layout, Row, Table, Tables};
use rumpscope_probes::buckets::{CHUNK_BUCKETS, CHUNKS, bounds};

/// Changes, as they are written.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Which rows, and lengths of numbers: to be compressed.
    pub structure: Vec<u8>,
    /// The bits of the numbers.
    pub bits: Vec<u8>,
}

/// What a histogram has grown by.
#[derive(Clone, Copy, Debug, Default)]
struct Grown {
    count: u64,
    /// As if all were in the middle of their buckets.
    sum: u64,
}

/// Where numbers are written to.
#[derive(Default)]
struct Writer {
    sink: Sink,
    bits: Bits,
}

impl Writer {
    fn number(&mut self, number: u64) {
        let length = u64::BITS - number.leading_zeros();
        self.sink.0.push(length as u8);
        self.bits.put(number, length.saturating_sub(1));
    }
}

/// Where numbers are read from.
struct Reader<'a> {
    source: Source<'a>,
    bits: BitSource<'a>,
}

impl Reader<'_> {
    fn number(&mut self) -> Result<u64, Flaw> {
        let length = u32::from(self.source.take_exactly(1)?[0]);
        match length {
            0 => Ok(0),
            1..=64 => Ok(self.bits.take(length - 1)? | 1 << (length - 1)),
            _ => Err(Flaw("a number is larger than 64 bits")),
        }
    }
}

/// Turns `before` into `after`; what is written leads from one to the other.
pub(super) fn write(before: &mut Tables, after: Tables) -> Changes {
    before.0.resize_with(LAYOUT.len(), Table::new);
    let taken = taken(&after);
    let mut to = Writer::default();
    for ((before, after), layout) in before.0.iter_mut().zip(&after.0).zip(&LAYOUT) {
        let rows = edits::write(std::mem::take(before), after, |key| Row::empty(key, layout), &mut to.sink);
        write_rows(&rows, after, layout, taken, &mut to);
    }
    *before = after;
    Changes { structure: to.sink.0, bits: to.bits.finish() }
}

/// Does the same to `before` as [`write`] has done.
pub(super) fn apply(before: &mut Tables, structure: &[u8], bits: &[u8], room: &mut Room) -> Result<(), Flaw> {
    before.0.resize_with(LAYOUT.len(), Table::new);
    let mut from = Reader { source: Source(structure), bits: BitSource::new(bits) };
    let mut now = 0;
    for (number, layout) in LAYOUT.iter().enumerate() {
        let rows = &mut before.0[number];
        let empty = |key| Row::empty(key, layout);
        let bytes = size_of::<Row>() + layout.columns.len() * 8 + layout.histograms * 24;
        *rows = edits::read(std::mem::take(rows), empty, bytes, &mut from.source, room)?;
        read_rows(rows, layout, now, &mut from, room)?;
        if number == table::SAMPLE {
            now = taken(before);
        }
    }
    match from.source.0 {
        [] => Ok(()),
        _ => Err(Flaw("it has more bytes than it says")),
    }
}

/// When the sample was taken; in the first table, which has no moments itself.
fn taken(tables: &Tables) -> u64 {
    tables.0.get(table::SAMPLE).and_then(|rows| rows.first()?.figures.get(TAKEN).copied()).unwrap_or(0)
}

fn write_rows(before: &Table, after: &Table, layout: &Layout, taken: u64, to: &mut Writer) {
    let pairs = before.iter().zip(after).enumerate();
    let changed: Vec<_> = pairs.filter(|(_, (before, after))| before != after).collect();
    to.sink.put(changed.len() as u64);
    let mut next = 0;
    for &(number, _) in &changed {
        to.sink.put((number - next) as u64);
        next = number + 1;
    }
    let grown: Vec<Vec<Grown>> = changed
        .iter()
        .map(|(_, (before, after))| {
            let pairs = before.histograms.iter().zip(&after.histograms);
            pairs.map(|(before, after)| write_histogram(before, after, to)).collect()
        })
        .collect();
    for (number, &column) in layout.columns.iter().enumerate() {
        for ((_, (before, after)), grown) in changed.iter().zip(&grown) {
            let (was, is) = (before.figures[number], after.figures[number]);
            let expected = |of: usize| after.figures[of].wrapping_sub(before.figures[of]);
            to.number(match column {
                Column::Moment => ago(taken, is, was),
                _ => difference(column, is.wrapping_sub(was), grown, expected),
            });
        }
    }
}

fn read_rows(rows: &mut Table, layout: &Layout, taken: u64, from: &mut Reader, room: &mut Room) -> Result<(), Flaw> {
    let count = from.source.take_count()?;
    if count > rows.len() {
        return Err(Flaw("it changes rows that are not there"));
    }
    let mut changed = Vec::with_capacity(count);
    let mut next = 0_usize;
    for _ in 0..count {
        let number = next.checked_add(from.source.take_count()?).filter(|number| *number < rows.len());
        let number = number.ok_or(Flaw("it changes rows that are not there"))?;
        changed.push((number, Vec::new(), Vec::new()));
        next = number + 1;
    }
    for (number, grown, before) in &mut changed {
        let Row { histograms, figures, .. } = &mut rows[*number];
        for histogram in histograms {
            grown.push(read_histogram(histogram, from, room)?);
        }
        before.clone_from(figures);
    }
    for (number, &column) in layout.columns.iter().enumerate() {
        for (row, grown, before) in &changed {
            let figures = &mut rows[*row].figures;
            let expected = |of: usize| figures[of].wrapping_sub(before[of]);
            let written = from.number()?;
            figures[number] = match column {
                Column::Moment => moment(taken, written, before[number]),
                _ => before[number].wrapping_add(grown_by(column, written, grown, expected)),
            };
        }
    }
    Ok(())
}

/// What is written for a figure of `column` that has grown by `by`; `expected`: what another figure has grown by.
fn difference(column: Column, by: u64, grown: &[Grown], expected: impl Fn(usize) -> u64) -> u64 {
    match column {
        Column::Count => by,
        Column::Value | Column::Moment => zigzag(by),
        Column::SumOf(histogram) => zigzag(by.wrapping_sub(grown[histogram].sum)),
        Column::CountOf(histogram) => zigzag(by.wrapping_sub(grown[histogram].count)),
        Column::With(figure) => zigzag(by.wrapping_sub(expected(figure))),
    }
}

/// The inverse of [`difference`].
fn grown_by(column: Column, written: u64, grown: &[Grown], expected: impl Fn(usize) -> u64) -> u64 {
    match column {
        Column::Count => written,
        Column::Value | Column::Moment => unzigzag(written),
        Column::SumOf(histogram) => unzigzag(written).wrapping_add(grown[histogram].sum),
        Column::CountOf(histogram) => unzigzag(written).wrapping_add(grown[histogram].count),
        Column::With(figure) => unzigzag(written).wrapping_add(expected(figure)),
    }
}

/// What is written for a moment that was `was`: how long before `taken`, with the places of three values changed, so that
/// 0 says that it is the same, 1 that it is 0, and what is not long ago is small.
fn ago(taken: u64, is: u64, was: u64) -> u64 {
    let [same, none] = moments(taken, was);
    to_front(to_front(zigzag(taken.wrapping_sub(is)), none), same)
}

/// The inverse of [`ago`].
fn moment(taken: u64, written: u64, was: u64) -> u64 {
    let [same, none] = moments(taken, was);
    taken.wrapping_sub(unzigzag(from_front(from_front(written, same), none)))
}

/// As what the same moment, and none, would be written; the first after the second was put to the front.
fn moments(taken: u64, was: u64) -> [u64; 2] {
    let none = zigzag(taken);
    [to_front(zigzag(taken.wrapping_sub(was)), none), none]
}

/// Makes `first` 0, and what was below it one larger.
fn to_front(number: u64, first: u64) -> u64 {
    match number.cmp(&first) {
        std::cmp::Ordering::Less => number + 1,
        std::cmp::Ordering::Equal => 0,
        std::cmp::Ordering::Greater => number,
    }
}

/// The inverse of [`to_front`].
fn from_front(number: u64, first: u64) -> u64 {
    match number {
        0 => first,
        number if number <= first => number - 1,
        number => number,
    }
}

/// First what the buckets have grown by that were there, up to the last that did; then those that are new.
fn write_histogram(before: &Histogram, after: &Histogram, to: &mut Writer) -> Grown {
    let mut grown = Grown::default();
    let count_in = |histogram: &Histogram, bucket: u16| {
        histogram.binary_search_by_key(&bucket, |entry| entry.0).map_or(0, |at| histogram[at].1)
    };
    let mut differences: Vec<u64> =
        before.iter().map(|&(bucket, was)| grown.add(bucket, count_in(after, bucket).wrapping_sub(was))).collect();
    while differences.last() == Some(&0) {
        differences.pop();
    }
    to.sink.put(differences.len() as u64);
    differences.into_iter().for_each(|difference| to.number(difference));
    let is_new = |entry: &&(u16, u64)| before.binary_search_by_key(&entry.0, |entry| entry.0).is_err();
    let new: Vec<_> = after.iter().filter(is_new).collect();
    to.sink.put(new.len() as u64);
    let mut next = 0;
    for &&(bucket, count) in &new {
        to.sink.put(u64::from(bucket - next));
        to.number(grown.add(bucket, count));
        next = bucket + 1;
    }
    grown
}

fn read_histogram(histogram: &mut Histogram, from: &mut Reader, room: &mut Room) -> Result<Grown, Flaw> {
    let mut grown = Grown::default();
    let known = from.source.take_count()?;
    let known = histogram.get_mut(..known).ok_or(Flaw("it changes buckets that are not there"))?;
    for (bucket, count) in known {
        *count = count.wrapping_add(grown.add(*bucket, from.number()?));
    }
    let new = from.source.take_count()?;
    room.take(new.saturating_mul(size_of::<(u16, u64)>()))?;
    let mut next = 0_u64;
    for _ in 0..new {
        let bucket = next.saturating_add(from.source.take()?);
        if bucket >= (CHUNKS * CHUNK_BUCKETS) as u64 {
            return Err(Flaw("a histogram has more buckets than there are"));
        }
        next = bucket + 1;
        let bucket = bucket as u16;
        histogram.push((bucket, grown.add(bucket, from.number()?)));
    }
    if new != 0 {
        // Stable, since that finds out that these are two lists in order.
        histogram.sort_by_key(|entry| entry.0);
        if histogram.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(Flaw("a bucket is new that was there"));
        }
    }
    histogram.retain(|(_, count)| *count != 0);
    Ok(grown)
}

impl Grown {
    /// Counts that `bucket` has grown by `by`, and gives that back.
    fn add(&mut self, bucket: u16, by: u64) -> u64 {
        let (low, high) = bounds(usize::from(bucket) / CHUNK_BUCKETS, usize::from(bucket) % CHUNK_BUCKETS);
        self.count = self.count.wrapping_add(by);
        self.sum = self.sum.wrapping_add(by.wrapping_mul(low + (high - low) / 2));
        by
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn moments_survive(taken: u64, is: u64, was: u64) {
            for is in [is, was, 0, taken] {
                prop_assert_eq!(moment(taken, ago(taken, is, was), was), is);
            }
            prop_assert_eq!(ago(taken, was, was), 0);
            prop_assert!(ago(taken, 0, was) <= 1);
        }
    }
}
