//! The way of one measured hypercall.

use crate::catalogue::{Hypercall, Metric, Quantity, Timing};
use crate::cell::Cell;
use crate::clock;
use crate::local::{self, Local, Plan};
use crate::mode::Mode;
use crate::quick::{SAMPLE_QUICK, Way, count_short};
use crate::recorder::{Recorder, decided_mode};
use crate::tally::LONGEST_GAP;

/// Of calls that cost less than a clock read, one in so many is timed on average.
const SAMPLE_CHEAP: u64 = 1024;
/// In mode `sampled`, one in so many.
const SAMPLE_ALL: u64 = 64;

/// `Local::draw` goes up to twice the mean.
const _: () = assert!(2 * SAMPLE_CHEAP <= LONGEST_GAP && 2 * SAMPLE_QUICK <= LONGEST_GAP);

/// Runs `body` as hypercall `call`: counted and, by the timing mode, timed.
///
/// A timed call costs two clock reads and three plain additions to memory that only this thread writes; no lock, no
/// locked instruction, no system call. The first use of a counter by a thread also sets it up.
#[inline(always)]
pub fn measure<R>(call: Hypercall, body: impl FnOnce() -> R) -> R {
    if matches!(call.entry().timing, Timing::Sampled) {
        // Such a call is a load or two, so nearly always it is counted and no more.
        return match local::with(|local| local.way(call)) {
            Way::Plain => body(),
            Way::Counted(untimed) => count_short(untimed, body),
            Way::Long => measure_cheap(call, body),
        };
    }
    let start = begin(call, local::with(|local| local.plan));
    let outcome = body();
    if start != 0 {
        end(call, start);
    }
    outcome
}

/// A call that costs less than reading a clock, when it may be its turn to be timed, or the thread is on no virtual CPU. A C
/// function, because nothing unwinds out of one: it can be jumped to.
#[inline(never)]
extern "C" fn measure_cheap<R>(call: Hypercall, body: impl FnOnce() -> R) -> R {
    if let Some(untimed) = local::with(|local| local.way_off(call)) {
        return count_short(untimed, body);
    }
    let begun = local::with(|local| local.begin_cheap(call));
    let outcome = body();
    match begun {
        None => {}
        Some((start, false)) => end(call, start),
        Some((start, true)) => end_first(call, start),
    }
    outcome
}

/// When the call began, in ticks; 0 when it is not timed. (No clock in use is ever at 0.)
#[inline(always)]
fn begin(call: Hypercall, plan: Plan) -> u64 {
    if plan == Plan::TimeByTsc && matches!(call.entry().timing, Timing::Always) {
        return clock::tsc();
    }
    if plan == Plan::Off {
        return 0;
    }
    begin_rare(call)
}

/// The same for threads that have no plan yet, and for all that is not simply timed by the time stamp counter.
#[inline(never)]
fn begin_rare(call: Hypercall) -> u64 {
    local::with(|local| {
        if local.plan == Plan::Unknown {
            local.make_plan();
        }
        match (local.plan, call.entry().timing) {
            // Those that are sampled have a way of their own.
            (Plan::Unknown | Plan::Off, _) | (_, Timing::Sampled) => 0,
            (Plan::Count, _) | (_, Timing::Never) => local.count(call),
            (Plan::Sample, _) => local.count_or_sample(call),
            (Plan::TimeByTsc | Plan::TimeByMonotonic, Timing::Always | Timing::Quick) => clock::now(),
        }
    })
}

impl Local {
    /// The end of a call that is recorded as `whole`, and that began at `start`; `None`: it is only counted.
    pub(crate) fn end_whole(&mut self, call: Hypercall, whole: Quantity, start: Option<u64>) {
        let now = start.map(|_| clock::now());
        let Some(recorder) = self.recorder() else { return };
        if let Some((start, now)) = start.zip(now) {
            if self.records {
                self.record_call(recorder, call, start, now);
            }
            return end_blocked(call, whole, [start, now], recorder, self);
        }
        let row = self.take_spent().map_or_else(|| self.known_row(), |(_, home)| home);
        if let Some(cell) = self.cell(recorder, row, Metric { quantity: whole, call }.number()) {
            cell.count();
        }
    }

