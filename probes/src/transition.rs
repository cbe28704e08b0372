//! Transitions: how a thread leaves its virtual CPU and comes back.
//!
//! ```text
//!        run            unschedule         off           reschedule         run
//! --on the vCPU--|--giving it up--|--on no vCPU--|--waiting for one--|--on the vCPU--
//!         unschedule_begin  unschedule_end  schedule_begin     schedule_end
//! ```
//!
//! The four moments are told by whoever sees them. Where the guest tells its own transitions, that is the guest's choke
//! points, and the upcalls of a hypercall only say on whose account they happen. Elsewhere the upcalls tell them; then
//! runs and gaps are not known, since a thread may leave and re-enter the guest unseen.

use crate::catalogue::{Hypercall, Metric, Quantity};
use crate::clock;
use crate::lane::Row;
use crate::local::{self, LEVELS, Local, Plan};
use crate::recorder::{GUEST_TELLS, Recorder};
use crate::snapshot::Place;
use core::sync::atomic::Ordering;

fn guest_tells() -> bool {
    // Relaxed: set while the guest boots, on its only thread.
    GUEST_TELLS.load(Ordering::Relaxed)
}

/// Runs `work` with the time, where transitions are measured; where they are only counted, with 0.
fn now(work: impl FnOnce(&mut Local, &Recorder, u64)) {
    local::with(|local| {
        let Some(recorder) = local.recorder() else { return };
        let now = match local.plan {
            Plan::Count => 0,
            Plan::TimeByTsc => clock::tsc(),
            _ => clock::now(),
        };
        work(local, recorder, now);
    });
}

/// The calling thread is about to give up its virtual CPU.
pub fn unschedule_begin() {
    now(|local, recorder, now| local.leave(recorder, now));
}

/// It has given it up.
pub fn unschedule_end() {
    now(|local, recorder, now| local.left(recorder, now));
}

/// The calling thread is about to ask for a virtual CPU.
pub fn schedule_begin() {
    now(|local, recorder, now| local.ask(recorder, now));
}

/// It has one: `place`, as far as is known.
pub fn schedule_end(place: Place) {
    now(|local, recorder, now| local.come(recorder, now, place));
}

/// Of the wait that `call` has just ended, the calling thread was looking for its end for `nanoseconds`, on a processor.
/// Nothing is recorded where it was not, and where calls are only counted.
pub fn waited_actively(call: Hypercall, nanoseconds: u64) {
    if nanoseconds == 0 {
        return;
    }
    local::with(|local| {
        let Some(recorder) = local.recorder() else { return };
        if local.plan != Plan::Count {
            let row = if local.left.is_null() { local.known_row() } else { local.left };
            let row = if row.is_null() { local.find_row(recorder) } else { row };
            local.record(recorder, row, Quantity::Spin, call as u8, clock::ticks(nanoseconds));
        }
    });
}

/// A client thread enters or leaves the guest: transitions up to [`entry_end`] are its own.
pub fn entry_begin() {
    local::with(|local| local.in_entry = true);
}

/// See [`entry_begin`].
pub fn entry_end() {
    local::with(|local| local.in_entry = false);
}

/// Which way an upcall goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It gives up a virtual CPU.
    Unschedule,
    /// It takes one.
    Schedule,
}

/// Runs `upcall`, a function of the guest that gives up or takes a virtual CPU, on behalf of hypercall `cause`.
/// `which_vcpu` is asked where the thread is, if the guest does not tell.
pub fn in_upcall(cause: Hypercall, direction: Direction, which_vcpu: impl Fn() -> Place, upcall: impl FnOnce()) {
    if local::with(|local| local.recorder().is_none()) {
        return upcall();
    }
    let (outer, nested) = local::with(|local| {
        local.level += 1;
        (core::mem::replace(&mut local.cause, cause as u8 + 1), local.level > 1)
    });
    // A transition inside another upcall is a part of that one, unless the guest tells where it begins and ends.
    if nested || guest_tells() {
        upcall();
    } else {
        match direction {
            Direction::Unschedule => {
                unschedule_begin();
                upcall();
                unschedule_end();
            }
            Direction::Schedule => {
                schedule_begin();
                upcall();
                schedule_end(which_vcpu());
            }
        }
    }
    local::with(|local| {
        local.level -= 1;
        local.cause = outer;
    });
}

/// Runs `work`, code of the guest that is called in the middle of a hypercall and may make hypercalls and transitions of
/// its own: none of them are taken for the outer call's, nor the other way round.
pub fn apart<R>(work: impl FnOnce() -> R) -> R {
    let outer = local::with(Local::put_aside);
    let outcome = work();
    local::with(|local| local.take_up(outer));
    outcome
}

/// The visit of the calling thread, which has no lwp of its own, is over: until the next one it waits for nothing, so the
/// time until then is not time off a virtual CPU.
pub fn visit_end() {
    local::with(|local| local.off_cause = 0);
}

