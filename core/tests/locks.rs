//! The locks under real threads, more of them than processors.
#![cfg(not(loom))]

use rumpuser::host::sync::{Condvar, Deadline, Mutex, NotHeld, NotOwner, OtherReaders, Outcome, Owner, Rwlock};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

const THREADS: usize = 8;
const ROUNDS: u64 = 20_000;

/// Names for owners: each thread uses the address of an element.
static NAMES: [u64; THREADS + 1] = [0; THREADS + 1];

fn name(thread: usize) -> Owner {
    Owner::from_address(&NAMES[thread])
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

#[test]
fn mutex_excludes() {
    let mutex = Mutex::new();
    let count = Guarded(UnsafeCell::new(0u64));
    run(THREADS, |thread| {
        let me = name(thread);
        for round in 0..ROUNDS {
            match round % 3 {
                0 => mutex.lock(me),
                1 if mutex.try_lock_spinning(me) => {}
                _ if mutex.try_lock(me) => {}
                _ => mutex.lock(me),
            }
            assert_eq!(mutex.owner(), Some(me));
            count.set(count.get() + 1);
            mutex.unlock(me).unwrap();
            assert_ne!(mutex.owner(), Some(me));
        }
    });
    assert_eq!(count.get(), THREADS as u64 * ROUNDS);
    assert_eq!(mutex.owner(), None);
}

#[test]
fn mutex_belongs_to_its_owner() {
    let mutex = Mutex::new();
    assert_eq!(mutex.unlock(name(0)), Err(NotOwner));
    mutex.lock(name(0));
    assert!(!mutex.try_lock(name(0)) && !mutex.try_lock(name(1)));
    assert_eq!(mutex.unlock(name(1)), Err(NotOwner));
    assert_eq!(mutex.owner().map(Owner::address), Some((&raw const NAMES[0]).cast_mut()));
    assert_eq!(mutex.unlock(name(0)), Ok(()));
    assert!(mutex.try_lock(Owner::NOBODY));
    assert_eq!(mutex.owner(), Some(Owner::NOBODY));
    assert_eq!(mutex.unlock(Owner::NOBODY), Ok(()));
}

#[test]
fn rwlock_excludes_writers_and_shares_readers() {
    let lock = Rwlock::new();
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
                    if !lock.try_write(me) {
                        lock.write_waiting(me);
                    }
                    assert!(lock.is_written_by(me) && lock.readers() == 0);
                    write();
                }
                2 => {
                    if !lock.try_write(me) {
                        lock.write_waiting(me);
                    }
                    write();
                    let before = pair.get();
                    lock.downgrade(me).unwrap();
                    assert!(!lock.is_written_by(me) && lock.readers() >= 1);
                    // No writer got in between.
                    assert_eq!(read(), before);
                }
                3 => {
                    if !lock.try_read() {
                        lock.read_waiting();
                    }
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
                    if !lock.try_read() {
                        lock.read_waiting();
                    }
                    assert!(lock.readers() >= 1 && !lock.is_written_by(me));
                    read();
                }
            }
            lock.exit(me).unwrap();
        }
    });
    assert!(lock.is_unused());
    let writes = writes.into_inner();
    assert_eq!(pair.get(), (writes, writes));
    assert!(upgrades.into_inner() > 0);
}

#[test]
fn rwlock_knows_how_it_is_held() {
    let lock = Rwlock::new();
    let (me, other) = (name(0), name(1));
    assert_eq!(lock.exit(me), Err(NotHeld));
    assert_eq!(lock.downgrade(me), Err(NotHeld));
    assert_eq!(lock.try_upgrade(me), Err(NotHeld));
    assert!(lock.try_read() && lock.try_read() && !lock.try_write(me));
    assert_eq!(lock.readers(), 2);
    assert_eq!(lock.try_upgrade(me), Ok(Err(OtherReaders)));
    assert_eq!(lock.exit(me), Ok(()));
    assert_eq!(lock.try_upgrade(me), Ok(Ok(())));
    assert!(lock.is_written_by(me) && !lock.is_written_by(other) && !lock.try_read());
    assert_eq!((lock.exit(other), lock.downgrade(other)), (Err(NotHeld), Err(NotHeld)));
    assert_eq!(lock.downgrade(me), Ok(()));
    assert!(!lock.is_written_by(me) && lock.readers() == 1);
    assert_eq!(lock.exit(me), Ok(()));
    assert!(lock.is_unused());
}

