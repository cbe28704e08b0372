//! Groups in the order in which they matter.

use super::figures::Figures;
use super::group::{By, Group, Key, Realm, groups};
use super::waiting::Waiting;
use rumpscope_probes::contention::{Lock, LockKind};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// A lock, or a class of locks, with the figures that it has itself.
#[derive(Clone, Debug)]
pub struct Ranked {
    /// Its name.
    pub name: String,
    /// The numbers of the locks.
    pub numbers: BTreeSet<u32>,
    /// What kinds of locks it is.
    pub kinds: BTreeSet<LockKind>,
    /// How many of them are kept apart.
    pub locks: u64,
    /// How many further ones are counted with them.
    pub merged: u64,
    /// Figures.
    pub figures: Figures,
    /// What was spent on its waits.
    pub group: Group,
}

/// The locks or (`By::Class`) classes of locks of `realm`, by the time that was waited for them, longest first.
pub fn locks(waiting: &Waiting, by: By, realm: Realm) -> Vec<Ranked> {
    let mut groups = groups(waiting, by, realm);
    let mut members = BTreeMap::<Key, BTreeMap<u32, &Lock>>::new();
    for (number, named) in waiting.locks.iter().filter(|(_, named)| Realm::of_kind(named.lock.kind) == realm) {
        let key = if by == By::Class { Key::Class(named.class.clone()) } else { Key::Lock(*number) };
        members.entry(key).or_default().insert(*number, &named.lock);
    }
    let ranked = members.into_iter().map(|(key, members)| Ranked {
        name: name(waiting, &key, &members),
        numbers: members.keys().copied().collect(),
        kinds: members.values().map(|lock| lock.kind).collect(),
        locks: members.len() as u64,
        merged: members.values().map(|lock| lock.merged).fold(0, u64::saturating_add),
        figures: Figures::new(members.values().copied(), &waiting.clock),
        group: groups.remove(&key).unwrap_or_default(),
    });
    let mut ranked: Vec<_> = ranked.collect();
    ranked.sort_by_key(|row| Reverse((row.figures.wait.total_ns, row.figures.contended)));
    ranked
}

/// A class of one lock is called like that.
fn name(waiting: &Waiting, key: &Key, members: &BTreeMap<u32, &Lock>) -> String {
    let mut all = members.iter();
    match (all.next(), all.next()) {
        (Some((number, lock)), None) if lock.merged == 0 => waiting.lock(*number).to_owned(),
        _ => key.label(waiting),
    }
}

/// The groups of `realm`, longest waits first.
pub fn others(waiting: &Waiting, by: By, realm: Realm) -> Vec<(Key, Group)> {
    let mut groups: Vec<_> = groups(waiting, by, realm).into_iter().collect();
    groups.sort_by_key(|(_, group)| Reverse((group.spent.total(), group.waits)));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contention::testing;

    #[test]
    fn the_longest_waits_come_first() {
        let waiting = testing::waiting();
        let names: Vec<_> = locks(&waiting, By::Lock, Realm::Locks).into_iter().map(|row| row.name).collect();
        assert_eq!(names, ["vcache_alloc #2", "proc_lock", "vcache_alloc #3"]);
        let threads = others(&waiting, By::Thread, Realm::Locks);
        assert_eq!(threads[0].0, Key::Thread(1));
    }

    #[test]
    fn a_lock_without_waits_of_its_own_is_told_too() {
        let waiting = testing::waiting_of(Vec::new());
        let rows = locks(&waiting, By::Lock, Realm::Locks);
        assert_eq!(rows.len(), 3);
        assert!(rows[0].figures.wait.total_ns > 0 && rows[0].group.waits == 0);
    }
}
