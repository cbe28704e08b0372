//! Looking out for a condition in events as they come.

use super::condition::{Condition, Subject};
use rumpscope_probes::events::{Event, Timeline, What};
use rumpscope_probes::{Hypercall, Place};
use std::collections::BTreeMap;

/// Looks out for a condition.
#[derive(Debug)]
pub struct Watch {
    condition: Condition,
    /// What lasted too long before then (ticks) is of no interest.
    since: u64,
    lanes: BTreeMap<u32, Known>,
}

/// What is known of the thread of a lane.
#[derive(Clone, Debug, Default)]
struct Known {
    tid: u32,
    name: String,
    now: Option<Now>,
    /// `now` lasts too long, and that has been said.
    said: bool,
}

/// What a thread does.
#[derive(Clone, Copy, Debug)]
enum Now {
    Off(u64, Hypercall),
    Running(u64, Hypercall),
}

/// What the condition is true of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Of which thread: the host's number.
    pub tid: u32,
    /// Its name.
    pub name: String,
    /// On account of which call.
    pub call: Hypercall,
    /// For how many ticks so far.
    pub ticks: u64,
    /// When that was known (ticks).
    pub at: u64,
    /// It is not over.
    pub goes_on: bool,
}

impl Watch {
    /// Looks out for `condition`, from `since` (ticks) on.
    pub fn new(condition: Condition, since: u64) -> Self {
        Watch { condition, since, lanes: BTreeMap::new() }
    }

    /// Looks at events that have come, in the order of their coming. All that the condition has become true of since the
    /// last time, what became so first in front.
    pub fn look(&mut self, news: &Timeline) -> Vec<Hit> {
        let limit = (self.condition.limit.as_nanos() as f64 * news.clock.ticks_per_second / 1e9) as u64;
        let mut hits = Vec::new();
        for lane in &news.lanes {
            let known = self.lanes.entry(lane.lane).or_default();
            for tenure in &lane.tenures {
                if (tenure.tid, &tenure.name) != (known.tid, &known.name) {
                    *known = Known { tid: tenure.tid, name: tenure.name.clone(), ..Known::default() };
                }
                for (index, event) in tenure.events.iter().enumerate() {
                    if tenure.gaps.contains(&index) {
                        known.now = None;
                    }
                    known.happened(event, news.guest_transitions_seen, |subject, call, begin, end, said| {
                        let lasted = end.saturating_sub(begin);
                        if !said && lasted > limit && self.condition.is_about(subject, call) {
                            hits.push((hit(tenure.tid, &tenure.name, call, lasted, end), begin));
                        }
                    });
                }
            }
        }
        for known in self.lanes.values_mut() {
            let Some((subjects, begin, call)) = known.now.map(Now::subjects) else { continue };
            let lasted = news.taken.saturating_sub(begin);
            let meant = subjects.iter().any(|subject| self.condition.is_about(*subject, call));
            if !known.said && lasted > limit && meant {
                known.said = true;
                let so_far = hit(known.tid, &known.name, call, lasted, news.taken);
                hits.push((Hit { goes_on: true, ..so_far }, begin));
            }
        }
        // What was too long already when the watch began is nothing new.
        hits.retain(|(_, begin)| begin.saturating_add(limit) >= self.since);
        hits.sort_by_key(|(_, begin)| begin.saturating_add(limit));
        hits.into_iter().map(|(hit, _)| hit).collect()
    }
}

/// Of something that is over.
fn hit(tid: u32, name: &str, call: Hypercall, ticks: u64, at: u64) -> Hit {
    Hit { tid, name: name.to_owned(), call, ticks, at, goes_on: false }
}

impl Now {
    /// As what it counts, since when, and on account of what.
    fn subjects(self) -> (&'static [Subject], u64, Hypercall) {
        match self {
            // These wait for nothing in the kernel, or the kernel itself says why.
            Now::Off(since, call @ (Hypercall::GuestEntry | Hypercall::GuestOwn)) => (&[Subject::Off], since, call),
            Now::Off(since, call) => (&[Subject::Off, Subject::Wait], since, call),
            Now::Running(since, call) => (&[Subject::Run], since, call),
        }
    }
}

impl Known {
    /// Takes note of an event; `over` is told what is over by it: as what it counts, on account of what, since when, up to
    /// when, and whether that was said.
    fn happened(&mut self, event: &Event, guest_tells: bool, mut over: impl FnMut(Subject, Hypercall, u64, u64, bool)) {
        let said = self.said;
        let mut end = |now: Option<Now>, at: u64| {
            if let Some((subjects, begin, call)) = now.map(Now::subjects) {
                subjects.iter().for_each(|subject| over(*subject, call, begin, at, said));
            }
        };
        match event.what {
            What::Unschedule { cause, .. } => {
                end(self.now.filter(|now| matches!(now, Now::Running(..))), event.begin);
                (self.now, self.said) = (Some(Now::Off(event.end, cause)), false);
            }
            What::Schedule { cause, place } => {
                end(self.now.filter(|now| matches!(now, Now::Off(..))), event.begin);
                over(Subject::VcpuWait, cause, event.begin, event.end, false);
                let running = guest_tells && matches!(place, Place::Vcpu(_));
                (self.now, self.said) = (running.then_some(Now::Running(event.end, cause)), false);
            }
            What::Call(call) => over(Subject::Call, call, event.begin, event.end, false),
            What::Away => (self.now, self.said) = (None, false),
            What::Wake { .. } => {}
        }
    }
}
