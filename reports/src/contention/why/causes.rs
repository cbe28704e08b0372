//! From waits to their root causes.
//!
//! Where a holder itself waited, its own waits at the same place (same thread, hypercall and call chain) tell for what, and
//! so on. These waits are known as sums. Where they had several causes, what is behind them is divided in proportion: an
//! estimate, which is exact where there is one cause.

use super::super::waiting::Waiting;
use rumpscope_probes::Hypercall;
use rumpscope_probes::contention::{Part, StackId, Wait};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What is smaller than this part of all that is asked for is not followed.
const SMALLEST: f64 = 1e-3;
/// How many holders are followed, one behind the other.
const DEEPEST: usize = 16;

/// Where a chain of blocking ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Root {
    /// The last holder did not wait in the hypervisor: it ran, or waited for a processor.
    Running,
    /// What was waited for was free already (the signal was given), and the waiter did not have it yet.
    HandOver,
    /// Nobody: a sleep, a disk, the end of a thread.
    Alone(Hypercall),
    /// The last holder waited in this call; for what is not recorded.
    Waited(Hypercall),
    /// The chain comes back to a place that is in it.
    Circle,
    /// Too little or too deep to be followed.
    Small,
    /// Nobody knows who held it.
    Unknown,
}

/// A lock that is waited for, and who holds it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// Its number; of several locks that were made at one place the lowest.
    pub lock: u32,
    /// The function in which the holder has it, where the holder is known.
    pub site: Option<String>,
}

/// A chain of blocking.
#[derive(Clone, Debug)]
pub struct Cause {
    /// From what is waited for to what the last holder waits for; empty where there is no holder.
    pub links: Vec<Link>,
    /// The lanes of the holders of each link, where they are known.
    pub holders: Vec<BTreeSet<u32>>,
    /// The locks of each link.
    pub locks: Vec<BTreeSet<u32>>,
    /// Where it ends.
    pub root: Root,
    /// How much of the time, in ticks.
    pub ticks: f64,
    /// The time is an estimate: a holder's waits had several causes.
    pub estimated: bool,
}

/// What a thread waits for at one place.
type Place = (u32, Hypercall, StackId);

/// The causes of the waits that `is_meant` picks, the longest first; their times add up to that of the waits.
pub fn causes(waiting: &Waiting, is_meant: impl Fn(&Wait) -> bool) -> Vec<Cause> {
    let mut at = HashMap::<Place, Vec<&Wait>>::new();
    for wait in waiting.waits.iter().filter(|wait| wait.ticks != 0) {
        at.entry((wait.waiter_lane, wait.call, wait.waiter)).or_default().push(wait);
    }
    let meant: Vec<&Wait> = waiting.waits.iter().filter(|wait| wait.ticks != 0 && is_meant(wait)).collect();
    let all: f64 = meant.iter().map(|wait| wait.ticks as f64).sum();
    let mut resolver = Resolver { waiting, at, first: first_of_class(waiting), all, found: BTreeMap::new() };
    for wait in meant {
        resolver.follow(wait, wait.ticks as f64, &mut Trail::default());
    }
    let causes = resolver.found.into_iter().map(|((links, root), found)| Cause {
        links,
        root,
        holders: found.holders,
        locks: found.locks,
        ticks: found.ticks,
        estimated: found.estimated,
    });
    let mut causes: Vec<_> = causes.collect();
    causes.sort_by(|left, right| right.ticks.total_cmp(&left.ticks));
    causes
}

/// For each lock the lowest number of its class.
fn first_of_class(waiting: &Waiting) -> HashMap<u32, u32> {
    let mut first = HashMap::<&str, u32>::new();
    let locks = waiting.locks.iter();
    locks.map(|(number, named)| (*number, *first.entry(&named.class).or_insert(*number))).collect()
}

/// The way to where the search is.
#[derive(Clone, Default)]
struct Trail {
    links: Vec<Link>,
    holders: Vec<Option<u32>>,
    locks: Vec<u32>,
    seen: Vec<Place>,
    estimated: bool,
}

#[derive(Default)]
struct Found {
    holders: Vec<BTreeSet<u32>>,
    locks: Vec<BTreeSet<u32>>,
    ticks: f64,
    estimated: bool,
}

struct Resolver<'a> {
    waiting: &'a Waiting,
    at: HashMap<Place, Vec<&'a Wait>>,
    /// For each lock the one that stands for its class.
    first: HashMap<u32, u32>,
    /// What is asked for, in ticks.
    all: f64,
    found: BTreeMap<(Vec<Link>, Root), Found>,
}

