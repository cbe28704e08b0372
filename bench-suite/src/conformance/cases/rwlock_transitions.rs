//! Reader/writer locks: from reader to writer and back, and whose turn it is.

use crate::conformance::calls::{Mutex, Rwlock, netbsd};
use crate::conformance::case::Family;
use crate::conformance::guest::{Event, GuestThread};
use rumpuser::abi::types::mutex::KMUTEX;
use rumpuser::abi::types::rw::{READER, WRITER};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub(super) fn cases(family: &mut Family<'_>) {
    upgrading(family);
    downgrading(family);
    fairness(family);
}

fn upgrading(family: &mut Family<'_>) {
    const WEAKNESS: &str = "tryupgrade always returns EBUSY";
    family
        .case("tryupgrade_of_the_only_reader", "the only reader becomes the writer, at once", |guest| {
            let lock = Rwlock::new();
            lock.enter(READER);
            assert_eq!(guest.stays_on_cpu(|| lock.try_upgrade()), Ok(()));
            assert!(lock.held(WRITER));
            guest.spawn(move || assert_eq!(lock.try_enter(READER), Err(netbsd::EBUSY))).join();
            lock.exit();
            assert_eq!(lock.try_enter(WRITER), Ok(()), "after the exit");
        })
        .weakness(WEAKNESS);
    family.case(
        "tryupgrade_among_readers_is_busy",
        "with another reader inside, tryupgrade returns EBUSY, and the caller is still a reader",
        |guest| {
            let lock = Rwlock::new();
            lock.enter(READER);
            let other = guest.spawn(move || {
                lock.enter(READER);
                guest.mark("inside");
                guest.trace.wait_for(Event::Mark("asked"), 1);
                lock.exit();
            });
            guest.trace.wait_for(Event::Mark("inside"), 1);
            assert_eq!(guest.stays_on_cpu(|| lock.try_upgrade()), Err(netbsd::EBUSY));
            assert!(lock.held(READER) && !lock.held(WRITER));
            guest.mark("asked");
            other.join();
            assert_eq!(lock.try_enter(WRITER), Err(netbsd::EBUSY), "the caller is still inside");
            lock.exit();
        },
    );
    family
        .case(
            "tryupgrade_after_the_others_left",
            "it succeeds as soon as the caller is the only reader again",
            |guest| {
                let lock = Rwlock::new();
                lock.enter(READER);
                guest
                    .spawn(move || {
                        lock.enter(READER);
                        lock.exit();
                    })
                    .join();
                assert_eq!(lock.try_upgrade(), Ok(()));
                lock.exit();
            },
        )
        .weakness(WEAKNESS);
    family
        .case(
            "tryupgrade_until_it_works",
            "a reader that asks again and again does not keep the other one from leaving",
            |guest| {
                guest.trace.silence();
                let (lock, taken) = (Rwlock::new(), Mutex::new(KMUTEX));
                taken.enter();
                let inside = Arc::new(AtomicUsize::new(0));
                // Asks for what it does not get, as long as there are so many inside.
                let while_there_are = move |count, inside: &AtomicUsize| {
                    while inside.load(Ordering::Relaxed) == count {
                        assert!(taken.try_enter().is_err());
                    }
                };
                let others = Arc::clone(&inside);
                let other = guest.spawn(move || {
                    lock.enter(READER);
                    others.store(1, Ordering::Relaxed);
                    while_there_are(1, &others);
                    lock.exit();
                });
                let asks = guest.spawn(move || {
                    while_there_are(0, &inside);
                    lock.enter(READER);
                    inside.store(2, Ordering::Relaxed);
                    let since = Instant::now();
                    while lock.try_upgrade().is_err() {
                        assert!(since.elapsed() < Duration::from_secs(10), "the other one is inside still");
                    }
                    lock.exit();
                });
                guest.aside(|| [other, asks].into_iter().for_each(GuestThread::join));
                taken.exit();
            },
        )
        .weakness(WEAKNESS);
    family.case(
        "tryupgrade_never_lets_two_through",
        "of two readers that try to upgrade and back off, never both are writers",
        |guest| {
            guest.trace.silence();
            let lock = Rwlock::new();
            let writers = Arc::new(AtomicUsize::new(0));
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    let writers = Arc::clone(&writers);
                    guest.spawn(move || {
                        for _ in 0..2000 {
                            lock.enter(READER);
                            if lock.try_upgrade().is_ok() {
                                assert_eq!(writers.fetch_add(1, Ordering::Relaxed), 0, "two writers");
                                writers.fetch_sub(1, Ordering::Relaxed);
                            } else {
                                assert_eq!(writers.load(Ordering::Relaxed), 0, "a writer beside a reader");
                            }
                            lock.exit();
                        }
                    })
                })
                .collect();
            guest.aside(|| threads.into_iter().for_each(GuestThread::join));
        },
    );
}

