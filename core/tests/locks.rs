//! The locks of every back end whose threads are the host's, under real threads, more of them than processors.
#![cfg(not(loom))]

use rumpuser::host::backend::{Backend, Condvar, Mutex, Native, Rwlock};
use rumpuser::host::pthread::Pthread;
use rumpuser::host::sync::{Deadline, Home, NotHeld, NotOwner, Note, OtherReaders, Outcome, Owner, Reply, Waited};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const THREADS: usize = 8;
const ROUNDS: u64 = 20_000;

/// Names for owners: each thread uses the address of an element.
static NAMES: [u64; THREADS + 1] = [0; THREADS + 1];

fn name(thread: usize) -> Owner {
    Owner::from_address(&NAMES[thread])
}

/// The names of a signaller that holds no waiter's mutex.
const NOT_HELD: [Owner; 2] = [Owner::NOBODY; 2];

/// What a signaller says to who shows this.
fn reply_to(note: Note) -> Reply {
    Reply { at: note.since + 1, lane: note.lane, stack: 3 }
}

/// A note of whether anybody has been shown it, while its thread waits.
fn note(shown: &Guarded<bool>) -> Note {
    // Others show something else.
    let address = core::ptr::from_ref(shown);
    Note { address: address.cast(), since: address.addr() as u64, lane: address.addr() as u32 }
}

/// What a signaller does with it.
fn told(note: Note) -> Reply {
    // SAFETY: null, or from `note`, of a thread that waits.
    if let Some(shown) = unsafe { note.address.cast::<Guarded<bool>>().as_ref() } {
        shown.set(true);
    }
    reply_to(note)
}

/// Something that only a lock makes safe to share.
struct Guarded<T>(UnsafeCell<T>);

// SAFETY: the tests use it under the lock that they test.
unsafe impl<T> Sync for Guarded<T> {}

impl<T: Copy> Guarded<T> {
    fn get(&self) -> T {
        // SAFETY: the lock under test is held for reading or writing.
        unsafe { *self.0.get() }
    }

    fn set(&self, value: T) {
        // SAFETY: the lock under test is held for writing.
        unsafe { *self.0.get() = value }
    }
}

fn run(count: usize, body: impl Fn(usize) + Sync) {
    thread::scope(|scope| {
        for thread in 0..count {
            let body = &body;
            scope.spawn(move || body(thread));
        }
    });
}

fn lock(mutex: &impl Mutex, owner: Owner) {
    if !mutex.try_lock(owner) {
        mutex.lock_waiting(owner, || (), &|| 0);
    }
}

fn unlock(mutex: &impl Mutex, owner: Owner) -> Result<(), NotOwner> {
    if mutex.try_unlock(owner) { Ok(()) } else { mutex.unlock_contended(owner) }
}

fn read_lock(lock: &impl Rwlock) {
    if !lock.try_read() {
        lock.read_waiting(|| ());
    }
}

fn write_lock(lock: &impl Rwlock, owner: Owner) {
    if !lock.try_write(owner) {
        lock.write_waiting(owner, || ());
    }
}

fn exit(lock: &impl Rwlock, owner: Owner) -> Result<(), NotHeld> {
    if lock.try_exit(owner) { Ok(()) } else { lock.exit_contended(owner) }
}

fn downgrade(lock: &impl Rwlock, owner: Owner) -> Result<(), NotHeld> {
    if lock.try_downgrade(owner) { Ok(()) } else { lock.downgrade_contended(owner) }
}

macro_rules! on_every_backend {
    ($($test:ident)*) => {
        mod native {
            $(#[test]
            fn $test() {
                super::$test::<super::Native>();
            })*
        }
        mod pthread {
            $(#[test]
            fn $test() {
                super::$test::<super::Pthread>();
            })*
        }
    };
}

on_every_backend! {
    mutex_excludes
    mutex_belongs_to_its_owner
    rwlock_excludes_writers_and_shares_readers
    rwlock_knows_how_it_is_held
    rwlock_starves_nobody
    rwlock_lets_in_every_one_that_has_waited_for_long
    downgrading_lets_in_readers_that_came_after_a_writer
    condvar_loses_no_signal
    signalled_under_the_mutex_nobody_is_forgotten
    condvar_counts_signals_exactly
    broadcast_ends_every_wait_and_first_come_is_first_served
    past_deadlines_end_at_once
    far_deadlines_wait_for_the_signal
}

