use super::*;
use crate::host::backend::Backend;
use crate::host::sync::{Condvar, Mutex, Note, Outcome, Reply, Rwlock};
use crate::lwp;
use core::ptr;
use rumpscope_probes::CHAIN_DEPTH;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::mpsc;
use std::thread;

type Body = Box<dyn FnOnce() + Send>;

unsafe extern "C" fn run(body: *mut c_void) -> *mut c_void {
    // SAFETY: `start` gave it.
    (*unsafe { Box::from_raw(body.cast::<Body>()) })();
    ptr::null_mut()
}

fn start(body: impl FnOnce() + Send + 'static) -> Arc<Fiber> {
    let body: Body = Box::new(body);
    // SAFETY: `run` takes what it is given.
    unsafe { spawn(run, Box::into_raw(Box::new(body)).cast(), Some(c"test")) }.expect("a fiber")
}

fn tid() -> i32 {
    // SAFETY: no preconditions.
    unsafe { libc::gettid() }
}

/// A value that fibers and threads wait for.
#[derive(Default)]
struct Counter {
    mutex: Mutex,
    changed: Condvar,
    value: AtomicUsize,
}

impl Counter {
    fn add(&self) {
        self.mutex.lock(Owner::NOBODY);
        self.value.store(self.value.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.changed.broadcast([Owner::NOBODY; 2], |_| Reply::NONE);
        self.mutex.unlock(Owner::NOBODY).expect("locked");
    }

    fn wait_for(&self, value: usize) {
        self.mutex.lock(Owner::NOBODY);
        while self.value.load(Ordering::Relaxed) < value {
            self.changed.wait(None, None, Note::NONE, || self.mutex.unlock(Owner::NOBODY).expect("locked"));
            self.mutex.lock(Owner::NOBODY);
        }
        self.mutex.unlock(Owner::NOBODY).expect("locked");
    }
}

#[test]
fn call_chains_end_with_the_fiber() {
    #[inline(never)]
    fn recurse(depth: u32) -> usize {
        if depth > 0 {
            return std::hint::black_box(recurse(depth - 1));
        }
        rumpscope_probes::call_chain(&mut [0; CHAIN_DEPTH], CHAIN_DEPTH)
    }
    let (send, receive) = mpsc::channel();
    let fiber = start(move || {
        // A frame of more than a page is no end.
        let room = [0u8; 16 << 10];
        std::hint::black_box(&room);
        for away in [false, true] {
            if away {
                leave();
            }
            send.send([0, 5, 100].map(recurse)).unwrap();
            if away {
                come_back();
            }
        }
    });
    join(&fiber);
    for [few, more, most] in receive {
        assert!(few > 3);
        assert_eq!((more, most), (few + 5, CHAIN_DEPTH));
    }
}

#[test]
fn fibers_run_on_one_host_thread() {
    let (send, receive) = mpsc::channel();
    let fibers: Vec<_> = (0..20)
        .map(|_| {
            let send = send.clone();
            start(move || {
                assert!(is_running());
                yield_now();
                send.send(tid()).unwrap();
            })
        })
        .collect();
    fibers.iter().for_each(|fiber| join(fiber));
    drop(send);
    let carriers: Vec<i32> = receive.iter().collect();
    assert_eq!(carriers.len(), 20);
    assert!(carriers.iter().all(|carrier| *carrier == carriers[0] && *carrier != tid()));
    assert!(!is_running());
}

#[test]
fn fibers_make_fibers_and_join_them() {
    fn make(depth: usize, total: Arc<AtomicUsize>) {
        total.fetch_add(1, Ordering::Relaxed);
        if depth > 0 {
            let below = Arc::clone(&total);
            join(&start(move || make(depth - 1, below)));
            assert!(total.load(Ordering::Relaxed) > depth);
        }
    }
    let total = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&total);
    join(&start(move || make(50, counted)));
    assert_eq!(total.load(Ordering::Relaxed), 51);
}