/// What a call has spent in its transitions so far: ticks, and the row that it was made on; `None`: it has not blocked.
type Spent = Option<(u64, *const Row)>;

impl Local {
    fn put_aside(&mut self) -> Spent {
        let level = Some(self.level as usize).filter(|level| *level < LEVELS && self.blocked & (1 << level) != 0)?;
        self.blocked &= !(1 << level);
        Some((self.transition_ticks[level], self.home[level]))
    }

    fn take_up(&mut self, spent: Spent) {
        let level = self.level as usize;
        if level < LEVELS {
            self.blocked &= !(1 << level);
            if let Some((ticks, home)) = spent {
                self.blocked |= 1 << level;
                self.transition_ticks[level] = ticks;
                self.home[level] = home;
            }
        }
    }

    fn record(&mut self, recorder: &Recorder, row: *const Row, quantity: Quantity, call: u8, ticks: u64) {
        let metric = Metric::number_of(quantity, call);
        if let Some(cell) = self.cell(recorder, row, metric) {
            if self.plan == Plan::Count {
                cell.count();
            } else {
                cell.record(&recorder.arena, ticks);
            }
        }
    }

    /// The level of the hypercall on whose account transitions happen now, if there is one.
    fn charged_level(&self) -> Option<usize> {
        (self.level as usize).checked_sub(1).filter(|level| *level < LEVELS)
    }

    /// Adds to the time that the blocked call has spent in its transitions.
    fn charge(&mut self, ticks: u64) {
        if let Some(level) = self.charged_level() {
            if self.blocked & (1 << level) == 0 {
                self.blocked |= 1 << level;
                self.transition_ticks[level] = 0;
                self.home[level] = self.left;
            }
            self.transition_ticks[level] += ticks;
        }
    }

    fn leave(&mut self, recorder: &Recorder, now: u64) {
        let row = self.known_row();
        self.left = if row.is_null() { self.find_row(recorder) } else { row };
        if let Some(index) = (self.vcpu as u16).checked_sub(1) {
            let ran = now.saturating_sub(self.run_began);
            self.record(recorder, self.left, Quantity::Run, self.charged_to(), ran);
            if let Some(vcpu) = recorder.vcpus.get(&recorder.arena, index) {
                vcpu.release(now);
            }
            self.vcpu = 0;
        }
        if guest_tells() {
            self.row = self.row_at(recorder, Place::OffCpu);
        }
        self.transition_began = now;
    }

    fn left(&mut self, recorder: &Recorder, now: u64) {
        let took = now.saturating_sub(self.transition_began);
        let cause = self.charged_to();
        self.record(recorder, self.left, Quantity::Unschedule, cause, took);
        self.charge(took);
        self.off_since = now;
        self.off_cause = cause + 1;
    }

    fn ask(&mut self, recorder: &Recorder, now: u64) {
        if let Some(cause) = core::mem::take(&mut self.off_cause).checked_sub(1) {
            let off = now.saturating_sub(self.off_since);
            self.record(recorder, self.left, Quantity::Off, cause, off);
            // A call that did not give the virtual CPU up was not waiting: a driver did, between two of its calls.
            if self.charged_level().is_some_and(|level| self.blocked & (1 << level) != 0) {
                self.charge(off);
            }
        }
        self.transition_began = now;
    }

    fn come(&mut self, recorder: &Recorder, now: u64, place: Place) {
        let row = self.row_at(recorder, place);
        let cause = self.charged_to();
        let waited = now.saturating_sub(self.transition_began);
        self.record(recorder, row, Quantity::Reschedule, cause, waited);
        if self.left.is_null() {
            // The thread's first transition; a call that it belongs to was made here as far as anyone knows.
            self.left = row;
        }
        self.charge(waited);
        if let Place::Vcpu(index) = place {
            let migrated = self.last_vcpu != 0 && self.last_vcpu != u32::from(index) + 1;
            self.last_vcpu = u32::from(index) + 1;
            let migration = Metric::number_of(Quantity::Migration, cause);
            if let Some(cell) = migrated.then(|| self.cell(recorder, row, migration)).flatten() {
                cell.count();
            }
            if guest_tells() {
                self.hold(recorder, now, index, row, cause);
            }
        }
        if guest_tells() {
            self.row = row;
        }
    }

    /// The thread runs on virtual CPU `index` from now on.
    fn hold(&mut self, recorder: &Recorder, now: u64, index: u16, row: *const Row, cause: u8) {
        // SAFETY: null, or the thread's own lane; only its number is read.
        let lane = unsafe { self.lane.as_ref() }.map_or(u32::MAX - 1, |lane| lane.number);
        let vcpu = recorder.vcpus.get(&recorder.arena, index);
        if let Some(free_since) = vcpu.and_then(|vcpu| vcpu.hold(lane, now)) {
            self.record(recorder, row, Quantity::Gap, cause, now.saturating_sub(free_since));
        }
        self.vcpu = u32::from(index) + 1;
        self.run_began = now;
    }
}
