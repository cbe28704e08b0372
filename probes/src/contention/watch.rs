//! What a lock keeps for contention.

use super::ledger::{self, Account, Hold, Ledger, current_place, with_ledger};
use super::model::{LockKind, Part, StackId};
use super::note::{More, Note, Reply};
use super::own::OwnWait;
use super::record::{Held, Origin, Record, Waited};
use super::waiting::{Giver, Left};
use crate::arena::Arena;
use crate::catalogue::Hypercall;
use crate::clock;
use crate::events;
use crate::recorder::Recorder;
use crate::transition;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A part of every lock and condition variable of the guest. Its holder looks at it when it takes the lock and when it
/// gives it back: a plain addition, and a load with a branch that is not taken.
#[derive(Debug)]
pub struct Watch {
    // ```text
    //  63        45 44                     1   0
    // +------------+------------------------+---+
    // |   chain    |      address / 8       | 1 |   nobody has waited yet: who made it, and where the guest keeps it
    // +------------+------------------------+---+
    // |        address of the record        | 0 |   somebody has; 0: nothing is recorded
    // +------------+------------------------+---+
    // ```
    identity: AtomicU64,
    /// How often it was taken since that was last added to the record. Changed by the holder.
    taken: AtomicU32,
    // ```text
    //  31   30   29     27 26             0
    // +----+----+---------+----------------+    T: a holder takes the time for which it holds the lock
    // |  T |  P |  pause  |  how many wait |    P: its wait for the lock is not in the figures yet
    // +----+----+---------+----------------+
    // ```
    // Pause: of a mutex, a release is looked at when as many of the lowest bits of `taken` are 0. 0 where nobody waits.
    attention: AtomicU32,
}

const FRESH: u64 = 1;
const TIMED: u32 = 1 << 31;
const PUT_OFF: u32 = 1 << 30;
/// For which the holder looks at its release in any case.
const OWN: u32 = TIMED | PUT_OFF;
const PAUSE_SHIFT: u32 = 27;
const PAUSE: u32 = 7 << PAUSE_SHIFT;
const WAITERS: u32 = (1 << PAUSE_SHIFT) - 1;
/// One release in 64 is looked at, at least.
const LONGEST_PAUSE: u32 = 6 << PAUSE_SHIFT;
/// User addresses have 47 bits on x86-64 and are multiples of 8.
const ADDRESS_BITS: u32 = 44;
const CHAIN_BITS: u32 = 19;

/// A wait under way.
#[derive(Debug)]
struct Begun {
    record: &'static Record,
    /// Which of those who wait it is.
    place: u32,
    account: Account,
    since: u64,
}

impl Watch {
    /// That of a new lock; the guest keeps its pointer to it at `address`.
    #[inline]
    pub fn new(address: usize) -> Self {
        let identity = if ledger::is_recorded() { made_at(address) } else { 0 };
        Watch { identity: AtomicU64::new(identity), taken: AtomicU32::new(0), attention: AtomicU32::new(0) }
    }

