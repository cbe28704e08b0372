//! A sample as tables of numbers: what frames of changes are made from.
//!
//! Each list of a [`Sample`](crate::Sample) is a table. A row has a *key*, which says what it is and never changes;
//! *figures*, which do; and histograms. Nothing here knows what the numbers mean.

use super::edits::Keyed;

/// A sample as tables, in the order of [`LAYOUT`](super::layout::LAYOUT).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tables(pub Vec<Table>);

/// The rows of a table, in the order of the sample.
pub(super) type Table = Vec<Row>;

/// A row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    /// What it is.
    pub key: Key,
    /// As many as the table has columns.
    pub figures: Vec<u64>,
    /// As many as the table's rows have.
    pub histograms: Vec<Histogram>,
}

impl Row {
    /// One in which nothing has happened.
    pub fn empty(key: Key, layout: &Layout) -> Self {
        Row { key, figures: vec![0; layout.columns.len()], histograms: vec![Vec::new(); layout.histograms] }
    }
}

impl Keyed for Row {
    fn key(&self) -> &Key {
        &self.key
    }
}

/// What a row is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// In numbers.
    pub numbers: Vec<u64>,
    /// And in words.
    pub texts: Vec<String>,
}

impl Key {
    /// How much memory its numbers and texts take, in bytes.
    pub fn bytes(&self) -> usize {
        let texts = self.texts.iter().map(|text| size_of::<String>() + text.len());
        size_of_val(&self.numbers[..]) + texts.sum::<usize>()
    }
}

/// The buckets in use and their counts, by number.
pub(super) type Histogram = Vec<(u16, u64)>;

/// How a figure changes, which tells what is written of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// It grows.
    Count,
    /// It changes, most often a little.
    Value,
    /// A time, in ticks; one that is new is not long before the sample.
    Moment,
    /// It grows with this histogram's sum.
    SumOf(usize),
    /// It grows with this histogram's count.
    CountOf(usize),
    /// It grows about as much as this figure of the row, which is further left.
    With(usize),
}

/// What the rows of a table have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// The figures.
    pub columns: &'static [Column],
    /// How many histograms.
    pub histograms: usize,
}