/// Frames of a kind that does not let an unwinder through.
#[expect(unconditional_recursion, reason = "it ends by `exit`, of which the compiler knows nothing")]
#[inline(never)]
extern "C" fn exit_deep_down(depth: usize) -> usize {
    if depth == 0 {
        // SAFETY: the frames above have no destructors.
        unsafe { exit() };
    }
    exit_deep_down(depth - 1) + 1
}

#[test]
fn exit_ends_a_fiber_from_any_depth() {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "C" fn leaves(depth: *mut c_void) -> *mut c_void {
        STARTED.fetch_add(1, Ordering::Relaxed);
        exit_deep_down(depth as usize);
        unreachable!()
    }
    for depth in [0, 1, 1000] {
        // SAFETY: `leaves` takes a number.
        let fiber = unsafe { spawn(leaves, ptr::without_provenance_mut(depth), None) }.expect("a fiber");
        join(&fiber);
    }
    assert_eq!(STARTED.load(Ordering::Relaxed), 3);
}

#[test]
fn a_mutex_excludes_fibers_and_threads() {
    struct Shared {
        mutex: Mutex,
        inside: AtomicUsize,
        total: AtomicUsize,
    }
    let shared = Arc::new(Shared { mutex: Mutex::new(), inside: AtomicUsize::new(0), total: AtomicUsize::new(0) });
    let work = |shared: Arc<Shared>| {
        move || {
            for round in 0..500 {
                shared.mutex.lock(Owner::NOBODY);
                assert_eq!(shared.inside.fetch_add(1, Ordering::Relaxed), 0);
                if round % 3 == 0 {
                    // Others come while it is held.
                    yield_now();
                }
                shared.total.fetch_add(1, Ordering::Relaxed);
                shared.inside.fetch_sub(1, Ordering::Relaxed);
                shared.mutex.unlock(Owner::NOBODY).expect("locked");
                if round % 7 == 0 {
                    yield_now();
                }
            }
        }
    };
    let fibers: Vec<_> = (0..4).map(|_| start(work(Arc::clone(&shared)))).collect();
    let threads: Vec<_> = (0..3).map(|_| thread::spawn(work(Arc::clone(&shared)))).collect();
    fibers.iter().for_each(|fiber| join(fiber));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(shared.total.load(Ordering::Relaxed), 7 * 500);
}

/// Whenever one of two fibers gives the mutex back the other one sleeps for it, and is back in its sleep before a host thread
/// could be there.
#[test]
fn fibers_do_not_keep_a_mutex_from_a_thread() {
    let (mutex, turns) = (Arc::new(Mutex::new()), Arc::new(AtomicUsize::new(0)));
    let (is_done, since) = (Arc::new(AtomicBool::new(false)), std::time::Instant::now());
    let is_late = move || since.elapsed().as_secs() >= 10;
    let fibers = [0, 1].map(|_| {
        let (mutex, turns, is_done) = (Arc::clone(&mutex), Arc::clone(&turns), Arc::clone(&is_done));
        start(move || {
            while !is_done.load(Ordering::Relaxed) && !is_late() {
                mutex.lock(Owner::NOBODY);
                turns.fetch_add(1, Ordering::Relaxed);
                yield_now();
                mutex.unlock(Owner::NOBODY).expect("locked");
            }
        })
    });
    for _ in 0..20 {
        let turn = turns.load(Ordering::Relaxed);
        while turns.load(Ordering::Relaxed) < turn + 20 && !is_late() {
            thread::yield_now();
        }
        mutex.lock(Owner::NOBODY);
        mutex.unlock(Owner::NOBODY).expect("locked");
    }
    assert!(!is_late(), "it came to its end only when nobody wanted it");
    is_done.store(true, Ordering::Relaxed);
    fibers.iter().for_each(|fiber| join(fiber));
}

