//! What was waited for: locks and condition variables in an interval, and how much of the waiting was theirs before.

use super::{Figures, Heat};
use rumpscope_probes::contention::{Lock, LockKind};
use rumpscope_probes::{Distribution, Snapshot};
use rumpscope_reports::contention::group::{By, Group, Key, Realm, groups};
use rumpscope_reports::contention::{Waiting, kind_name, short};
use std::collections::BTreeMap;

/// A lock in that time.
#[derive(Clone, Debug)]
pub struct LockSpan {
    /// Its number.
    pub number: u32,
    /// Its name, without the modules that it lies in.
    pub name: String,
    /// What it is.
    pub kind: LockKind,
    /// How long was waited for it.
    pub wait: Figures,
    /// Waits that ended, in a second.
    pub per_second: f64,
    /// Threads that waited for it on average.
    pub threads: f64,
    /// Its part of the waiting for all locks of its realm, 0 to 1.
    pub share: f64,
    /// Of its waits, the part for which looking on a processor was enough, 0 to 1.
    pub active: f64,
    /// How many wait now.
    pub waiters: u32,
    /// Who has it.
    pub holder: Holder,
    /// Further locks that are counted with it.
    pub merged: u64,
}

/// Who has a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// This thread, now.
    Now(String),
    /// It is not known who has it now; this thread is who was waited for most.
    Mostly(String),
    /// Nobody knows of anybody.
    Unknown,
}

impl Holder {
    fn new(lock: &Lock, group: Option<&Group>, edges: &BTreeMap<u32, u64>, waiting: &Waiting) -> Self {
        let now = lock.holder.filter(|_| lock.merged == 0 && !lock.ended);
        let mostly = || edges.iter().max_by_key(|(_, ticks)| **ticks).map(|(lane, _)| *lane);
        match (now, mostly()) {
            (Some(lane), _) => Holder::Now(waiting.thread(lane)),
            (None, Some(lane)) if group.is_some() => Holder::Mostly(waiting.thread(lane)),
            (None, _) => Holder::Unknown,
        }
    }

    /// What it is sorted and found by.
    pub fn name(&self) -> &str {
        match self {
            Holder::Now(name) | Holder::Mostly(name) => name,
            Holder::Unknown => "",
        }
    }
}

/// The locks of `realm` in `waiting`, by the time that was waited for them, longest first.
pub fn locks(waiting: &Waiting, realm: Realm) -> Vec<LockSpan> {
    let seconds = seconds(waiting);
    let groups = groups(waiting, By::Lock, realm);
    let mut holders = BTreeMap::<u32, BTreeMap<u32, u64>>::new();
    for wait in &waiting.waits {
        if let Some(lane) = wait.holder_lane {
            *holders.entry(wait.lock).or_default().entry(lane).or_default() += wait.ticks;
        }
    }
    let none = BTreeMap::new();
    let named = waiting.locks.iter().filter(|(_, named)| Realm::of_kind(named.lock.kind) == realm);
    let mut spans: Vec<_> = named
        .map(|(number, named)| {
            let lock = &named.lock;
            let wait = Figures::new(std::slice::from_ref(&lock.wait), &waiting.clock);
            let group = groups.get(&Key::Lock(*number));
            let edges = holders.get(number).unwrap_or(&none);
            LockSpan {
                number: *number,
                name: brief(&named.name),
                kind: lock.kind,
                per_second: wait.count as f64 / seconds,
                threads: wait.total_ns / 1e9 / seconds,
                share: 0.0,
                active: if lock.contended == 0 { 0.0 } else { lock.spun as f64 / lock.contended as f64 },
                wait,
                waiters: lock.waiters,
                holder: Holder::new(lock, group, edges, waiting),
                merged: lock.merged,
            }
        })
        .collect();
    let all: f64 = spans.iter().map(|span| span.wait.total_ns).sum();
    if all > 0.0 {
        spans.iter_mut().for_each(|span| span.share = span.wait.total_ns / all);
    }
    spans.sort_by(|left, right| right.wait.total_ns.total_cmp(&left.wait.total_ns));
    spans
}

/// Waits that have something else in common than the lock.
#[derive(Clone, Debug)]
pub struct GroupSpan {
    /// What they have in common.
    pub key: Key,
    /// The same for people.
    pub name: String,
    /// Waits that ended, in a second.
    pub per_second: f64,
    /// Threads that waited on average.
    pub threads: f64,
    /// Its part of the waiting of its realm, 0 to 1.
    pub share: f64,
    /// The longest part of a wait, in nanoseconds.
    pub longest_ns: f64,
    /// What was spent.
    pub group: Group,
}