    /// The lock has been taken, by the caller alone.
    #[inline(always)]
    pub fn taken(&self) {
        // Relaxed: only the holder changes it, and giving the lock back orders one holder after the other.
        self.taken.store(self.taken.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// How often it has been taken, about: for those who wait, to see whether its holder takes it again and again.
    #[inline]
    pub fn takings(&self) -> u32 {
        // Relaxed: a hint.
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether giving the lock back may have to go through [`Watch::release`], which [`Watch::is_due`] decides. For a holder
    /// of a lock that several may hold.
    #[inline(always)]
    pub fn is_watched(&self) -> bool {
        // Relaxed: who comes to wait just now is not seen, and has not waited yet.
        self.attention.load(Ordering::Relaxed) != 0
    }

    /// Of a lock that is watched, whether it is time for [`Watch::release`] again: not for every release while somebody
    /// waits for long.
    #[inline]
    pub fn is_due(&self) -> bool {
        // Relaxed: as above.
        self.attention.load(Ordering::Relaxed) & OWN != 0 || self.known_record().is_some_and(Record::is_due_shared)
    }

    /// As [`Watch::is_watched`], for the one holder of a lock that only one may hold.
    #[inline(always)]
    pub fn is_watched_alone(&self) -> bool {
        // Relaxed: as above; `taken` is the holder's own.
        let attention = self.attention.load(Ordering::Relaxed);
        attention != 0 && Self::is_looked_at(attention, self.taken.load(Ordering::Relaxed))
    }

    #[inline(always)]
    fn is_looked_at(attention: u32, taken: u32) -> bool {
        let skipped = (1 << ((attention & PAUSE) >> PAUSE_SHIFT)) - 1;
        attention & OWN != 0 || taken & skipped == 0
    }

    /// As [`Watch::is_due`], after [`Watch::is_watched_alone`]. Where releases follow one another so fast that looking would be
    /// felt, they are looked at more and more seldom.
    #[inline]
    pub fn is_due_alone(&self) -> bool {
        // Relaxed: as above.
        let attention = self.attention.load(Ordering::Relaxed);
        if attention & OWN != 0 || self.known_record().is_some_and(Record::is_due) {
            return true;
        }
        if attention & WAITERS != 0 && attention & PAUSE < LONGEST_PAUSE {
            // If somebody has come or gone meanwhile it stays as it is. Relaxed: nothing depends on it.
            let longer = attention + (1 << PAUSE_SHIFT);
            let _ = self.attention.compare_exchange(attention, longer, Ordering::Relaxed, Ordering::Relaxed);
        }
        false
    }

    /// Whether somebody waits. For the holder.
    #[inline(always)]
    pub fn is_waited_for(&self) -> bool {
        // Relaxed: as above.
        self.attention.load(Ordering::Relaxed) & WAITERS != 0
    }

    /// Somebody comes to wait: the next release is looked at.
    fn comes(&self) {
        // Relaxed: the holder sees it some time; see `is_watched`.
        let _ = self.attention.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some((now & !PAUSE) + 1));
    }

    /// The caller waits no more; it has the lock, and looks at its release for what `own` says.
    fn goes(&self, own: u32) {
        let left = |now: u32| own | if now & WAITERS == 1 { now & OWN } else { now - 1 };
        // Relaxed: as in `comes`.
        let _ = self.attention.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(left(now)));
    }

    /// Runs `wait`, in which the calling thread waits for the lock and takes it, with others perhaps; it says how much of the
    /// wait was active, in nanoseconds. It is to call what it is given before it has waited for more than a moment: from then on
    /// the holder sees it. The rest of the book-keeping is left for later.
    pub fn wait(&self, kind: LockKind, call: Hypercall, wait: impl FnOnce(&mut dyn FnMut()) -> u64) -> (u64, Ended) {
        self.wait_and(Tried(None), kind, call, |announce| Some(wait(announce)), false).unwrap_or((0, Ended(None)))
    }

    /// The same where the calling thread is then the only holder: the rest of the book-keeping is [put off](Watch::take_put_off).
    pub fn wait_alone(&self, kind: LockKind, call: Hypercall, wait: impl FnOnce(&mut dyn FnMut()) -> u64) -> u64 {
        self.wait_alone_again(Tried(None), kind, call, wait)
    }

    /// The same after [`try_alone`](Watch::try_alone) failed.
    pub fn wait_alone_again(
        &self,
        tried: Tried,
        kind: LockKind,
        call: Hypercall,
        wait: impl FnOnce(&mut dyn FnMut()) -> u64,
    ) -> u64 {
        self.wait_and(tried, kind, call, |announce| Some(wait(announce)), true).map_or(0, |(active, _)| active)
    }

    /// The same of a wait that is over in a moment, and active: `wait` looks for the lock for no longer than that, and says whether
    /// the calling thread has it.
    ///
    /// # Errors
    /// It has not. Nothing is recorded: the thread waits in another way.
    pub fn try_alone(&self, kind: LockKind, call: Hypercall, wait: impl FnOnce() -> bool) -> Result<(), Tried> {
        self.wait_and(Tried(None), kind, call, |_| wait().then_some(0), true).map(|_| ())
    }

    /// What comes between the end of `wait` and the caller's going on is in the way of all who want the lock. Where `wait` says `None`
    /// it has told nobody.
    #[inline(always)]
    fn wait_and(
        &self,
        Tried(stack): Tried,
        kind: LockKind,
        call: Hypercall,
        wait: impl FnOnce(&mut dyn FnMut()) -> Option<u64>,
        is_alone: bool,
    ) -> Result<(u64, Ended), Tried> {
        if !ledger::is_recorded() {
            return wait(&mut || ()).map(|active| (active, Ended(None))).ok_or(Tried(None));
        }
        let since = transition::wait_begin();
        // Before it is looked at again.
        let stack = stack.or_else(|| with_ledger(|recorder, ledger| ledger.chain(recorder)));
        let Some(stack) = stack else {
            return wait(&mut || ()).map(|active| (active, Ended(None))).ok_or(Tried(None));
        };
        let mut begun = None;
        let active = wait(&mut || {
            begun = self.begin(kind, call, since, stack);
            if begun.is_some() {
                self.comes();
            }
        })
        .ok_or(Tried(Some(stack)))?;
        // The caller has the lock, so it is still there.
        let to = clock::now();
        // Relaxed: the holder's, of which there may be several.
        let taken = match is_alone {
            true => {
                let taken = self.taken.load(Ordering::Relaxed);
                self.taken.store(0, Ordering::Relaxed);
                taken
            }
            false => self.taken.swap(0, Ordering::Relaxed),
        };
        let taken = taken.into();
        let Some(begun) = begun else {
            // It was over in a moment, by looking: nobody was told of it.
            transition::wait_end(to);
            let Some(record) = self.record(kind) else { return Ok((active, Ended(None))) };
            let place = current_place();
            let end = with_ledger(|recorder, ledger| {
                let account = Account { call, lock: record.number, place, waiter: stack, waiter_lane: ledger.lane() };
                let left = Left { charged_until: since, to, ..Left::default() };
                let begun = Begun { record, place: 0, account, since };
                let end = End { begun, left, waited: Waited { spun: true, taken }, signalled: None };
                self.now_or_later(recorder, ledger, end, is_alone)
            });
            if is_alone {
                // Relaxed: for the caller itself.
                self.attention.fetch_or(PUT_OFF, Ordering::Relaxed);
            }
            return Ok((active, Ended(end.flatten())));
        };
        let ticks = clock::between(since, to);
        let spun = active != 0 && clock::ticks(active) >= ticks - ticks / 8;
        let outcome = with_ledger(|recorder, ledger| {
            let record = begun.record;
            let left = record.ended(&recorder.arena, begun.place, to);
            let to = left.to;
            let is_timed =
                begin_hold(recorder, ledger, record, Hold { lock: self.address(), since: to, after_wait: true });
            let end = End { begun, left, waited: Waited { spun, taken }, signalled: None };
            (to, is_timed, self.now_or_later(recorder, ledger, end, is_alone))
        });
        let (to, is_timed, end) = outcome.unwrap_or((to, false, None));
        transition::wait_end(to);
        self.goes(if is_timed { TIMED } else { 0 } | if is_alone { PUT_OFF } else { 0 });
        Ok((active, Ended(end)))
    }

    /// Gives back what is to be told now.
    fn now_or_later(&self, recorder: &Recorder, ledger: &mut Ledger, end: End, is_alone: bool) -> Option<End> {
        if !is_alone {
            return Some(end);
        }
        end.remember(ledger);
        ledger.put_off(&recorder.arena, self.address(), end);
        None
    }

    /// Runs `wait`, in which the calling thread waits for a signal; it says what came with the signal, if one came. It is to call
    /// what it is given before it waits, and after it has given up what others wait for; and to show its note to whoever gives the
    /// signal ([`Watch::signal`]). The condition variable may be gone in the end.
    ///
    /// The wait is in the figures when this returns, before the caller takes anything that others wait for. Who gave the signal is
    /// most likely about to give up its virtual CPU meanwhile.
    pub fn wait_for_signal<R>(
        &self,
        call: Hypercall,
        wait: impl FnOnce(Note, &mut dyn FnMut()) -> (R, Option<Reply>),
    ) -> R {
        let begun = ledger::is_recorded().then(|| self.begin_signal(call)).flatten();
        let Some((mut begun, more)) = begun else {
            return wait(Note::NONE, &mut || ()).0;
        };
        let note = more.note(begun.since, begun.account.waiter_lane);
        let (outcome, reply) = wait(note, &mut || {
            with_ledger(|recorder, ledger| {
                // In the wait itself: that is in the way of nobody.
                begun.account.waiter = ledger.chain(recorder);
                ledger.tell_put_off(&recorder.arena);
                begun.record.begin_signal(&recorder.arena);
            });
        });
        let left = more.end(begun.since, clock::now(), reply.unwrap_or(Reply::NONE));
        transition::wait_end(left.to);
        let waited = Waited { spun: false, taken: reply.is_some().into() };
        with_ledger(|recorder, ledger| {
            let end = End { begun, left, waited, signalled: Some(reply.is_some()) };
            end.remember(ledger);
            end.tell(&recorder.arena, ledger);
        });
        outcome
    }

    #[inline]
    fn begin_signal(&self, call: Hypercall) -> Option<(Begun, More)> {
        let since = transition::wait_begin();
        let record = self.record(LockKind::Condvar)?;
        let place = current_place();
        with_ledger(|_, ledger| {
            let waiter_lane = ledger.lane();
            let account = Account { call, lock: record.number, place, waiter: 0, waiter_lane };
            (Begun { record, place: 0, account, since }, More::new(ledger.spare.take()))
        })
    }

    /// For a holder that is about to give the lock back, or up in part: its [wait](Watch::wait_alone) for it, if it has waited and
    /// is the only holder. To put that into the figures takes longer than many a lock is held, and all others who want it would
    /// wait for it, and have more to tell themselves. (A thread that waits for something else first has done it then.)
    pub fn take_put_off(&self) -> PutOff {
        // Relaxed, here and below: set by the caller itself.
        let is_put_off = self.attention.load(Ordering::Relaxed) & PUT_OFF != 0;
        if is_put_off {
            self.attention.fetch_and(!PUT_OFF, Ordering::Relaxed);
        }
        PutOff(is_put_off.then(|| self.address()))
    }

    /// Runs `give_back`, which gives the lock back, or up in part; the lock may be gone then. For a holder of a lock that
    /// [is watched](Watch::is_watched).
    #[cold]
    pub fn release<R>(&self, give_back: impl FnOnce() -> R) -> R {
        let Some(record) = self.known_record() else { return give_back() };
        let lock = self.address();
        let now = clock::now();
        with_ledger(|recorder, ledger| {
            let held = self.end_hold(recorder, ledger, record, now);
            if self.is_waited_for() && record.is_due_at(now) {
                let stack = ledger.chain(recorder);
                record.release(&recorder.arena, lock, held, now, Giver { ledger, stack });
            } else if let Some(held) = held {
                record.held(&recorder.arena, held);
            }
        });
        give_back()
    }

    /// Runs `give`, in which `call` gives a signal; the condition variable may be gone then. It is to have the note of each one who
    /// gets the signal replied to, and to pass on the reply, before that one goes on.
    ///
    /// # Safety
    /// The notes are [none](Note::NONE), or of waits that are not over and to which nobody else replies at the same time.
    #[cold]
    pub unsafe fn signal<R>(&self, call: Hypercall, give: impl FnOnce(&mut dyn FnMut(Note) -> Reply) -> R) -> R {
        // Who waits for something that is not recorded has no note.
        let Some(&Record { number, .. }) = self.known_record() else { return give(&mut |_| Reply::NONE) };
        let now = clock::now();
        let stack = with_ledger(|recorder, ledger| {
            ledger.woken.clear();
            ledger.chain(recorder)
        });
        let Some(stack) = stack else { return give(&mut |_| Reply::NONE) };
        let outcome = give(&mut |note| {
            let reply = with_ledger(|_, ledger| {
                if note.address.is_null() {
                    return None;
                }
                ledger.woken.push(note.lane);
                // SAFETY: the caller's word.
                Some(unsafe { note.reply(number, now, ledger, stack) })
            });
            reply.flatten().unwrap_or(Reply::NONE)
        });
        // The timeline has an arrow from here to each of them.
        let woken = |nth: usize| with_ledger(|_, ledger| ledger.woken.get(nth).copied())?;
        (0..).map_while(woken).for_each(|lane| events::wake(call, lane, now));
        outcome
    }

    /// The caller has just taken the lock without a wait, and is the one of `weight` who is asked for how long.
    #[inline]
    pub fn sampled(&self, weight: u64, alone: bool) {
        if let Some(record) = self.known_record() {
            self.sample(record, weight, alone);
        }
    }

    #[cold]
    fn sample(&self, record: &Record, weight: u64, alone: bool) {
        let taken = if alone { self.taken.swap(0, Ordering::Relaxed).into() } else { weight };
        let hold = Hold { lock: self.address(), since: clock::now(), after_wait: false };
        let timed = with_ledger(|recorder, ledger| {
            record.taken(&recorder.arena, taken);
            begin_hold(recorder, ledger, record, hold)
        });
        if timed == Some(true) {
            // Relaxed: for the caller itself.
            self.attention.fetch_or(TIMED, Ordering::Relaxed);
        }
    }

    /// The lock ends.
    #[inline]
    pub fn end(&self) {
        if let Some(record) = self.known_record() {
            let taken = self.taken.load(Ordering::Relaxed);
            with_ledger(|recorder, _| {
                record.taken(&recorder.arena, taken.into());
                record.end(&recorder.arena);
            });
        }
    }

    fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// If the caller takes the time for which it holds this lock, that ends now.
    pub fn end_timed_hold(&self) {
        // Relaxed: set by the caller itself, or else none of its business.
        if self.attention.load(Ordering::Relaxed) & TIMED == 0 {
            return;
        }
        let Some(record) = self.known_record() else { return };
        let now = clock::now();
        with_ledger(|recorder, ledger| {
            if let Some(held) = self.end_hold(recorder, ledger, record, now) {
                record.held(&recorder.arena, held);
            }
        });
    }

    /// Gives the lock back by `leave`, which says whether it did, if nobody waits for it.
    #[inline]
    pub fn leave_unwaited(&self, leave: impl FnOnce() -> bool) -> bool {
        if self.is_waited_for() {
            return false;
        }
        self.end_timed_hold();
        leave()
    }

    /// The hold whose time the caller takes, if it takes that of this lock.
    fn end_hold(&self, recorder: &Recorder, ledger: &mut Ledger, record: &Record, now: u64) -> Option<Held> {
        // Relaxed, here and below: as in `end_timed_hold`.
        if self.attention.load(Ordering::Relaxed) & TIMED == 0 {
            return None;
        }
        // It may be another reader who takes the time.
        let Hold { since, after_wait, .. } = ledger.end_hold(self.address())?;
        record.end_hold(&recorder.arena, ledger.lane());
        self.attention.fetch_and(!TIMED, Ordering::Relaxed);
        Some(Held { ticks: clock::between(since, now), after_wait })
    }

    fn known_record(&self) -> Option<&'static Record> {
        // Acquire: pairs with the exchange in `record`.
        let identity = self.identity.load(Ordering::Acquire);
        if identity & FRESH != 0 {
            return None;
        }
        let address = core::ptr::with_exposed_provenance::<Record>(identity as usize);
        // SAFETY: 0, or the address of a record, which is never freed.
        unsafe { address.as_ref() }
    }

