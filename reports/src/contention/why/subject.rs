//! Whose waiting is explained.

use super::super::group::{By, Realm};
use super::super::ranking;
use super::super::short::short;
use super::super::waiting::Waiting;
use rumpscope_probes::contention::Wait;
use std::collections::BTreeSet;

/// Threads, or locks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The threads of these lanes.
    Threads(BTreeSet<u32>),
    /// The locks with these numbers.
    Locks(BTreeSet<u32>),
}

/// Why nothing was picked, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFound(pub String);

/// How many names are offered to who has asked for another.
const OFFERED: usize = 8;

impl Subject {
    /// What `wanted` means: the name of a thread, its number, the name of a lock or its address. `thread:` and `lock:`
    /// before it leave one meaning. Threads or locks that share the name are all meant.
    ///
    /// # Errors
    /// When nothing has this name, or a thread and a lock have: what names there are.
    pub fn find(waiting: &Waiting, wanted: &str) -> Result<Self, NotFound> {
        let (threads, locks) = match (wanted.strip_prefix("thread:"), wanted.strip_prefix("lock:")) {
            (Some(name), _) => (threads(waiting, name), BTreeSet::new()),
            (None, Some(name)) => (BTreeSet::new(), locks(waiting, name)),
            (None, None) => (threads(waiting, wanted), locks(waiting, wanted)),
        };
        match (threads.is_empty(), locks.is_empty()) {
            (false, true) => Ok(Subject::Threads(threads)),
            (true, false) => Ok(Subject::Locks(locks)),
            (false, false) => Err(NotFound(format!(
                "{wanted} is a thread and a lock: thread:{wanted} is the one, lock:{wanted} the other"
            ))),
            (true, true) => Err(NotFound(format!("no thread or lock is called {wanted}{}", offer(waiting, wanted)))),
        }
    }

    /// The lock that was waited for longest in sum, with those made at the same place; where there is none, the condition variable or else the thread.
    pub fn worst(waiting: &Waiting) -> Option<Self> {
        for realm in [Realm::Locks, Realm::Conditions] {
            let first = ranking::locks(waiting, By::Class, realm).into_iter().next();
            if let Some(lock) = first.filter(|row| row.figures.wait.total_ns != 0) {
                return Some(Subject::Locks(lock.numbers));
            }
        }
        let longest = waiting.waits.iter().max_by_key(|wait| wait.ticks).filter(|wait| wait.ticks != 0)?;
        Some(Subject::Threads(BTreeSet::from([longest.waiter_lane])))
    }

    /// Whether it is about this wait.
    pub fn is_about(&self, wait: &Wait) -> bool {
        match self {
            Subject::Threads(lanes) => lanes.contains(&wait.waiter_lane),
            Subject::Locks(numbers) => numbers.contains(&wait.lock),
        }
    }
}

/// The lanes of the threads of this name or number.
fn threads(waiting: &Waiting, name: &str) -> BTreeSet<u32> {
    let number = name.parse::<u32>().ok().filter(|number| *number != 0);
    let is_it = |lane: &u32| {
        let thread = &waiting.threads[lane];
        thread.name == name || thread.given == name || Some(thread.tid) == number
    };
    waiting.threads.keys().filter(|lane| is_it(lane)).copied().collect()
}

/// The numbers of the locks of this name or address.
fn locks(waiting: &Waiting, name: &str) -> BTreeSet<u32> {
    let address = name.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let is_it = |number: &u32| {
        let named = &waiting.locks[number];
        // Locks that share a name have their numbers behind it.
        let shared = named.name.strip_suffix(&format!(" #{number}"));
        named.name == name
            || short(&named.name) == name
            || shared == Some(name)
            || shared.map(short).as_deref() == Some(name)
            || Some(named.lock.address) == address
    };
    waiting.locks.keys().filter(|number| is_it(number)).copied().collect()
}

/// Names that have something of what was asked for, or else those that matter most.
fn offer(waiting: &Waiting, wanted: &str) -> String {
    let wanted = wanted.trim_start_matches("thread:").trim_start_matches("lock:").to_lowercase();
    let locks = [Realm::Locks, Realm::Conditions].map(|realm| ranking::locks(waiting, By::Lock, realm));
    let locks = locks.into_iter().flatten().map(|row| short(&row.name));
    let threads = ranking::others(waiting, By::Thread, Realm::Locks);
    let names: Vec<_> = locks.chain(threads.into_iter().map(|(key, _)| key.label(waiting))).collect();
    let alike: Vec<_> = names.iter().filter(|name| name.to_lowercase().contains(&wanted)).collect();
    let offered = if alike.is_empty() { names.iter().collect() } else { alike };
    if offered.is_empty() {
        return ", and none was waited for".to_owned();
    }
    let more = offered.len().saturating_sub(OFFERED);
    let offered: Vec<_> = offered.into_iter().take(OFFERED).map(String::as_str).collect();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("; there are {}{more} (`rumpscope locks` shows them)", offered.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contention::testing;

    fn numbers(of: &[u32]) -> BTreeSet<u32> {
        of.iter().copied().collect()
    }

    #[test]
    fn threads_and_locks_by_name_number_and_address() {
        let waiting = testing::waiting();
        let find = |wanted| Subject::find(&waiting, wanted).unwrap();
        assert_eq!(find("client 2"), Subject::Threads(numbers(&[3])));
        assert_eq!(find("103"), Subject::Threads(numbers(&[3])));
        assert_eq!(find("proc_lock"), Subject::Locks(numbers(&[1])));
        assert_eq!(find("0xa080"), Subject::Locks(numbers(&[3])));
        assert_eq!(find("vcache_alloc #3"), Subject::Locks(numbers(&[3])));
        assert_eq!(find("vcache_alloc"), Subject::Locks(numbers(&[2, 3])));
    }

    #[test]
    fn a_name_of_both_is_asked_about() {
        let mut waiting = testing::waiting();
        waiting.threads.get_mut(&3).unwrap().name = "proc_lock".to_owned();
        assert!(Subject::find(&waiting, "proc_lock").unwrap_err().0.contains("thread:proc_lock"));
        assert_eq!(Subject::find(&waiting, "thread:proc_lock"), Ok(Subject::Threads(numbers(&[3]))));
        assert_eq!(Subject::find(&waiting, "lock:proc_lock"), Ok(Subject::Locks(numbers(&[1]))));
    }

    #[test]
    fn who_asks_for_nothing_that_is_there_is_offered_something() {
        let waiting = testing::waiting();
        let problem = Subject::find(&waiting, "VCACHE").unwrap_err().0;
        assert!(problem.contains("there are vcache_alloc #2, vcache_alloc #3 ("), "{problem}");
        let problem = Subject::find(&waiting, "thread:nobody").unwrap_err().0;
        assert!(problem.contains("proc_lock") && problem.contains("client 1"), "{problem}");
    }

    #[test]
    fn the_worst_is_a_lock_if_there_is_one() {
        let mut waiting = testing::waiting();
        assert_eq!(Subject::worst(&waiting), Some(Subject::Locks(numbers(&[2, 3]))));
        waiting.locks.clear();
        assert_eq!(Subject::worst(&waiting), Some(Subject::Threads(numbers(&[4]))));
        waiting.waits.clear();
        assert_eq!(Subject::worst(&waiting), None);
    }
}
