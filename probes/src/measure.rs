//! The way of one measured hypercall.

use crate::catalogue::{Hypercall, Metric, Quantity, Timing};
use crate::clock;
use crate::local::{self, LEVELS};
use crate::mode::Mode;
use crate::recorder::{MODE, Recorder};
use core::sync::atomic::Ordering;

/// Of calls that cost less than a clock read, one in so many is timed on average.
const SAMPLE_CHEAP: u64 = 1024;
/// In mode `sampled`, one in so many.
const SAMPLE_ALL: u64 = 64;

/// Runs `body` as hypercall `call`: counted and, by the timing mode, timed.
///
/// A timed call costs two clock reads and three plain additions to memory that only this thread writes; no lock, no
/// locked instruction, no system call. The first use of a counter by a thread also sets it up.
#[inline(always)]
pub fn measure<R>(call: Hypercall, body: impl FnOnce() -> R) -> R {
    let start = begin(call);
    let outcome = body();
    if start != 0 {
        end(call, start);
    }
    outcome
}

/// When the call began, in ticks; 0 when it is not timed. (No clock in use is ever at 0.)
#[inline(always)]
fn begin(call: Hypercall) -> u64 {
    // Relaxed: set when measuring begins, before the guest's other threads exist.
    let mode = MODE.load(Ordering::Relaxed);
    if mode == Mode::Full as u8 && matches!(call.entry().timing, Timing::Always) {
        return clock::now();
    }
    if mode == Mode::Off as u8 {
        return 0;
    }
    count_or_sample(call, mode)
}

#[inline(never)]
fn count_or_sample(call: Hypercall, mode: u8) -> u64 {
    let Some(recorder) = Recorder::get() else { return 0 };
    local::with(|local| {
        let Some(cell) = local.cell(recorder, local.row, Metric::call(call).number()) else { return 0 };
        if mode == Mode::Counts as u8 || matches!(call.entry().timing, Timing::Never) {
            cell.count();
            return 0;
        }
        let mean = if mode == Mode::Sampled as u8 { SAMPLE_ALL } else { SAMPLE_CHEAP };
        if !cell.count_or_sample(|| local.draw(mean)) {
            return 0;
        }
        // An untimed call at this level may have left its transitions behind.
        local.blocked &= !(1 << local.level.min(31));
        clock::now()
    })
}

#[inline(always)]
fn end(call: Hypercall, start: u64) {
    // The counters of two processors may differ by some ticks: never let a time become negative.
    let ticks = clock::now().saturating_sub(start);
    let Some(recorder) = Recorder::get() else { return };
    local::with(|local| {
        if local.blocked != 0 {
            return end_blocked(call, ticks, recorder, local);
        }
        if let Some(cell) = local.cell(recorder, local.row, Metric::call(call).number()) {
            cell.record(&recorder.arena, ticks);
        }
    })
}

/// The end of a call while a call of this thread has given up its virtual CPU: this one, or one around it.
#[cold]
#[inline(never)]
fn end_blocked(call: Hypercall, ticks: u64, recorder: &Recorder, local: &mut local::Local) {
    let level = local.level as usize;
    let mut row = local.row;
    if level < LEVELS && local.blocked & (1 << level) != 0 {
        local.blocked &= !(1 << level);
        // The call belongs to the virtual CPU that it was made on, not to the one it came back to.
        row = local.home[level];
        let own = Metric { quantity: Quantity::Own, call }.number();
        if let Some(cell) = local.cell(recorder, row, own) {
            cell.record(&recorder.arena, ticks.saturating_sub(local.transition_ticks[level]));
        }
    }
    if let Some(cell) = local.cell(recorder, row, Metric::call(call).number()) {
        cell.record(&recorder.arena, ticks);
    }
}
