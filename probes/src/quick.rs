//! The way of a quick call: one that is usually over in less time than it takes to read the clock twice.
//!
//! Timing every one would cost more than the call, and measure little but the clock. So a quick call is made in two parts:
//! what it does where all that it needs is at hand, and what it does otherwise. The first part is counted, and timed as a
//! sample: at random intervals, so that no period of the guest can hide from it. The second part, a wait for a lock or
//! the waking of threads, is always timed, since there the clock costs little; its time begins when the first part has
//! failed, a few nanoseconds into the call. The two kinds of calls are counted apart ([`Quantity::Slow`]), so that a
//! reader can weigh the sample for what it stands for.

use crate::catalogue::{Hypercall, Metric, Quantity};
use crate::cell::Cell;
use crate::clock;
use crate::local::{self, Local, Plan};

/// Of the calls that find all at hand, one in so many is timed. At 128 the sample costs some 0.2 ns a call.
pub(crate) const SAMPLE_QUICK: u64 = 128;

/// Runs hypercall `call`: `at_once`, which answers `None` where what it needs is not at hand, and then `otherwise`.
///
/// A call that ends at once costs some loads, a compare and an addition to memory that only this thread writes.
#[inline(always)]
pub fn measure_quick<R>(call: Hypercall, at_once: impl FnOnce() -> Option<R>, otherwise: impl FnOnce() -> R) -> R {
    measure_taking(call, at_once, otherwise, |_| {})
}

/// The same of a call that takes a lock. `sampled` is told when it was at hand and the call is timed, with the number of
/// calls that it stands for.
#[inline(always)]
pub fn measure_taking<R>(
    call: Hypercall,
    at_once: impl FnOnce() -> Option<R>,
    otherwise: impl FnOnce() -> R,
    sampled: impl FnOnce(u64),
) -> R {
    if local::with(|local| local.plan) == Plan::Off {
        return match at_once() {
            Some(outcome) => outcome,
            None => otherwise(),
        };
    }
    let Some((cell, untimed)) = local::with(|local| local.untimed_cell(call)) else {
        return measure_rarely(call, at_once, otherwise, sampled);
    };
    match at_once() {
        Some(outcome) => {
            cell.count_after(untimed);
            outcome
        }
        None => measure_slow(call, None, otherwise),
    }
}

/// A quick call that always finds what it needs.
#[inline(always)]
pub fn measure_short<R>(call: Hypercall, body: impl FnOnce() -> R) -> R {
    if local::with(|local| local.plan) == Plan::Off {
        return body();
    }
    match local::with(|local| local.untimed_cell(call)) {
        Some((cell, untimed)) => {
            let outcome = body();
            cell.count_after(untimed);
            outcome
        }
        None => measure_short_rarely(call, body),
    }
}

#[cold]
#[inline(never)]
fn measure_short_rarely<R>(call: Hypercall, body: impl FnOnce() -> R) -> R {
    let start = local::with(Local::begin_quick);
    let outcome = body();
    local::with(|local| local.end_quick(call, start));
    outcome
}

/// A call that is timed from its beginning, or whose counter is not known.
#[cold]
#[inline(never)]
fn measure_rarely<R>(
    call: Hypercall,
    at_once: impl FnOnce() -> Option<R>,
    otherwise: impl FnOnce() -> R,
    sampled: impl FnOnce(u64),
) -> R {
    let start = local::with(Local::begin_quick);
    match at_once() {
        Some(outcome) => {
            if let Some(weight) = local::with(|local| local.end_quick(call, start)) {
                sampled(weight);
            }
            outcome
        }
        None => measure_slow(call, start, otherwise),
    }
}

/// The second part of a call that began at `start`; `None`: it is timed from now on.
#[cold]
#[inline(never)]
fn measure_slow<R>(call: Hypercall, start: Option<u64>, otherwise: impl FnOnce() -> R) -> R {
    let start = start.or_else(|| local::with(Local::begin_quick));
    let outcome = otherwise();
    local::with(|local| local.end_whole(call, Quantity::Slow, start));
    outcome
}

impl Local {
    /// The counter of `call` where the thread is now, and what it stands at, if the call is to be counted there without
    /// a time should it end at once.
    #[inline(always)]
    pub(crate) fn untimed_cell(&mut self, call: Hypercall) -> Option<(Cell, u64)> {
        // SAFETY: null, or a row of the thread's lane.
        let row = unsafe { self.known_row().as_ref() }?;
        // SAFETY: it is this thread's lane.
        let cell = unsafe { row.cell(Metric::call(call).number()) }?;
        Some((cell, cell.untimed()?))
    }

    /// When a call begins that may be timed; `None` where nothing is timed.
    fn begin_quick(&mut self) -> Option<u64> {
        self.recorder()?;
        if self.plan == Plan::Count {
            return None;
        }
        self.forget_spent();
        Some(clock::now())
    }

    /// A quick call ends that found all at hand. If it is timed: the number of calls that it stands for.
    fn end_quick(&mut self, call: Hypercall, start: Option<u64>) -> Option<u64> {
        // Before the rest, which is not part of the call.
        let now = start.map(|_| clock::now());
        let recorder = self.recorder()?;
        let row = self.known_row();
        let cell = self.cell(recorder, row, Metric::call(call).number())?;
        // Its counter was not known, and now it turns out that it was not its turn.
        let left_out = cell.untimed().is_some();
        let timed = start.zip(now).filter(|_| !left_out);
        match timed {
            Some((start, now)) => {
                cell.record(&recorder.arena, clock::between(start, now));
                // A sample of them would tell a tale with holes.
                if self.records && self.quick_gap == 0 {
                    self.record_call(recorder, call, start, now);
                }
            }
            None => cell.count(),
        }
        if !left_out {
            cell.leave_out(self.quick_gap());
        }
        timed.map(|_| self.quick_gap.max(1))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_measured_before_it_has_begun() {
        assert_eq!(measure_quick(Hypercall::MutexEnter, || Some(1), || unreachable!()), 1);
        assert_eq!(measure_quick(Hypercall::MutexEnter, || None, || 2), 2);
        assert_eq!(measure_short(Hypercall::ClockGettime, || 3), 3);
    }
}
