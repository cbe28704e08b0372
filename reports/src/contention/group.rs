//! Waits merged by one thing that they have in common: one algorithm for all of them.

use super::names::Frame;
use super::waiting::Waiting;
use rumpscope_probes::Place;
use rumpscope_probes::contention::{LockKind, Part, StackId, Wait};
use std::collections::{BTreeMap, BTreeSet};

/// What waits are merged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The lock.
    Lock,
    /// All locks made at one place.
    Class,
    /// The function that waited.
    Site,
    /// The whole chain of functions that led to the wait.
    Stack,
    /// The virtual CPU that the waiter was on.
    Cpu,
    /// The thread that waited.
    Thread,
    /// The chain of functions of who held the lock.
    Holder,
    /// Who held it, and who waited.
    Edge,
}

impl By {
    /// All of them.
    pub const ALL: [By; 8] = [By::Lock, By::Class, By::Site, By::Stack, By::Cpu, By::Thread, By::Holder, By::Edge];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            By::Lock => "lock",
            By::Class => "class",
            By::Site => "site",
            By::Stack => "stack",
            By::Cpu => "cpu",
            By::Thread => "thread",
            By::Holder => "holder",
            By::Edge => "edge",
        }
    }
}

/// What kind of thing is waited for. Shares are among waits of one kind: a thread that waits on a condition variable may
/// just have nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Realm {
    /// Mutexes and reader/writer locks.
    Locks,
    /// Condition variables.
    Conditions,
    /// Neither: sleeps, disks, ends of threads.
    Other,
}

impl Realm {
    /// That of a kind of lock.
    pub fn of_kind(kind: LockKind) -> Self {
        if kind == LockKind::Condvar { Realm::Conditions } else { Realm::Locks }
    }

    /// That of a wait.
    pub fn of(wait: &Wait, waiting: &Waiting) -> Self {
        match (wait.lock, waiting.locks.get(&wait.lock)) {
            (0, _) => Realm::Other,
            (_, Some(named)) => Realm::of_kind(named.lock.kind),
            (_, None) => Realm::Locks,
        }
    }
}

/// What the waits of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A lock; 0: none.
    Lock(u32),
    /// A class of locks, by its name.
    Class(String),
    /// A function, by its name.
    Site(String),
    /// Functions, innermost first.
    Chain(Vec<String>),
    /// A virtual CPU, on none (`Err(false)`), or not known (`Err(true)`).
    Cpu(Result<u16, bool>),
    /// A lane.
    Thread(u32),
    /// The lane of the holder, where it is known, and of the waiter.
    Edge(Option<u32>, u32),
}

impl Key {
    /// That of a wait.
    pub fn new(by: By, wait: &Wait, waiting: &Waiting) -> Self {
        match by {
            By::Lock => Key::Lock(wait.lock),
            By::Class => match waiting.locks.get(&wait.lock) {
                Some(named) => Key::Class(named.class.clone()),
                None => Key::Class(no_lock(wait.lock).to_owned()),
            },
            By::Site => Key::Site(waiting.site(wait.waiter).to_owned()),
            By::Stack => Key::Chain(functions(waiting.chain(wait.waiter))),
            By::Cpu => Key::Cpu(match wait.place {
                Place::Vcpu(index) => Ok(index),
                Place::OffCpu => Err(false),
                Place::Unknown => Err(true),
            }),
            By::Thread => Key::Thread(wait.waiter_lane),
            By::Holder => Key::Chain(functions(waiting.chain(wait.holder))),
            By::Edge => Key::Edge(wait.holder_lane, wait.waiter_lane),
        }
    }

    /// The key for people; a chain is told by its first functions.
    pub fn label(&self, waiting: &Waiting) -> String {
        match self {
            Key::Lock(0) => no_lock(0).to_owned(),
            Key::Lock(number) => waiting.lock(*number).to_owned(),
            Key::Class(name) | Key::Site(name) => name.clone(),
            Key::Chain(functions) if functions.is_empty() => "(not known)".to_owned(),
            Key::Chain(functions) => functions.join(" < "),
            Key::Cpu(Ok(index)) => format!("vCPU {index}"),
            Key::Cpu(Err(false)) => "on no vCPU".to_owned(),
            Key::Cpu(Err(true)) => "(not known)".to_owned(),
            Key::Thread(lane) => waiting.thread(*lane),
            Key::Edge(holder, waiter) => {
                let holder = holder.map_or_else(|| "(not known)".to_owned(), |lane| waiting.thread(lane));
                format!("{holder} -> {}", waiting.thread(*waiter))
            }
        }
    }
}

fn no_lock(number: u32) -> &'static str {
    if number == 0 { "(no lock)" } else { "(a lock that is not known)" }
}

/// The names of the functions of a chain.
pub fn functions(chain: &[Frame]) -> Vec<String> {
    chain.iter().map(|frame| frame.function.clone()).collect()
}

/// What waits were spent on, in ticks. See [`Part`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Somebody held the lock, and did not wait in the hypervisor.
    pub held: u64,
    /// Somebody held the lock, and waited for something.
    pub holder_waited: u64,
    /// It was free (or the signal was given), but the waiter did not have it yet.
    pub hand_over: u64,
    /// There is no holder.
    pub alone: u64,
    /// Not known.
    pub unknown: u64,
}

