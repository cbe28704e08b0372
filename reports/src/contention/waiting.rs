//! Waiting, with names: what every report about it is made from.

use super::book::Book;
use super::names::{Frame, Names, site};
use rumpscope_probes::contention::{Lock, LockKind, StackId, Wait};
use rumpscope_probes::{ClockInfo, Snapshot, Thread};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A lock and what it is called.
#[derive(Clone, Debug)]
pub struct NamedLock {
    /// Unlike that of any other in the same snapshot.
    pub name: String,
    /// What it has in common with all that were made at the same place.
    pub class: String,
    /// Its figures, in clock ticks.
    pub lock: Lock,
}

/// A thread and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedThread {
    /// Unlike that of any other in the same snapshot.
    pub name: String,
    /// The name that it was given; several may have the same.
    pub given: String,
    /// The host's number of it; 0: it has ended.
    pub tid: u32,
}

/// Who waited for what, with names.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Whether waits were recorded at all.
    pub recorded: bool,
    /// The rate of all times here.
    pub clock: ClockInfo,
    /// How long was measured, in ticks; 0: nothing was put down of waiting in that time.
    pub duration: u64,
    /// Call chains, innermost function first. There is none for the number 0.
    pub chains: BTreeMap<StackId, Arc<[Frame]>>,
    /// The threads, by lane. A lane whose thread has ended is taken over by a later one, whose name it has then.
    pub threads: BTreeMap<u32, NamedThread>,
    /// The locks and condition variables, by number.
    pub locks: BTreeMap<u32, NamedLock>,
    /// What waits were spent on.
    pub waits: Vec<Wait>,
    /// Waits that are in the figures of their lock, but not in `waits`, for want of room.
    pub lost: u64,
    /// Why there are fewer names than there could be, in sentences.
    pub problems: Vec<String>,
}

impl Waiting {
    /// What `snapshot` tells of waiting, by the names that `names` has.
    pub fn new(snapshot: &Snapshot, names: &mut dyn Names) -> Self {
        Self::by(None, snapshot, &Book::of(&snapshot.contention, names))
    }

    /// What was added in the time from `earlier` to `later`, two snapshots of one process.
    pub fn between(earlier: &Snapshot, later: &Snapshot, names: &mut dyn Names) -> Self {
        Self::by(Some(earlier), later, &Book::of(&later.contention, names))
    }

    /// The same, or without `earlier` all that `later` tells, by the names in `book`: for who looks again and again.
    pub fn by(earlier: Option<&Snapshot>, later: &Snapshot, book: &Book) -> Self {
        let all = &later.contention;
        let added = earlier.map(|earlier| super::interval::since(all, &earlier.contention));
        let shown = added.as_ref().unwrap_or(all);
        let waits = shown.waits.clone();
        let locks = shown.locks.iter().map(|(number, lock)| (*number, book.named(*number, lock))).collect();
        Waiting {
            recorded: all.recorded,
            clock: later.clock,
            duration: later.contention_taken().saturating_sub(earlier.map_or(later.began, Snapshot::contention_taken)),
            locks,
            chains: book.chains.clone(),
            threads: named_threads(&later.threads),
            waits,
            lost: shown.lost,
            problems: book.problems.clone(),
        }
    }

    /// A chain; empty where none was taken.
    pub fn chain(&self, number: StackId) -> &[Frame] {
        self.chains.get(&number).map_or(&[], |chain| chain)
    }

    /// The function that a chain stands for.
    pub fn site(&self, number: StackId) -> &str {
        site(self.chain(number)).map_or("(no call chain)", |frame| &frame.function)
    }

    /// The name of the thread of a lane.
    pub fn thread(&self, lane: u32) -> String {
        self.threads.get(&lane).map_or_else(|| format!("thread of lane {lane}"), |thread| thread.name.clone())
    }

    /// The name of a lock.
    pub fn lock(&self, number: u32) -> &str {
        self.locks.get(&number).map_or("(a lock that is not known)", |lock| &lock.name)
    }

    /// Ticks in nanoseconds.
    pub fn nanoseconds(&self, ticks: u64) -> u64 {
        self.clock.nanoseconds(ticks).round() as u64
    }
}

/// What people call this kind of lock.
pub fn kind_name(kind: LockKind) -> &'static str {
    match kind {
        LockKind::Mutex => "mutex",
        LockKind::SpinMutex => "spin mutex",
        LockKind::Rwlock => "rwlock",
        LockKind::Condvar => "condvar",
    }
}

/// Each with a name of its own: those that have one in common get the host's numbers behind it.
fn named_threads(threads: &[Thread]) -> BTreeMap<u32, NamedThread> {
    let mut uses = HashMap::<&str, usize>::new();
    threads.iter().for_each(|thread| *uses.entry(&thread.name).or_default() += 1);
    let named = threads.iter().map(|Thread { lane, tid, name, .. }| {
        let given = match (name.as_str(), *tid) {
            ("", 0) => format!("thread of lane {lane}"),
            ("", tid) => format!("thread {tid}"),
            (name, _) => name.to_owned(),
        };
        let name = match *tid {
            _ if uses[&name[..]] < 2 || name.is_empty() => given.clone(),
            0 => format!("{given} (ended, lane {lane})"),
            tid => format!("{given} ({tid})"),
        };
        (*lane, NamedThread { name, given, tid: *tid })
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use crate::contention::testing;
    use rumpscope_probes::Thread;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_locks_have_the_same_name() {
        let waiting = testing::waiting();
        let names: BTreeSet<_> = waiting.locks.values().map(|lock| lock.name.as_str()).collect();
        assert_eq!(names.len(), waiting.locks.len());
        assert!(names.contains("vcache_alloc #2") && names.contains("vcache_alloc #3"), "{names:?}");
        assert!(names.contains("proc_lock"), "{names:?}");
    }

    #[test]
    fn no_two_threads_have_the_same_name() {
        let thread = |lane, tid, name: &str| Thread {
            lane,
            tid,
            name: name.to_owned(),
            now: Default::default(),
            totals: Default::default(),
        };
        let threads =
            [thread(0, 7, "rsi0"), thread(1, 8, "rsi0"), thread(2, 0, "rsi0"), thread(3, 9, ""), thread(4, 0, "")];
        let names: Vec<_> = super::named_threads(&threads).into_values().map(|thread| thread.name).collect();
        assert_eq!(names, ["rsi0 (7)", "rsi0 (8)", "rsi0 (ended, lane 2)", "thread 9", "thread of lane 4"]);
    }

    #[test]
    fn what_is_not_known_has_a_name_too() {
        let waiting = testing::waiting();
        assert_eq!(waiting.site(0), "(no call chain)");
        assert_eq!(waiting.thread(99), "thread of lane 99");
        assert_eq!(waiting.lock(99), "(a lock that is not known)");
    }
}
