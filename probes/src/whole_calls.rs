//! All calls of one hypercall, whichever way they were timed.

use crate::catalogue::Quantity;
use crate::distribution::Distribution;

/// The calls that have returned, of each kind ([`Quantity::CALLS`]). Each kind is timed by a rule of its own, so none stands for
/// another's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WholeCalls([Distribution; Quantity::CALLS.len()]);

impl WholeCalls {
    /// Adds what there is of `quantity`; not where that is no kind of calls. Whether it is one.
    pub fn add(&mut self, quantity: Quantity, distribution: &Distribution) -> bool {
        let kind = Quantity::CALLS.iter().position(|kind| *kind == quantity);
        if let Some(kind) = kind {
            self.0[kind].merge(distribution);
        }
        kind.is_some()
    }

    /// How many; exact.
    pub fn count(&self) -> u64 {
        self.0.iter().map(Distribution::count).fold(0, u64::saturating_add)
    }

    /// The kinds that there are, to be weighed apart. Where it was never the turn of those that are timed as a sample, they are
    /// taken to be like the first ones.
    pub fn kinds(mut self) -> Vec<Distribution> {
        let [sampled, _, first] = &mut self.0;
        if sampled.timed() == 0 && first.timed() != 0 {
            first.merge(&std::mem::take(sampled));
        }
        self.0.into_iter().filter(|kind| kind.count() != 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(timed: u64, untimed: u64) -> Distribution {
        let mut distribution = Distribution::default();
        (0..timed).for_each(|_| distribution.record(100));
        distribution.untimed = untimed;
        distribution
    }

    #[test]
    fn each_kind_is_weighed_apart() {
        let mut calls = WholeCalls::default();
        assert!(calls.add(Quantity::Call, &distribution(2, 200)));
        assert!(calls.add(Quantity::First, &distribution(16, 0)));
        assert!(!calls.add(Quantity::Own, &distribution(7, 7)));
        assert_eq!(calls.count(), 218);
        assert_eq!(calls.kinds(), [distribution(2, 200), distribution(16, 0)]);
    }

    #[test]
    fn those_of_which_none_was_timed_are_like_the_first_ones() {
        let mut calls = WholeCalls::default();
        calls.add(Quantity::Call, &distribution(0, 9));
        calls.add(Quantity::Slow, &distribution(1, 0));
        assert_eq!(calls.clone().kinds(), [distribution(0, 9), distribution(1, 0)], "there are none");
        calls.add(Quantity::First, &distribution(16, 0));
        assert_eq!(calls.kinds(), [distribution(1, 0), distribution(16, 9)]);
    }
}
