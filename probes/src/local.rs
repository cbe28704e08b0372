//! A host thread's own state: which row its hypercalls are counted in, and where it stands in a transition.

use crate::catalogue::Hypercall;
use crate::cell::Cell;
use crate::claim::Claim;
use crate::events::Block;
use crate::initial_exec;
use crate::lane::{Lane, Row};
use crate::recorder::{Recorder, Witness};
use crate::unwind::Stack;
use crate::vcpu::Vcpu;
use core::ptr;

/// How deep hypercalls nest: a hypercall's upcall runs guest code, which may make hypercalls again (a soft interrupt
/// run by an unscheduling thread). Deeper ones are counted, but their own work is not told apart.
pub(crate) const LEVELS: usize = 4;

/// Bit of [`Local::blocked`]: the thread is in a transition that the guest makes by itself, and has seen no timed
/// hypercall in it yet. It stands there because the end of a hypercall looks there anyway.
pub(crate) const WATCHED: u32 = 1 << 31;

/// What a thread does with a hypercall: the timing mode and the clock in one, so that the path looks at one byte. In this order:
/// where something is measured it is above `Off`.
///
/// A copy of what is the same for the whole process, because another crate's static variable costs two loads where the
/// thread's own storage, which the path needs anyway, costs one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
pub(crate) enum Plan {
    /// Nobody has asked yet: a new thread, or measuring has not begun.
    Unknown = 0,
    /// Nothing is measured.
    Off = 1,
    /// Calls are counted.
    Count = 2,
    /// Calls are counted, and some of them timed.
    Sample = 3,
    /// Calls are timed by the time stamp counter.
    TimeByTsc = 4,
    /// Calls are timed by the monotonic clock.
    TimeByMonotonic = 5,
}

/// What the hypercall path needs to know of its thread. All zero is the state of a thread that has made no hypercall.
/// The first 56 bytes are all that an ordinary call on a virtual CPU looks at.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Local {
    /// What to do with a hypercall.
    pub(crate) plan: Plan,
    /// Calls that are always timed are events of the timeline, too.
    pub(crate) records_calls: bool,
    /// Transitions and calls that had to wait are.
    pub(crate) records: bool,
    /// Where to count now, if it holds.
    pub(crate) on: Claim,
    /// The process's recorder; not null where the plan is to count or time.
    pub(crate) recorder: *const Recorder,
    /// Bit n: a hypercall at level n has given up its virtual CPU and has not returned yet. And [`WATCHED`].
    pub(crate) blocked: u32,
    /// How many upcalls for transitions this thread is in; the level of its next hypercall.
    pub(crate) level: u32,
    /// The thread's lane; null before its first hypercall.
    pub(crate) lane: *mut Lane,
    /// The row used last of those on a virtual CPU or at a place unknown.
    pub(crate) last_row: *const Row,
    /// The row off all virtual CPUs.
    pub(crate) off_row: *const Row,
    /// Where `on` does not hold: that the thread is on no virtual CPU. It may hold beside `on`, and says nothing then.
    pub(crate) off: Claim,
    /// Of quick calls that find all at hand, one in so many is timed; 0: every one; `u64::MAX`: none.
    pub(crate) quick_gap: u64,
    /// State of the generator that draws samples; never 0 once there is a lane.
    pub(crate) random: u64,
    /// By level: ticks that the blocked call spent in its transitions.
    pub(crate) transition_ticks: [u64; LEVELS],
    /// By level: the row of the virtual CPU that the blocked call was made on.
    pub(crate) home: [*const Row; LEVELS],
    /// 1 + the hypercall whose upcall is running; 0: none, the guest acts by itself.
    pub(crate) cause: u8,
    /// A client thread enters or leaves the guest by its next transition.
    pub(crate) in_entry: bool,
    /// 1 + the hypercall (or guest event) that the thread is off its virtual CPU for; 0: it is not off, or it never was
    /// on one.
    pub(crate) off_cause: u8,
    /// The virtual CPU that the thread holds.
    pub(crate) held: Option<Vcpu>,
    /// The one that it held last, and 1 + its index; 0: none yet.
    pub(crate) last_held: (u32, Option<Vcpu>),
    /// When it was scheduled (ticks).
    pub(crate) run_began: u64,
    /// Where the transition under way is counted without a time, unless it turns out to be slow.
    pub(crate) fast: Option<Cell>,
    /// The absence that began last is timed in all its parts.
    pub(crate) in_parts: bool,
    /// When the transition under way began (ticks); 0: not known.
    pub(crate) transition_began: u64,
    /// Since when it is off the virtual CPU (ticks).
    pub(crate) off_since: u64,
    /// When the last wait of this absence was over (ticks); 0: there was none yet.
    pub(crate) waited_until: u64,
    /// The row of the virtual CPU that it left last.
    pub(crate) left: *const Row,
    /// The stack that the thread or context is on, once somebody has asked.
    pub(crate) stack: Stack,
    /// Where the thread records its events; `None`: it has recorded none yet.
    pub(crate) events: Option<Block>,
}

