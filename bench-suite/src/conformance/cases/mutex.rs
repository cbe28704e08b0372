//! Mutexes: exclusion, owners, and who gives up the virtual CPU.

use crate::conformance::calls::{Mutex, netbsd};
use crate::conformance::case::Family;
use crate::conformance::guest::{Event, Guest, Lwp, Signal};
use libc::c_int;
use rumpuser::abi::types::mutex::{KMUTEX, SPIN};
use std::cell::UnsafeCell;
use std::sync::Arc;

/// Every kind of mutex, by its name in the cases.
pub(super) const KINDS: [(&str, c_int); 3] = [("kmutex", KMUTEX), ("spin", SPIN), ("spin_kmutex", SPIN | KMUTEX)];

pub(super) fn cases(family: &mut Family<'_>) {
    for (kind, flags) in KINDS {
        of_every_kind(family, kind, flags);
        if flags & KMUTEX != 0 {
            owners(family, kind, flags);
        }
        if flags & SPIN != 0 {
            spinning(family, kind, flags);
        }
    }
    waiting(family);
}

fn of_every_kind(family: &mut Family<'_>, kind: &str, flags: c_int) {
    family.case(format!("{kind}_tryenter_takes_a_free_mutex"), "tryenter of a free mutex returns 0", move |guest| {
        let mutex = Mutex::new(flags);
        assert_eq!(guest.stays_on_cpu(|| mutex.try_enter()), Ok(()));
        mutex.exit();
    });
    family.case(
        format!("{kind}_tryenter_of_anothers_is_busy"),
        "tryenter of a mutex that another thread holds returns EBUSY and stays on the virtual CPU",
        move |guest| {
            let mutex = Mutex::new(flags);
            mutex.enter();
            let other = guest.spawn(move || assert_eq!(guest.stays_on_cpu(|| mutex.try_enter()), Err(netbsd::EBUSY)));
            other.join();
            mutex.exit();
        },
    );
    family.case(
        format!("{kind}_tryenter_of_ones_own_is_busy"),
        "tryenter of a mutex that the caller holds returns EBUSY: mutexes do not nest",
        move |_| {
            let mutex = Mutex::new(flags);
            mutex.enter();
            assert_eq!(mutex.try_enter(), Err(netbsd::EBUSY));
            mutex.exit();
            assert_eq!(mutex.try_enter(), Ok(()), "once more after the exit");
            mutex.exit();
        },
    );
    family.case(
        format!("{kind}_exit_frees_it_for_others"),
        "after exit another thread's tryenter succeeds",
        move |guest| {
            let mutex = Mutex::new(flags);
            mutex.enter();
            mutex.exit();
            guest
                .spawn(move || {
                    assert_eq!(mutex.try_enter(), Ok(()));
                    mutex.exit();
                })
                .join();
            mutex.enter();
            mutex.exit();
        },
    );
    family.case(
        format!("{kind}_uncontended_stays_on_cpu"),
        "enter, exit and tryenter of a free mutex keep the virtual CPU",
        move |guest| {
            let mutex = Mutex::new(flags);
            guest.stays_on_cpu(|| {
                for _ in 0..1000 {
                    mutex.enter();
                    mutex.exit();
                    assert_eq!(mutex.try_enter(), Ok(()));
                    mutex.exit();
                }
            });
        },
    );
    family.case(
        format!("{kind}_excludes"),
        "of four threads that enter and exit, one at a time is inside, and each sees what the last one wrote",
        move |guest| {
            guest.trace.silence();
            excludes(guest, Mutex::new(flags), Mutex::enter);
        },
    );
    family.case(format!("{kind}_tryenter_excludes"), "the same for threads that use tryenter", move |guest| {
        excludes(guest, Mutex::new(flags), |mutex| {
            while mutex.try_enter().is_err() {
                std::thread::yield_now();
            }
        });
    });
    family.case(
        format!("{kind}_can_be_destroyed_and_made_again"),
        "destroy ends a mutex that nobody holds; a new one is free",
        move |_| {
            for _ in 0..1000 {
                let mutex = Mutex::new(flags);
                mutex.enter();
                mutex.exit();
                mutex.destroy();
            }
        },
    );
    family.case(format!("{kind}_is_independent_of_others"), "entering a mutex does not touch another one", move |_| {
        let mutexes: Vec<_> = (0..100).map(|_| Mutex::new(flags)).collect();
        for mutex in &mutexes {
            assert_eq!(mutex.try_enter(), Ok(()));
        }
        for mutex in mutexes {
            mutex.exit();
            mutex.destroy();
        }
    });
    family
        .case(
            format!("{kind}_spin_p_tells_the_kind"),
            "mutex_spin_p is non-zero for a spin mutex and zero for others, held or not",
            move |guest| {
                let mutex = Mutex::new(flags);
                let is_spin = flags & SPIN != 0;
                assert_eq!(guest.stays_on_cpu(|| mutex.is_spin()), is_spin);
                mutex.enter();
                assert_eq!(mutex.is_spin(), is_spin);
                mutex.exit();
            },
        )
        .weakness("libraries from before 2017 have no mutex_spin_p");
}