    /// The lock's record, made where there is none; `None` where nothing is recorded.
    fn record(&self, kind: LockKind) -> Option<&'static Record> {
        let identity = self.identity.load(Ordering::Acquire);
        if identity & FRESH == 0 {
            return self.known_record();
        }
        let made = (identity >> (ADDRESS_BITS + 1)) as StackId;
        let address = (identity >> 1 & ((1 << ADDRESS_BITS) - 1)) << 3;
        let record = with_ledger(|recorder, ledger| ledger.record(recorder, Origin { kind, made, address }))??;
        let found = core::ptr::from_ref(record).expose_provenance() as u64;
        // Release: who finds the record finds it filled. Two who wait for the first time at once may make two records; the
        // second is never used.
        match self.identity.compare_exchange(identity, found, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Some(record),
            Err(_) => self.known_record(),
        }
    }

    fn begin(&self, kind: LockKind, call: Hypercall, since: u64, waiter: StackId) -> Option<Begun> {
        let record = self.record(kind)?;
        let lock = self.address();
        let place = current_place();
        with_ledger(|recorder, ledger| {
            ledger.tell_put_off(&recorder.arena);
            let waiter_lane = ledger.lane();
            let account = Account { call, lock: record.number, place, waiter, waiter_lane };
            let place = record.begin(&recorder.arena, lock, since, ledger.spare.take());
            Begun { record, place, account, since }
        })
    }
}