#[test]
fn a_condition_variable_passes_between_fibers_and_threads() {
    let counter = Arc::new(Counter::default());
    let turn = |mine: usize, counter: Arc<Counter>| {
        move || {
            for round in 0..200 {
                counter.wait_for(round * 3 + mine);
                counter.add();
            }
        }
    };
    let fibers = [start(turn(0, Arc::clone(&counter))), start(turn(1, Arc::clone(&counter)))];
    turn(2, Arc::clone(&counter))();
    fibers.iter().for_each(|fiber| join(fiber));
    assert_eq!(counter.value.load(Ordering::Relaxed), 600);
}

#[test]
fn a_reader_writer_lock_is_shared_by_fibers_and_threads() {
    struct Shared {
        lock: Rwlock,
        values: [AtomicUsize; 2],
    }
    let shared = Arc::new(Shared { lock: Rwlock::new(), values: [AtomicUsize::new(0), AtomicUsize::new(0)] });
    let work = |number: usize, shared: Arc<Shared>| {
        move || {
            let me = Owner::from_address(ptr::without_provenance::<u64>((number + 1) * 64));
            for round in 0..300 {
                if (round + number).is_multiple_of(4) {
                    if !shared.lock.try_write(me) {
                        shared.lock.write_waiting(me, || ());
                    }
                    shared.values[0].fetch_add(1, Ordering::Relaxed);
                    yield_now();
                    shared.values[1].fetch_add(1, Ordering::Relaxed);
                } else {
                    if !shared.lock.try_read() {
                        shared.lock.read_waiting(|| ());
                    }
                    yield_now();
                    let [first, second] = [0, 1].map(|index: usize| shared.values[index].load(Ordering::Relaxed));
                    assert_eq!(first, second);
                }
                shared.lock.exit(me).expect("held");
            }
        }
    };
    let fibers: Vec<_> = (0..4).map(|number| start(work(number, Arc::clone(&shared)))).collect();
    let threads: Vec<_> = (4..7).map(|number| thread::spawn(work(number, Arc::clone(&shared)))).collect();
    fibers.iter().for_each(|fiber| join(fiber));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(shared.lock.is_unused());
    assert_eq!(shared.values[1].load(Ordering::Relaxed), 7 * 75);
}

#[test]
fn times_come_in_their_order() {
    let (send, receive) = mpsc::channel();
    let base = Deadline::after(0, 0).nanoseconds();
    let fibers: Vec<_> = [30, 10, 20]
        .map(|delay| {
            let send = send.clone();
            start(move || {
                let deadline = Deadline::at(base + delay * 1_000_000);
                assert!(sleep_until(&deadline));
                assert!(Deadline::after(0, 0).nanoseconds() >= deadline.nanoseconds());
                send.send(delay).unwrap();
            })
        })
        .into();
    fibers.iter().for_each(|fiber| join(fiber));
    drop(send);
    assert_eq!(receive.iter().collect::<Vec<_>>(), [10, 20, 30]);
    assert!(!sleep_until(&Deadline::at(base)), "not by a host thread");
}

#[test]
fn a_timed_wait_ends_by_the_clock_or_by_a_signal() {
    join(&start(|| {
        let (mutex, condition) = (Mutex::new(), Condvar::new());
        mutex.lock(Owner::NOBODY);
        let release = || mutex.unlock(Owner::NOBODY).expect("locked");
        assert_eq!(
            condition.wait(None, Some(&Deadline::after(0, 2_000_000)), Note::NONE, release).outcome,
            Outcome::TimedOut
        );
        assert_eq!(condition.waiters(), 0);
        condition.retire().expect("nobody waits");
    }));
    let condition = Arc::new(Condvar::new());
    let waits = Arc::clone(&condition);
    let fiber = start(move || {
        assert_eq!(waits.wait(None, Some(&Deadline::after(600, 0)), Note::NONE, || ()).outcome, Outcome::Signalled)
    });
    while condition.waiters() == 0 {
        thread::yield_now();
    }
    condition.signal([Owner::NOBODY; 2], |_| Reply::NONE);
    join(&fiber);
    assert_eq!(timers::next().filter(|next| *next > Deadline::after(60, 0).nanoseconds()), None, "the timer is gone");
}