/// A counter that is only right if no two threads are inside at a time.
fn excludes(guest: &'static Guest, mutex: Mutex, enter: fn(Mutex)) {
    const THREADS: u64 = 4;
    const TURNS: u64 = 5000;

    struct Counter(UnsafeCell<[u64; 2]>);
    // SAFETY: only touched with the mutex held; that this suffices is what the case tests.
    unsafe impl Sync for Counter {}
    // SAFETY: as above.
    unsafe impl Send for Counter {}

    let counter = Arc::new(Counter(UnsafeCell::new([0; 2])));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let counter = Arc::clone(&counter);
            guest.spawn(move || {
                for _ in 0..TURNS {
                    enter(mutex);
                    let place = counter.0.get();
                    // SAFETY: the mutex is held; volatile, so that a failure of it shows.
                    let [first, second] = unsafe { place.read_volatile() };
                    assert_eq!(first, second, "another thread is inside");
                    // SAFETY: as above.
                    unsafe { place.cast::<u64>().write_volatile(first + 1) };
                    // SAFETY: as above; the second of the two numbers.
                    unsafe { place.cast::<u64>().add(1).write_volatile(second + 1) };
                    mutex.exit();
                }
            })
        })
        .collect();
    guest.aside(|| threads.into_iter().for_each(|thread| thread.join()));
    // SAFETY: all threads have ended.
    assert_eq!(unsafe { counter.0.get().read() }, [THREADS * TURNS; 2]);
}

fn owners(family: &mut Family<'_>, kind: &str, flags: c_int) {
    family.case(format!("{kind}_free_has_no_owner"), "the owner of a free mutex is null", move |guest| {
        let mutex = Mutex::new(flags);
        assert_eq!(guest.stays_on_cpu(|| mutex.owner()), Lwp::NONE);
        mutex.enter();
        mutex.exit();
        assert_eq!(mutex.owner(), Lwp::NONE, "after exit");
    });
    family.case(
        format!("{kind}_owner_is_the_lwp_that_entered"),
        "the owner of a held mutex is the lwp that entered it, for whoever asks",
        move |guest| {
            let mutex = Mutex::new(flags);
            mutex.enter();
            let lwp = guest.lwp();
            assert_eq!(mutex.owner(), lwp);
            guest.spawn(move || assert_eq!(mutex.owner(), lwp)).join();
            mutex.exit();
        },
    );
    family.case(
        format!("{kind}_owner_after_tryenter"),
        "tryenter makes the caller the owner; a tryenter that fails changes nothing",
        move |guest| {
            let mutex = Mutex::new(flags);
            assert_eq!(mutex.try_enter(), Ok(()));
            let lwp = guest.lwp();
            assert_eq!(mutex.owner(), lwp);
            guest.spawn(move || assert_eq!(mutex.try_enter(), Err(netbsd::EBUSY))).join();
            assert_eq!(mutex.owner(), lwp);
            mutex.exit();
        },
    );
    family.case(
        format!("{kind}_owner_follows_each_holder"),
        "each thread that gets a contended mutex is its owner as soon as enter returns",
        move |guest| {
            guest.trace.silence();
            let mutex = Mutex::new(flags);
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    guest.spawn(move || {
                        for _ in 0..500 {
                            mutex.enter();
                            assert_eq!(mutex.owner(), guest.lwp());
                            mutex.exit();
                        }
                    })
                })
                .collect();
            guest.aside(|| threads.into_iter().for_each(|thread| thread.join()));
            assert_eq!(mutex.owner(), Lwp::NONE);
        },
    );
}

fn spinning(family: &mut Family<'_>, kind: &str, flags: c_int) {
    for (how, enter) in [("enter", Mutex::enter as fn(Mutex)), ("enter_nowrap", Mutex::enter_nowrap)] {
        family.case(
            format!("{kind}_contended_{how}_stays_on_cpu"),
            format!("{how} of a held spin mutex waits without giving up the virtual CPU"),
            move |guest| {
                let mutex = Mutex::new(flags);
                mutex.enter();
                let waiter = guest.spawn(move || {
                    guest.mark("waits");
                    // The mark that follows is this thread's only event: no upcall was made.
                    let (start, ()) = (guest.trace.len(), enter(mutex));
                    assert_eq!(guest.trace.of_this_thread(start), []);
                    guest.mark("has it");
                    mutex.exit();
                });
                guest.trace.wait_for(Event::Mark("waits"), 1);
                waiter.settle();
                guest.mark("exits");
                mutex.exit();
                waiter.join();
                guest.trace.assert_order("exits", "has it");
            },
        );
    }
    family.case(
        format!("{kind}_enter_nowrap_takes_a_free_mutex"),
        "enter_nowrap of a free spin mutex takes it",
        move |guest| {
            let mutex = Mutex::new(flags);
            guest.stays_on_cpu(|| mutex.enter_nowrap());
            assert_eq!(mutex.try_enter(), Err(netbsd::EBUSY));
            mutex.exit();
        },
    );
    family.case(
        format!("{kind}_enter_nowrap_excludes"),
        "threads that use enter_nowrap exclude each other",
        move |guest| excludes(guest, Mutex::new(flags), Mutex::enter_nowrap),
    );
}