fn mutex_excludes<B: Backend>() {
    let mutex = B::Mutex::new();
    let count = Guarded(UnsafeCell::new(0u64));
    run(THREADS, |thread| {
        let me = name(thread);
        for round in 0..ROUNDS {
            match round % 3 {
                0 => lock(&mutex, me),
                1 => mutex.lock_in_place(me),
                _ if mutex.try_lock(me) => {}
                _ => lock(&mutex, me),
            }
            assert_eq!(mutex.owner(), Some(me));
            count.set(count.get() + 1);
            unlock(&mutex, me).unwrap();
            assert_ne!(mutex.owner(), Some(me));
        }
    });
    assert_eq!(count.get(), THREADS as u64 * ROUNDS);
    assert_eq!(mutex.owner(), None);
}

fn mutex_belongs_to_its_owner<B: Backend>() {
    let mutex = B::Mutex::new();
    assert_eq!(unlock(&mutex, name(0)), Err(NotOwner));
    lock(&mutex, name(0));
    assert!(!mutex.try_lock(name(0)) && !mutex.try_lock(name(1)));
    assert_eq!(unlock(&mutex, name(1)), Err(NotOwner));
    assert_eq!(mutex.owner().map(Owner::address), Some((&raw const NAMES[0]).cast_mut()));
    assert_eq!(unlock(&mutex, name(0)), Ok(()));
    assert!(mutex.try_lock(Owner::NOBODY));
    assert_eq!(mutex.owner(), Some(Owner::NOBODY));
    assert_eq!(unlock(&mutex, Owner::NOBODY), Ok(()));
}