#[test]
fn a_host_call_does_not_stop_other_fibers() {
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    let reads = start(move || {
        let carrier = tid();
        let (byte, helper) = in_host_call(move || {
            assert!(!is_running(), "counts as a host thread");
            let mut byte = [0];
            reader.read_exact(&mut byte).unwrap();
            (byte[0], tid())
        });
        assert_eq!(byte, 7);
        assert_ne!(helper, carrier);
        assert_eq!(tid(), carrier, "back again");
        assert!(is_running());
    });
    // It comes later, on the same host thread.
    let writes = start(move || writer.write_all(&[7]).unwrap());
    join(&writes);
    join(&reads);
}

#[test]
fn a_fiber_may_end_away() {
    unsafe extern "C" fn leaves(_: *mut c_void) -> *mut c_void {
        leave();
        // SAFETY: no destructor is pending in this frame.
        unsafe { exit() };
        unreachable!()
    }
    // SAFETY: `leaves` takes anything.
    join(&unsafe { spawn(leaves, ptr::null_mut(), None) }.expect("a fiber"));
}

#[test]
fn what_is_a_threads_own_is_a_fibers_own() {
    let fibers: Vec<_> = (1..=10)
        .map(|number: usize| {
            start(move || {
                assert!(lwp::current().is_null());
                lwp::set_current(ptr::without_provenance_mut(number * 64));
                let identity = identity();
                for round in 0..20 {
                    // SAFETY: the calling thread's own.
                    unsafe { *libc::__errno_location() = number as i32 };
                    if round % 5 == 0 {
                        in_host_call(|| ())
                    } else {
                        yield_now()
                    }
                    // SAFETY: as above.
                    assert_eq!(unsafe { *libc::__errno_location() }, number as i32);
                    assert_eq!(lwp::current().addr(), number * 64);
                    assert_eq!(super::identity(), identity);
                }
            })
        })
        .collect();
    fibers.iter().for_each(|fiber| join(fiber));
    assert_eq!(identity(), None);
}

#[test]
fn many_fibers_are_there_at_a_time() {
    let counter = Arc::new(Counter::default());
    let fibers: Vec<_> = (0..500)
        .map(|_| {
            let counter = Arc::clone(&counter);
            start(move || {
                counter.add();
                counter.wait_for(500);
            })
        })
        .collect();
    fibers.iter().for_each(|fiber| join(fiber));
}

/// Neither of the two ever waits for the other, and both have to run.
#[test]
fn who_only_tries_lets_others_go_first() {
    let mutex = Arc::new(Mutex::new());
    let held = Arc::clone(&mutex);
    let holder = start(move || {
        held.lock(Owner::NOBODY);
        yield_now();
        yield_now();
        held.unlock(Owner::NOBODY).expect("locked");
    });
    let tries = start(move || {
        while !mutex.try_lock(Owner::NOBODY) {
            Fibers::after_failed_try();
        }
    });
    join(&holder);
    join(&tries);
}

#[test]
fn who_runs_for_long_lets_others_go_first() {
    static ENDED: AtomicBool = AtomicBool::new(false);
    let runs = start(|| {
        while !ENDED.load(Ordering::Relaxed) {
            yield_after_long_run();
        }
    });
    let other = start(|| ENDED.store(true, Ordering::Relaxed));
    join(&runs);
    join(&other);
}

/// Each call is alone on its host thread for as long as it lasts, so all of them can be under way.
#[test]
fn host_calls_do_not_wait_for_each_other() {
    const CALLS: usize = 20;
    let all_there = Arc::new(std::sync::Barrier::new(CALLS));
    let fibers: Vec<_> = (0..CALLS)
        .map(|_| {
            let all_there = Arc::clone(&all_there);
            start(move || {
                in_host_call(|| all_there.wait());
            })
        })
        .collect();
    fibers.iter().for_each(|fiber| join(fiber));
}
