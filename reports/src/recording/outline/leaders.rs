//! What a count grows with: the clock, or counts of other rows. Whoever is called often on one virtual CPU is left often
//! there, and comes back as often; so most counts are told by one of them.

use super::figure::Figure;
use crate::recording::tables::Key;
use std::collections::HashMap;

/// Rows just before that count the same of other hypercalls at the same place.
const NEAR: usize = 8;

/// Rows before that count something else of the same hypercall at the same place.
const SAME: usize = 6;

/// What a count may grow with: the clock, the counts further left in the row, and these rows.
pub const LEADERS: usize = OWN + 1 + NEAR + SAME;

/// Which of the leaders is the row itself.
pub const OWN: usize = 1;

/// How much something went on, and how much it does in a tick, on average.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// Since the sample before.
    pub grown: f64,
    /// In a tick.
    pub rate: f64,
}

impl Pace {
    /// Both together.
    pub fn and(self, figure: &Figure) -> Self {
        Pace { grown: self.grown + figure.grown as f64, rate: self.rate + figure.rate }
    }

    /// What a figure of that `rate` grows by meanwhile; `None`: it does not tell.
    fn lead(self, rate: f64) -> Option<f64> {
        (self.rate > 0.0).then(|| rate * (self.grown / self.rate))
    }

    /// The same as a number; 0 where it does not tell.
    pub fn expected(self, rate: f64) -> u64 {
        self.lead(rate).map_or(0, rounded)
    }
}

/// How well each leader has told a count lately: how many bits what it was off by has, in parts of a bit.
#[derive(Clone, Debug, PartialEq)]
pub struct Trust([u16; LEADERS]);

impl Default for Trust {
    fn default() -> Self {
        Trust([UNKNOWN; LEADERS])
    }
}

/// It has told nothing yet.
const UNKNOWN: u16 = u16::MAX;

/// What a count is expected to grow by.
#[derive(Clone, Copy, Debug)]
pub struct Expectation {
    by: [Option<f64>; LEADERS],
}

impl Expectation {
    /// By each of `leaders`, of a count that grows at `rate`.
    pub fn new(rate: f64, leaders: &[Pace; LEADERS]) -> Self {
        Expectation { by: leaders.map(|leader| if rate > 0.0 { leader.lead(rate) } else { None }) }
    }

    /// That of the one that is trusted most.
    pub fn best(&self, trust: &Trust) -> u64 {
        let known = self.by.iter().zip(&trust.0).filter_map(|(by, trust)| Some((*trust, (*by)?)));
        known.min_by_key(|(trust, _)| *trust).map_or(0, |(_, by)| rounded(by))
    }

    /// It has grown by `grown`.
    pub fn learn(&self, grown: u64, trust: &mut Trust) {
        for (by, trust) in self.by.iter().zip(&mut trust.0) {
            let Some(by) = by else { continue };
            let off = bits(rounded(*by).abs_diff(grown));
            *trust = if *trust == UNKNOWN { off } else { (7 * *trust + off) / 8 };
        }
    }
}

/// To the nearest; one that is too large is the largest.
fn rounded(number: f64) -> u64 {
    (number + 0.5) as u64
}

/// How many bits a number has, in 64ths of one, about.
fn bits(number: u64) -> u16 {
    let number = number.saturating_add(1);
    let whole = number.ilog2();
    ((whole << 6) + ((number << (63 - whole)) << 1 >> 58) as u32) as u16
}

/// The rows of a table that may lead those after them.
#[derive(Debug, Default)]
pub struct Rows {
    /// What is counted, and how it went.
    rows: Vec<(Option<Counted>, Pace)>,
    /// By place and hypercall.
    calls: HashMap<(u64, u64), Vec<usize>>,
}

/// What a cell counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    place: u64,
    quantity: u64,
    call: u64,
}

impl Counted {
    /// `None`: it is the key of another table, whose rows lead nothing.
    fn new(key: &Key) -> Option<Self> {
        let [place, quantity, call] = key.numbers[..] else { return None };
        Some(Counted { place, quantity, call })
    }
}

impl Rows {
    /// The leaders of the next row, which has this key, after `interval`. The second is for the row itself; what is missing
    /// never grows.
    pub fn leaders(&self, key: &Key, interval: u64) -> [Pace; LEADERS] {
        let mut leaders = [Pace::default(); LEADERS];
        leaders[0] = Pace { grown: interval as f64, rate: 1.0 };
        let Some(Counted { place, quantity, call }) = Counted::new(key) else { return leaders };
        let alike = |row: Option<Counted>| row.is_some_and(|row| (row.place, row.quantity) == (place, quantity));
        let near = self.rows.iter().rev().take_while(|(row, _)| alike(*row));
        leaders[OWN + 1..][..NEAR].iter_mut().zip(near).for_each(|(leader, (_, pace))| *leader = *pace);
        let same = self.calls.get(&(place, call)).into_iter().flatten().rev();
        leaders[OWN + 1 + NEAR..].iter_mut().zip(same).for_each(|(leader, &row)| *leader = self.rows[row].1);
        leaders
    }

    /// The next row, as it went on.
    pub fn push(&mut self, key: &Key, pace: Pace) {
        let counted = Counted::new(key);
        if let Some(Counted { place, call, .. }) = counted {
            self.calls.entry((place, call)).or_default().push(self.rows.len());
        }
        self.rows.push((counted, pace));
    }
}