fn waiting(family: &mut Family<'_>) {
    family.case(
        "kmutex_contended_enter_gives_up_cpu_once",
        "enter of a held mutex gives up the virtual CPU once, without interlock, with all locks of the guest, and has \
         the mutex when it returns",
        |guest| {
            let mutex = Mutex::new(KMUTEX);
            mutex.enter();
            let waiter = guest.spawn(move || {
                guest.gives_up_cpu(|| mutex.enter());
                guest.mark("has it");
                assert_eq!(mutex.owner(), guest.lwp());
                mutex.exit();
            });
            waiter.wait_off_cpu();
            waiter.settle();
            assert_eq!(mutex.owner(), guest.lwp(), "while another thread waits");
            guest.mark("exits");
            mutex.exit();
            waiter.join();
            guest.trace.assert_order("exits", "has it");
        },
    );
    family.case(
        "kmutex_waiter_leaves_the_cpu_to_others",
        "with one virtual CPU, the holder of a mutex can get on while another thread waits for it",
        |guest| {
            guest.limit_cpus(1);
            let mutex = Mutex::new(KMUTEX);
            mutex.enter();
            let waiter = guest.spawn(move || {
                mutex.enter();
                mutex.exit();
            });
            // Aside, the waiter gets the only virtual CPU; this thread gets it again only when the waiter gives it up.
            guest.aside(|| waiter.wait_off_cpu());
            mutex.exit();
            guest.aside(|| waiter.join());
        },
    );
    family.case(
        "kmutex_every_waiter_gets_its_turn",
        "eight waiters of one mutex all get it, one after the other",
        |guest| {
            let mutex = Mutex::new(KMUTEX);
            mutex.enter();
            let waiters: Vec<_> = (0..8)
                .map(|_| {
                    guest.spawn(move || {
                        guest.gives_up_cpu(|| mutex.enter());
                        guest.mark("has it");
                        mutex.exit();
                    })
                })
                .collect();
            waiters.iter().for_each(|waiter| waiter.wait_off_cpu());
            assert_eq!(guest.trace.count(Event::Mark("has it")), 0);
            mutex.exit();
            waiters.into_iter().for_each(|waiter| waiter.join());
            assert_eq!(guest.trace.count(Event::Mark("has it")), 8);
        },
    );
    family.case(
        "kmutex_waiter_outlasts_signals",
        "a thread that waits for a mutex goes on waiting when signals arrive",
        |guest| {
            let signal = Signal::prepare();
            let mutex = Mutex::new(KMUTEX);
            mutex.enter();
            let waiter = guest.spawn(move || {
                guest.gives_up_cpu(|| mutex.enter());
                guest.mark("has it");
                mutex.exit();
            });
            waiter.wait_off_cpu();
            waiter.interrupt(signal, 20);
            guest.mark("exits");
            mutex.exit();
            waiter.join();
            guest.trace.assert_order("exits", "has it");
        },
    );
    family.case(
        "kmutex_tryenter_while_others_wait",
        "tryenter of a mutex that others wait for returns EBUSY at once",
        |guest| {
            let mutex = Mutex::new(KMUTEX);
            mutex.enter();
            let waiter = guest.spawn(move || {
                mutex.enter();
                mutex.exit();
            });
            waiter.wait_off_cpu();
            guest.spawn(move || assert_eq!(mutex.try_enter(), Err(netbsd::EBUSY))).join();
            mutex.exit();
            waiter.join();
        },
    );
    family.case(
        "kmutex_many_mutexes_many_threads",
        "threads that enter pairs of mutexes in one order never deadlock and never lose a wake-up",
        |guest| {
            guest.trace.silence();
            let mutexes: Arc<Vec<_>> = Arc::new((0..4).map(|_| Mutex::new(KMUTEX)).collect());
            let threads: Vec<_> = (0..4)
                .map(|number| {
                    let mutexes = Arc::clone(&mutexes);
                    guest.spawn(move || {
                        for turn in 0..2000 {
                            let first = (turn + number) % 3;
                            mutexes[first].enter();
                            mutexes[first + 1].enter();
                            mutexes[first + 1].exit();
                            mutexes[first].exit();
                        }
                    })
                })
                .collect();
            guest.aside(|| threads.into_iter().for_each(|thread| thread.join()));
        },
    );
}