/// What a call that has given up its virtual CPU has spent in its transitions so far, in ticks, and the row of the virtual CPU
/// that it was made on.
pub(crate) type Spent = (u64, *const Row);

initial_exec! {
    /// The calling thread's state.
    fn storage() -> *mut Local = "scope_local"
}

/// Runs `work` on the calling thread's state.
///
/// `work` must not make hypercalls or call this again: it holds the only reference.
#[inline(always)]
pub(crate) fn with<R>(work: impl FnOnce(&mut Local) -> R) -> R {
    // SAFETY: the storage belongs to this thread, all zero is a valid `Local`, and no other reference exists: every
    // use goes through here, and none nests (signal handlers make no hypercalls).
    work(unsafe { &mut *storage() })
}

impl Local {
    /// That of a thread which has done nothing yet.
    // SAFETY: all zero is a valid `Local`.
    pub(crate) const NEW: Local = unsafe { core::mem::zeroed() };

    /// Where to count now; null: not known, ask.
    #[inline(always)]
    pub(crate) fn known_row(&self) -> *const Row {
        if self.on.holds() {
            self.on.row()
        } else if self.off.holds() {
            self.off.row()
        } else {
            ptr::null()
        }
    }

    /// It is counted in `row` until it is told something else.
    ///
    /// # Safety
    /// `row` is null or one of the thread's lane.
    pub(crate) unsafe fn be_at(&mut self, row: *const Row) {
        // SAFETY: the caller's word.
        self.on = unsafe { Claim::always(row) };
    }

    /// Goes by this witness from now on. While it says that the thread is on a virtual CPU, it is counted in `row`, otherwise
    /// in `off_row`.
    ///
    /// # Safety
    /// As for [`Local::be_at`].
    pub(crate) unsafe fn believe(&mut self, witness: &Witness, row: *const Row) {
        let Witness { word, value, home, homed, .. } = *witness;
        // SAFETY: the guest does not free its words (see `Witness`); `row` is the caller's word, `off_row` is of
        // the lane.
        unsafe {
            self.on = Claim::while_holds(word, value, row);
            self.off = if home.is_null() { Claim::never() } else { Claim::while_holds(home, homed, self.off_row) };
        }
    }

    /// Goes by no witness.
    #[inline]
    pub(crate) fn forget_witness(&mut self) {
        if !self.on.is_for_ever() {
            (self.on, self.off) = (Claim::never(), Claim::never());
        }
    }

    /// Draws the number of events up to the next sample: uniform with this mean, so that no period of the guest can
    /// hide from it. The generator is Marsaglia's xorshift64 ("Xorshift RNGs", 2003).
    pub(crate) fn draw(&mut self, mean: u64) -> u64 {
        let mut x = self.random | 1;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random = x;
        1 + (x >> 16) % (2 * mean - 1)
    }

    /// Draws how many quick events are left out before the next one is timed, by the mode.
    pub(crate) fn quick_gap(&mut self) -> u64 {
        match self.quick_gap {
            0 | u64::MAX => self.quick_gap,
            mean => self.draw(mean),
        }
    }

    /// If the call that the thread is in has given up its virtual CPU: what it has spent. From then on it has not.
    pub(crate) fn take_spent(&mut self) -> Option<Spent> {
        let level = Some(self.level as usize).filter(|level| *level < LEVELS && self.blocked & (1 << level) != 0)?;
        self.blocked &= !(1 << level);
        Some((self.transition_ticks[level], self.home[level]))
    }

    /// Whatever an untimed call at this level spent in transitions is forgotten.
    #[inline(always)]
    pub(crate) fn forget_spent(&mut self) {
        self.blocked &= !(1 << self.level.min(WATCHED.trailing_zeros() - 1));
    }

    /// The number of the hypercall (or guest event) that a transition is charged to if it happens now.
    #[inline]
    pub(crate) fn charged_to(&self) -> u8 {
        match self.cause {
            0 if self.in_entry => Hypercall::GuestEntry as u8,
            0 => Hypercall::GuestOwn as u8,
            cause => cause - 1,
        }
    }

    /// Forgets everything: the thread has no lane any more.
    pub(crate) fn reset(&mut self) {
        *self = Local::NEW;
    }
}
