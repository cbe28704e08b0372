//! A lock's record: its figures in the segment, and who waits for it now.

use super::model::{LockKind, StackId};
use super::pieces::Pieces;
use super::waiting::{Giver, Left, PAUSE, Waiting};
use crate::arena::{Arena, Chain, Kind};
use crate::cell::Cell;
use crate::clock;
use crate::layout::lock;
use crate::primitive::{Mutex, Ordering, add};
use crate::recorder::Recorder;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU32, AtomicU64};
use std::collections::HashMap;
use std::sync::PoisonError;

/// How many locks made at one place have records of their own; those that come later share one.
const OF_ONE_PLACE: usize = 64;
/// How many records there are, as long as each place has one. A record takes some 2 KiB of the segment.
const MOST: u32 = 4096;
/// For how many waiters a release is noted at most; for the others, the next one is.
const DEBTORS: usize = 64;

/// How many releases in a row do not look at the clock at most.
const MOST_SKIPPED: u32 = 63;

/// What a lock is known by before it has a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) kind: LockKind,
    pub(super) made: StackId,
    pub(super) address: u64,
}

/// The process's records.
#[derive(Debug, Default)]
pub(crate) struct Records {
    made: u32,
    /// By the place where the locks were made.
    places: HashMap<(LockKind, StackId), Place>,
    /// How many locks at one address have had records.
    generations: HashMap<u64, u32>,
}

#[derive(Debug, Default)]
struct Place {
    records: usize,
    shared: Option<&'static Record>,
}

/// A lock's record, or that of several locks made at one place. It outlives them.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) number: u32,
    position: usize,
    /// Of several locks made at one place.
    shared: bool,
    kind: LockKind,
    made: StackId,
    changing: Changing,
}

/// What changes of it.
#[derive(Debug, Default)]
// Lines of its own: who gives a signal reads only the rest, and whoever waits for one writes here.
#[repr(align(64))]
struct Changing {
    /// When the next release is to be charged, in ticks; earlier ones are not, see `PAUSE`.
    due: AtomicU64,
    /// So many releases do not look at the clock for that, and so many did not the last time.
    skip: AtomicU32,
    skipped: AtomicU32,
    /// Locked for some tens of nanoseconds by those who wait and those who give back a lock that is waited for.
    guarded: Mutex<Guarded>,
}

#[derive(Debug, Default)]
struct Guarded {
    /// Where the lock is that each one waits for, several of which may share a record, and which of `waiting` it is: in the
    /// order of their arrival, and apart from the rest, so that looking for the waiters of a lock is quick.
    order: Vec<(usize, u32)>,
    waiting: Vec<Waiting>,
    /// Those of `waiting` who do not wait any more.
    free: Vec<u32>,
    wait: Option<Cell>,
    held_after_wait: Option<Cell>,
    held: Option<Cell>,
}

// SAFETY: the cells are in the segment, which is never unmapped, and written only under the mutex.
unsafe impl Send for Guarded {}

/// A hold whose time was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) ticks: u64,
    pub(super) after_wait: bool,
}

/// What a lock's figures have of a wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waited {
    /// Whether it was active.
    pub(super) spun: bool,
    /// How often the lock was taken since that was told last; of a condition variable, the signal that ended the wait. (It
    /// is counted here, so that who gives it need not write where the waiter writes.)
    pub(super) taken: u64,
}

