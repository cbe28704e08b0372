//! Lanes: what one host thread at a time writes.
//!
//! A lane outlives its thread and is taken over, counts and all, by a later one: so no count is lost when a thread
//! ends, nothing has to be added up while somebody reads, and there are never more lanes than there were threads at
//! once.

use crate::arena::{Arena, Chain, Kind};
use crate::catalogue::{Hypercall, Quantity};
use crate::cell::{Cell, Slab};
use crate::contention::Ledger;
use crate::events::Block;
use crate::layout::lane;
use crate::primitive::Ordering;
use crate::snapshot::Place;
use crate::tally::Tallies;
use core::cell::UnsafeCell;
use std::collections::BTreeMap;

/// What a lane counts at one place. Its cells: those of whole calls are found by one look; those of other quantities by
/// two, because most threads have them for few calls.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) place: Place,
    tallies: UnsafeCell<Option<Tallies>>,
    calls: [UnsafeCell<Option<Cell>>; Hypercall::COUNT],
    transitions: [UnsafeCell<Option<Box<Parts>>>; Hypercall::COUNT],
}

/// The cells of the quantities after the first, of one call.
type Parts = [Option<Cell>; Quantity::ALL.len() - 1];

/// The private side of a lane; its cells, names and counts are in the segment.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) number: u32,
    position: usize,
    /// Boxed, so that threads can keep a row's address while others are added.
    rows: BTreeMap<Place, Box<Row>>,
    cells: Slab,
    /// Made when its thread first waits, or is waited for.
    pub(crate) ledger: Option<Box<Ledger>>,
    /// Where its events are recorded; `None`: there were none yet.
    pub(crate) events: Option<Block>,
}

// SAFETY: a lane is handed from thread to thread under the lock of the list of free lanes; only its current thread
// touches its rows and cells.
unsafe impl Send for Lane {}

impl Lane {
    /// A new lane with this number; `None` when there is no room.
    pub(crate) fn create(arena: &Arena, number: u32) -> Option<Self> {
        let position = arena.allocate(Kind::Lanes, lane::SIZE)?;
        arena.word(position + lane::NUMBER).store(u64::from(number), Ordering::Relaxed);
        arena.append(Chain::Lanes, position);
        Some(Lane { number, position, rows: BTreeMap::new(), cells: Slab::default(), ledger: None, events: None })
    }

    /// Says who writes it from now on; 0: nobody. Then the last one's name stays: its times are still there.
    pub(crate) fn assign(&mut self, arena: &Arena, tid: u32, name: &str) {
        if let Some(ledger) = &mut self.ledger {
            ledger.forget_thread(arena);
        }
        if tid != 0 {
            arena.write_text(self.position + lane::NAME, 2, name);
        }
        self.tell(arena, 0);
        // Release: a reader that sees the thread sees its name.
        arena.word(self.position + lane::TID).store(u64::from(tid), Ordering::Release);
    }

    /// Says what its thread waits for now: a word as [`activity`](crate::layout::activity) has it.
    pub(crate) fn tell(&self, arena: &Arena, now: u64) {
        // Relaxed: the word says all by itself.
        arena.word(self.position + lane::NOW).store(now, Ordering::Relaxed);
    }

    /// Who writes it: the thread's number, and its name as it is in the segment.
    pub(crate) fn who(&self, arena: &Arena) -> (u64, [u64; 2]) {
        // Relaxed: written by this thread.
        let read = |word: usize| arena.word(self.position + word).load(Ordering::Relaxed);
        (read(lane::TID), [lane::NAME, lane::NAME + 1].map(read))
    }

    /// The lane's row for `place`; its address does not change.
    pub(crate) fn row(&mut self, place: Place) -> &Row {
        self.rows.entry(place).or_insert_with(|| {
            Box::new(Row {
                place,
                tallies: UnsafeCell::new(None),
                calls: [const { UnsafeCell::new(None) }; Hypercall::COUNT],
                transitions: [const { UnsafeCell::new(None) }; Hypercall::COUNT],
            })
        })
    }
}

impl Row {
    /// Its tallies, if the thread has used them before.
    ///
    /// # Safety
    /// Only the lane's current thread may call this.
    #[inline(always)]
    pub(crate) unsafe fn tallies(&self) -> Option<Tallies> {
        // SAFETY: by contract no other thread touches them.
        unsafe { *self.tallies.get() }
    }

    /// The same, made where there are none; `None` when there is no room. `lane` is the row's own.
    ///
    /// # Safety
    /// As for [`Row::tallies`].
    pub(crate) unsafe fn make_tallies(&self, arena: &Arena, lane: &Lane) -> Option<Tallies> {
        // SAFETY: by contract no other thread touches them.
        let tallies = unsafe { &mut *self.tallies.get() };
        if tallies.is_none() {
            *tallies = Tallies::create(arena, lane.number, self.place);
        }
        *tallies
    }

    /// The cell for the metric with this number, if the thread has used it before.
    ///
    /// # Safety
    /// Only the lane's current thread may call this.
    #[inline(always)]
    pub(crate) unsafe fn cell(&self, metric: usize) -> Option<Cell> {
        if let Some(slot) = self.calls.get(metric) {
            // SAFETY: by contract no other thread touches the slot.
            return unsafe { *slot.get() };
        }
        // SAFETY: as above.
        let parts = unsafe { &*self.transitions[metric % Hypercall::COUNT].get() };
        *parts.as_ref()?.get(metric / Hypercall::COUNT - 1)?
    }

    /// The cell for `quantity`, other than the first, of the call with this number, if the thread has used it before: as
    /// [`Row::cell`], without taking a metric's number apart.
    ///
    /// # Safety
    /// As for [`Row::cell`].
    #[inline(always)]
    pub(crate) unsafe fn part(&self, quantity: Quantity, call: u8) -> Option<Cell> {
        // SAFETY: as in `cell`.
        let parts = unsafe { &*self.transitions.get(usize::from(call))?.get() };
        parts.as_ref()?[quantity as usize - 1]
    }

    /// The same, made where there is none; `None` when there is no room. `lane` is the row's own.
    ///
    /// # Safety
    /// As for [`Row::cell`].
    #[cold]
    pub(crate) unsafe fn make_cell(&self, arena: &Arena, lane: &Lane, metric: usize) -> Option<Cell> {
        let slot = match self.calls.get(metric) {
            // SAFETY: by contract no other thread touches the slot.
            Some(slot) => unsafe { &mut *slot.get() },
            None => {
                // SAFETY: as above.
                let parts = unsafe { &mut *self.transitions[metric % Hypercall::COUNT].get() };
                parts.get_or_insert_default().get_mut(metric / Hypercall::COUNT - 1)?
            }
        };
        if slot.is_none() {
            *slot = Cell::create(arena, &lane.cells, lane.number, self.place, metric);
        }
        *slot
    }
}