fn rwlock_excludes_writers_and_shares_readers<B: Backend>() {
    let lock = B::Rwlock::new();
    let pair = Guarded(UnsafeCell::new((0u64, 0u64)));
    let upgrades = AtomicU64::new(0);
    let writes = AtomicU64::new(0);
    let write = || {
        let (left, right) = pair.get();
        pair.set((left + 1, right));
        pair.set((left + 1, right + 1));
        writes.fetch_add(1, Ordering::Relaxed);
    };
    let read = || {
        let (left, right) = pair.get();
        assert_eq!(left, right);
        (left, right)
    };
    run(THREADS, |thread| {
        let me = name(thread);
        for round in 0..ROUNDS {
            // Every thread does everything, each in an order of its own.
            match (round + thread as u64 * 7) % 11 {
                0 | 1 => {
                    write_lock(&lock, me);
                    assert!(lock.is_written_by(me) && lock.readers() == 0);
                    write();
                }
                2 => {
                    write_lock(&lock, me);
                    write();
                    let before = pair.get();
                    downgrade(&lock, me).unwrap();
                    assert!(!lock.is_written_by(me) && lock.readers() >= 1);
                    // No writer got in between.
                    assert_eq!(read(), before);
                }
                3 => {
                    read_lock(&lock);
                    let before = read();
                    match lock.try_upgrade(me).unwrap() {
                        Ok(()) => {
                            assert!(lock.is_written_by(me));
                            assert_eq!(pair.get(), before);
                            write();
                            upgrades.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(OtherReaders) => assert_eq!(read(), before),
                    }
                }
                _ => {
                    read_lock(&lock);
                    assert!(lock.readers() >= 1 && !lock.is_written_by(me));
                    read();
                }
            }
            exit(&lock, me).unwrap();
        }
    });
    assert!(lock.is_unused());
    let writes = writes.into_inner();
    assert_eq!(pair.get(), (writes, writes));
    assert!(upgrades.into_inner() > 0);
}

fn rwlock_knows_how_it_is_held<B: Backend>() {
    let lock = B::Rwlock::new();
    let (me, other) = (name(0), name(1));
    assert_eq!(exit(&lock, me), Err(NotHeld));
    assert_eq!(downgrade(&lock, me), Err(NotHeld));
    assert_eq!(lock.try_upgrade(me), Err(NotHeld));
    assert!(lock.try_read() && lock.try_read() && !lock.try_write(me));
    assert_eq!(lock.readers(), 2);
    assert_eq!(lock.try_upgrade(me), Ok(Err(OtherReaders)));
    assert_eq!(exit(&lock, me), Ok(()));
    assert_eq!(lock.try_upgrade(me), Ok(Ok(())));
    assert!(lock.is_written_by(me) && !lock.is_written_by(other) && !lock.try_read());
    assert_eq!((exit(&lock, other), downgrade(&lock, other)), (Err(NotHeld), Err(NotHeld)));
    assert_eq!(downgrade(&lock, me), Ok(()));
    assert!(!lock.is_written_by(me) && lock.readers() == 1);
    assert_eq!(exit(&lock, me), Ok(()));
    assert!(lock.is_unused());
}

/// Readers and writers that never pause must each finish: nobody starves.
fn rwlock_starves_nobody<B: Backend>() {
    let lock = B::Rwlock::new();
    let done = AtomicBool::new(false);
    let goals = AtomicU64::new(0);
    run(6, |thread| {
        let me = name(thread);
        let writer = thread % 2 == 0;
        let mut entered = 0u64;
        while !done.load(Ordering::Relaxed) {
            if writer {
                write_lock(&lock, me);
            } else {
                read_lock(&lock);
            }
            entered += 1;
            exit(&lock, me).unwrap();
            // Go on until all have been in often.
            if entered == 200 && goals.fetch_add(1, Ordering::Relaxed) == 5 {
                done.store(true, Ordering::Relaxed);
            }
        }
        assert!(entered >= 200);
    });
}

/// A reader and a writer have both waited for so long that they have asked for the lock. The reader gets it first, and from
/// then on readers overlap: the writer is not forgotten.
fn rwlock_lets_in_every_one_that_has_waited_for_long<B: Backend>() {
    const LONG: Duration = Duration::from_millis(40);
    const READ: Duration = Duration::from_millis(3);
    for downgrades in [false, true] {
        let lock = B::Rwlock::new();
        let (given, written) = (AtomicBool::new(false), AtomicBool::new(false));
        let since = Instant::now();
        let is_late = || since.elapsed() > Duration::from_secs(10);
        let is_over = || written.load(Ordering::Relaxed) || is_late();
        let read_all_the_time = |me: Owner| {
            while !is_over() {
                read_lock(&lock);
                thread::sleep(READ);
                exit(&lock, me).unwrap();
            }
        };
        write_lock(&lock, name(0));
        thread::scope(|scope| {
            let (lock, given, written, is_late, read_all_the_time) =
                (&lock, &given, &written, &is_late, &read_all_the_time);
            // Each comes while the one before waits.
            scope.spawn(move || {
                read_lock(lock);
                thread::sleep(READ);
                exit(lock, name(1)).unwrap();
                read_all_the_time(name(1));
            });
            thread::sleep(LONG);
            scope.spawn(move || {
                write_lock(lock, name(2));
                // Later, when nobody reads any more, is not what is asked for.
                written.store(!is_late(), Ordering::Relaxed);
                exit(lock, name(2)).unwrap();
            });
            thread::sleep(LONG);
            for reader in 3..6 {
                scope.spawn(move || {
                    while !given.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                    // Not all at once: there is always one.
                    thread::sleep(READ / 3 * (reader - 3));
                    read_all_the_time(name(reader as usize));
                });
            }
            if downgrades {
                downgrade(lock, name(0)).unwrap();
                given.store(true, Ordering::Relaxed);
                thread::sleep(READ);
            } else {
                given.store(true, Ordering::Relaxed);
            }
            exit(lock, name(0)).unwrap();
        });
        assert!(written.load(Ordering::Relaxed), "the writer starved (downgrades: {downgrades})");
    }
}

/// The writer waits for both readers; the second one waits for nobody.
fn downgrading_lets_in_readers_that_came_after_a_writer<B: Backend>() {
    // Long enough to fall asleep, short of what makes the lock refuse newcomers.
    const MOMENT: Duration = Duration::from_millis(2);
    let is_read = |_| {
        let (lock, reads) = (B::Rwlock::new(), AtomicBool::new(false));
        write_lock(&lock, name(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                write_lock(&lock, name(1));
                exit(&lock, name(1)).unwrap();
            });
            thread::sleep(MOMENT);
            scope.spawn(|| {
                read_lock(&lock);
                reads.store(true, Ordering::Relaxed);
                exit(&lock, name(2)).unwrap();
            });
            thread::sleep(MOMENT);
            let downgraded = Instant::now();
            downgrade(&lock, name(0)).unwrap();
            while !reads.load(Ordering::Relaxed) && downgraded.elapsed() < 2 * MOMENT {
                thread::yield_now();
            }
            let is_read = reads.load(Ordering::Relaxed);
            exit(&lock, name(0)).unwrap();
            is_read
        })
    };
    // On a busy host anything may be late, and once in a while the reader comes only when the lock is downgraded.
    assert!((0..100).filter(|round| is_read(*round)).take(10).count() == 10);
}