    /// The recorder, where anything is measured.
    #[inline]
    pub(crate) fn recorder(&mut self) -> Option<&'static Recorder> {
        if self.plan == Plan::Unknown {
            self.make_plan();
        }
        if matches!(self.plan, Plan::Unknown | Plan::Off) {
            return None;
        }
        // SAFETY: set with the plan; the process's recorder is never freed.
        unsafe { self.recorder.as_ref() }
    }

    /// Decides what to do with hypercalls, if it is decided for the process.
    #[cold]
    fn make_plan(&mut self) {
        let Some(mode) = decided_mode() else { return };
        self.forget_witness();
        self.recorder = Recorder::get().map_or(core::ptr::null(), core::ptr::from_ref);
        self.plan = match mode {
            Mode::Off => Plan::Off,
            Mode::Counts => Plan::Count,
            Mode::Sampled => Plan::Sample,
            Mode::Full | Mode::Exact if clock::is_tsc() => Plan::TimeByTsc,
            Mode::Full | Mode::Exact => Plan::TimeByMonotonic,
        };
        self.quick_gap = match mode {
            Mode::Off | Mode::Counts => u64::MAX,
            Mode::Sampled => SAMPLE_ALL,
            Mode::Full => SAMPLE_QUICK,
            Mode::Exact => 0,
        };
        // SAFETY: null, or the process's recorder, which is never freed.
        let has_room = unsafe { self.recorder.as_ref() }.is_some_and(|recorder| recorder.events.is_some());
        self.records = has_room && matches!(self.plan, Plan::Sample | Plan::TimeByTsc | Plan::TimeByMonotonic);
        self.records_calls = self.records && self.plan != Plan::Sample;
    }

    /// The cell of `call` where the thread is now.
    #[inline(always)]
    fn call_cell(&mut self, call: Hypercall) -> Option<Cell> {
        // SAFETY: set with the plan; the process's recorder is never freed.
        let recorder = unsafe { self.recorder.as_ref() }?;
        self.cell(recorder, self.known_row(), Metric::call(call).number())
    }

    /// Counts a call that is not timed.
    #[inline(always)]
    fn count(&mut self, call: Hypercall) -> u64 {
        if let Some(cell) = self.call_cell(call) {
            cell.count();
        }
        0
    }

    /// Counts a call that costs less than reading a clock, or begins to time it. Says when it began, and whether it is
    /// the first one.
    fn begin_cheap(&mut self, call: Hypercall) -> Option<(u64, bool)> {
        let recorder = self.recorder()?;
        let row = self.row_now(recorder);
        let tally = self.tally(recorder, row, call)?;
        let is_timed = tally.one_more().is_none();
        let is_first = tally.is_new();
        if is_timed {
            tally.leave_out(match self.plan {
                Plan::Count => LONGEST_GAP,
                Plan::Sample => self.draw(SAMPLE_ALL),
                _ => self.draw(SAMPLE_CHEAP),
            });
        }
        if !is_timed || self.plan == Plan::Count {
            tally.count();
            return None;
        }
        self.forget_spent();
        Some((clock::now(), is_first))
    }

    /// Counts a call that is not timed, or begins to time it, where only a sample is timed.
    #[inline(always)]
    fn count_or_sample(&mut self, call: Hypercall) -> u64 {
        let Some(cell) = self.call_cell(call) else { return 0 };
        if !cell.count_or_sample(|| self.draw(SAMPLE_ALL)) {
            return 0;
        }
        self.forget_spent();
        clock::now()
    }
}

#[inline(always)]
fn end(call: Hypercall, start: u64) {
    local::with(|local| {
        let now = if local.plan == Plan::TimeByTsc { clock::tsc() } else { clock::now() };
        // SAFETY: the call is timed, so there is a plan, and with it a recorder, which is never freed.
        let Some(recorder) = (unsafe { local.recorder.as_ref() }) else { return };
        if local.records_calls && matches!(call.entry().timing, Timing::Always) {
            local.record_call(recorder, call, start, now);
        }
        if local.blocked != 0 {
            return end_blocked(call, Quantity::Call, [start, now], recorder, local);
        }
        let ticks = clock::between(start, now);
        if let Some(cell) = local.cell(recorder, local.known_row(), Metric::call(call).number()) {
            cell.record(&recorder.arena, ticks);
        }
    })
}

/// The end of a call that is the first one.
fn end_first(call: Hypercall, start: u64) {
    let now = clock::now();
    local::with(|local| {
        if let Some(recorder) = local.recorder() {
            end_blocked(call, Quantity::First, [start, now], recorder, local);
        }
    });
}

/// The end of a call, from start to end, while a call of this thread has given up its virtual CPU (this one, or one around
/// it), or while the guest is in a transition of its own. It is recorded as `whole`.
#[cold]
#[inline(never)]
fn end_blocked(call: Hypercall, whole: Quantity, [start, now]: [u64; 2], recorder: &Recorder, local: &mut Local) {
    let ticks = clock::between(start, now);
    local.seen_in_transition(start);
    let mut row = local.known_row();
    if let Some((spent, home)) = local.take_spent() {
        // The call belongs to the virtual CPU that it was made on, not to the one it came back to.
        row = home;
        let own = Metric { quantity: Quantity::Own, call }.number();
        if let Some(cell) = local.cell(recorder, row, own) {
            cell.record(&recorder.arena, ticks.saturating_sub(spent));
        }
    }
    if let Some(cell) = local.cell(recorder, row, Metric { quantity: whole, call }.number()) {
        cell.record(&recorder.arena, ticks);
    }
}
