//! Names of call chains and locks of one process, found once.

use super::names::{Frame, Names, site};
use super::waiting::{NamedLock, kind_name};
use rumpscope_probes::contention::{Contention, Lock, StackId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What has been asked for so far, for those who look at a process again and again. Numbers of chains and locks are never
/// given twice, but for locks when a segment was read in the middle of a change: so a lock is known by more than its number.
#[derive(Debug, Default)]
pub struct Book {
    pub(super) chains: BTreeMap<StackId, Arc<[Frame]>>,
    locks: BTreeMap<u32, Entry>,
    /// How many locks have a name.
    uses: BTreeMap<Arc<str>, usize>,
    /// Why there are fewer names than there could be.
    pub(super) problems: Vec<String>,
}

#[derive(Debug)]
struct Entry {
    /// Address and generation.
    lock: (u64, u32),
    /// What it is called; another one may be called the same.
    plain: Arc<str>,
    class: String,
}

impl Book {
    /// All names for `contention`.
    pub(super) fn of(contention: &Contention, names: &mut dyn Names) -> Self {
        let mut book = Book::default();
        book.complete(contention, names);
        book
    }

    /// Whether it has all names for `contention`: then nobody needs to be asked.
    pub fn is_complete(&self, contention: &Contention) -> bool {
        let has = |(number, lock): (&u32, &Lock)| {
            self.locks.get(number).is_some_and(|entry| entry.lock == (lock.address, lock.generation))
        };
        contention.stacks.keys().all(|number| self.chains.contains_key(number)) && contention.locks.iter().all(has)
    }

    /// Asks `names` for what `contention`, a later state of the same process, has more.
    pub fn complete(&mut self, contention: &Contention, names: &mut dyn Names) {
        for (number, addresses) in contention.stacks.iter() {
            self.chains.entry(*number).or_insert_with(|| names.chain(addresses).into());
        }
        for (number, lock) in &contention.locks {
            let key = (lock.address, lock.generation);
            if self.locks.get(number).is_some_and(|entry| entry.lock == key) {
                continue;
            }
            let (plain, class) = self.name(lock, contention, names);
            *self.uses.entry(plain.clone()).or_default() += 1;
            if let Some(before) = self.locks.insert(*number, Entry { lock: key, plain, class })
                && let Some(uses) = self.uses.get_mut(&before.plain)
            {
                *uses -= 1;
            }
        }
        self.problems = names.problems();
    }

    /// What a lock is called, and what it has in common with those made at the same place.
    fn name(&self, lock: &Lock, contention: &Contention, names: &mut dyn Names) -> (Arc<str>, String) {
        let maker = self.chains.get(&lock.made).and_then(|chain| site(chain)).map(|frame| frame.function.as_str());
        let kind = kind_name(lock.kind);
        let name = names.lock(lock, contention).or_else(|| maker.map(str::to_owned));
        let name = name.unwrap_or_else(|| format!("{kind} at {:#x}", lock.address));
        let class = match maker {
            Some(maker) => format!("{kind} made in {maker}"),
            None => format!("{name}, made nobody knows where"),
        };
        (name.into(), class)
    }

    /// `lock` with a name of its own: those that have one in common get their numbers behind it.
    pub(super) fn named(&self, number: u32, lock: &Lock) -> NamedLock {
        let lock = lock.clone();
        let Some(entry) = self.locks.get(&number) else {
            let name = format!("{} at {:#x}", kind_name(lock.kind), lock.address);
            return NamedLock { class: name.clone(), name, lock };
        };
        let shared = self.uses.get(&entry.plain).is_some_and(|uses| *uses > 1);
        let name = if shared { format!("{} #{number}", entry.plain) } else { entry.plain.to_string() };
        NamedLock { name, class: entry.class.clone(), lock }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contention::Waiting;
    use crate::contention::testing::{self, Known};

    /// Counts what is asked.
    struct Asked(u32);

    impl Names for Asked {
        fn chain(&mut self, addresses: &[u64]) -> Vec<Frame> {
            self.0 += 1;
            Known.chain(addresses)
        }

        fn lock(&mut self, lock: &Lock, contention: &Contention) -> Option<String> {
            self.0 += 1;
            Known.lock(lock, contention)
        }

        fn problems(&self) -> Vec<String> {
            Vec::new()
        }
    }

    #[test]
    fn nothing_is_asked_twice() {
        let snapshot = testing::snapshot(testing::contention());
        let (mut book, mut names) = (Book::default(), Asked(0));
        assert!(!book.is_complete(&snapshot.contention));
        book.complete(&snapshot.contention, &mut names);
        let first = Waiting::by(None, &snapshot, &book);
        assert_eq!(names.0 as usize, snapshot.contention.stacks.len() + snapshot.contention.locks.len());
        let asked = names.0;
        assert!(book.is_complete(&snapshot.contention));
        book.complete(&snapshot.contention, &mut names);
        let second = Waiting::by(None, &snapshot, &book);
        assert_eq!(names.0, asked);
        let named = |waiting: &Waiting| waiting.locks.values().map(|lock| lock.name.clone()).collect::<Vec<_>>();
        assert_eq!(named(&first), named(&second));
    }

    #[test]
    fn a_name_does_not_change_with_the_interval() {
        let earlier = testing::snapshot(testing::contention());
        let mut later = earlier.clone();
        let lock = Arc::make_mut(&mut later.contention).locks.get_mut(&2).unwrap();
        lock.wait.record(500);
        let waiting = Waiting::between(&earlier, &later, &mut Known);
        assert_eq!(waiting.locks[&2].name, "vcache_alloc #2");
        assert!(!waiting.locks.contains_key(&3));
    }

    #[test]
    fn another_lock_of_the_same_number_has_its_own_name() {
        let mut contention = testing::contention();
        let (mut book, mut names) = (Book::default(), Known);
        book.complete(&contention, &mut names);
        let lock = contention.locks.get_mut(&3).unwrap();
        (lock.address, lock.generation) = (0x9000, 2);
        book.complete(&contention, &mut names);
        let name = |number: u32| book.named(number, &contention.locks[&number]).name;
        assert_eq!([1, 2, 3].map(name), ["proc_lock #1", "vcache_alloc", "proc_lock #3"]);
    }
}