impl Spent {
    fn add(&mut self, part: Part, ticks: u64) {
        let into = match part {
            Part::Held => &mut self.held,
            Part::HolderWaited(_) => &mut self.holder_waited,
            Part::HandOver => &mut self.hand_over,
            Part::Alone => &mut self.alone,
            Part::Unknown => &mut self.unknown,
        };
        *into = into.saturating_add(ticks);
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Spent) {
        self.held = self.held.saturating_add(other.held);
        self.holder_waited = self.holder_waited.saturating_add(other.holder_waited);
        self.hand_over = self.hand_over.saturating_add(other.hand_over);
        self.alone = self.alone.saturating_add(other.alone);
        self.unknown = self.unknown.saturating_add(other.unknown);
    }

    /// What it is where it has no holder that is known, in words.
    fn without_holder(&self) -> String {
        let not_known = self.held.max(self.holder_waited).max(self.unknown);
        let parts = [("hand-over", self.hand_over), ("alone", self.alone), ("not known", not_known)];
        let parts: Vec<_> = parts.into_iter().filter(|(_, ticks)| *ticks != 0).map(|(name, _)| name).collect();
        if parts.is_empty() { "(not known)".to_owned() } else { format!("({})", parts.join(", ")) }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        let parts = [self.held, self.holder_waited, self.hand_over, self.alone, self.unknown];
        parts.into_iter().fold(0, u64::saturating_add)
    }
}

/// Waits that have their key in common.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// How many ended here. A wait is split into its parts, which may be in different groups, and ends in one of them.
    pub waits: u64,
    /// The longest single part, in ticks.
    pub longest: u64,
    /// Their time, in ticks.
    pub spent: Spent,
    /// The same by the waiter's chain.
    pub waiters: BTreeMap<StackId, u64>,
    /// The same by the holder's chain, where there is a holder.
    pub holders: BTreeMap<StackId, u64>,
    /// What was waited for.
    pub locks: BTreeSet<u32>,
}

impl Group {
    /// Its key for people. Not all waits have a holder: where none is known, their parts tell why.
    pub fn label(&self, key: &Key, by: By, waiting: &Waiting) -> String {
        match key {
            Key::Chain(functions) if by == By::Holder && functions.is_empty() => self.spent.without_holder(),
            key => key.label(waiting),
        }
    }

    fn add(&mut self, wait: &Wait) {
        self.waits = self.waits.saturating_add(wait.count);
        self.longest = self.longest.max(wait.max);
        self.spent.add(wait.part, wait.ticks);
        let add = |ticks: &mut u64| *ticks = ticks.saturating_add(wait.ticks);
        add(self.waiters.entry(wait.waiter).or_default());
        if matches!(wait.part, Part::Held | Part::HolderWaited(_)) {
            add(self.holders.entry(wait.holder).or_default());
        }
        self.locks.insert(wait.lock);
    }
}

/// The waits of `realm`, merged by `by`. Their times add up to that of all waits of the realm.
pub fn groups(waiting: &Waiting, by: By, realm: Realm) -> BTreeMap<Key, Group> {
    groups_where(waiting, by, |wait| Realm::of(wait, waiting) == realm)
}

/// The waits that `is_meant` picks, merged by `by`.
pub fn groups_where(waiting: &Waiting, by: By, is_meant: impl Fn(&Wait) -> bool) -> BTreeMap<Key, Group> {
    let mut groups = BTreeMap::<Key, Group>::new();
    for wait in waiting.waits.iter().filter(|wait| is_meant(wait)) {
        groups.entry(Key::new(by, wait, waiting)).or_default().add(wait);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contention::testing;
    use proptest::prelude::*;

    const REALMS: [Realm; 3] = [Realm::Locks, Realm::Conditions, Realm::Other];

    fn total(groups: &BTreeMap<Key, Group>) -> (u64, u64) {
        groups.values().fold((0, 0), |(ticks, waits), group| (ticks + group.spent.total(), waits + group.waits))
    }

    proptest! {
        #[test]
        fn merging_keeps_the_total(waits in proptest::collection::vec(testing::any_wait(), 0..60)) {
            let all = waits.iter().fold((0, 0), |(ticks, count), wait| (ticks + wait.ticks, count + wait.count));
            let waiting = testing::waiting_of(waits);
            for by in By::ALL {
                let of_realms = REALMS.map(|realm| total(&groups(&waiting, by, realm)));
                let sum = of_realms.iter().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
                prop_assert_eq!(sum, all, "{}", by.name());
                for group in REALMS.iter().flat_map(|realm| groups(&waiting, by, *realm).into_values()) {
                    prop_assert_eq!(group.waiters.values().sum::<u64>(), group.spent.total());
                    prop_assert_eq!(group.holders.values().sum::<u64>(), group.spent.held + group.spent.holder_waited);
                }
            }
        }
    }

    #[test]
    fn a_class_is_all_locks_made_at_one_place() {
        let waiting = testing::waiting();
        let groups = groups(&waiting, By::Class, Realm::Locks);
        let vnodes = &groups[&Key::Class("rwlock made in vcache_alloc".to_owned())];
        assert_eq!(vnodes.locks, BTreeSet::from([2, 3]));
    }

    #[test]
    fn an_edge_is_who_blocked_whom() {
        let waiting = testing::waiting();
        let groups = groups(&waiting, By::Edge, Realm::Locks);
        let labels: BTreeSet<_> = groups.keys().map(|key| key.label(&waiting)).collect();
        assert!(labels.contains("ioflush -> client 1"), "{labels:?}");
    }
}
