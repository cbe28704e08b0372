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
//!
//! # What is read of the clock
//! A transition on a hypercall's account is timed from end to end, since such a call blocks. Those that the guest makes by
//! itself, two for each system call of a client, are usually over in less time than reading the clock takes: a
//! compare-and-swap on a word that nobody else wants. So the clock is read where a run ends and where one begins, which
//! is what cannot be known otherwise: all runs and gaps are timed, and the time of a virtual CPU adds up. The transitions
//! between the two are counted, and timed
//! * as a sample, drawn at random for each time that a thread is off its virtual CPU (an *absence*), both its transitions
//!   together; and
//! * always, where they were slow: a hypercall in them had to wait or to wake threads. Such a call is timed anyway, and
//!   tells when the transition can have begun. The slow ones are counted apart ([`Quantity::SlowUnschedule`],
//!   [`Quantity::SlowReschedule`]), so that a reader can weigh the sample for what it stands for.
//!
//! What was not timed of an absence counts as off the virtual CPU.

use crate::catalogue::{Hypercall, Quantity};
use crate::cell::Cell;
use crate::clock;
use crate::lane::Row;
use crate::layout::activity;
use crate::local::{self, LEVELS, Local, Plan, Spent, WATCHED};
use crate::recorder::{GUEST_TELLS, Recorder};
use crate::snapshot::Place;
use core::sync::atomic::Ordering;

#[inline(always)]
fn guest_tells() -> bool {
    // Relaxed: set while the guest boots, on its only thread.
    GUEST_TELLS.load(Ordering::Relaxed)
}

/// Runs `work`, where anything is measured.
#[inline(always)]
fn measured(work: impl FnOnce(&mut Local, &Recorder)) {
    local::with(|local| {
        if let Some(recorder) = local.recorder() {
            work(local, recorder);
        }
    });
}

/// The calling thread is about to give up its virtual CPU.
pub fn unschedule_begin() {
    measured(Local::leave);
}

/// It has given it up.
pub fn unschedule_end() {
    measured(Local::left);
}

/// The calling thread is about to ask for a virtual CPU.
pub fn schedule_begin() {
    measured(Local::ask);
}

/// It has one. `place` answers which, as far as is known; it is asked where anything is measured, with the index of the
/// virtual CPU that the thread had last.
#[inline]
pub fn schedule_end(place: impl FnOnce(Option<u16>) -> Place) {
    let last = local::with(|local| local.recorder().map(|_| local.last_held.0.checked_sub(1)));
    if let Some(last) = last {
        come(place(last.map(|index| index as u16)));
    }
}

/// Has the calling thread on a virtual CPU.
fn come(place: Place) {
    measured(|local, recorder| local.come(recorder, place));
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
            let row = if local.left.is_null() { local.row_now(recorder) } else { local.left };
            local.record(recorder, row, Quantity::Spin, call as u8, clock::ticks(nanoseconds));
        }
    });
}

/// When a wait begins that the calling thread is about to record, in ticks: where it has given up its virtual CPU for the
/// hypercall that waits, when that was done, or when it has last waited since. So the waits of a call make up the time that
/// it was off its virtual CPU, even if the host takes its processor away in between.
pub(crate) fn wait_begin() -> u64 {
    match local::with(|local| local.is_off_in_call().then_some([local.off_since, local.waited_until])) {
        Some([off_since, 0]) => off_since,
        Some([_, waited_until]) => waited_until,
        None => clock::now(),
    }
}

/// That wait was over at `to`.
pub(crate) fn wait_end(to: u64) {
    local::with(|local| {
        if local.is_off_in_call() {
            local.waited_until = to;
        }
    });
}

/// A client thread is about to enter or to leave the guest: the next transition is made for that.
#[inline]
pub fn entry() {
    local::with(|local| local.in_entry = true);
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
                come(which_vcpu());
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
    let outer = local::with(Local::take_spent);
    let outcome = work();
    local::with(|local| local.take_up(outer));
    outcome
}

/// The visit of the calling thread, which has no lwp of its own, is over: until the next one it waits for nothing, so the
/// time until then is not time off a virtual CPU.
pub fn visit_end() {
    local::with(|local| {
        local.off_cause = 0;
        if let Some(recorder) = local.recorder() {
            local.waits_for_nothing(recorder);
            local.record_away(recorder);
        }
    });
}