impl Record {
    /// The record for a new lock; `None` when there is no room. Different calls for one lock make different records.
    pub(super) fn find(recorder: &Recorder, origin: Origin) -> Option<&'static Record> {
        let mut records = recorder.records.lock().unwrap_or_else(PoisonError::into_inner);
        let Records { made, places, generations, .. } = &mut *records;
        let place = places.entry((origin.kind, origin.made)).or_default();
        if let Some(shared) = place.shared {
            shared.take_one_more(&recorder.arena);
            return Some(shared);
        }
        let own = place.records < OF_ONE_PLACE && *made < MOST;
        let generation = generations.entry(origin.address).or_default();
        // Counted once it is there: a lock that finds no room comes again, at its next wait.
        let record = Record::create(&recorder.arena, *made + 1, origin, *generation + 1, !own)?;
        *made += 1;
        *generation += 1;
        place.records += 1;
        if !own {
            place.shared = Some(record);
        }
        Some(record)
    }

    fn create(arena: &Arena, number: u32, origin: Origin, generation: u32, shared: bool) -> Option<&'static Record> {
        let position = arena.allocate(Kind::Locks, lock::SIZE)?;
        // Relaxed: published by `append`.
        let set = |word: usize, value: u64| arena.word(position + word).store(value, Ordering::Relaxed);
        set(lock::NUMBER, u64::from(number));
        set(lock::KIND, origin.kind as u64);
        set(lock::ADDRESS, origin.address);
        set(lock::MADE, u64::from(generation) << 32 | u64::from(origin.made));
        arena.append(Chain::Locks, position);
        // Leaked: who still has it when its lock ends may use it for ever.
        Some(Box::leak(Box::new(Record {
            number,
            position,
            shared,
            kind: origin.kind,
            made: origin.made,
            changing: Changing::default(),
        })))
    }

    /// Whether it is for all locks that are made from now on where this one was made.
    pub(super) fn is_shared(&self) -> bool {
        self.shared
    }

    /// Whether a lock of this origin shares it.
    pub(super) fn is_of(&self, Origin { kind, made, .. }: Origin) -> bool {
        self.shared && self.kind == kind && self.made == made
    }

    /// One more lock shares it.
    pub(super) fn take_one_more(&self, arena: &Arena) {
        // Relaxed: a counter of many threads.
        arena.word(self.position + lock::MERGED).fetch_add(1, Ordering::Relaxed);
    }

    fn guarded(&self) -> impl core::ops::DerefMut<Target = Guarded> + '_ {
        // Nothing panics while it is locked.
        self.changing.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread waits from `since` on for the lock that is at `lock`. `pieces`: room for what it waits for. Returns which of those
    /// who wait it is.
    pub(super) fn begin(&self, arena: &Arena, lock: usize, since: u64, pieces: Pieces) -> u32 {
        let waiting = Waiting::new(since, pieces);
        let mut guarded = self.guarded();
        let place = match guarded.free.pop() {
            Some(free) => {
                guarded.waiting[free as usize] = waiting;
                free
            }
            None => {
                guarded.waiting.push(waiting);
                guarded.waiting.len() as u32 - 1
            }
        };
        guarded.order.push((lock, place));
        // Relaxed, here and below: that it is seen late leaves a release out.
        self.changing.due.store(0, Relaxed);
        self.tell_waiters(arena, &guarded);
        place
    }

    fn tell_waiters(&self, arena: &Arena, guarded: &Guarded) {
        let waiters = guarded.order.len() as u64;
        // Relaxed: written under the mutex.
        arena.word(self.position + lock::WAITERS).store(waiters, Ordering::Relaxed);
        self.tell_most(arena, waiters);
    }

    fn tell_most(&self, arena: &Arena, waiters: u64) {
        let most = arena.word(self.position + lock::MOST_WAITERS);
        // Relaxed, here and below: for readers of the segment, by itself.
        if waiters > most.load(Ordering::Relaxed) {
            most.fetch_max(waiters, Ordering::Relaxed);
        }
    }

    /// A thread waits for a signal.
    pub(super) fn begin_signal(&self, arena: &Arena) {
        let before = arena.word(self.position + lock::WAITERS).fetch_add(1, Ordering::Relaxed);
        self.tell_most(arena, before + 1);
    }

    /// That wait is over.
    pub(super) fn end_signal(&self, arena: &Arena, ticks: u64, waited: Waited) {
        arena.word(self.position + lock::WAITERS).fetch_sub(1, Ordering::Relaxed);
        self.count(arena, ticks, waited);
    }

    /// The wait that [began](Record::begin) as `place` ended at `to`, or some time later ([`Waiting::end`]).
    pub(super) fn ended(&self, arena: &Arena, place: u32, to: u64) -> Left {
        let mut guarded = self.guarded();
        if let Some(at) = guarded.order.iter().position(|(_, waiting)| *waiting == place) {
            guarded.order.remove(at);
            guarded.free.push(place);
        }
        let left = core::mem::take(&mut guarded.waiting[place as usize]).end(to);
        self.tell_waiters(arena, &guarded);
        left
    }

    /// A wait that lasted so long goes into the figures.
    pub(super) fn count(&self, arena: &Arena, ticks: u64, waited: Waited) {
        let mut guarded = self.guarded();
        add(arena.word(self.position + lock::CONTENDED), 1);
        add(arena.word(self.position + lock::SPUN), waited.spun.into());
        add(arena.word(self.position + lock::TAKEN), waited.taken);
        self.record(arena, &mut guarded.wait, lock::WAIT, ticks);
    }

    /// The lock was taken, `taken` times since that was told last.
    pub(super) fn taken(&self, arena: &Arena, taken: u64) {
        let _guarded = self.guarded();
        add(arena.word(self.position + lock::TAKEN), taken);
    }

    /// It was held for so long.
    pub(super) fn held(&self, arena: &Arena, held: Held) {
        self.count_hold(arena, &mut self.guarded(), held);
    }

    fn count_hold(&self, arena: &Arena, guarded: &mut Guarded, Held { ticks, after_wait }: Held) {
        if after_wait {
            self.record(arena, &mut guarded.held_after_wait, lock::HELD_AFTER_WAIT, ticks);
        } else {
            self.record(arena, &mut guarded.held, lock::HELD, ticks);
        }
    }

    /// The thread of `lane` has taken the lock, and will say when it gives it back.
    pub(super) fn begin_hold(&self, arena: &Arena, lane: u32) {
        // Relaxed: for readers of the segment, by itself. Of several readers of the lock the last one wins.
        arena.word(self.position + lock::HOLDER).store(u64::from(lane) + 1, Ordering::Relaxed);
    }

    /// It is about to give it back.
    pub(super) fn end_hold(&self, arena: &Arena, lane: u32) {
        let holder = arena.word(self.position + lock::HOLDER);
        // Relaxed: as above.
        if holder.load(Ordering::Relaxed) == u64::from(lane) + 1 {
            holder.store(0, Ordering::Relaxed);
        }
    }

    fn record(&self, arena: &Arena, cell: &mut Option<Cell>, word: usize, ticks: u64) {
        if cell.is_none() {
            *cell = Cell::create_apart(arena).map(|(cell, position)| {
                // Release: who finds the cell finds it below USED.
                arena.word(self.position + word).store(position as u64, Ordering::Release);
                cell
            });
        }
        if let Some(cell) = cell {
            cell.record(arena, ticks);
        }
    }

    /// The lock ends. One record of several locks goes on.
    pub(super) fn end(&self, arena: &Arena) {
        if !self.shared {
            arena.word(self.position + lock::ENDED).store(1, Ordering::Relaxed);
        }
    }

    /// Whether a release now is to be charged.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        self.is_due_at(clock::now())
    }

    /// The same of a release at `now`.
    #[inline]
    pub(super) fn is_due_at(&self, now: u64) -> bool {
        now >= self.changing.due.load(Relaxed)
    }

    /// The same, where several threads give back the lock side by side, and so have no count of releases between them. Where
    /// these follow one another so fast that reading the clock would be felt, it is read more and more seldom.
    #[inline]
    pub(super) fn is_due_shared(&self) -> bool {
        let (due, skip) = (self.changing.due.load(Relaxed), self.changing.skip.load(Relaxed));
        if due != 0 && skip != 0 {
            self.changing.skip.store(skip - 1, Relaxed);
            return false;
        }
        if clock::now() >= due {
            return true;
        }
        let skip = (2 * self.changing.skipped.load(Relaxed) + 1).min(MOST_SKIPPED);
        self.changing.skipped.store(skip, Relaxed);
        self.changing.skip.store(skip, Relaxed);
        false
    }

    /// Who gives the lock at `lock` back `now`, and has `held` it, notes this for those who wait for it.
    pub(super) fn release(&self, arena: &Arena, lock: usize, held: Option<Held>, now: u64, giver: Giver<'_>) {
        let mut guarded = self.guarded();
        if let Some(held) = held {
            self.count_hold(arena, &mut guarded, held);
        }
        let least = clock::ticks(PAUSE) * guarded.order.len().max(1) as u64;
        let is_due = |waiting: &Waiting| waiting.is_due(now, least);
        guarded.each(lock, DEBTORS, is_due, |waiting| waiting.charge(self.number, now, giver));
        self.changing.skipped.store(0, Relaxed);
        self.changing.skip.store(0, Relaxed);
        let first = guarded.order.first().and_then(|(_, first)| guarded.waiting.get(*first as usize));
        let pause = first.map_or(least, |first| first.pause(now, least));
        self.changing.due.store(now + pause, Relaxed);
    }
}