/// The waits of `realm`, merged by `by`, the longest time first.
pub fn grouped(waiting: &Waiting, by: By, realm: Realm) -> Vec<GroupSpan> {
    let seconds = seconds(waiting);
    let groups = groups(waiting, by, realm);
    let all = groups.values().map(|group| group.spent.total()).fold(0, u64::saturating_add);
    let mut spans: Vec<_> = groups
        .into_iter()
        .map(|(key, group)| GroupSpan {
            name: brief(&group.label(&key, by, waiting)),
            key,
            per_second: group.waits as f64 / seconds,
            threads: waiting.clock.nanoseconds(group.spent.total()) / 1e9 / seconds,
            share: group.spent.total() as f64 / all.max(1) as f64,
            longest_ns: waiting.clock.nanoseconds(group.longest),
            group,
        })
        .collect();
    spans.sort_by(|left, right| right.threads.total_cmp(&left.threads));
    spans
}

/// A name without the modules that it lies in, and without what compilers add to it.
pub fn brief(name: &str) -> String {
    short(&name.replace("::{{closure}}", "").replace("{{closure}}", "closure"))
}

/// A time of no length has no rates; this keeps them finite.
pub fn seconds(waiting: &Waiting) -> f64 {
    (waiting.clock.nanoseconds(waiting.duration) / 1e9).max(1e-9)
}

/// The name of a kind where there is little room.
pub fn short_kind(kind: LockKind) -> &'static str {
    match kind {
        LockKind::SpinMutex => "spin",
        kind => kind_name(kind),
    }
}

/// How many locks are kept of an interval: those that were waited for longest.
const KEPT: usize = 32;

/// What is left of a lock when the sample is gone.
#[derive(Clone, Debug)]
pub struct LockPoint {
    /// Its number.
    pub number: u32,
    /// Threads that waited for it on average.
    pub threads: f32,
    /// How long the waits took that ended.
    pub heat: Heat,
}

/// The locks that were waited for longest in the time between two snapshots, in the order of their numbers. Waits are
/// counted when they end.
pub fn lock_points(earlier: &Snapshot, later: &Snapshot) -> Box<[LockPoint]> {
    let ticks = later.contention_taken().saturating_sub(earlier.contention_taken()).max(1) as f64;
    let before = |number: &u32, lock: &Lock| {
        let before = earlier.contention.locks.get(number);
        before.filter(|before| (before.address, before.generation) == (lock.address, lock.generation))
    };
    let mut grown: Vec<_> = later
        .contention
        .locks
        .iter()
        .map(|(number, lock)| (number, lock, before(number, lock)))
        .map(|(number, lock, before)| {
            let waited = lock.wait.sum.wrapping_sub(before.map_or(0, |before| before.wait.sum));
            (number, waited, lock, before)
        })
        .filter(|(_, waited, ..)| *waited != 0)
        .collect();
    grown.sort_unstable_by_key(|(_, waited, ..)| std::cmp::Reverse(*waited));
    grown.truncate(KEPT);
    let mut points: Vec<_> = grown
        .into_iter()
        .map(|(number, waited, lock, before)| {
            let waits = before.map_or_else(|| lock.wait.clone(), |before| lock.wait.since(&before.wait));
            let waits: [Distribution; 1] = [waits];
            LockPoint {
                number: *number,
                threads: (waited as f64 / ticks) as f32,
                heat: Heat::new(&waits, &later.clock),
            }
        })
        .collect();
    points.sort_unstable_by_key(|point| point.number);
    points.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::testing;

    #[test]
    fn shares_are_of_all_locks_of_a_realm() {
        let waiting = testing::waiting(2, 3);
        for realm in [Realm::Locks, Realm::Conditions] {
            let spans = locks(&waiting, realm);
            assert!(spans.len() >= 2, "{realm:?}");
            assert!((spans.iter().map(|span| span.share).sum::<f64>() - 1.0).abs() < 1e-9);
            assert!(spans.is_sorted_by(|left, right| left.wait.total_ns >= right.wait.total_ns));
        }
        let spans = grouped(&waiting, By::Site, Realm::Locks);
        assert!((spans.iter().map(|span| span.share).sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn who_has_a_lock_is_known_or_likely_or_not() {
        let waiting = testing::waiting(2, 3);
        let spans = locks(&waiting, Realm::Locks);
        let holder = |name: &str| spans.iter().find(|span| span.name == name).map(|span| span.holder.clone());
        assert_eq!(holder("vcache_alloc #2"), Some(Holder::Now("ioflush".to_owned())));
        assert_eq!(holder("vcache_alloc #3"), Some(Holder::Mostly("ioflush".to_owned())));
        assert_eq!(holder("proc_lock"), Some(Holder::Unknown));
    }

    #[test]
    fn what_is_left_of_an_interval_is_its_own() {
        let samples = testing::samples(2, 3);
        let points = lock_points(&samples[1].snapshot, &samples[2].snapshot);
        let waiting = testing::waiting(2, 3);
        assert!(!points.is_empty() && points.is_sorted_by_key(|point| point.number));
        for point in &points {
            let lock = &waiting.locks[&point.number].lock;
            let counted: u32 = point.heat.rows().map(|(_, count)| count).sum();
            assert_eq!(u64::from(counted), lock.wait.count());
        }
        assert!(lock_points(&samples[2].snapshot, &samples[2].snapshot).is_empty());
    }
}
