//! What a report about waiting does not show.

use super::group::{By, Realm, Spent};
use super::ranking;
use super::waiting::Waiting;
use crate::paragraph::{alarming, labelled};
use crate::style::Style;
use crate::units;
use rumpscope_probes::contention::LockKind;

/// It as text.
pub fn render(waiting: &Waiting, by: By, style: &Style) -> String {
    let mut text = format!("{}\n", style.title("What this does not show"));
    let time = |ticks| units::time(waiting.nanoseconds(ticks) as f64, style.ascii);
    let mut say = |label: &str, sentence: &str| text.push_str(&labelled(label, sentence, style));
    let figures = matches!(by, By::Lock | By::Class);
    if figures {
        say("left out", "locks that nobody has waited for");
        let others = ranking::others(waiting, By::Lock, Realm::Other);
        let other = others.iter().map(|row| row.1.spent.total()).fold(0, u64::saturating_add);
        if other != 0 {
            say("without lock", &format!("{} of sleeps, disks and ends of threads (see `offcpu`)", time(other)));
        }
        if waiting.locks.values().any(|named| named.lock.kind != LockKind::Condvar) {
            let sentence = "who had to wait for a lock is timed each time, of the others a sample: percentiles with ~ are \
                            estimates from both";
            say("hold times", sentence);
        }
        if waiting.locks.values().any(|named| named.lock.kind == LockKind::Rwlock) {
            let sentence = "of reader/writer locks an estimate (~), since readers are counted as a sample, from the first \
                            wait on";
            say("taken", sentence);
        }
        let merged = waiting.locks.values().map(|named| named.lock.merged).fold(0, u64::saturating_add);
        if merged != 0 {
            let sentence = format!(
                "{} locks are counted with others that were made at the same place: there are too many to be kept apart",
                units::count(merged)
            );
            say("merged", &sentence);
        }
    }
    let spent = spent(waiting);
    if spent.unknown != 0 {
        let share = units::percent(spent.unknown as f64 / spent.total().max(1) as f64);
        let sentence = format!(
            "of {} ({share} of all waiting) nobody knows who held the lock: the wait was over before the holder could be \
             asked, or there was no room",
            time(spent.unknown)
        );
        say("holders", &sentence);
    }
    for problem in &waiting.problems {
        say("names", problem);
    }
    if waiting.lost == 0 {
        say("lost", "nothing");
    } else {
        let sentence = format!(
            "{} waits are in the figures of their lock alone: the segment had no room for their chains, so tables by anything \
             but lock or class, flame graphs and causes are without them",
            units::count(waiting.lost)
        );
        text.push_str(&alarming("lost", &sentence, style));
    }
    text
}

fn spent(waiting: &Waiting) -> Spent {
    let mut all = Spent::default();
    for realm in [Realm::Locks, Realm::Conditions, Realm::Other] {
        for (_, group) in ranking::others(waiting, By::Lock, realm) {
            all.merge(&group.spent);
        }
    }
    all
}
