//! What a lock keeps for contention.

use super::ledger::{self, Account, Hold, Ledger, with_ledger};
use super::model::{LockKind, Part, StackId};
use super::note::Note;
use super::own::OwnWait;
use super::record::{Held, Origin, Record, Waited};
use super::waiting::{Giver, Left, Waiting};
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
    /// Its chain may be missing yet.
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

    /// The caller waits no more; it has the lock, and with `timed` the time for which it holds it is taken.
    fn goes(&self, timed: bool) {
        let timed = if timed { TIMED } else { 0 };
        let left = |now: u32| timed | if now & WAITERS == 1 { now & OWN } else { now - 1 };
        // Relaxed: as in `comes`.
        let _ = self.attention.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(left(now)));
    }

    /// Runs `wait`, in which the calling thread waits for the lock and takes it; it says how much of the wait was active,
    /// in nanoseconds. It is to call what it is given before it has waited for more than a moment: from then on the holder
    /// sees it. The rest of the book-keeping is left for later.
    pub fn wait(&self, kind: LockKind, call: Hypercall, wait: impl FnOnce(&mut dyn FnMut()) -> u64) -> (u64, Ended) {
        if !ledger::is_recorded() {
            return (wait(&mut || ()), Ended(None));
        }
        let since = transition::wait_begin();
        // Before it is looked at again: now it is in the way of nobody, and as soon as the caller has the lock of all.
        let Some(stack) = with_ledger(|recorder, ledger, _| ledger.chain(recorder)) else {
            return (wait(&mut || ()), Ended(None));
        };
        let mut begun = None;
        let active = wait(&mut || {
            begun = self.begin(kind, call, since, stack);
            if begun.is_some() {
                self.comes();
            }
        });
        // The caller has the lock, so it is still there.
        let to = clock::now();
        let ticks = clock::between(since, to);
        // Relaxed: the holder's, of which there may be several.
        let taken = self.taken.swap(0, Ordering::Relaxed).into();
        let Some(begun) = begun else {
            transition::wait_end(to);
            return (active, self.moment(kind, call, stack, [since, to], Waited { ticks, spun: true, taken }));
        };
        let spun = active != 0 && clock::ticks(active) >= ticks - ticks / 8;
        let lock = self.address();
        let left = with_ledger(|recorder, ledger, _| {
            let left = begun.record.ended(&recorder.arena, begun.place, to);
            let hold = Hold { lock, since: left.to, after_wait: true };
            (left, begin_hold(recorder, ledger, begun.record, hold))
        });
        transition::wait_end(left.as_ref().map_or(to, |(left, _)| left.to));
        self.goes(matches!(left, Some((_, true))));
        let end = |(left, _): (Left, bool)| {
            let waited = Waited { ticks: clock::between(since, left.to), spun, taken };
            End { begun, left, waited, signalled: None }
        };
        (active, Ended(left.map(end)))
    }

    /// A wait that was over in a moment, by looking: nobody was told of it.
    fn moment(&self, kind: LockKind, call: Hypercall, waiter: StackId, [since, to]: [u64; 2], waited: Waited) -> Ended {
        let Some(record) = self.record(kind) else { return Ended(None) };
        Ended(with_ledger(|_, ledger, place| {
            let account = Account { call, lock: record.number, place, waiter, waiter_lane: ledger.lane() };
            let left = Left { charged_until: since, to, ..Left::default() };
            End { begun: Begun { record, place: 0, account, since }, left, waited, signalled: None }
        }))
    }

    /// Runs `wait`, in which the calling thread waits for a signal; it says whether one came. It is to call what it is given
    /// before it waits, and after it has given up what others wait for; and to show its note, an address, to whoever gives the
    /// signal ([`Watch::signal`]). The condition variable may be gone in the end. The rest as for [`Watch::wait`].
    pub fn wait_for_signal<R>(
        &self,
        call: Hypercall,
        wait: impl FnOnce(*const (), &mut dyn FnMut()) -> (R, bool),
    ) -> (R, Ended) {
        let begun = ledger::is_recorded().then(|| self.begin_signal(call)).flatten();
        let Some((mut begun, note)) = begun else {
            return (wait(core::ptr::null(), &mut || ()).0, Ended(None));
        };
        let (outcome, signalled) = wait(note.address(), &mut || {
            begun.take_chain();
            with_ledger(|recorder, _, _| begun.record.begin_signal(&recorder.arena));
        });
        let left = note.end(clock::now());
        transition::wait_end(left.to);
        let waited = Waited { ticks: clock::between(begun.since, left.to), spun: false, taken: signalled.into() };
        (outcome, Ended(Some(End { begun, left, waited, signalled: Some(signalled) })))
    }

    fn begin_signal(&self, call: Hypercall) -> Option<(Begun, Note)> {
        let since = transition::wait_begin();
        let record = self.record(LockKind::Condvar)?;
        with_ledger(|recorder, ledger, place| {
            ledger.tell_put_off(&recorder.arena);
            let waiter_lane = ledger.lane();
            let account = Account { call, lock: record.number, place, waiter: 0, waiter_lane };
            let note = Note::new(record.number, Waiting::new(waiter_lane, since, ledger.spare.take()));
            (Begun { record, place: 0, account, since }, note)
        })
    }

    /// For the holder, which is about to give the lock back: its wait for it, if that was [put off](Ended::put_off).
    pub fn take_put_off(&self) -> PutOff {
        // Relaxed, here and below: set by the caller itself, or else none of its business.
        match self.attention.load(Ordering::Relaxed) & OWN {
            0 => return PutOff(None),
            TIMED => {}
            _ => drop(self.attention.fetch_and(!PUT_OFF, Ordering::Relaxed)),
        }
        PutOff(with_ledger(|_, ledger, _| ledger.take_put_off(self.address())).flatten())
    }

    /// Runs `give_back`, which gives the lock back, or up in part; the lock may be gone then. For a holder of a lock that
    /// [is watched](Watch::is_watched).
    #[cold]
    pub fn release<R>(&self, give_back: impl FnOnce() -> R) -> R {
        let Some(record) = self.known_record() else { return give_back() };
        let lock = self.address();
        let now = clock::now();
        with_ledger(|recorder, ledger, _| {
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

    /// Runs `give`, in which `call` gives a signal; the condition variable may be gone then. It is to pass on the note of each
    /// one who gets the signal, before that one goes on.
    ///
    /// # Safety
    /// What `give` passes on is null or of a wait that is not over, and of which nobody else is told at the same time.
    #[cold]
    pub unsafe fn signal<R>(&self, call: Hypercall, give: impl FnOnce(&mut dyn FnMut(*const ())) -> R) -> R {
        // Who waits for something that is not recorded has no note.
        if self.known_record().is_none() {
            return give(&mut |_| ());
        }
        let now = clock::now();
        let stack = with_ledger(|recorder, ledger, _| {
            ledger.woken.clear();
            ledger.chain(recorder)
        });
        let Some(stack) = stack else { return give(&mut |_| ()) };
        let outcome = give(&mut |note| {
            if !note.is_null() {
                with_ledger(|_, ledger, _| {
                    // SAFETY: the caller's word.
                    let lane = unsafe { Note::signal(note, now, ledger, stack) };
                    ledger.woken.push(lane);
                });
            }
        });
        // The timeline has an arrow from here to each of them.
        let woken = |nth: usize| with_ledger(|_, ledger, _| ledger.woken.get(nth).copied())?;
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
        let timed = with_ledger(|recorder, ledger, _| {
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
            with_ledger(|recorder, _, _| {
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
        with_ledger(|recorder, ledger, _| {
            if let Some(held) = self.end_hold(recorder, ledger, record, now) {
                record.held(&recorder.arena, held);
            }
        });
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
        let record = with_ledger(|recorder, ledger, _| ledger.record(recorder, Origin { kind, made, address }))??;
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
        with_ledger(|recorder, ledger, place| {
            ledger.tell_put_off(&recorder.arena);
            let waiter_lane = ledger.lane();
            let account = Account { call, lock: record.number, place, waiter, waiter_lane };
            let place = record.begin(&recorder.arena, lock, waiter_lane, since, ledger.spare.take());
            Begun { record, place, account, since }
        })
    }
}

impl Begun {
    /// Notes the call chain that led to the wait. In the wait itself: it is in the way of nobody there.
    fn take_chain(&mut self) {
        self.account.waiter = with_ledger(|recorder, ledger, _| ledger.chain(recorder)).unwrap_or(0);
    }
}

/// A wait that is over, but not in the figures yet.
#[derive(Debug)]
#[must_use = "the wait is in no figures until it is told"]
pub struct Ended(Option<End>);

/// A wait for a lock that its holder is giving back, which is to be in the figures as soon as it has.
#[derive(Debug)]
#[must_use = "the wait is in no figures until it is told"]
pub struct PutOff(Option<End>);

#[derive(Debug)]
pub(super) struct End {
    begun: Begun,
    left: Left,
    waited: Waited,
    /// Of a wait for a signal, whether one came.
    signalled: Option<bool>,
}

impl Ended {
    /// Puts it into the figures. To be called so that nobody waits for that: after a wait for a signal, before the thread takes
    /// anything.
    pub fn tell(self) {
        let Some(end) = self.0 else { return };
        with_ledger(|recorder, ledger, _| {
            end.remember(ledger);
            end.tell(&recorder.arena, ledger);
        });
    }

    /// Leaves that for when the caller, who has waited for the lock of `watch` and is its only holder now, gives it back: it takes
    /// longer than many a lock is held, and all others who want this one would wait for it, and have more to tell themselves.
    /// Or for when the caller waits for something else first.
    pub fn put_off(self, watch: &Watch) {
        let Some(end) = self.0 else { return };
        with_ledger(|recorder, ledger, _| {
            end.remember(ledger);
            ledger.tell_put_off(&recorder.arena);
            ledger.put_off(watch.address(), end);
        });
        // Relaxed: for the caller itself. Who takes the time of its hold looks at the release anyway.
        if watch.attention.load(Ordering::Relaxed) & TIMED == 0 {
            watch.attention.fetch_or(PUT_OFF, Ordering::Relaxed);
        }
    }
}

impl PutOff {
    /// Puts it into the figures, if there is one. To be called when the lock has been given back.
    pub fn tell(self) {
        if let Some(end) = self.0 {
            with_ledger(|recorder, ledger, _| end.tell(&recorder.arena, ledger));
        }
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
            Some(_) => record.end_signal(arena, waited),
            None => record.passed(arena, waited),
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
    let made = with_ledger(|recorder, ledger, _| ledger.maker(recorder)).unwrap_or(0);
    let made = if made < 1 << CHAIN_BITS { u64::from(made) } else { 0 };
    let address = address as u64 >> 3 & ((1 << ADDRESS_BITS) - 1);
    made << (ADDRESS_BITS + 1) | address << 1 | FRESH
}
