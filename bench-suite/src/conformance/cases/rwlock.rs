//! Reader/writer locks: who may be inside, and who waits.

use crate::conformance::calls::{Rwlock, netbsd};
use crate::conformance::case::Family;
use crate::conformance::guest::{Event, Guest, GuestThread, Signal};
use libc::c_int;
use rumpuser::abi::types::rw::{READER, WRITER};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const NAMES: [&str; 2] = ["reader", "writer"];

fn name(how: c_int) -> &'static str {
    NAMES[usize::from(how == WRITER)]
}

pub(super) fn cases(family: &mut Family<'_>) {
    entering(family);
    waiting(family);
    held(family);
}

fn entering(family: &mut Family<'_>) {
    for how in [READER, WRITER] {
        family.case(
            format!("{}_uncontended_stays_on_cpu", name(how)),
            "enter, exit and tryenter of a free lock keep the virtual CPU",
            move |guest| {
                let lock = Rwlock::new();
                guest.stays_on_cpu(|| {
                    for _ in 0..1000 {
                        lock.enter(how);
                        lock.exit();
                        assert_eq!(lock.try_enter(how), Ok(()));
                        lock.exit();
                    }
                });
                lock.destroy();
            },
        );
        for holder in [READER, WRITER] {
            let shares = holder == READER && how == READER;
            family.case(
                format!("tryenter_{}_of_a_{}s", name(how), name(holder)),
                format!(
                    "tryenter as {} returns {} while another thread is inside as {}",
                    name(how),
                    if shares { "0" } else { "EBUSY" },
                    name(holder)
                ),
                move |guest| {
                    let lock = Rwlock::new();
                    lock.enter(holder);
                    guest
                        .spawn(move || {
                            let outcome = guest.stays_on_cpu(|| lock.try_enter(how));
                            assert_eq!(outcome, if shares { Ok(()) } else { Err(netbsd::EBUSY) });
                            if outcome.is_ok() {
                                lock.exit();
                            }
                        })
                        .join();
                    lock.exit();
                    assert_eq!(lock.try_enter(WRITER), Ok(()), "all are out");
                    lock.exit();
                },
            );
        }
    }
    family.case("tryenter_of_nonsense_is_an_error", "tryenter neither as reader nor as writer is refused", |_| {
        let lock = Rwlock::new();
        assert_ne!(lock.try_enter(7), Ok(()));
        assert_eq!(lock.try_enter(WRITER), Ok(()), "and the lock is free");
    });
    family.case("readers_share", "eight readers are inside at the same time, none leaves its virtual CPU", |guest| {
        let lock = Rwlock::new();
        let readers: Vec<_> = (0..8)
            .map(|_| {
                guest.spawn(move || {
                    guest.stays_on_cpu(|| lock.enter(READER));
                    guest.mark("inside");
                    guest.trace.wait_for(Event::Mark("inside"), 8);
                    lock.exit();
                })
            })
            .collect();
        readers.into_iter().for_each(|reader| reader.join());
        assert_eq!(lock.try_enter(WRITER), Ok(()));
    });
    family.case("excludes", "writers exclude writers and readers; readers see all of a write or nothing", |guest| {
        guest.trace.silence();
        excludes(guest, |lock| {
            lock.enter(WRITER);
            true
        });
    });
    family.case("tryenter_excludes", "the same when the writers use tryenter", |guest| {
        guest.trace.silence();
        excludes(guest, |lock| {
            std::thread::yield_now();
            lock.try_enter(WRITER).is_ok()
        });
    });
    family.case("can_be_destroyed_and_made_again", "destroy ends a free lock; a new one is free", |_| {
        for _ in 0..1000 {
            let lock = Rwlock::new();
            assert_eq!(lock.try_enter(WRITER), Ok(()));
            lock.exit();
            lock.destroy();
        }
    });
}

