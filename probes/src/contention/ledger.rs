//! What a thread has charged to whom; only the lane's thread writes it.

use super::hash;
use super::model::{Part, StackId};
use super::own::{OwnWait, OwnWaits};
use super::pieces::{Piece, Pieces, Spare};
use super::record::{Origin, Record};
use super::rows::{self, Rows};
use super::watch::End;
use crate::arena::Arena;
use crate::catalogue::Hypercall;
use crate::clock;
use crate::layout::{header, wait};
use crate::local;
use crate::primitive::{Ordering, add};
use crate::recorder::Recorder;
use crate::snapshot::Place;
use crate::transition;
use crate::unwind::Remembered;
use core::sync::atomic::AtomicBool;

/// Whether contention is recorded in this process.
static RECORDING: AtomicBool = AtomicBool::new(false);

/// Whether it is recorded who waits for whom. Never where nothing is timed.
#[inline]
pub fn is_recorded() -> bool {
    // Relaxed: a fact by itself; a thread that sees it late has not seen some waits.
    RECORDING.load(core::sync::atomic::Ordering::Relaxed)
}

/// Contention is recorded from now on.
pub(crate) fn start_recording() {
    RECORDING.store(true, core::sync::atomic::Ordering::Relaxed);
}

/// It is not recorded any more.
pub(crate) fn stop_recording() {
    RECORDING.store(false, core::sync::atomic::Ordering::Relaxed);
}

/// How deep the chains of waiters and holders are at most. With it, walking one costs less than 200 ns.
const CHAIN: usize = 24;
/// The same for the chain of a lock's making, which is taken for every lock.
const MAKER: usize = 6;
/// Of how many locks at a time a thread takes the time for which it holds them.
const HOLDS: usize = 4;
/// How many different charges a thread keeps apart; beyond that it forgets the chains, and then counts as lost.
const MOST: usize = 4096;
/// Of how many places where many locks are made a thread knows the record without asking others.
const SHARED: usize = 8;
/// Chains that a thread finds again without asking others.
const CACHED: usize = 16;

/// Hash and number of the chains that a thread has asked for.
#[derive(Debug)]
struct Numbers([(u64, StackId); CACHED]);

impl Numbers {
    /// That of the calling thread's chain, which is found among `walks` if it can be; 0: there is none.
    #[inline(always)]
    fn of_caller<const DEPTH: usize>(&mut self, recorder: &Recorder, walks: &mut Remembered<DEPTH>) -> StackId {
        walks.chain(|frames| self.of(recorder, frames))
    }

    /// That of the chain `frames`.
    fn of(&mut self, recorder: &Recorder, frames: &[u64]) -> StackId {
        if frames.is_empty() {
            return 0;
        }
        let hash = hash::of_chain(frames);
        let cached = &mut self.0[hash as usize % CACHED];
        // What found no room is looked for again.
        if cached.0 != hash || cached.1 == 0 {
            *cached = (hash, recorder.stacks.number(&recorder.arena, hash, frames));
        }
        cached.1
    }
}

/// What a wait is charged to, but for who was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) call: Hypercall,
    /// The number of the lock; 0: none.
    pub(super) lock: u32,
    pub(super) place: Place,
    pub(super) waiter: StackId,
    pub(super) waiter_lane: u32,
}

/// What is to be added to a row.
#[derive(Clone, Copy, Debug)]
struct Charge {
    count: u64,
    ticks: u64,
    longest: u64,
}

/// The time for which the thread holds a lock is being taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    /// The address of the lock's `Watch`.
    pub(super) lock: usize,
    pub(super) since: u64,
    pub(super) after_wait: bool,
}