/// A wait that is over, but not in the figures yet.
#[derive(Debug)]
#[must_use = "the wait is in no figures until it is told"]
pub struct Ended(Option<End>);

/// A lock was looked for in vain: the calling thread's call chain, which is the same when it waits for it.
#[derive(Debug, Default)]
pub struct Tried(Option<StackId>);

/// A wait for a lock that its holder is giving back, which is to be in the figures as soon as it has: the lock's address.
#[derive(Debug)]
#[must_use = "the wait is in no figures until it is told"]
pub struct PutOff(Option<usize>);

#[derive(Debug)]
pub(super) struct End {
    begun: Begun,
    left: Left,
    waited: Waited,
    /// Of a wait for a signal, whether one came.
    signalled: Option<bool>,
}

impl Ended {
    /// Puts it into the figures.
    pub fn tell(self) {
        let Some(end) = self.0 else { return };
        with_ledger(|recorder, ledger| {
            end.remember(ledger);
            end.tell(&recorder.arena, ledger);
        });
    }
}

impl PutOff {
    /// Puts it into the figures, if there is one. To be called when the lock has been given back.
    #[inline]
    pub fn tell(self) {
        if let Some(lock) = self.0 {
            Self::tell_of(lock);
        }
    }

    #[cold]
    fn tell_of(lock: usize) {
        with_ledger(|recorder, ledger| {
            if ledger.has_put_off(lock) {
                ledger.tell_put_off(&recorder.arena);
            }
        });
    }
}

