//! How often threads made quick calls that were not timed.

use super::cells::thread_of;
use super::words::{Chain, Words};
use crate::layout::{header, tally};
use crate::snapshot::{Place, Thread};
use std::collections::BTreeMap;

/// How often each of [`tally::CALLS`] was made.
pub(super) type Counts = [u64; tally::CALLS.len()];

/// The tallies of all lanes.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    chain: Chain,
}

impl Tallies {
    /// What they have counted at each place. What `threads`, which are in the order of their lanes, have of it is added to
    /// their totals.
    pub(super) fn read(&mut self, words: &mut Words<'_>, threads: &mut [Thread]) -> Option<BTreeMap<Place, Counts>> {
        self.chain.extend(words, header::TALLIES, tally::SIZE)?;
        let mut places = BTreeMap::new();
        self.chain.each(words, tally::SIZE, |_, block| {
            let (lane, place) = ((block[tally::KEY] >> 32) as u32, (block[tally::KEY] >> 16) as u16);
            let counts: &mut Counts = places.entry(Place::from_number(place)?).or_default();
            let mut calls = 0u64;
            for (sum, tally) in counts.iter_mut().zip(&block[tally::FIRST..]) {
                let count = tally::count(*tally);
                *sum = sum.saturating_add(count);
                calls += count;
            }
            if let Some(thread) = thread_of(threads, lane) {
                thread.totals.calls = thread.totals.calls.saturating_add(calls);
            }
            Some(())
        })?;
        Some(places)
    }
}