impl Resolver<'_> {
    /// Finds what is behind `ticks` of `wait`.
    fn follow(&mut self, wait: &Wait, ticks: f64, trail: &mut Trail) {
        let mut link = |site: Option<String>, lane: Option<u32>| {
            trail.links.push(Link { lock: self.first.get(&wait.lock).copied().unwrap_or(wait.lock), site });
            trail.locks.push(wait.lock);
            trail.holders.push(lane);
        };
        let holder = Some(self.waiting.site(wait.holder).to_owned());
        match wait.part {
            Part::Alone => self.end(Root::Alone(wait.call), ticks, trail),
            Part::HandOver => {
                link(None, None);
                self.end(Root::HandOver, ticks, trail);
                trail.pop();
            }
            Part::Unknown => {
                link(None, None);
                self.end(Root::Unknown, ticks, trail);
                trail.pop();
            }
            Part::Held => {
                link(holder, wait.holder_lane);
                self.end(Root::Running, ticks, trail);
                trail.pop();
            }
            Part::HolderWaited(call) => {
                link(holder, wait.holder_lane);
                self.behind(wait.holder_lane.map(|lane| (lane, call, wait.holder)), call, ticks, trail);
                trail.pop();
            }
        }
    }

    /// Divides `ticks` among what the last holder of the trail waited for.
    fn behind(&mut self, place: Option<Place>, call: Hypercall, ticks: f64, trail: &mut Trail) {
        let waits = place.and_then(|place| self.at.get(&place)).cloned().unwrap_or_default();
        let (Some(place), false) = (place, waits.is_empty()) else {
            return self.end(Root::Waited(call), ticks, trail);
        };
        if trail.seen.contains(&place) {
            return self.end(Root::Circle, ticks, trail);
        }
        if trail.links.len() >= DEEPEST {
            return self.small(ticks, trail);
        }
        let sum: f64 = waits.iter().map(|wait| wait.ticks as f64).sum();
        let before = trail.estimated;
        trail.seen.push(place);
        trail.estimated |= waits.len() > 1;
        let mut small = 0.0;
        for wait in waits {
            let part = ticks * wait.ticks as f64 / sum;
            if part < SMALLEST * self.all {
                small += part;
            } else {
                self.follow(wait, part, trail);
            }
        }
        if small > 0.0 {
            self.small(small, trail);
        }
        trail.estimated = before;
        trail.seen.pop();
    }

    /// All of these are one cause, whatever they are behind.
    fn small(&mut self, ticks: f64, trail: &Trail) {
        self.end(Root::Small, ticks, &Trail { estimated: trail.estimated, ..Trail::default() });
    }

    fn end(&mut self, root: Root, ticks: f64, trail: &Trail) {
        let found = self.found.entry((trail.links.clone(), root)).or_default();
        found.ticks += ticks;
        found.estimated |= trail.estimated;
        found.holders.resize_with(trail.holders.len(), BTreeSet::new);
        for (holders, lane) in found.holders.iter_mut().zip(&trail.holders) {
            holders.extend(lane);
        }
        found.locks.resize_with(trail.locks.len(), BTreeSet::new);
        for (locks, lock) in found.locks.iter_mut().zip(&trail.locks) {
            locks.insert(*lock);
        }
    }
}

impl Trail {
    fn pop(&mut self) {
        self.links.pop();
        self.holders.pop();
        self.locks.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contention::testing;
    use proptest::prelude::*;

    fn of_thread(waiting: &Waiting, lane: u32) -> Vec<Cause> {
        causes(waiting, |wait| wait.waiter_lane == lane)
    }

    fn link(lock: u32, site: Option<&str>) -> Link {
        Link { lock, site: site.map(str::to_owned) }
    }

    #[test]
    fn the_disk_is_found_behind_two_locks() {
        let waiting = testing::waiting();
        let causes = of_thread(&waiting, 1);
        let first = &causes[0];
        // 800 of 1000 ms behind a holder that waited for a signal; of such waits nine in ten were for the disk.
        assert_eq!(first.links, [link(2, Some("biowait")), link(4, Some("(no call chain)"))]);
        assert_eq!(first.root, Root::Waited(Hypercall::Bio));
        assert!((waiting.nanoseconds(first.ticks as u64)).abs_diff(720_000_000) < 1_000, "{first:?}");
        assert!(first.estimated);
        assert_eq!(first.holders, [BTreeSet::from([2]), BTreeSet::from([5])]);
        let second = &causes[1];
        assert_eq!((&second.links[..], &second.root), (&[link(2, Some("ffs_update"))][..], &Root::Running));
        assert!(!second.estimated);
    }

    #[test]
    fn locks_made_at_one_place_are_one_cause() {
        let waiting = testing::waiting();
        let causes = causes(&waiting, |wait| [2, 3].contains(&wait.lock));
        let running = causes.iter().find(|cause| cause.root == Root::Running).unwrap();
        assert_eq!(running.links, [link(2, Some("ffs_update"))]);
        assert_eq!(running.locks, [BTreeSet::from([2, 3])]);
        assert_eq!(waiting.nanoseconds(running.ticks as u64), 170_000_000);
    }

    #[test]
    fn a_circle_ends() {
        let waits = testing::circle();
        let sum: u64 = waits.iter().filter(|wait| wait.waiter_lane == 1).map(|wait| wait.ticks).sum();
        let causes = of_thread(&testing::waiting_of(waits), 1);
        assert!(causes.iter().any(|cause| cause.root == Root::Circle), "{causes:?}");
        assert!(causes.iter().all(|cause| cause.links.len() <= 3), "{causes:?}");
        assert!((causes.iter().map(|cause| cause.ticks).sum::<f64>() - sum as f64).abs() < 1.0);
    }

    #[test]
    fn who_is_alone_has_no_holder() {
        let causes = of_thread(&testing::waiting(), 4);
        assert_eq!((causes.len(), causes[0].links.len()), (1, 0));
        assert_eq!(causes[0].root, Root::Alone(Hypercall::ClockSleep));
    }

    proptest! {
        #[test]
        fn causes_add_up_to_the_waits(waits in proptest::collection::vec(testing::any_wait(), 0..80)) {
            let sum: f64 = waits.iter().map(|wait| wait.ticks as f64).sum();
            let waiting = testing::waiting_of(waits);
            let causes = causes(&waiting, |_| true);
            let found: f64 = causes.iter().map(|cause| cause.ticks).sum();
            prop_assert!((found - sum).abs() <= sum * 1e-9, "{} of {}", found, sum);
            for cause in &causes {
                prop_assert_eq!(cause.links.len(), cause.holders.len());
                prop_assert_eq!(cause.links.len(), cause.locks.len());
                prop_assert!(cause.links.len() <= DEEPEST + 1);
            }
        }
    }
}