/// Threads hand a token round in a ring; every wait needs its signal.
fn condvar_loses_no_signal<B: Backend>() {
    const RING: usize = 4;
    let mutex = B::Mutex::new();
    let conditions: [B::Condvar; RING] = std::array::from_fn(|_| B::Condvar::new());
    let turn = Guarded(UnsafeCell::new(0usize));
    run(RING, |thread| {
        let me = name(thread);
        for _ in 0..ROUNDS / 4 {
            lock(&mutex, me);
            while turn.get() != thread {
                let Waited { outcome, .. } =
                    conditions[thread].wait(None, None, Note::NONE, || unlock(&mutex, me).unwrap());
                assert_eq!(outcome, Outcome::Signalled);
                lock(&mutex, me);
                // One waiter, no wake-up without a signal.
                assert_eq!(turn.get(), thread);
            }
            let next = (thread + 1) % RING;
            turn.set(next);
            conditions[next].signal(NOT_HELD, told);
            unlock(&mutex, me).unwrap();
        }
    });
    for condition in &conditions {
        assert_eq!(condition.retire(), Ok(()));
    }
}

/// The same with one condition variable for all, signalled under their mutex, and every tenth time a broadcast.
fn signalled_under_the_mutex_nobody_is_forgotten<B: Backend>() {
    const RING: usize = 6;
    let mutex = B::Mutex::new();
    let condition = B::Condvar::new();
    let turn = Guarded(UnsafeCell::new(0usize));
    run(RING, |thread| {
        let me = name(thread);
        for round in 0..ROUNDS / 10 {
            lock(&mutex, me);
            while turn.get() != thread {
                let Waited { outcome, .. } =
                    condition.wait(Some(Home::next(&mutex)), None, Note::NONE, || unlock(&mutex, me).unwrap());
                lock(&mutex, me);
                if outcome == Outcome::Handed {
                    // SAFETY: locked above.
                    unsafe { mutex.arrive() };
                }
                if turn.get() != thread {
                    // A signal meant for another: pass it on.
                    condition.signal([me; 2], |_| Reply::NONE);
                }
            }
            turn.set((thread + 1) % RING);
            if round % 10 == 0 {
                condition.broadcast([me; 2], |_| Reply::NONE);
            } else {
                condition.signal([me; 2], |_| Reply::NONE);
            }
            unlock(&mutex, me).unwrap();
        }
    });
    assert_eq!(condition.retire(), Ok(()));
}

