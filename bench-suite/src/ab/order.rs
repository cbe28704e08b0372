//! In which order a plan's runs come: randomized complete blocks (Fisher, "The design of experiments", 1935).
//!
//! A block is one load in one round: every variant runs once, one right after the other, in random order. What drifts
//! slowly (heat, other programs) hits all variants of a block alike; what is left falls on each with the same chance.

use super::plan::Plan;
use crate::workload::rng::Rng;

/// One run of a plan, by indices into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// The round.
    pub round: u32,
    /// The load.
    pub case: usize,
    /// The variant.
    pub variant: usize,
}

impl Plan {
    /// All runs, in their order. The same plan has the same order.
    pub fn order(&self) -> Vec<Slot> {
        let mut rng = Rng::new(self.seed);
        let mut slots = Vec::new();
        for round in 0..self.rounds {
            for case in shuffled(self.cases.len(), &mut rng) {
                let variants = shuffled(self.variants.len(), &mut rng);
                slots.extend(variants.into_iter().map(|variant| Slot { round, case, variant }));
            }
        }
        slots
    }
}

/// 0 to `count` in random order (Fisher and Yates; Durstenfeld, 1964).
pub(crate) fn shuffled(count: usize, rng: &mut Rng) -> Vec<usize> {
    let mut items: Vec<_> = (0..count).collect();
    for last in (1..count).rev() {
        items.swap(last, rng.below(last as u64 + 1) as usize);
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ab::{Amount, Case, Guest, Load, Variant};
    use crate::workload::Workload;
    use std::collections::{BTreeMap, HashSet};

    fn plan(seed: u64) -> Plan {
        let variant = |label: &str| Variant {
            label: label.to_owned(),
            library: "library".into(),
            env: BTreeMap::new(),
            watched: false,
            again: None,
        };
        let case = |workload| Case { workload: Load::Embedded(workload), ncpu: 2, threads: None };
        Plan {
            seed,
            rounds: 600,
            amount: Amount::Operations(1),
            warm_up_ns: 0,
            guest_cores: None,
            guest: Guest::Embedded,
            cases: [Workload::Locks, Workload::Disk].map(case).to_vec(),
            variants: Plan::with_noise(&["a", "b"].map(variant)),
        }
    }

    #[test]
    fn every_block_has_every_variant_once() {
        let plan = plan(1);
        let order = plan.order();
        assert_eq!(order.iter().collect::<HashSet<_>>().len(), 600 * 2 * 3);
        assert_eq!(order.len(), 600 * 2 * 3);
        for block in order.chunks(3) {
            assert!(block.iter().all(|slot| (slot.round, slot.case) == (block[0].round, block[0].case)));
        }
        assert!(order.is_sorted_by_key(|slot| slot.round));
    }

    /// Each of 3 places is as likely for each of 3 variants: 400 of 1200, with a standard deviation of 16.3.
    #[test]
    fn every_variant_comes_first_as_often_as_any_other() {
        let order = plan(7).order();
        for variant in 0..3 {
            for place in 0..3 {
                let often = order.chunks(3).filter(|block| block[place].variant == variant).count();
                assert!((330..470).contains(&often), "variant {variant} at {place}: {often}");
            }
        }
        let first = order.chunks(6).filter(|round| round[0].case == 0).count();
        assert!((240..360).contains(&first), "{first}");
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(plan(3).order(), plan(3).order());
        assert_ne!(plan(3).order(), plan(4).order());
    }

    #[test]
    fn the_first_variant_is_its_own_control() {
        let labels: Vec<_> = plan(1).variants.into_iter().map(|variant| variant.label).collect();
        assert_eq!(labels, ["a", "a again", "b"]);
        assert_eq!(Plan::with_noise(&[]), []);
    }
}