impl Guarded {
    /// Calls `note` for the first `most` who wait for the lock at `lock` and are meant.
    fn each(
        &mut self,
        lock: usize,
        most: usize,
        is_meant: impl Fn(&Waiting) -> bool,
        mut note: impl FnMut(&mut Waiting),
    ) {
        let Guarded { order, waiting, .. } = self;
        let mut left = most;
        for (_, place) in order.iter().filter(|(at, _)| *at == lock) {
            let waiting = &mut waiting[*place as usize];
            if is_meant(waiting) {
                note(waiting);
                left -= 1;
            }
            if left == 0 {
                break;
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::contention::ledger::Ledger;
    use crate::contention::model::Part;
    use crate::contention::pieces::Piece;
    use crate::layout::cell;
    use crate::testing::arena;

    /// One of several readers gives the lock back after the waiter has taken it, and before the waiter has said so.
    #[test]
    fn a_wait_is_as_long_as_what_is_charged_for_it() {
        let arena = arena(1 << 13);
        let origin = Origin { kind: LockKind::Rwlock, made: 0, address: 0x1000 };
        let record = Record::create(&arena, 1, origin, 1, false).unwrap();
        let place = record.begin(&arena, 0x2000, 1_000, Pieces::default());
        let releaser = Ledger::new(3);
        record.release(&arena, 0x2000, None, 1_700, Giver { ledger: &releaser, stack: 5 });

        let left = record.ended(&arena, place, 1_500);
        assert_eq!((left.charged_until, left.released_by, left.to), (1_700, Some(3), 1_700));
        let held = Piece::new(Part::Held, 5, 3, 700);
        assert!(left.pieces.iter().eq([&held]));
        record.count(&arena, left.length(1_000), Waited { spun: false, taken: 1 });
        let wait = arena.word(record.position + lock::WAIT).load(Ordering::Relaxed) as usize;
        assert_eq!(arena.word(wait + cell::SUM).load(Ordering::Relaxed), 700);

        // Nobody gave anything back in time.
        let place = record.begin(&arena, 0x2000, 2_000, left.pieces);
        let left = record.ended(&arena, place, 2_100);
        assert_eq!((left.charged_until, left.released_by, left.to), (2_000, None, 2_100));
        record.count(&arena, left.length(2_000), Waited { spun: true, taken: 1 });
        assert_eq!(arena.word(wait + cell::SUM).load(Ordering::Relaxed), 800);
    }
}
