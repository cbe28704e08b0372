//! Where a thread was.

use rumpscope_probes::events::{Tenure, What};
use rumpscope_probes::{Hypercall, Place};

/// What a thread did for a time, as far as virtual CPUs are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It had this virtual CPU.
    Running {
        /// Its index.
        vcpu: u16,
    },
    /// It was giving it up.
    Leaving {
        /// Why.
        cause: Hypercall,
    },
    /// It was on none.
    Off {
        /// Why. [`Hypercall::GuestEntry`]: it is a client, which has nothing to do in the kernel.
        cause: Hypercall,
    },
    /// It was waiting for one.
    Waiting {
        /// What for.
        cause: Hypercall,
    },
}

/// For how long it did that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Since when (ticks).
    pub begin: u64,
    /// Up to when; `None`: it goes on.
    pub end: Option<u64>,
    /// For how many ticks it had done that before `begin`, where the picture does not reach back to there.
    pub before: u64,
    /// What.
    pub doing: Doing,
}

impl State {
    fn new(begin: u64, end: u64, doing: Doing) -> Self {
        State { begin, end: Some(end.max(begin)), before: 0, doing }
    }

    /// What of it lies in a window; `None`: nothing.
    pub(super) fn within(mut self, from: u64, to: u64) -> Option<Self> {
        if self.begin > to || self.end.is_some_and(|end| end < from) {
            return None;
        }
        self.before = from.saturating_sub(self.begin);
        self.begin = self.begin.max(from);
        // What is over later was still going on.
        self.end = self.end.filter(|end| *end <= to);
        Some(self)
    }
}

/// What is known of a thread after an event.
#[derive(Clone, Copy)]
enum Since {
    Nothing,
    Running(u64, u16),
    Off(u64, Hypercall),
}

/// The states of a thread, in their order, none over another. `guest_tells`: between two events, too, it is known whether it
/// has its virtual CPU. `there_at`: it is still there at that time.
pub(super) fn of(tenure: &Tenure, guest_tells: bool, there_at: Option<u64>) -> Vec<State> {
    let mut states: Vec<State> = Vec::new();
    let mut since = Since::Nothing;
    let mut gaps = tenure.gaps.iter().copied().peekable();
    for (index, event) in tenure.events.iter().enumerate() {
        if gaps.next_if_eq(&index).is_some() {
            since = Since::Nothing;
        }
        // The counters of two processors may differ by some ticks.
        let begin = event.begin.max(states.last().and_then(|state| state.end).unwrap_or(0));
        match event.what {
            What::Unschedule { cause, .. } => {
                if let Since::Running(from, vcpu) = since {
                    states.push(State::new(from, begin, Doing::Running { vcpu }));
                }
                // Of many transitions only their moment is known; these take no time in the picture.
                if event.end > begin {
                    states.push(State::new(begin, event.end, Doing::Leaving { cause }));
                }
                since = Since::Off(event.end.max(begin), cause);
            }
            What::Schedule { cause, place } => {
                if let Since::Off(from, cause) = since {
                    states.push(State::new(from, begin, Doing::Off { cause }));
                }
                if event.end > begin {
                    states.push(State::new(begin, event.end, Doing::Waiting { cause }));
                }
                since = match place {
                    Place::Vcpu(vcpu) if guest_tells => Since::Running(event.end.max(begin), vcpu),
                    _ => Since::Nothing,
                };
            }
            What::Away => since = Since::Nothing,
            What::Call(_) | What::Wake { .. } => {}
        }
    }
    let open = match since {
        Since::Nothing => None,
        Since::Running(from, vcpu) => Some((from, Doing::Running { vcpu })),
        Since::Off(from, cause) => Some((from, Doing::Off { cause })),
    };
    if let Some((begin, doing)) = open.filter(|(begin, _)| there_at.is_some_and(|at| *begin <= at)) {
        states.push(State { begin, end: None, before: 0, doing });
    }
    states
}