/// Signals and deadlines meet: a wait that a signal ended says so, and each signal ends exactly one.
fn condvar_counts_signals_exactly<B: Backend>() {
    let mutex = B::Mutex::new();
    let condition = B::Condvar::new();
    let signalled = AtomicU64::new(0);
    let ended = AtomicU64::new(0);
    let given = AtomicU64::new(0);
    run(THREADS + 1, |thread| {
        let me = name(thread);
        if thread == THREADS {
            while ended.load(Ordering::Acquire) < THREADS as u64 {
                lock(&mutex, me);
                // Somebody waits and nobody stops waiting for anything but a signal or its deadline.
                let before = condition.waiters();
                condition.signal(NOT_HELD, told);
                if before > condition.waiters() {
                    given.fetch_add(1, Ordering::Relaxed);
                }
                unlock(&mutex, me).unwrap();
                thread::yield_now();
            }
        } else {
            for round in 0..2_000 {
                lock(&mutex, me);
                let deadline = Deadline::after(0, round % 7 * 10_000);
                let noted = Guarded(UnsafeCell::new(false));
                let release = || unlock(&mutex, me).unwrap();
                let Waited { outcome, reply, .. } = condition.wait(None, Some(&deadline), note(&noted), release);
                assert_eq!(noted.get(), outcome == Outcome::Signalled, "only a signal shows the note to anybody");
                assert_eq!(reply, if noted.get() { reply_to(note(&noted)) } else { Reply::NONE });
                if outcome == Outcome::Signalled {
                    signalled.fetch_add(1, Ordering::Relaxed);
                }
            }
            ended.fetch_add(1, Ordering::Release);
        }
    });
    assert!(signalled.load(Ordering::Relaxed) > 0);
    assert_eq!(condition.waiters(), 0);
    assert_eq!(condition.retire(), Ok(()));
    // `given` may count a deadline that fell between its two looks at the number of waiters.
    assert!(given.into_inner() >= signalled.into_inner());
}

fn broadcast_ends_every_wait_and_first_come_is_first_served<B: Backend>() {
    let mutex = B::Mutex::new();
    let condition = B::Condvar::new();
    let order = std::sync::Mutex::new(Vec::new());
    let waiting = |count| {
        while condition.waiters() != count {
            thread::yield_now();
        }
    };
    thread::scope(|scope| {
        for thread in 0..5 {
            let (mutex, condition, order) = (&mutex, &condition, &order);
            scope.spawn(move || {
                lock(mutex, name(thread));
                let noted = Guarded(UnsafeCell::new(false));
                let Waited { reply, .. } =
                    condition.wait(None, None, note(&noted), || unlock(mutex, name(thread)).unwrap());
                assert!(noted.get(), "who signals is shown the note first");
                assert_eq!(reply, reply_to(note(&noted)));
                order.lock().unwrap().push(thread);
            });
            waiting(thread as u32 + 1);
        }
        for served in 1..=2 {
            condition.signal(NOT_HELD, told);
            assert_eq!(condition.waiters(), 5 - served);
            while order.lock().unwrap().len() != served as usize {
                thread::yield_now();
            }
        }
        assert!(condition.retire().is_err());
        condition.broadcast(NOT_HELD, told);
        assert_eq!(condition.waiters(), 0);
    });
    let order = order.into_inner().unwrap();
    assert_eq!(order[..2], [0, 1]);
    assert_eq!(order.len(), 5);
}

fn past_deadlines_end_at_once<B: Backend>() {
    let condition = B::Condvar::new();
    for (seconds, nanoseconds) in [(0, 0), (-1, 0), (0, -1), (i64::MIN, i64::MIN), (1, -1_000_000_000)] {
        let deadline = Deadline::after(seconds, nanoseconds);
        assert_eq!(condition.wait(None, Some(&deadline), Note::NONE, || ()).outcome, Outcome::TimedOut);
    }
    assert_eq!(condition.waiters(), 0);
}

fn far_deadlines_wait_for_the_signal<B: Backend>() {
    let condition = B::Condvar::new();
    for (seconds, nanoseconds) in [(i64::MAX, i64::MAX), (1 << 40, 0), (0, i64::MAX)] {
        thread::scope(|scope| {
            scope.spawn(|| {
                let deadline = Deadline::after(seconds, nanoseconds);
                assert_eq!(condition.wait(None, Some(&deadline), Note::NONE, || ()).outcome, Outcome::Signalled);
            });
            while condition.waiters() == 0 {
                thread::yield_now();
            }
            condition.signal(NOT_HELD, told);
        });
    }
}