/// The private side of a lane's charges.
#[derive(Debug)]
pub(crate) struct Ledger {
    lane: u32,
    rows: Rows,
    /// Records that many locks share, which were found last.
    shared: [Option<&'static Record>; SHARED],
    next_shared: usize,
    walks: Remembered<CHAIN>,
    /// Made when it is needed: many threads make no locks.
    makers: Option<Box<Remembered<MAKER>>>,
    numbers: Numbers,
    pub(super) own: OwnWaits,
    holds: [Option<Hold>; HOLDS],
    pub(super) spare: Spare,
    /// The lanes of those who were given a signal last. Kept for its room.
    pub(super) woken: Vec<u32>,
    /// The thread's wait for a lock that it has got and, as far as is known, not given back; with the address of the lock's
    /// `Watch`.
    put_off: Option<(usize, End)>,
}

/// The calling thread's ledger, with the recorder. `None`: it can have none.
///
/// `work` must not use the thread's ledger otherwise, nor its measuring state.
#[inline]
pub(super) fn with_ledger<R>(work: impl FnOnce(&'static Recorder, &mut Ledger) -> R) -> Option<R> {
    let (recorder, lane) = local::with(|local| {
        let recorder = local.recorder()?;
        if local.lane.is_null() {
            local.find_row(recorder);
        }
        Some((recorder, local.lane))
    })?;
    // SAFETY: null, or the thread's own lane, which nobody else touches; no other reference to it is alive.
    let lane = unsafe { lane.as_mut() }?;
    let number = lane.number;
    let ledger = lane.ledger.get_or_insert_with(|| Box::new(Ledger::new(number)));
    Some(work(recorder, ledger))
}

/// Where the calling thread is, or was last: off its virtual CPU, a thread is charged to the one that it left.
#[inline]
pub(super) fn current_place() -> Place {
    local::with(|local| {
        let Some(recorder) = local.recorder() else { return Place::Unknown };
        let row = if local.off_cause != 0 && !local.left.is_null() { local.left } else { local.row_now(recorder) };
        // SAFETY: null, or a row of the thread's lane.
        unsafe { row.as_ref() }.map_or(Place::Unknown, |row| row.place)
    })
}

impl Ledger {
    pub(super) fn new(lane: u32) -> Self {
        Ledger {
            lane,
            rows: Rows::default(),
            shared: [None; SHARED],
            next_shared: 0,
            walks: Remembered::default(),
            makers: None,
            numbers: Numbers([(0, 0); CACHED]),
            own: OwnWaits::default(),
            holds: [None; HOLDS],
            spare: Spare::default(),
            woken: Vec::new(),
            put_off: None,
        }
    }

    pub(super) fn lane(&self) -> u32 {
        self.lane
    }

    /// Another thread has the lane now.
    pub(crate) fn forget_thread(&mut self, arena: &Arena) {
        self.tell_put_off(arena);
        self.own.clear();
        self.holds = [None; HOLDS];
    }

    /// The number of the calling thread's call chain.
    #[inline]
    pub(super) fn chain(&mut self, recorder: &Recorder) -> StackId {
        self.numbers.of_caller(recorder, &mut self.walks)
    }

    /// The number of the chain by which the calling thread makes a lock.
    #[inline]
    pub(super) fn maker(&mut self, recorder: &Recorder) -> StackId {
        self.numbers.of_caller(recorder, self.makers.get_or_insert_default())
    }

    /// The record for a new lock: the one that it shares with others, or that of its own.
    pub(super) fn record(&mut self, recorder: &Recorder, origin: Origin) -> Option<&'static Record> {
        if let Some(known) = self.shared.iter().flatten().find(|record| record.is_of(origin)) {
            known.take_one_more(&recorder.arena);
            return Some(known);
        }
        let found = Record::find(recorder, origin)?;
        if found.is_shared() {
            self.shared[self.next_shared % SHARED] = Some(found);
            self.next_shared += 1;
        }
        Some(found)
    }

    /// Begins to take the time of a hold; says whether there is room for it.
    pub(super) fn begin_hold(&mut self, hold: Hold) -> bool {
        let free = self.holds.iter_mut().find(|place| place.is_none());
        free.is_some_and(|place| {
            *place = Some(hold);
            true
        })
    }

    /// The hold of the lock with its `Watch` at `lock` ends, if its time is taken.
    pub(super) fn end_hold(&mut self, lock: usize) -> Option<Hold> {
        self.holds.iter_mut().find_map(|hold| hold.take_if(|hold| hold.lock == lock))
    }

    /// Keeps the wait for the lock with its `Watch` at `lock` for later.
    pub(super) fn put_off(&mut self, arena: &Arena, lock: usize, end: End) {
        self.tell_put_off(arena);
        self.put_off = Some((lock, end));
    }

    /// Whether it is for the lock whose `Watch` is, or was, at `lock`.
    pub(super) fn has_put_off(&self, lock: usize) -> bool {
        self.put_off.as_ref().is_some_and(|(at, _)| *at == lock)
    }

    /// Puts the wait that was put off into the figures, if there is one.
    pub(super) fn tell_put_off(&mut self, arena: &Arena) {
        if let Some((_, end)) = self.put_off.take() {
            end.tell(arena, self);
        }
    }

    /// Charges the calling thread's wait: to what others have noted of it, and the `ticks` at its end to `part`.
    #[inline]
    pub(super) fn end(
        &mut self,
        arena: &Arena,
        account: Account,
        pieces: &Pieces,
        part: Part,
        holder_lane: Option<u32>,
        ticks: u64,
    ) {
        let account = account.words();
        let mut is_whole = true;
        for &Piece { part, holder, holder_lane, ticks, longest } in pieces.iter() {
            let key = key(&account, part, holder, Some(holder_lane));
            is_whole &= self.charge(arena, &key, Charge { count: 0, ticks, longest });
        }
        let key = key(&account, wait::encode(part), 0, holder_lane);
        is_whole &= self.charge(arena, &key, Charge { count: 1, ticks, longest: ticks });
        if !is_whole {
            // A locked addition: any thread may come here. Relaxed: a counter.
            arena.word(header::LOST_WAITS).fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether there was room for it.
    #[inline(always)]
    fn charge(&mut self, arena: &Arena, key: &rows::Key, Charge { count, ticks, longest }: Charge) -> bool {
        let known = self.rows.find(arena, hash::of_words(key), key);
        let Some(position) = known.or_else(|| self.new_position(arena, *key)) else { return false };
        add(arena.word(position + wait::COUNT), count);
        add(arena.word(position + wait::TICKS), ticks);
        let max = arena.word(position + wait::MAX);
        // Relaxed: written by this thread.
        if longest > max.load(Ordering::Relaxed) {
            max.store(longest, Ordering::Relaxed);
        }
        true
    }

    /// A row for what was not charged before. Where there are too many of them, the chains are left out.
    #[cold]
    fn new_position(&mut self, arena: &Arena, mut key: rows::Key) -> Option<usize> {
        if self.rows.len() < MOST {
            return self.rows.add(arena, &key);
        }
        key[wait::STACKS - wait::WHAT] = 0;
        let known = self.rows.find(arena, hash::of_words(&key), &key);
        known.or_else(|| if self.rows.len() < 2 * MOST { self.rows.add(arena, &key) } else { None })
    }
}

impl Account {
    /// What it is in the words that a row has in the segment: what, lock, stacks and lanes.
    #[inline]
    fn words(&self) -> rows::Key {
        let &Account { call, lock, place, waiter, waiter_lane } = self;
        let what = u64::from(place.number()) << 48 | call as u64;
        [what, u64::from(lock), u64::from(waiter) << 32, u64::from(waiter_lane) << 32]
    }
}

/// The words of a row, with those of the account.
#[inline(always)]
fn key(account: &rows::Key, part: u32, holder: StackId, holder_lane: Option<u32>) -> rows::Key {
    let [what, lock, waiter, waiter_lane] = *account;
    let holder_lane = holder_lane.map_or(0, |lane| lane + 1);
    [what | u64::from(part), lock, waiter | u64::from(holder), waiter_lane | u64::from(holder_lane)]
}

/// Runs `work`, in which the calling thread waits for something that no other thread of the guest holds: a disk, the
/// time, the end of a thread.
pub fn alone<R>(call: Hypercall, work: impl FnOnce() -> R) -> R {
    if !is_recorded() {
        return work();
    }
    let from = transition::wait_begin();
    let stack = with_ledger(|recorder, ledger| {
        ledger.tell_put_off(&recorder.arena);
        ledger.chain(recorder)
    });
    let outcome = work();
    if let Some(stack) = stack {
        let to = clock::now();
        transition::wait_end(to);
        let place = current_place();
        with_ledger(|recorder, ledger| {
            let account = Account { call, lock: 0, place, waiter: stack, waiter_lane: ledger.lane };
            ledger.end(&recorder.arena, account, &Pieces::default(), Part::Alone, None, clock::between(from, to));
            ledger.own.remember(OwnWait { call, lock: 0, stack, from, to });
        });
    }
    outcome
}