impl Local {
    fn take_up(&mut self, spent: Option<Spent>) {
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

    #[inline(always)]
    fn record(&mut self, recorder: &Recorder, row: *const Row, quantity: Quantity, call: u8, ticks: u64) {
        if let Some(cell) = self.part(recorder, row, quantity, call) {
            if self.plan == Plan::Count {
                cell.count();
            } else {
                cell.record(&recorder.arena, ticks);
            }
        }
    }

    #[inline(always)]
    fn count_part(&mut self, recorder: &Recorder, row: *const Row, quantity: Quantity, call: u8) {
        if let Some(cell) = self.part(recorder, row, quantity, call) {
            cell.count();
        }
    }

    /// The time in ticks; where transitions are only counted, 0.
    #[inline(always)]
    fn time(&self) -> u64 {
        match self.plan {
            Plan::Count => 0,
            Plan::TimeByTsc => clock::tsc(),
            _ => clock::now(),
        }
    }

    /// The level of the hypercall on whose account transitions happen now, if there is one.
    fn charged_level(&self) -> Option<usize> {
        (self.level as usize).checked_sub(1).filter(|level| *level < LEVELS)
    }

    /// Whether the thread is off its virtual CPU because of the hypercall that it is in.
    fn is_off_in_call(&self) -> bool {
        let level = self.level as usize;
        level < LEVELS && self.blocked & (1 << level) != 0 && self.off_cause != 0 && self.plan != Plan::Count
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

    /// A hypercall that began at `start` was timed: if the guest is in a transition of its own, that one is slow.
    pub(crate) fn seen_in_transition(&mut self, start: u64) {
        if self.blocked & WATCHED != 0 {
            self.blocked &= !WATCHED;
            self.fast = None;
            if self.transition_began == 0 {
                self.transition_began = start;
            }
        }
    }

    /// Whether the transition that ends now is the guest's own, and was slow.
    fn was_slow(&mut self) -> bool {
        let watched = self.blocked & WATCHED != 0;
        self.blocked &= !WATCHED;
        self.cause == 0 && !watched
    }

    #[inline(always)]
    fn leave(&mut self, recorder: &Recorder) {
        let now = self.time();
        self.left = self.row_now(recorder);
        let cause = self.charged_to();
        if let Some(vcpu) = self.held.take() {
            vcpu.release(now);
            let ran = clock::between(self.run_began, now);
            self.record(recorder, self.left, Quantity::Run, cause, ran);
        }
        if guest_tells() {
            let off = self.row_at(recorder, Place::OffCpu);
            // SAFETY: from `row_at`.
            unsafe { self.be_at(off) };
        }
        self.transition_began = now;
        self.off_since = now;
        self.off_cause = cause + 1;
        self.fast = None;
        if self.cause == 0 {
            self.blocked |= WATCHED;
            let cell = self.part(recorder, self.left, Quantity::Unschedule, cause);
            self.fast = cell.filter(Cell::is_left_out);
        }
        self.in_parts = self.fast.is_none();
    }

    #[inline(always)]
    fn left(&mut self, recorder: &Recorder) {
        match self.fast.take() {
            Some(cell) => {
                cell.count();
                self.blocked &= !WATCHED;
                self.record_unschedule(recorder, self.charged_to(), self.transition_began);
            }
            None => self.left_in_time(recorder),
        }
        self.in_entry &= self.cause != 0;
    }

    #[inline(never)]
    fn left_in_time(&mut self, recorder: &Recorder) {
        let now = self.time();
        let cause = self.charged_to();
        let slow = self.was_slow();
        let quantity = if slow { Quantity::SlowUnschedule } else { Quantity::Unschedule };
        let took = clock::between(self.transition_began, now);
        self.record(recorder, self.left, quantity, cause, took);
        if self.cause == 0 && self.in_parts {
            self.draw_next(recorder, cause);
        }
        self.charge(took);
        self.record_unschedule(recorder, cause, now);
        self.off_since = now;
        self.waited_until = 0;
        self.tell(recorder, activity::pack(cause, now, false));
    }

    /// Says what the thread waits for, where that is a hypercall.
    fn tell(&self, recorder: &Recorder, now: u64) {
        if self.cause != 0 && self.plan != Plan::Count {
            self.tell_lane(recorder, now);
        }
    }

    fn waits_for_nothing(&self, recorder: &Recorder) {
        self.tell_lane(recorder, 0);
    }

    fn tell_lane(&self, recorder: &Recorder, now: u64) {
        // SAFETY: null, or this thread's lane, which lives as long as the thread does; nobody else has a reference that
        // writes.
        if let Some(lane) = unsafe { self.lane.as_ref() } {
            lane.tell(&recorder.arena, now);
        }
    }

    /// An absence was drawn; decides which will be next.
    fn draw_next(&mut self, recorder: &Recorder, cause: u8) {
        if let Some(cell) = self.part(recorder, self.left, Quantity::Unschedule, cause) {
            let gap = self.quick_gap();
            cell.leave_out(gap);
        }
    }

    #[inline(always)]
    fn ask(&mut self, recorder: &Recorder) {
        if self.cause == 0 {
            self.blocked |= WATCHED;
            if !self.in_parts {
                self.transition_began = 0;
                return;
            }
        }
        self.ask_in_time(recorder);
    }

    #[inline(never)]
    fn ask_in_time(&mut self, recorder: &Recorder) {
        let now = self.time();
        self.in_parts = true;
        self.end_off(recorder, now);
        self.transition_began = now;
        self.tell(recorder, activity::pack(self.charged_to(), now, true));
    }

    /// It was off its virtual CPU until `now`, if it was on one before. Where a wait was recorded meanwhile, only until that
    /// was over: what the thread does after it is its own work.
    #[inline(always)]
    fn end_off(&mut self, recorder: &Recorder, now: u64) {
        let now = match core::mem::take(&mut self.waited_until) {
            0 => now,
            waited_until => waited_until,
        };
        if let Some(cause) = core::mem::take(&mut self.off_cause).checked_sub(1) {
            let off = clock::between(self.off_since, now);
            self.record(recorder, self.left, Quantity::Off, cause, off);
            // A call that did not give the virtual CPU up was not waiting: a driver did, between two of its calls.
            if self.charged_level().is_some_and(|level| self.blocked & (1 << level) != 0) {
                self.charge(off);
            }
        }
    }

    #[inline(always)]
    fn come(&mut self, recorder: &Recorder, place: Place) {
        let now = self.time();
        let row = self.row_at(recorder, place);
        let cause = self.charged_to();
        if self.left.is_null() {
            // The thread's first transition; a call that it belongs to was made here as far as anyone knows.
            self.left = row;
        }
        if !self.in_parts && self.blocked & WATCHED != 0 {
            self.blocked &= !WATCHED;
            self.end_off(recorder, now);
            self.count_part(recorder, row, Quantity::Reschedule, cause);
            self.transition_began = now;
        } else {
            self.come_in_time(recorder, row, now);
        }
        self.record_schedule(recorder, cause, place, now);
        if guest_tells() {
            // SAFETY: from `row_at`.
            unsafe { self.be_at(row) };
        }
        if let Place::Vcpu(index) = place {
            if self.last_held.0 != u32::from(index) + 1 {
                self.change_vcpu(recorder, index, row, cause);
            }
            if guest_tells() {
                self.hold(recorder, now, index, row, cause);
            }
        }
        self.in_entry &= self.cause != 0;
    }

    #[inline(never)]
    fn come_in_time(&mut self, recorder: &Recorder, row: *const Row, now: u64) {
        let cause = self.charged_to();
        let slow = self.was_slow();
        if !self.in_parts {
            // It turned out to be slow, and began when its first slow hypercall did.
            self.end_off(recorder, self.transition_began);
        }
        let waited = clock::between(self.transition_began, now);
        let quantity = if slow { Quantity::SlowReschedule } else { Quantity::Reschedule };
        self.record(recorder, row, quantity, cause, waited);
        self.charge(waited);
        self.tell(recorder, 0);
    }

    /// The thread has come to virtual CPU `index`, and was on none or on another one before.
    #[cold]
    #[inline(never)]
    fn change_vcpu(&mut self, recorder: &Recorder, index: u16, row: *const Row, cause: u8) {
        if let Some(from) = self.last_held.0.checked_sub(1) {
            self.count_part(recorder, row, Quantity::Migration, cause);
            if let Some(vcpu) = recorder.vcpus.get(&recorder.arena, index) {
                vcpu.came_from(from);
            }
        }
        self.last_held = (u32::from(index) + 1, None);
    }

    /// The thread runs on virtual CPU `index` from now on.
    #[inline(always)]
    fn hold(&mut self, recorder: &Recorder, now: u64, index: u16, row: *const Row, cause: u8) {
        if self.last_held.1.is_none() {
            self.last_held.1 = recorder.vcpus.get(&recorder.arena, index);
        }
        self.run_began = now;
        self.held = self.last_held.1;
        let Some(vcpu) = self.held else { return };
        // SAFETY: null, or the thread's own lane; only its number is read.
        let lane = unsafe { self.lane.as_ref() }.map_or(u32::MAX - 1, |lane| lane.number);
        if let Some(free_since) = vcpu.hold(lane, now) {
            self.record(recorder, row, Quantity::Gap, cause, clock::between(free_since, now));
        }
    }
}
