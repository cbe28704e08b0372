//! Which threads of the guest hand things to each other: who ends whose waits.

use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::collections::{BTreeMap, BTreeSet};

/// So much is written down at most, some for each of many threads: a millisecond or so of threads that hand over all the time.
const MOST: usize = 512;
/// So often must one thread end the waits of another, and in every other of its waits, to hand things to it.
const OFTEN: usize = 2;

/// Who is not to be written down.
pub const NOBODY: u32 = 0;

static IS_ON: AtomicBool = AtomicBool::new(false);
/// How many there are, and more where there was no room.
static COUNT: AtomicUsize = AtomicUsize::new(0);
static HANDS: [Hand; MOST] = [const { Hand { to: AtomicU32::new(NOBODY), by: AtomicU32::new(NOBODY) } }; MOST];

/// One wait that somebody has ended. Approximate: it may be of two where they are written down and read at once.
struct Hand {
    to: AtomicU32,
    by: AtomicU32,
}

/// Threads that hand things to each other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) threads: BTreeSet<u32>,
    /// How often one of them has ended another's wait.
    pub(super) hands: usize,
}

/// A number of the calling thread that no other one has, of 2^32 at least.
#[inline]
pub fn me() -> u32 {
    thread_local! {
        static ME: Cell<u32> = const { Cell::new(NOBODY) };
    }
    match ME.get() {
        NOBODY => {
            static LAST: AtomicU32 = AtomicU32::new(NOBODY);
            // Relaxed: a number. The one after the last is nobody's.
            let me = LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1);
            ME.set(me);
            me
        }
        me => me,
    }
}

/// The calling thread ends a wait of that one.
#[inline]
pub fn to(thread: u32) {
    // Relaxed, here and below: who is on time, and what becomes of two at once, does not matter.
    if IS_ON.load(Ordering::Relaxed) && thread != NOBODY {
        write_down(thread, me());
    }
}

#[cold]
fn write_down(to: u32, by: u32) {
    if let Some(hand) = HANDS.get(COUNT.fetch_add(1, Ordering::Relaxed)) {
        hand.to.store(to, Ordering::Relaxed);
        hand.by.store(by, Ordering::Relaxed);
    } else {
        IS_ON.store(false, Ordering::Relaxed);
    }
}

/// From now on it is written down who ends whose waits, of those that need a virtual CPU afterwards.
pub fn begin() {
    COUNT.store(0, Ordering::Relaxed);
    IS_ON.store(true, Ordering::Relaxed);
}

/// It is no longer written down.
pub(super) fn pause() {
    IS_ON.store(false, Ordering::Relaxed);
}

/// The same. The threads that have handed things to each other since it was begun.
pub(super) fn end() -> Vec<Group> {
    pause();
    let count = COUNT.load(Ordering::Relaxed).min(MOST);
    groups(HANDS[..count].iter().map(|hand| (hand.to.load(Ordering::Relaxed), hand.by.load(Ordering::Relaxed))))
}

/// Each thread is in the group of the one that ends most of its waits.
fn groups(hands: impl Iterator<Item = (u32, u32)>) -> Vec<Group> {
    let mut waits: BTreeMap<u32, BTreeMap<u32, usize>> = BTreeMap::new();
    // Nobody: who writes it down is about to.
    for (to, by) in hands.filter(|(to, by)| ![*to, *by].contains(&NOBODY)) {
        *waits.entry(to).or_default().entry(by).or_default() += 1;
    }
    let mut groups: Vec<Group> = Vec::new();
    for (to, by) in waits {
        let all: usize = by.values().sum();
        let Some((by, hands)) = by.into_iter().max_by_key(|(_, hands)| *hands) else { continue };
        if hands < OFTEN || 2 * hands < all {
            continue;
        }
        let mut group = Group { threads: BTreeSet::from([to, by]), hands };
        for known in groups.extract_if(.., |known| !known.threads.is_disjoint(&group.threads)).collect::<Vec<_>>() {
            group.threads.extend(known.threads);
            group.hands += known.hands;
        }
        groups.push(group);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The groups, those with the most threads first.
    fn of(hands: &[(u32, u32)]) -> Vec<Vec<u32>> {
        let groups = groups(hands.iter().copied().cycle().take(4 * hands.len())).into_iter();
        let mut groups: Vec<Vec<_>> = groups.map(|group| group.threads.into_iter().collect()).collect();
        groups.sort_by_key(|threads| (usize::MAX - threads.len(), threads[0]));
        groups
    }

    #[test]
    fn pairs_and_chains_are_groups() {
        assert_eq!(of(&[(1, 2), (2, 1), (3, 4), (4, 3)]), [[1, 2], [3, 4]]);
        assert_eq!(of(&[(1, 2), (2, 3), (3, 4), (6, 5)]), [vec![1, 2, 3, 4], vec![5, 6]]);
        assert_eq!(of(&[(4, 3), (2, 1), (3, 2)]), [[1, 2, 3, 4]]);
        assert_eq!(of(&[(2, 1), (3, 1), (4, 1), (1, 4)]), [[1, 2, 3, 4]], "one and its servants");
    }

    #[test]
    fn what_is_seldom_or_by_many_says_nothing() {
        assert_eq!(groups([(1, 2)].into_iter()), []);
        assert_eq!(of(&[(1, 2), (1, 3), (1, 4)]), [[0; 0]; 0]);
        assert_eq!(of(&[(1, 2), (2, 1), (2, 1), (1, 2), (1, 3), (2, 3)]), [[1, 2]]);
    }

    #[test]
    fn it_is_written_down_between_begin_and_end() {
        // Other tests may end waits meanwhile.
        const ONE: u32 = u32::MAX;
        let with = |thread| end().into_iter().find(|group| group.threads.contains(&thread));
        to(ONE);
        let twice = || {
            begin();
            to(ONE);
            to(NOBODY);
            to(ONE);
            with(ONE)
        };
        let Group { threads, hands } = (0..100).find_map(|_| twice()).expect("one");
        assert!(threads.contains(&me()) && !threads.contains(&NOBODY) && hands >= 2);
        to(ONE);
        begin();
        assert_eq!(with(ONE), None);
        let while_paused = || {
            begin();
            (0..2).for_each(|_| to(ONE));
            pause();
            (0..2).for_each(|_| to(ONE - 1));
            with(ONE)
        };
        assert!(!(0..100).find_map(|_| while_paused()).expect("one").threads.contains(&(ONE - 1)));
        begin();
        (0..2 * MOST).for_each(|_| to(ONE));
        assert!((2..=MOST).contains(&with(ONE).expect("as many as there is room for").hands));
    }
}