impl End {
    /// The thread of `ledger` has waited: for those who wait for it.
    fn remember(&self, ledger: &mut Ledger) {
        let Account { call, waiter: stack, .. } = self.begun.account;
        let (lock, from, to) = (self.begun.record.number, self.begun.since, self.left.to);
        ledger.own.remember(OwnWait { call, lock, stack, from, to });
    }

    pub(super) fn tell(self, arena: &Arena, ledger: &mut Ledger) {
        let End { begun: Begun { record, account, since, .. }, left, waited, signalled } = self;
        match signalled {
            Some(_) => record.end_signal(arena, left.length(since), waited),
            None => record.count(arena, left.length(since), waited),
        }
        let (part, from) = match (signalled, left.released_by) {
            // The time was up.
            (Some(false), _) => (Part::Alone, left.charged_until),
            (_, Some(_)) => (Part::HandOver, left.charged_until),
            (_, None) => (Part::Unknown, since),
        };
        let ticks = clock::between(from.max(since), left.to);
        ledger.end(arena, account, &left.pieces, part, left.released_by, ticks);
        ledger.spare.give_back(left.pieces);
    }
}

/// Takes the time for which the calling thread holds a lock, if there is room for it; says so.
fn begin_hold(recorder: &Recorder, ledger: &mut Ledger, record: &Record, hold: Hold) -> bool {
    let begins = ledger.begin_hold(hold);
    if begins {
        record.begin_hold(&recorder.arena, ledger.lane());
    }
    begins
}

fn made_at(address: usize) -> u64 {
    let made = with_ledger(|recorder, ledger| ledger.maker(recorder)).unwrap_or(0);
    let made = if made < 1 << CHAIN_BITS { u64::from(made) } else { 0 };
    let address = address as u64 >> 3 & ((1 << ADDRESS_BITS) - 1);
    made << (ADDRESS_BITS + 1) | address << 1 | FRESH
}
