//! What was added between two snapshots of one process.

use rumpscope_probes::contention::{Contention, Lock, Part, Wait};
use rumpscope_probes::{Hypercall, Place};
use std::collections::{HashMap, HashSet};

/// All that a wait is told apart by.
type Key = (Hypercall, u32, Place, u32, u32, Part, u32, Option<u32>);

fn key(wait: &Wait) -> Key {
    (wait.call, wait.lock, wait.place, wait.waiter, wait.waiter_lane, wait.part, wait.holder, wait.holder_lane)
}

/// What `later` has more than `earlier`, a previous state of the same segment. Locks that nobody waited for meanwhile are
/// left out. (A wait is put into the figures of its lock and into `waits` one after the other: a lock may be there for a wait
/// alone.) Longest times of an interval are not known exactly: the longest of all is given where it may have been in the
/// interval, and never more than the interval's sum. `most_waiters` stays that of the whole time. Call chains and modules are
/// those of `later`, and not told again.
pub fn since(later: &Contention, earlier: &Contention) -> Contention {
    let waits = added_waits(&later.waits, &earlier.waits);
    let waited_for: HashSet<u32> = waits.iter().map(|wait| wait.lock).collect();
    let locks = later.locks.iter().filter_map(|(number, lock)| {
        let before = earlier.locks.get(number).filter(|before| is_same(before, lock));
        let is_told = waited_for.contains(number) || before.is_none_or(|before| has_changed(lock, before));
        is_told.then(|| (*number, before.map_or_else(|| lock.clone(), |before| added_lock(lock, before))))
    });
    let has_waits = |number: &u32, lock: &Lock| {
        lock.wait.count() != 0 || lock.contended != 0 || lock.waiters != 0 || waited_for.contains(number)
    };
    Contention {
        recorded: later.recorded,
        stacks: Default::default(),
        modules: Default::default(),
        locks: locks.filter(|(number, lock)| has_waits(number, lock)).collect(),
        waits,
        lost: later.lost.saturating_sub(earlier.lost),
    }
}

/// A segment only ever appends, so most waits stand where they stood before; the others are looked for.
fn added_waits(later: &[Wait], earlier: &[Wait]) -> Vec<Wait> {
    let mut by_key: Option<HashMap<Key, &Wait>> = None;
    let mut before = |index: usize, wait: &Wait| match earlier.get(index) {
        Some(before) if key(before) == key(wait) => Some(before),
        None if by_key.is_none() && later.len() >= earlier.len() => None,
        _ => {
            let by_key = by_key.get_or_insert_with(|| earlier.iter().map(|wait| (key(wait), wait)).collect());
            by_key.get(&key(wait)).copied()
        }
    };
    later.iter().enumerate().filter_map(|(index, wait)| added_wait(wait, before(index, wait))).collect()
}

fn added_wait(later: &Wait, earlier: Option<&Wait>) -> Option<Wait> {
    let Some(earlier) = earlier else { return Some(later.clone()) };
    let ticks = later.ticks.saturating_sub(earlier.ticks);
    let count = later.count.saturating_sub(earlier.count);
    (ticks != 0 || count != 0).then(|| Wait { count, ticks, max: later.max.min(ticks), ..later.clone() })
}

/// A number may have been given to another lock meanwhile.
fn is_same(left: &Lock, right: &Lock) -> bool {
    (left.kind, left.address, left.generation) == (right.kind, right.address, right.generation)
}

/// Whether somebody has waited for it, or does so now.
fn has_changed(later: &Lock, earlier: &Lock) -> bool {
    later.waiters != 0 || later.contended != earlier.contended || later.wait != earlier.wait
}

fn added_lock(later: &Lock, earlier: &Lock) -> Lock {
    Lock {
        acquisitions: later.acquisitions.saturating_sub(earlier.acquisitions),
        contended: later.contended.saturating_sub(earlier.contended),
        spun: later.spun.saturating_sub(earlier.spun),
        wait: later.wait.since(&earlier.wait),
        held_after_wait: later.held_after_wait.since(&earlier.held_after_wait),
        held: later.held.since(&earlier.held),
        ..later.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contention::testing;

    #[test]
    fn nothing_is_left_of_the_same() {
        let state = testing::contention();
        let nothing = since(&state, &state);
        assert!(nothing.waits.is_empty());
        // Somebody still waits for this one.
        assert!(nothing.locks.values().all(|lock| lock.waiters != 0), "{:?}", nothing.locks);
    }

    #[test]
    fn what_came_is_told_alone() {
        let earlier = testing::contention();
        let mut later = earlier.clone();
        later.waits[0].ticks += 500;
        later.waits[0].count += 2;
        let lock = later.locks.get_mut(&later.waits[0].lock).unwrap();
        lock.wait.record(500);
        lock.contended += 2;
        let added = since(&later, &earlier);
        assert_eq!(added.waits.len(), 1);
        assert_eq!((added.waits[0].ticks, added.waits[0].count, added.waits[0].max), (500, 2, 500));
        let lock = &added.locks[&added.waits[0].lock];
        assert_eq!((lock.contended, lock.wait.count(), lock.wait.sum), (2, 1, 500));
    }

    #[test]
    fn a_lock_of_which_only_the_waits_are_told_is_known() {
        let earlier = testing::contention();
        let mut later = earlier.clone();
        later.waits[0].ticks += 500;
        let added = since(&later, &earlier);
        let lock = &added.locks[&later.waits[0].lock];
        assert_eq!((lock.contended, lock.wait.count()), (0, 0));
        assert_eq!(added.locks.len(), since(&earlier, &earlier).locks.len() + 1);
    }

    #[test]
    fn waits_are_found_in_any_order() {
        let earlier = testing::contention().waits;
        let mut later: Vec<_> = earlier.iter().rev().cloned().collect();
        later[2].ticks += 70;
        let added = added_waits(&later, &earlier);
        assert_eq!((added.len(), added[0].ticks, &added[0].part), (1, 70, &later[2].part));
    }

    #[test]
    fn a_number_that_went_to_another_lock_begins_anew() {
        let earlier = testing::contention();
        let mut later = earlier.clone();
        let number = *later.locks.keys().next().unwrap();
        later.locks.get_mut(&number).unwrap().generation += 1;
        assert_eq!(since(&later, &earlier).locks[&number].contended, later.locks[&number].contended);
    }
}