/// Readers and writers that never pause must each finish: nobody starves.
#[test]
fn rwlock_starves_nobody() {
    let lock = Rwlock::new();
    let done = AtomicBool::new(false);
    let goals = AtomicU64::new(0);
    run(6, |thread| {
        let me = name(thread);
        let writer = thread % 2 == 0;
        let mut entered = 0u64;
        while !done.load(Ordering::Relaxed) {
            if writer {
                if !lock.try_write(me) {
                    lock.write_waiting(me);
                }
            } else if !lock.try_read() {
                lock.read_waiting();
            }
            entered += 1;
            lock.exit(me).unwrap();
            // Go on until all have been in often.
            if entered == 200 && goals.fetch_add(1, Ordering::Relaxed) == 5 {
                done.store(true, Ordering::Relaxed);
            }
        }
        assert!(entered >= 200);
    });
}

/// Threads hand a token round in a ring; every wait needs its signal.
#[test]
fn condvar_loses_no_signal() {
    const RING: usize = 4;
    let mutex = Mutex::new();
    let conditions: [Condvar; RING] = std::array::from_fn(|_| Condvar::new());
    let turn = Guarded(UnsafeCell::new(0usize));
    run(RING, |thread| {
        let me = name(thread);
        for _ in 0..ROUNDS / 4 {
            mutex.lock(me);
            while turn.get() != thread {
                let (outcome, _) = conditions[thread].wait(None, || mutex.unlock(me).unwrap());
                assert_eq!(outcome, Outcome::Signalled);
                mutex.lock(me);
                // One waiter, no wake-up without a signal.
                assert_eq!(turn.get(), thread);
            }
            let next = (thread + 1) % RING;
            turn.set(next);
            conditions[next].signal();
            mutex.unlock(me).unwrap();
        }
    });
    for condition in &conditions {
        assert_eq!(condition.retire(), Ok(()));
    }
}

/// Signals and deadlines meet: a wait that a signal ended says so, and each signal ends exactly one.
#[test]
fn condvar_counts_signals_exactly() {
    let mutex = Mutex::new();
    let condition = Condvar::new();
    let signalled = AtomicU64::new(0);
    let ended = AtomicU64::new(0);
    let given = AtomicU64::new(0);
    run(THREADS + 1, |thread| {
        let me = name(thread);
        if thread == THREADS {
            while ended.load(Ordering::Acquire) < THREADS as u64 {
                mutex.lock(me);
                // Somebody waits and nobody stops waiting for anything but a signal or its deadline.
                let before = condition.waiters();
                condition.signal();
                if before > condition.waiters() {
                    given.fetch_add(1, Ordering::Relaxed);
                }
                mutex.unlock(me).unwrap();
                thread::yield_now();
            }
        } else {
            for round in 0..2_000 {
                mutex.lock(me);
                let deadline = Deadline::after(0, round % 7 * 10_000);
                if condition.wait(Some(&deadline), || mutex.unlock(me).unwrap()).0 == Outcome::Signalled {
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

#[test]
fn broadcast_ends_every_wait_and_first_come_is_first_served() {
    let mutex = Mutex::new();
    let condition = Condvar::new();
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
                mutex.lock(name(thread));
                condition.wait(None, || mutex.unlock(name(thread)).unwrap());
                order.lock().unwrap().push(thread);
            });
            waiting(thread as u32 + 1);
        }
        for served in 1..=2 {
            condition.signal();
            assert_eq!(condition.waiters(), 5 - served);
            while order.lock().unwrap().len() != served as usize {
                thread::yield_now();
            }
        }
        assert!(condition.retire().is_err());
        condition.broadcast();
        assert_eq!(condition.waiters(), 0);
    });
    let order = order.into_inner().unwrap();
    assert_eq!(order[..2], [0, 1]);
    assert_eq!(order.len(), 5);
}

#[test]
fn past_deadlines_end_at_once() {
    let condition = Condvar::new();
    for (seconds, nanoseconds) in [(0, 0), (-1, 0), (0, -1), (i64::MIN, i64::MIN), (1, -1_000_000_000)] {
        let deadline = Deadline::after(seconds, nanoseconds);
        assert_eq!(condition.wait(Some(&deadline), || ()).0, Outcome::TimedOut);
    }
    assert_eq!(condition.waiters(), 0);
}

#[test]
fn far_deadlines_wait_for_the_signal() {
    let condition = Condvar::new();
    for (seconds, nanoseconds) in [(i64::MAX, i64::MAX), (1 << 40, 0), (0, i64::MAX)] {
        thread::scope(|scope| {
            scope.spawn(|| {
                let deadline = Deadline::after(seconds, nanoseconds);
                assert_eq!(condition.wait(Some(&deadline), || ()).0, Outcome::Signalled);
            });
            while condition.waiters() == 0 {
                thread::yield_now();
            }
            condition.signal();
        });
    }
}
