//! What a guest did, as a picture over time: threads with their hypercalls, and where they were.
//!
//! Made from the events of a segment ([`rumpscope_probes::events`]), for a window of time. Nothing is drawn that was not
//! seen: where events were lost, or nobody told them, there is nothing.

mod calls;
mod condition;
mod states;
mod watch;

pub use calls::Slice;
pub use condition::{Condition, Subject};
pub use states::{Doing, State};
pub use watch::{Hit, Watch};

use rumpscope_probes::events::{Event, Tenure, Timeline, What};
use std::collections::BTreeMap;
use std::time::Duration;

/// A window of a guest's time. Times are in ticks of the guest's clock.
#[derive(Clone, Debug)]
pub struct Picture {
    /// From when it tells.
    pub from: u64,
    /// Up to when.
    pub to: u64,
    /// From when it tells everything: later than `from` where there was more to record than there is room for.
    pub complete_from: u64,
    /// Events since measuring began that were not recorded, because there were more threads than there is room for: threads
    /// may be missing, and nothing else tells of that. Older events that newer ones have taken the room of are not counted
    /// here: these are before `complete_from`.
    pub lost: u64,
    /// The threads that were there.
    pub threads: Vec<Thread>,
    /// Who woke whom.
    pub wakes: Vec<Wake>,
}

/// A thread's part of the picture.
#[derive(Clone, Debug)]
pub struct Thread {
    /// Its lane.
    pub lane: u32,
    /// The host's number of it; that of several, where they are coroutines.
    pub tid: u32,
    /// Its name.
    pub name: String,
    /// Its hypercalls with their parts; a part stands behind the call that it is in.
    pub calls: Vec<Slice>,
    /// Where it was, one after the other.
    pub states: Vec<State>,
    /// When events of it are missing: the end of the first one after that.
    pub gaps: Vec<u64>,
}

/// A thread made another one go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wake {
    /// When.
    pub at: u64,
    /// Who: an index in `threads`.
    pub waker: usize,
    /// By which call.
    pub call: rumpscope_probes::Hypercall,
    /// Whom, and the state in which that one ran on: indices in `threads` and in its `states`; `None`: that was not seen.
    pub woken: Option<(usize, usize)>,
}

impl Picture {
    /// The last part of `timeline`, so long; of all of it where `last` is longer.
    pub fn new(timeline: &Timeline, last: Duration) -> Self {
        let ticks = last.as_nanos() as f64 * timeline.clock.ticks_per_second / 1e9;
        let to = timeline.taken;
        let from = to.saturating_sub(ticks as u64).max(timeline.began);
        let mut complete_from = from;
        let mut threads = Vec::new();
        let mut woken = Vec::new();
        for lane in &timeline.lanes {
            for (index, tenure) in lane.tenures.iter().enumerate() {
                let thread = thread(timeline, lane.lane, tenure, index + 1 == lane.tenures.len(), from);
                if let Some(last) = thread.gaps.last() {
                    complete_from = complete_from.max(*last);
                }
                if thread.calls.is_empty() && thread.states.is_empty() {
                    continue;
                }
                let wakes = tenure.events.iter().filter(|event| (from..=to).contains(&event.end));
                woken.extend(wakes.filter_map(|event| match event.what {
                    What::Wake { call, lane } => Some((event.end, threads.len(), call, lane)),
                    _ => None,
                }));
                threads.push(thread);
            }
        }
        let wakes = resolve(&woken, &threads);
        Picture { from, to, complete_from: complete_from.min(to), lost: timeline.lost, threads, wakes }
    }
}

fn thread(timeline: &Timeline, lane: u32, tenure: &Tenure, is_there: bool, from: u64) -> Thread {
    let to = timeline.taken;
    // A thread that has the lane no more has ended.
    let states = states::of(tenure, timeline.guest_transitions_seen, if is_there { Some(to) } else { None });
    let states: Vec<State> = states.into_iter().filter_map(|state| state.within(from, to)).collect();
    let calls = calls::of(tenure).into_iter().filter_map(|slice| slice.within(from, to)).collect();
    let gaps = tenure.gaps.iter().filter_map(|index| tenure.events.get(*index)).map(|event: &Event| event.end);
    Thread {
        lane,
        tid: tenure.tid,
        name: tenure.name.clone(),
        calls,
        states,
        gaps: gaps.filter(|end| (from..=to).contains(end)).collect(),
    }
}

/// Finds where those who were woken ran on: in the first state of their lane that begins later, and in which they run.
fn resolve(woken: &[(u64, usize, rumpscope_probes::Hypercall, u32)], threads: &[Thread]) -> Vec<Wake> {
    let mut of_lane: BTreeMap<u32, Vec<(u64, usize, usize)>> = BTreeMap::new();
    for (index, thread) in threads.iter().enumerate() {
        let ran = thread.states.iter().enumerate().filter(|(_, state)| matches!(state.doing, Doing::Running { .. }));
        of_lane.entry(thread.lane).or_default().extend(ran.map(|(number, state)| (state.begin, index, number)));
    }
    of_lane.values_mut().for_each(|states| states.sort_unstable());
    let run_on = |at: u64, lane: u32| {
        let states = of_lane.get(&lane)?;
        states.get(states.partition_point(|(begin, ..)| *begin < at)).map(|(_, thread, state)| (*thread, *state))
    };
    woken.iter().map(|&(at, waker, call, lane)| Wake { at, waker, call, woken: run_on(at, lane) }).collect()
}
