//! The way of a quick call: one that is usually over in less time than it takes to read the clock twice.
//!
//! Timing every one would cost more than the call, and measure little but the clock. So a quick call is made in two parts:
//! what it does where all that it needs is at hand, and what it does otherwise. The first part is counted, and timed as a
//! sample: at random intervals, so that no period of the guest can hide from it. The second part, a wait for a lock or
//! the waking of threads, is always timed, since there the clock costs little; its time begins when the first part has
//! failed, a few nanoseconds into the call. The two kinds of calls are counted apart ([`Quantity::Slow`]), so that a
//! reader can weigh the sample for what it stands for. And so is the first one of a thread at a place
//! ([`Quantity::First`]), which is timed and stands for no other.

use crate::catalogue::{Hypercall, Metric, Quantity};
use crate::clock;
use crate::local::{self, Local, Plan};
use crate::tally::Tally;

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
    match local::with(|local| local.way(call)) {
        Way::Plain => match at_once() {
            Some(outcome) => outcome,
            None => otherwise(),
        },
        Way::Counted(untimed) => count_taking(untimed, call, at_once, otherwise),
        Way::Long => measure_rarely(call, at_once, otherwise, sampled),
    }
}

/// A quick call that always finds what it needs.
#[inline(always)]
pub fn measure_short<R>(call: Hypercall, body: impl FnOnce() -> R) -> R {
    match local::with(|local| local.way(call)) {
        Way::Plain => body(),
        Way::Counted(untimed) => count_short(untimed, body),
        Way::Long => measure_short_rarely(call, body),
    }
}

/// Runs and counts a quick call that always finds what it needs.
#[inline(always)]
pub(crate) fn count_short<R>((tally, one_more): Untimed, body: impl FnOnce() -> R) -> R {
    let outcome = body();
    tally.set(one_more);
    outcome
}

/// Runs one that may not, and counts it if it does.
#[inline(always)]
fn count_taking<R>(
    (tally, one_more): Untimed,
    call: Hypercall,
    at_once: impl FnOnce() -> Option<R>,
    otherwise: impl FnOnce() -> R,
) -> R {
    match at_once() {
        Some(outcome) => {
            tally.set(one_more);
            outcome
        }
        None => measure_slow(call, None, otherwise),
    }
}

#[cold]
#[inline(never)]
fn measure_short_rarely<R>(call: Hypercall, body: impl FnOnce() -> R) -> R {
    if let Some(untimed) = local::with(|local| local.way_off(call)) {
        return count_short(untimed, body);
    }
    let start = local::with(Local::begin_quick);
    let outcome = body();
    local::with(|local| local.end_quick(call, start));
    outcome
}

/// A call that is timed from its beginning, or one of a thread that is on no virtual CPU, or may be.
#[cold]
#[inline(never)]
fn measure_rarely<R>(
    call: Hypercall,
    at_once: impl FnOnce() -> Option<R>,
    otherwise: impl FnOnce() -> R,
    sampled: impl FnOnce(u64),
) -> R {
    if let Some(untimed) = local::with(|local| local.way_off(call)) {
        return count_taking(untimed, call, at_once, otherwise);
    }
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

/// The tally of a call that is not to be timed, and what it will be with one more.
pub(crate) type Untimed = (Tally, u64);

/// What a quick call takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// Nothing: it is not measured.
    Plain,
    /// To be counted, if it ends at once.
    Counted(Untimed),
    /// The clock, or to find out where the thread is.
    Long,
}

impl Local {
    /// What is to be done about `call`, a quick one, that begins.
    #[inline(always)]
    pub(crate) fn way(&self, call: Hypercall) -> Way {
        if self.plan <= Plan::Off {
            return if self.plan == Plan::Off { Way::Plain } else { Way::Long };
        }
        self.on.untimed(call).map_or(Way::Long, Way::Counted)
    }

    /// The same where the way is long so far: the thread may be off its virtual CPU.
    #[inline(always)]
    pub(crate) fn way_off(&self, call: Hypercall) -> Option<Untimed> {
        if self.plan <= Plan::Off || self.on.holds() { None } else { self.off.untimed(call) }
    }

    /// When a call begins that may be timed; `None` where nothing is timed.
    fn begin_quick(&mut self) -> Option<u64> {
        self.recorder()?;
        self.forget_spent();
        (self.plan != Plan::Count).then(clock::now)
    }

    /// A quick call ends that found all at hand. If it is timed: the number of calls that it stands for.
    fn end_quick(&mut self, call: Hypercall, start: Option<u64>) -> Option<u64> {
        // Before the rest, which is not part of the call.
        let now = start.map(|_| clock::now());
        let recorder = self.recorder()?;
        let row = self.row_now(recorder);
        let tally = self.tally(recorder, row, call)?;
        // Its tally was not known, and now it turns out that it was not its turn.
        let left_out = tally.one_more().is_some();
        let timed = start.zip(now).filter(|_| !left_out);
        // Where all are timed none stands for others.
        let is_first = self.quick_gap != 0 && tally.is_new();
        // Also where there is no room for its time.
        if !left_out {
            tally.leave_out(self.quick_gap());
        }
        match timed {
            Some((start, now)) => {
                let cell = if is_first {
                    self.part(recorder, row, Quantity::First, call as u8)?
                } else {
                    self.cell(recorder, row, Metric::call(call).number())?
                };
                cell.record(&recorder.arena, clock::between(start, now));
                // A sample of them would tell a tale with holes.
                if self.records && self.quick_gap == 0 {
                    self.record_call(recorder, call, start, now);
                }
            }
            None => tally.count(),
        }
        // The first one stands for itself, each later one also for those that were left out before it.
        timed.map(|_| if is_first { 1 } else { self.quick_gap + 1 })
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