/// Two writers and two readers of two words that are equal outside the lock.
fn excludes(guest: &'static Guest, enter: fn(Rwlock) -> bool) {
    const TURNS: u64 = 3000;
    let lock = Rwlock::new();
    let words = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    // Relaxed throughout: the lock has to order the accesses, or the words differ.
    let writer = |words: Arc<[AtomicU64; 2]>| {
        move || {
            for _ in 0..TURNS {
                while !enter(lock) {}
                for word in words.iter() {
                    word.store(word.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                }
                lock.exit();
            }
        }
    };
    let reader = |words: Arc<[AtomicU64; 2]>| {
        move || {
            for _ in 0..TURNS {
                lock.enter(READER);
                let first = words[0].load(Ordering::Relaxed);
                assert_eq!(words[1].load(Ordering::Relaxed), first, "a writer is inside");
                lock.exit();
            }
        }
    };
    let threads = [
        guest.spawn(writer(Arc::clone(&words))),
        guest.spawn(reader(Arc::clone(&words))),
        guest.spawn(writer(Arc::clone(&words))),
        guest.spawn(reader(Arc::clone(&words))),
    ];
    guest.aside(|| threads.into_iter().for_each(GuestThread::join));
    assert_eq!(words[0].load(Ordering::Relaxed), 2 * TURNS, "no write was lost");
}

fn waiting(family: &mut Family<'_>) {
    for (holder, how) in [(WRITER, READER), (READER, WRITER), (WRITER, WRITER)] {
        family.case(
            format!("{}_waits_for_a_{}", name(how), name(holder)),
            "enter of a lock that is taken gives up the virtual CPU once, without interlock, until the lock is free",
            move |guest| {
                let lock = Rwlock::new();
                lock.enter(holder);
                let waiter = guest.spawn(move || {
                    guest.gives_up_cpu(|| lock.enter(how));
                    guest.mark("inside");
                    lock.exit();
                });
                waiter.wait_off_cpu();
                waiter.settle();
                guest.mark("exits");
                lock.exit();
                waiter.join();
                guest.trace.assert_order("exits", "inside");
            },
        );
    }
    family.case(
        "waiter_leaves_the_cpu_to_others",
        "with one virtual CPU, the holder of a lock can get on while another thread waits for it",
        |guest| {
            guest.limit_cpus(1);
            let lock = Rwlock::new();
            lock.enter(WRITER);
            let waiter = guest.spawn(move || {
                lock.enter(READER);
                lock.exit();
            });
            guest.aside(|| waiter.wait_off_cpu());
            lock.exit();
            guest.aside(|| waiter.join());
        },
    );
    family.case("all_waiting_readers_enter", "when a writer exits, all waiting readers are inside together", |guest| {
        let lock = Rwlock::new();
        lock.enter(WRITER);
        let readers: Vec<_> = (0..8)
            .map(|_| {
                guest.spawn(move || {
                    guest.gives_up_cpu(|| lock.enter(READER));
                    guest.mark("inside");
                    guest.trace.wait_for(Event::Mark("inside"), 8);
                    lock.exit();
                })
            })
            .collect();
        readers.iter().for_each(GuestThread::wait_off_cpu);
        lock.exit();
        readers.into_iter().for_each(GuestThread::join);
    });
    family.case("all_waiting_writers_enter", "eight waiting writers get the lock one after the other", |guest| {
        let lock = Rwlock::new();
        lock.enter(READER);
        let inside = Arc::new(AtomicUsize::new(0));
        let writers: Vec<_> = (0..8)
            .map(|_| {
                let inside = Arc::clone(&inside);
                guest.spawn(move || {
                    guest.gives_up_cpu(|| lock.enter(WRITER));
                    assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0, "another writer is inside");
                    inside.fetch_sub(1, Ordering::Relaxed);
                    lock.exit();
                })
            })
            .collect();
        writers.iter().for_each(GuestThread::wait_off_cpu);
        lock.exit();
        writers.into_iter().for_each(GuestThread::join);
    });
    for how in [READER, WRITER] {
        family.case(
            format!("waiting_{}_outlasts_signals", name(how)),
            "a thread that waits for a lock goes on waiting when signals arrive",
            move |guest| {
                let signal = Signal::prepare();
                let lock = Rwlock::new();
                lock.enter(WRITER);
                let waiter = guest.spawn(move || {
                    guest.gives_up_cpu(|| lock.enter(how));
                    guest.mark("inside");
                    lock.exit();
                });
                waiter.wait_off_cpu();
                waiter.interrupt(signal, 20);
                guest.mark("exits");
                lock.exit();
                waiter.join();
                guest.trace.assert_order("exits", "inside");
            },
        );
    }
}

fn held(family: &mut Family<'_>) {
    for how in [READER, WRITER] {
        family.case(
            format!("free_is_not_held_by_a_{}", name(how)),
            "a free lock is not held, before and after somebody was inside",
            move |guest| {
                let lock = Rwlock::new();
                assert!(!guest.stays_on_cpu(|| lock.held(how)));
                lock.enter(how);
                lock.exit();
                assert!(!lock.held(how));
            },
        );
        family.case(
            format!("{}_holds_it", name(how)),
            "held answers yes to who is inside in this way, and no to the other question",
            move |_| {
                let lock = Rwlock::new();
                lock.enter(how);
                assert!(lock.held(how));
                assert!(!lock.held(READER + WRITER - how), "held in the other way");
                lock.exit();
            },
        );
        family.case(
            format!("{}_holds_it_after_tryenter", name(how)),
            "a successful tryenter counts as being inside",
            move |_| {
                let lock = Rwlock::new();
                assert_eq!(lock.try_enter(how), Ok(()));
                assert!(lock.held(how));
                lock.exit();
                assert!(!lock.held(how));
            },
        );
    }
    family.case(
        "writer_is_one_thread",
        "a lock that another thread holds as writer is not held by the caller",
        |guest| {
            let lock = Rwlock::new();
            lock.enter(WRITER);
            guest.spawn(move || assert!(!lock.held(WRITER))).join();
            assert!(lock.held(WRITER));
            lock.exit();
        },
    );
    family.case("reader_holds_it_among_others", "it is held by readers until the last of them exits", |guest| {
        let lock = Rwlock::new();
        lock.enter(READER);
        guest
            .spawn(move || {
                lock.enter(READER);
                assert!(lock.held(READER));
                lock.exit();
            })
            .join();
        assert!(lock.held(READER));
        lock.exit();
        assert!(!lock.held(READER));
    });
}
