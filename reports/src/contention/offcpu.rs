//! Time that threads did not run, as stacks: the lines of folded text, and what flame graphs are drawn from.
//!
//! A stack begins with the thread and its outermost function; the hypercall that waited and what it waited for end it.
//! *With holders*, the stack of who made the thread wait follows behind a separator and upside down, from the innermost
//! function outwards to its thread. (Both orders as Brendan Gregg's off-CPU and off-wake flame graphs have them.)

use super::waiting::Waiting;
use rumpscope_probes::Hypercall;
use rumpscope_probes::contention::{Part, StackId, Wait};
use std::collections::BTreeMap;

/// What stands between a waiter and who made it wait.
pub const SEPARATOR: &str = "--";

/// What the names of hypercalls begin with.
pub const CALL: &str = "rumpuser_";

/// Stacks, outermost frame first, with their nanoseconds.
pub type Stacks = BTreeMap<Vec<String>, u64>;

/// The stacks of all waits that took any time.
pub fn stacks(waiting: &Waiting, holders: bool) -> Stacks {
    let mut ticks = BTreeMap::<Vec<String>, u64>::new();
    for wait in waiting.waits.iter().filter(|wait| wait.ticks != 0) {
        let mut stack = waiter(waiting, wait);
        if holders {
            stack.extend(holder(waiting, wait));
        }
        let ticks = ticks.entry(stack).or_default();
        *ticks = ticks.saturating_add(wait.ticks);
    }
    // Converted at the end, so that many short waits are not rounded one by one.
    ticks.into_iter().map(|(stack, ticks)| (stack, waiting.nanoseconds(ticks))).collect()
}

/// One line a stack: frames with `;` between them, a space, nanoseconds.
pub fn folded(stacks: &Stacks) -> String {
    let line = |(stack, nanoseconds): (&Vec<String>, &u64)| format!("{} {nanoseconds}\n", stack.join(";"));
    stacks.iter().filter(|(_, nanoseconds)| **nanoseconds != 0).map(line).collect()
}

fn waiter(waiting: &Waiting, wait: &Wait) -> Vec<String> {
    let mut stack = vec![thread(waiting, wait.waiter_lane)];
    stack.extend(functions(waiting, wait.waiter).rev());
    stack.push(call(wait.call));
    if wait.lock != 0 {
        stack.push(frame(&format!("[{}]", waiting.lock(wait.lock))));
    }
    stack
}

fn holder(waiting: &Waiting, wait: &Wait) -> Vec<String> {
    let (begin, lane) = match wait.part {
        // Nobody made it wait.
        Part::Alone => return Vec::new(),
        Part::Unknown => return vec![SEPARATOR.to_owned(), "[not known]".to_owned()],
        Part::HandOver => (Some("[hand-over]".to_owned()), wait.holder_lane),
        Part::Held => (None, wait.holder_lane),
        Part::HolderWaited(of) => (Some(call(of)), wait.holder_lane),
    };
    let mut stack = vec![SEPARATOR.to_owned()];
    stack.extend(begin);
    stack.extend(functions(waiting, wait.holder));
    stack.push(lane.map_or_else(|| "[thread not known]".to_owned(), |lane| thread(waiting, lane)));
    stack
}

/// Threads that were given the same name are one.
fn thread(waiting: &Waiting, lane: u32) -> String {
    frame(&waiting.threads.get(&lane).map_or_else(|| waiting.thread(lane), |thread| thread.given.clone()))
}

/// A hypercall, told apart from a function of the guest with the same name.
fn call(call: Hypercall) -> String {
    if call.is_exported() { format!("{CALL}{}", call.name()) } else { call.name().to_owned() }
}

fn functions(waiting: &Waiting, chain: StackId) -> impl DoubleEndedIterator<Item = String> {
    waiting.chain(chain).iter().map(|each| frame(&each.function))
}

/// A frame: `;` and ends of lines would be read as the format's own.
fn frame(name: &str) -> String {
    name.chars().map(|letter| if letter == ';' || letter.is_control() { ':' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contention::testing;
    use proptest::prelude::*;

    #[test]
    fn a_stack_begins_with_the_thread() {
        let text = folded(&stacks(&testing::waiting(), false));
        let vnode =
            "client 1;sys_open;VOP_CREATE;ufs_create;vn_lock;rw_enter;rumpuser_rw_enter;[vcache_alloc #2] 1000000000\n";
        assert!(text.contains(vnode), "{text}");
        assert!(text.contains("worker;workqueue_worker;rumpuser_clock_sleep 1900000000\n"), "{text}");
    }

    #[test]
    fn a_holder_stands_upside_down() {
        let text = folded(&stacks(&testing::waiting(), true));
        let waits = ";[vcache_alloc #2];--;rumpuser_cv_wait;cv_wait;biowait;bwrite;ffs_update;ioflush 800000000\n";
        assert!(text.contains(waits), "{text}");
        assert!(text.contains(";[vcache_alloc #2];--;rw_enter;ffs_update;bwrite;ioflush 150000000\n"), "{text}");
        assert!(text.contains(";[proc_lock];--;[not known] 5000000\n"), "{text}");
        assert!(text.contains("worker;workqueue_worker;rumpuser_clock_sleep 1900000000\n"), "{text}");
    }

    #[test]
    fn names_cannot_break_the_format() {
        let mut waiting = testing::waiting();
        waiting.threads.get_mut(&4).unwrap().given = "a;b\nc".to_owned();
        assert!(folded(&stacks(&waiting, false)).contains("a:b:c;workqueue_worker;rumpuser_clock_sleep 1900000000\n"));
    }

    proptest! {
        #[test]
        fn all_time_is_in_the_stacks(waits in proptest::collection::vec(testing::any_wait(), 0..60), holders: bool) {
            let ticks: u64 = waits.iter().map(|wait| wait.ticks).sum();
            let waiting = testing::waiting_of(waits);
            let stacks = stacks(&waiting, holders);
            let sum: u64 = stacks.values().sum();
            prop_assert!(sum.abs_diff(waiting.nanoseconds(ticks)) <= stacks.len() as u64);
            // What `flamegraph.pl` reads: everything up to the last space, then a number.
            for line in folded(&stacks).lines() {
                let (stack, count) = line.rsplit_once(' ').unwrap();
                prop_assert!(!stack.is_empty() && count.parse::<u64>().is_ok_and(|count| count != 0));
            }
        }
    }
}