fn downgrading(family: &mut Family<'_>) {
    family.case(
        "downgrade_makes_a_reader",
        "after downgrade the caller is a reader, and other readers may enter",
        |guest| {
            let lock = Rwlock::new();
            lock.enter(WRITER);
            lock.downgrade();
            assert!(lock.held(READER) && !lock.held(WRITER));
            guest
                .spawn(move || {
                    assert_eq!(lock.try_enter(WRITER), Err(netbsd::EBUSY));
                    assert_eq!(lock.try_enter(READER), Ok(()));
                    lock.exit();
                })
                .join();
            lock.exit();
            assert_eq!(lock.try_enter(WRITER), Ok(()), "after the exit");
        },
    );
    family
        .case("downgrade_stays_on_cpu", "downgrade has nothing to wait for and keeps the virtual CPU", |guest| {
            let lock = Rwlock::new();
            lock.enter(WRITER);
            guest.stays_on_cpu(|| lock.downgrade());
            lock.exit();
        })
        .weakness("downgrade unlocks and locks again, off the virtual CPU");
    family.case("downgrade_lets_waiting_readers_in", "readers that wait enter when the writer downgrades", |guest| {
        let lock = Rwlock::new();
        lock.enter(WRITER);
        let readers: Vec<_> = (0..2)
            .map(|_| {
                guest.spawn(move || {
                    lock.enter(READER);
                    guest.mark("inside");
                    guest.trace.wait_for(Event::Mark("both seen"), 1);
                    lock.exit();
                })
            })
            .collect();
        readers.iter().for_each(GuestThread::wait_off_cpu);
        lock.downgrade();
        guest.trace.wait_for(Event::Mark("inside"), 2);
        guest.mark("both seen");
        readers.into_iter().for_each(GuestThread::join);
        lock.exit();
    });
    family.case(
        "downgrade_lets_no_writer_in",
        "a waiting writer enters only when the caller exits as a reader",
        |guest| {
            let lock = Rwlock::new();
            lock.enter(WRITER);
            let writer = guest.spawn(move || {
                lock.enter(WRITER);
                guest.mark("inside");
                lock.exit();
            });
            writer.wait_off_cpu();
            lock.downgrade();
            writer.settle();
            guest.mark("exits");
            lock.exit();
            writer.join();
            guest.trace.assert_order("exits", "inside");
        },
    );
    family.case(
        "downgrade_keeps_what_was_written",
        "what a writer wrote is unchanged when downgrade returns, however many writers compete",
        |guest| {
            guest.trace.silence();
            let lock = Rwlock::new();
            let value = Arc::new(AtomicUsize::new(0));
            let threads: Vec<_> = (1..4)
                .map(|number| {
                    let value = Arc::clone(&value);
                    guest.spawn(move || {
                        for _ in 0..300 {
                            lock.enter(WRITER);
                            value.store(number, Ordering::Relaxed);
                            lock.downgrade();
                            assert_eq!(value.load(Ordering::Relaxed), number, "a writer got in");
                            lock.exit();
                        }
                    })
                })
                .collect();
            guest.aside(|| threads.into_iter().for_each(GuestThread::join));
        },
    );
}

fn fairness(family: &mut Family<'_>) {
    family
        .case(
            "readers_do_not_starve_a_writer",
            "a writer gets in although readers come and go without a gap",
            |guest| {
                guest.trace.silence();
                let lock = Rwlock::new();
                let (entries, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
                let readers: Vec<_> = (0..3)
                    .map(|_| {
                        let (entries, over) = (Arc::clone(&entries), Arc::clone(&over));
                        guest.spawn(move || {
                            while !over.load(Ordering::Relaxed) {
                                lock.enter(READER);
                                let entry = entries.fetch_add(1, Ordering::Relaxed) + 1;
                                // Stay until the next reader is inside, so that the lock is never free; but not for ever:
                                // a fair lock keeps readers out while a writer waits.
                                let entered = Instant::now();
                                while entries.load(Ordering::Relaxed) == entry
                                    && entered.elapsed() < Duration::from_millis(50)
                                {
                                    std::thread::yield_now();
                                }
                                lock.exit();
                            }
                        })
                    })
                    .collect();
                for _ in 0..10 {
                    // A starved writer waits here until the runner loses its patience.
                    lock.enter(WRITER);
                    lock.exit();
                }
                over.store(true, Ordering::Relaxed);
                guest.aside(|| readers.into_iter().for_each(GuestThread::join));
            },
        )
        .weakness("the host's lock prefers readers");
    family.case("writers_do_not_starve_a_reader", "a reader gets in although writers come and go", |guest| {
        guest.trace.silence();
        let lock = Rwlock::new();
        let over = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..2)
            .map(|_| {
                let over = Arc::clone(&over);
                guest.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        lock.enter(WRITER);
                        lock.exit();
                    }
                })
            })
            .collect();
        for _ in 0..20 {
            lock.enter(READER);
            lock.exit();
        }
        over.store(true, Ordering::Relaxed);
        guest.aside(|| writers.into_iter().for_each(GuestThread::join));
    });
}
