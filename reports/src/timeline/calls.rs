//! What a thread called.

use rumpscope_probes::Hypercall;
use rumpscope_probes::events::{Tenure, What};
use std::cmp::Reverse;

/// A hypercall or a part of one, with what it contains behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// When it began (ticks).
    pub begin: u64,
    /// When it was over.
    pub end: u64,
    /// For how many ticks it had gone on before `begin`, where the picture does not reach back to there.
    pub before: u64,
    /// In how many others it is.
    pub depth: usize,
    /// The call.
    pub call: Hypercall,
    /// Which part of it; `None`: the whole.
    pub part: Option<Part>,
}

/// The parts of a call that blocks; what is left is its own work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Giving up the virtual CPU.
    Unschedule,
    /// Off the virtual CPU.
    Off,
    /// Waiting for one again, and taking it.
    Reschedule,
}

impl Part {
    /// Its name, that of its quantity in the profile.
    pub const fn name(self) -> &'static str {
        match self {
            Part::Unschedule => "unschedule",
            Part::Off => "off",
            Part::Reschedule => "reschedule",
        }
    }
}

impl Slice {
    /// What of it lies in a window; `None`: nothing, or it is not over yet.
    pub(super) fn within(mut self, from: u64, to: u64) -> Option<Self> {
        if self.end < from || self.end > to {
            return None;
        }
        self.before = from.saturating_sub(self.begin);
        self.begin = self.begin.max(from);
        Some(self)
    }
}

/// The calls of a thread and their parts, by beginning; what is in another is inside of its time.
pub(super) fn of(tenure: &Tenure) -> Vec<Slice> {
    let mut slices = Vec::new();
    // When the thread last gave up its virtual CPU.
    let mut left = None;
    let slice = |begin, end, call, part| Slice { begin, end, before: 0, depth: 0, call, part };
    for (index, event) in tenure.events.iter().enumerate() {
        if tenure.gaps.contains(&index) {
            left = None;
        }
        match event.what {
            What::Call(call) => slices.push(slice(event.begin, event.end, call, None)),
            What::Unschedule { cause, .. } => {
                slices.push(slice(event.begin, event.end, cause, Some(Part::Unschedule)));
                left = Some((event.end, cause));
            }
            What::Schedule { cause, .. } => {
                if let Some((since, _)) = left.take().filter(|(_, left_for)| *left_for == cause) {
                    slices.push(slice(since.min(event.begin), event.begin, cause, Some(Part::Off)));
                }
                slices.push(slice(event.begin, event.end, cause, Some(Part::Reschedule)));
            }
            What::Away => left = None,
            What::Wake { .. } => {}
        }
    }
    nest(slices)
}

/// Puts every slice behind the one that it is in. Parts that are in none stay out: they are transitions of the guest's own,
/// or of a call that is not over.
fn nest(mut slices: Vec<Slice>) -> Vec<Slice> {
    slices.sort_unstable_by_key(|slice| (slice.begin, Reverse(slice.end), slice.part));
    let mut around: Vec<Slice> = Vec::new();
    let mut nested = Vec::with_capacity(slices.len());
    for mut slice in slices {
        while around.last().is_some_and(|outer| outer.end <= slice.begin && outer.end < slice.end) {
            around.pop();
        }
        let call = around.iter().rev().find(|outer| outer.part.is_none());
        if slice.part.is_some() && call.is_none_or(|outer| outer.call != slice.call) {
            continue;
        }
        // The counters of two processors may differ by some ticks.
        slice.end = around.last().map_or(slice.end, |outer| slice.end.min(outer.end)).max(slice.begin);
        slice.depth = around.len();
        around.push(slice);
        nested.push(slice);
    }
    nested
}
