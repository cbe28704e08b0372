//! A whole process: measuring begins, threads come and go, a reader looks on. One test, because a process measures once.

use rumpscope_probes::contention::{LockKind, Watch};
use rumpscope_probes::reader::{ReadError, Segment};
use rumpscope_probes::transition::{self, Direction};
use rumpscope_probes::{
    Activity, Distribution, Hypercall, Metric, Mode, Place, Quantity, Snapshot, Witness, clock, forget_place,
    gathering_begins, gathering_ends, measure, measure_quick, measure_short, measure_taking,
};
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

const THREADS: u64 = 8;
const ROUNDS: u64 = 40;
const CALLS: u64 = 500;

fn count(snapshot: &Snapshot, quantity: Quantity, call: Hypercall) -> u64 {
    snapshot.total(Metric { quantity, call }).count()
}

/// Threads end and are followed by others, which take their lanes over, while a reader takes snapshots: no count is
/// lost, and none ever becomes smaller.
fn threads_come_and_go(segment: &Segment) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut before, mut reads) = (0, 0);
            while !done.load(Ordering::Relaxed) {
                let now = count(&segment.snapshot().unwrap(), Quantity::Call, Hypercall::Getrandom);
                assert!(now >= before, "{now} after {before}");
                (before, reads) = (now, reads + 1);
            }
            reads
        });
        for _ in 0..ROUNDS {
            let workers: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..CALLS {
                            measure(Hypercall::Getrandom, || ());
                            measure(Hypercall::Curlwp, || ());
                        }
                    })
                })
                .collect();
            workers.into_iter().for_each(|worker| worker.join().unwrap());
        }
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
    let snapshot = segment.snapshot().unwrap();
    let expected = THREADS * ROUNDS * CALLS;
    assert_eq!(count(&snapshot, Quantity::Call, Hypercall::Getrandom), expected);
    assert_eq!(snapshot.calls(Hypercall::Curlwp), expected);
    let curlwp = snapshot.total(Metric::call(Hypercall::Curlwp));
    assert!((1..expected / 50).contains(&curlwp.timed()), "about one in 1024, not {}", curlwp.timed());
    assert_eq!(snapshot.total(Metric::call(Hypercall::Getrandom)).timed(), expected);
    assert!(snapshot.threads.len() <= THREADS as usize + 2, "lanes are taken over: {}", snapshot.threads.len());
}

/// For how long threads were gathered is told, and is no call.
fn gathering_is_told(segment: &Segment) {
    let calls = |snapshot: &Snapshot| count(snapshot, Quantity::Call, Hypercall::GuestOwn);
    let before = calls(&segment.snapshot().unwrap());
    let began = gathering_begins();
    std::thread::sleep(Duration::from_millis(2));
    gathering_ends(began);
    let snapshot = segment.snapshot().unwrap();
    let gathered = snapshot.total(Metric::GATHERED);
    assert_eq!((gathered.count(), calls(&snapshot)), (1, before));
    assert!(snapshot.clock.nanoseconds(gathered.sum) >= 2e6, "{} ticks", gathered.sum);
}

/// Quick calls are counted whether they end at once or not, and timed: a sample of the first kind, all of the second.
fn quick_calls_are_weighed(segment: &Segment) {
    const CALLS: u64 = 100_000;
    const SLOW: u64 = 50;
    let weights = std::thread::spawn(|| {
        let mut weights = Vec::new();
        for number in 0..CALLS {
            let slow = number % (CALLS / SLOW) == 0;
            measure_quick(Hypercall::MutexEnter, || (!slow).then_some(()), || spin(20_000));
            measure_short(Hypercall::ClockGettime, || ());
            measure_taking(Hypercall::RwEnter, || Some(()), || unreachable!(), |weight| weights.push(weight));
        }
        weights
    })
    .join()
    .unwrap();
    // Each stands for itself and for those that were left out before it: none, or 128 on average.
    assert_eq!(weights[0], 1);
    assert!(
        weights[1..].iter().all(|weight| *weight == 129)
            && (CALLS / 260..CALLS / 100).contains(&(weights.len() as u64))
    );
    let snapshot = segment.snapshot().unwrap();
    assert_eq!(snapshot.calls(Hypercall::MutexEnter), CALLS);
    assert_eq!(snapshot.calls(Hypercall::ClockGettime), CALLS);
    let of = |quantity| snapshot.total(Metric { quantity, call: Hypercall::MutexEnter });
    let (quick, slow, first) = (of(Quantity::Call), of(Quantity::Slow), of(Quantity::First));
    assert_eq!((first.count(), first.timed()), (1, 1));
    // At most 255 are left out between two samples (uniform, mean 128).
    assert!((CALLS - SLOW - 1) / 256 <= quick.timed() && quick.timed() < CALLS / 20, "{} were timed", quick.timed());
    assert_eq!((slow.count(), slow.timed()), (SLOW, SLOW));
    let nanoseconds = snapshot.clock.nanoseconds(slow.sum);
    assert!(nanoseconds >= 0.99 * (SLOW * 20_000) as f64, "{nanoseconds} ns");
}

static WORD: AtomicUsize = AtomicUsize::new(0);
static ASKED: AtomicU64 = AtomicU64::new(0);

static HOME: AtomicUsize = AtomicUsize::new(0);

/// The guest's answer: everybody is on virtual CPU 5 as long as `WORD` is 1, else, while `HOME` is 3, on none, else on the one
/// before; for that nothing vouches.
fn which_vcpu() -> (Place, Option<Witness>) {
    ASKED.fetch_add(1, Ordering::Relaxed);
    let value = WORD.load(Ordering::Relaxed);
    let homed = HOME.load(Ordering::Relaxed);
    let place = if value == 0 && homed == 3 { Place::OffCpu } else { Place::Vcpu(4 + value as u16) };
    let witness = Witness { place: Place::Vcpu(5), word: WORD.as_ptr(), value: 1, home: HOME.as_ptr(), homed };
    (place, (place != Place::Vcpu(4)).then_some(witness))
}

/// As long as a witness stands by its word, the guest is not asked again, and no longer.
fn a_witness_is_believed_while_it_holds(segment: &Segment) {
    let cells = |place| {
        let snapshot = segment.snapshot().unwrap();
        let cell = |quantity| snapshot.cells.get(&(place, Metric { quantity, call: Hypercall::Seterrno })).cloned();
        [Quantity::First, Quantity::Call].map(|quantity| cell(quantity).unwrap_or_default())
    };
    let calls = |place| cells(place).iter().map(Distribution::count).sum::<u64>();
    let timed = |place| cells(place)[1].timed();
    let asking = || {
        let call = |times| (0..times).for_each(|_| measure(Hypercall::Seterrno, || ()));
        let asked = || ASKED.swap(0, Ordering::Relaxed);
        WORD.store(1, Ordering::Relaxed);
        asked();
        call(100);
        assert_eq!((calls(Place::Vcpu(5)), asked()), (100, 1));
        WORD.store(0, Ordering::Relaxed);
        HOME.store(1, Ordering::Relaxed);
        call(10);
        // Where nothing vouches for the answer, once or twice a call.
        assert!(calls(Place::Vcpu(4)) == 10 && asked() >= 10);
        WORD.store(1, Ordering::Relaxed);
        call(1);
        forget_place();
        call(100);
        assert_eq!((calls(Place::Vcpu(5)), asked()), (201, 2));
        // On none, and back, as both words say. They are asked for when it is on none: some threads make hypercalls nowhere else.
        HOME.store(3, Ordering::Relaxed);
        WORD.store(0, Ordering::Relaxed);
        forget_place();
        call(1);
        let before = calls(Place::OffCpu);
        asked();
        for _ in 0..10 {
            WORD.store(0, Ordering::Relaxed);
            call(10);
            WORD.store(1, Ordering::Relaxed);
            call(10);
        }
        assert_eq!((calls(Place::OffCpu) - before, calls(Place::Vcpu(5)), asked()), (100, 301, 0));
        // Those that are timed, too: about one in a thousand.
        for (word, place) in [(1, Place::Vcpu(5)), (0, Place::OffCpu)] {
            WORD.store(word, Ordering::Relaxed);
            let (before, timed_before) = (calls(place), timed(place));
            call(10_000);
            assert_eq!((calls(place) - before, asked()), (10_000, 0));
            assert!(timed(place) > timed_before, "{place:?}");
        }
    };
    std::thread::scope(|scope| scope.spawn(asking).join()).unwrap();
}

fn spin(nanoseconds: u64) {
    let begin = std::time::Instant::now();
    while (begin.elapsed().as_nanos() as u64) < nanoseconds {}
}

/// One blocking call with known parts: they add up to the call, and are charged to it.
fn a_blocking_call_adds_up(segment: &Segment) {
    std::thread::spawn(move || {
        transition::entry();
        transition::schedule_begin();
        transition::schedule_end(|_| Place::Vcpu(3));
        measure(Hypercall::CvWait, || {
            spin(100_000);
            transition::in_upcall(
                Hypercall::CvWait,
                Direction::Unschedule,
                || Place::Unknown,
                || {
                    transition::unschedule_begin();
                    spin(200_000);
                    transition::unschedule_end();
                },
            );
            spin(400_000);
            transition::waited_actively(Hypercall::CvWait, 300_000);
            transition::waited_actively(Hypercall::MutexEnter, 0);
            transition::in_upcall(
                Hypercall::CvWait,
                Direction::Schedule,
                || Place::Unknown,
                || {
                    transition::schedule_begin();
                    spin(800_000);
                    transition::schedule_end(|_| Place::Vcpu(4));
                    // The guest makes hypercalls of its own inside of the upcall.
                    measure(Hypercall::MutexTryenter, || ());
                },
            );
        });
        transition::unschedule_begin();
        transition::unschedule_end();
    })
    .join()
    .unwrap();
    let snapshot = segment.snapshot().unwrap();
    let sum = |quantity| snapshot.total(Metric { quantity, call: Hypercall::CvWait }).sum;
    let parts = [Quantity::Unschedule, Quantity::Off, Quantity::Reschedule, Quantity::Own].map(sum);
    let at_least = [200_000.0, 400_000.0, 800_000.0, 100_000.0];
    for (part, at_least) in parts.iter().zip(at_least) {
        assert!(snapshot.clock.nanoseconds(*part) > at_least * 0.99, "{parts:?}");
    }
    assert_eq!(parts.iter().sum::<u64>(), sum(Quantity::Call));
    // The rate of the clock is known to 0.2 % when measuring begins.
    let active = snapshot.clock.nanoseconds(sum(Quantity::Spin));
    assert!((active / 300_000.0 - 1.0).abs() < 0.05, "{active} ns");
    assert!(
        !snapshot
            .cells
            .keys()
            .any(|(_, metric)| *metric == Metric { quantity: Quantity::Spin, call: Hypercall::MutexEnter })
    );
    let at = |place, quantity, call| snapshot.cells.contains_key(&(place, Metric { quantity, call }));
    assert!(at(Place::Vcpu(3), Quantity::Call, Hypercall::CvWait), "the call belongs to where it was made");
    assert!(at(Place::Vcpu(3), Quantity::Run, Hypercall::CvWait));
    assert!(at(Place::Vcpu(4), Quantity::Reschedule, Hypercall::CvWait));
    assert!(at(Place::Vcpu(4), Quantity::Migration, Hypercall::CvWait));
    assert_eq!(snapshot.migrations.into_iter().collect::<Vec<_>>(), [((3, 4), 1)]);
    assert!(at(Place::Vcpu(4), Quantity::Call, Hypercall::MutexTryenter));
    assert!(at(Place::Vcpu(4), Quantity::Run, Hypercall::GuestOwn));
    assert!(snapshot.vcpus.iter().all(|vcpu| vcpu.holder.is_none() && vcpu.free_since.is_some()));
}

/// Who has waited for a lock is known as its holder until it gives it back.
fn who_has_waited_is_the_holder(segment: &Segment) {
    let watch = Watch::new(0x1000);
    let locks = || segment.snapshot().unwrap().contention.locks.clone();
    let (_, ended) = watch.wait(LockKind::Mutex, Hypercall::MutexEnter, |announce| {
        announce();
        let lock = locks().into_values().next().unwrap();
        assert_eq!((lock.address, lock.waiters, lock.holder), (0x1000, 1, None));
        0
    });
    ended.tell();
    let snapshot = segment.snapshot().unwrap();
    let holder = snapshot.contention.locks.values().next().unwrap().holder;
    let own = std::thread::current().name().map(str::to_owned);
    let name = |lane| snapshot.threads.iter().find(|thread| thread.lane == lane).map(|thread| thread.name.clone());
    assert!(holder.and_then(name).is_some_and(|name| own.unwrap().starts_with(&name)), "{holder:?}");
    assert!(watch.is_watched());
    watch.release(|| ());
    assert_eq!(locks().into_values().next().unwrap().holder, None);
}

/// What a wait for a lock was goes into the figures when the lock is given back, or when the thread waits for something else,
/// or ends.
fn a_wait_is_told_when_its_lock_is_given_back(segment: &Segment) {
    // Waits of the lock at `address`: in its own figures, and among those who waited for whom.
    let told = |address: usize| {
        let contention = segment.snapshot().unwrap().contention;
        let found = contention.locks.iter().find(|(_, lock)| lock.address == address as u64);
        let Some((number, lock)) = found else { return (0, 0) };
        let waits = contention.waits.iter().filter(|wait| wait.lock == *number);
        (lock.contended, waits.map(|wait| wait.count).sum::<u64>())
    };
    let enter = |watch: &Watch, long: bool| {
        watch.wait_alone(LockKind::Mutex, Hypercall::MutexEnter, |announce| {
            if long {
                announce();
            }
            0
        });
        assert!(watch.is_watched_alone());
    };
    for (address, long) in [(0x2000, false), (0x3000, true)] {
        let watch = Watch::new(address);
        enter(&watch, long);
        assert_eq!(told(address), (0, 0));
        let put_off = watch.take_put_off();
        watch.end_timed_hold();
        assert!(!watch.is_watched(), "nobody waits, and there is nothing more to note");
        put_off.tell();
        assert_eq!(told(address), (1, 1));
        watch.take_put_off().tell();

        enter(&watch, long);
        let other = Watch::new(address + 8);
        enter(&other, true);
        assert_eq!((told(address), told(address + 8)), ((2, 2), (0, 0)), "it has waited for something else");
        watch.take_put_off().tell();
        assert_eq!((told(address), told(address + 8)), ((2, 2), (0, 0)));
        other.take_put_off().tell();
        assert_eq!(told(address + 8), (1, 1));
        watch.end_timed_hold();
        other.end_timed_hold();

        std::thread::scope(|scope| scope.spawn(|| enter(&watch, long)).join().unwrap());
        assert_eq!(told(address), (3, 3), "its thread has ended");
    }
}

/// Virtual CPUs go from thread to thread; runs and gaps leave no time out.
/// A lock that is looked for in vain is waited for once all the same, and one that is had at once after a look once, too.
fn a_look_is_a_wait_if_it_was_of_use(segment: &Segment) {
    let address = 0x4000;
    let told = || {
        let contention = segment.snapshot().unwrap().contention;
        let found = contention.locks.values().find(|lock| lock.address == address as u64);
        found.map(|lock| (lock.contended, lock.spun, lock.wait.sum)).unwrap_or_default()
    };
    let watch = Watch::new(address);
    let look = |found: bool| watch.try_alone(LockKind::Mutex, Hypercall::MutexEnter, || found);
    let tried = look(false).expect_err("it was not had");
    watch.take_put_off().tell();
    assert_eq!(told(), (0, 0, 0), "nothing is recorded of that");
    watch.wait_alone_again(tried, LockKind::Mutex, Hypercall::MutexEnter, |announce| {
        announce();
        spin(100_000);
        0
    });
    watch.take_put_off().tell();
    watch.end_timed_hold();
    let (contended, spun, sum) = told();
    assert_eq!((contended, spun), (1, 0));
    look(true).expect("it was had");
    assert!(watch.is_watched_alone(), "it is to be told");
    watch.take_put_off().tell();
    let (contended, spun, after) = told();
    assert_eq!((contended, spun), (2, 1));
    assert!(after > sum);
}

fn runs_and_gaps_make_wall_time(segment: &Segment) {
    let before = segment.snapshot().unwrap();
    // Just before and just after the beginning of the first run, in ticks.
    let turn = std::sync::Mutex::new(None::<(u64, u64)>);
    let start = Barrier::new(4);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                start.wait();
                for _ in 0..1000 {
                    let mut first = turn.lock().unwrap();
                    transition::schedule_begin();
                    let begin = clock::now();
                    transition::schedule_end(|_| Place::Vcpu(9));
                    first.get_or_insert_with(|| (begin, clock::now()));
                    measure(Hypercall::ClockGettime, || ());
                    transition::unschedule_begin();
                    transition::unschedule_end();
                }
            });
        }
    });
    let snapshot = segment.snapshot().unwrap();
    let total = |quantity| {
        let of = |snapshot: &Snapshot| snapshot.total(Metric { quantity, call: Hypercall::GuestOwn });
        of(&snapshot).since(&of(&before))
    };
    let (run, gap) = (total(Quantity::Run), total(Quantity::Gap));
    // The first time a virtual CPU is taken, it was not given up by anyone before.
    assert_eq!((run.count(), gap.count()), (4000, 3999));
    let vcpu = snapshot.vcpus.iter().find(|vcpu| vcpu.index == 9).unwrap();
    let (begin, end) = (turn.into_inner().unwrap().unwrap(), vcpu.free_since.unwrap());
    let known = run.sum + gap.sum;
    // The clocks of two processors may differ by some ticks, and what would be negative by them counts as nothing: each
    // time that another processor takes over, these are missing.
    let slack = known / 100;
    let possible = end - begin.1 - slack..=end - begin.0 + slack;
    assert!(possible.contains(&known), "{known} ticks known from {begin:?} to {end}");
}

/// A client enters and leaves the guest: all its visits and absences are timed, of the transitions between them a sample
/// and those that had to wait; together they leave no time out.
fn a_client_comes_and_goes(segment: &Segment) {
    const VISITS: u64 = 50_000;
    const SLOW: u64 = 50;
    const SLOW_NS: u64 = 20_000;
    let visit = |number: u64| {
        transition::entry();
        transition::schedule_begin();
        if number % (VISITS / SLOW) == SLOW {
            measure_quick(Hypercall::MutexEnterNowrap, || None, || spin(SLOW_NS));
        }
        transition::schedule_end(|_| Place::Vcpu(11));
        measure(Hypercall::Getrandom, || ());
        transition::entry();
        transition::unschedule_begin();
        transition::unschedule_end();
    };
    let timed_visit = |number| {
        let before = clock::now();
        visit(number);
        [before, clock::now()]
    };
    let coming_and_going = || {
        let first = timed_visit(0);
        (1..VISITS - 1).for_each(visit);
        (first, timed_visit(VISITS - 1))
    };
    let (first, last) = std::thread::scope(|scope| scope.spawn(coming_and_going).join()).unwrap();
    let snapshot = segment.snapshot().unwrap();
    let of = |quantity| {
        let metric = Metric { quantity, call: Hypercall::GuestEntry };
        snapshot.cells.get(&(Place::Vcpu(11), metric)).cloned().unwrap_or_default()
    };
    for (fast, slow) in
        [(Quantity::Unschedule, Quantity::SlowUnschedule), (Quantity::Reschedule, Quantity::SlowReschedule)]
    {
        let (fast, slow) = (of(fast), of(slow));
        assert_eq!(fast.count() + slow.count(), VISITS);
        assert_eq!(slow.untimed, 0);
        // At most 254 are left out between two samples (uniform, mean 128).
        assert!(VISITS / 256 <= fast.timed() && fast.timed() < VISITS / 20, "{} were timed", fast.timed());
    }
    let (run, off, waits) = (of(Quantity::Run), of(Quantity::Off), of(Quantity::SlowReschedule));
    assert_eq!((run.count(), run.untimed, off.count(), off.untimed), (VISITS, 0, VISITS - 1, 0));
    assert_eq!(waits.count(), SLOW);
    let nanoseconds = snapshot.clock.nanoseconds(waits.sum);
    assert!(nanoseconds >= 0.99 * (SLOW * SLOW_NS) as f64, "{nanoseconds} ns");
    let known = run.sum + off.sum + waits.sum + of(Quantity::Unschedule).sum + of(Quantity::Reschedule).sum;
    let known = known + of(Quantity::SlowUnschedule).sum;
    let possible = last[0] - first[1]..=last[1] - first[0];
    assert!(possible.contains(&known), "{known} ticks known, of {possible:?}");
}

/// A thread whose visit is over waits for nothing, however it came to leave the guest.
fn whose_visit_is_over_waits_for_nothing(segment: &Segment) {
    let now = || {
        let snapshot = segment.snapshot().unwrap();
        snapshot.threads.iter().find(|thread| thread.name == "visitor").expect("there is one").now
    };
    let visit = || {
        let upcall = |direction| {
            transition::in_upcall(
                Hypercall::BioDone,
                direction,
                || Place::Vcpu(0),
                || match direction {
                    Direction::Schedule => {
                        transition::schedule_begin();
                        transition::schedule_end(|_| Place::Vcpu(0));
                    }
                    Direction::Unschedule => {
                        transition::unschedule_begin();
                        transition::unschedule_end();
                    }
                },
            );
        };
        upcall(Direction::Schedule);
        upcall(Direction::Unschedule);
        assert!(matches!(now(), Activity::Blocked { call: Hypercall::BioDone, .. }), "it may come back");
        transition::visit_end();
        assert_eq!(now(), Activity::Untold);
    };
    std::thread::scope(|scope| {
        std::thread::Builder::new().name("visitor".to_owned()).spawn_scoped(scope, visit).unwrap().join().unwrap();
    });
}

/// A copy of the process ends, as programs do, and leaves the threads of the original alone.
fn a_forked_child_ends_nobody(segment: &Segment) {
    measure(Hypercall::Getrandom, || ());
    // SAFETY: no preconditions.
    let tid = unsafe { libc::gettid() } as u32;
    let is_there = || segment.snapshot().unwrap().threads.iter().any(|thread| thread.tid == tid);
    assert!(is_there());
    // SAFETY: the child does nothing but end; this thread's storage is torn down there, and nobody else has a lock.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: as above.
        unsafe { libc::exit(0) }
    }
    let mut status = 1;
    // SAFETY: our own child; `status` may be written.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
    assert!(is_there(), "the child has given up the lane of its parent");
}

/// Whatever is in the file, a reader says what is wrong with it or reads it; it does not fall over.
fn forged_segments_are_refused(path: &Path) {
    let whole = std::fs::read(path).unwrap();
    let used = u64::from_ne_bytes(whole[24..32].try_into().unwrap()) as usize * 8;
    let whole = &whole[..used];
    let forged = path.with_extension("forged");
    let read = |bytes: &[u8]| {
        std::fs::write(&forged, bytes).unwrap();
        Segment::open(&forged).and_then(|segment| segment.snapshot())
    };
    let with_word = |word: usize, value: u64| {
        let mut bytes = whole.to_vec();
        bytes[word * 8..word * 8 + 8].copy_from_slice(&value.to_ne_bytes());
        bytes
    };
    assert!(read(whole).is_ok());
    assert!(matches!(read(&[]), Err(ReadError::NoSegment { .. })));
    assert!(matches!(read(&whole[..100]), Err(ReadError::NoSegment { .. })));
    assert!(matches!(read(&whole[..used / 2]), Err(ReadError::Damaged { .. })));
    assert!(matches!(read(&with_word(0, 1)), Err(ReadError::NoSegment { .. })));
    assert!(matches!(read(&with_word(1, 99)), Err(ReadError::Version { found: 99, .. })));
    // More words in use than there are; than can be.
    for used in [0, u64::MAX, u64::MAX / 8] {
        assert!(matches!(read(&with_word(3, used)), Err(ReadError::Damaged { .. })));
    }
    // A file that is long and takes no room.
    let sparse = |words: u64, changes: &[(usize, u64)]| {
        let mut bytes = whole.to_vec();
        for (word, value) in [(2, words), (3, words)].iter().chain(changes) {
            bytes[word * 8..word * 8 + 8].copy_from_slice(&value.to_ne_bytes());
        }
        std::fs::write(&forged, bytes).unwrap();
        std::fs::File::options().write(true).open(&forged).unwrap().set_len(words * 8).unwrap();
        Segment::open(&forged).and_then(|segment| Ok((segment.snapshot()?, segment.timeline()?)))
    };
    let first_lane = u64::from_ne_bytes(whole[19 * 8..20 * 8].try_into().unwrap());
    assert!(sparse(1 << 25, &[(61, 0)]).is_ok());
    for (words, changes) in [
        ((1 << 25) + 16, &[][..]),
        (1 << 36, &[]),
        (1 << 25, &[(first_lane as usize, first_lane)]),
        (1 << 25, &[(61, 512), (62, 1 << 31)]),
    ] {
        assert!(matches!(sparse(words, changes), Err(ReadError::Damaged { .. })), "{words} {changes:?}");
    }
    // Tallies of a virtual CPU that there cannot be.
    let first_tallies = u64::from_ne_bytes(whole[27 * 8..28 * 8].try_into().unwrap()) as usize;
    assert!(matches!(read(&with_word(first_tallies + 1, 256 << 16)), Err(ReadError::Damaged { .. })));
    // Chains that lead outside, or into themselves.
    for head in [18, 19, 20] {
        assert!(matches!(read(&with_word(head, u64::MAX)), Err(ReadError::Damaged { .. })));
    }
    let first_cell = u64::from_ne_bytes(whole[18 * 8..19 * 8].try_into().unwrap());
    assert!(matches!(read(&with_word(first_cell as usize, first_cell)), Err(ReadError::Damaged { .. })));
    // Any single word, changed to anything unpleasant: an answer or an error.
    for word in (0..used / 8).step_by(61).chain(0..64) {
        for value in [0, 1, u64::MAX, used as u64 / 8, 1 << 63] {
            let _ = read(&with_word(word, value));
        }
    }
    std::fs::remove_file(&forged).unwrap();
}

#[test]
fn measuring() {
    let folder = std::env::temp_dir().join(format!("rumpscope-measuring-{}", std::process::id()));
    rumpscope_probes::own_folder(&folder).unwrap();
    let path = folder.join("segment");
    // SAFETY: the process has no other threads that look at the environment yet.
    unsafe { std::env::set_var(rumpscope_probes::ENV_SEGMENT, &path) };
    measure(Hypercall::MutexEnter, || ());
    rumpscope_probes::begin("test", Some(which_vcpu)).unwrap();
    let segment = Segment::open(&path).unwrap();
    let empty = segment.snapshot().unwrap();
    assert!(empty.cells.is_empty() && empty.mode == Mode::Full && empty.backend == "test");
    assert_eq!(empty.process.pid, std::process::id());
    threads_come_and_go(&segment);
    gathering_is_told(&segment);
    quick_calls_are_weighed(&segment);
    a_witness_is_believed_while_it_holds(&segment);
    rumpscope_probes::guest_tells_transitions();
    a_blocking_call_adds_up(&segment);
    who_has_waited_is_the_holder(&segment);
    a_wait_is_told_when_its_lock_is_given_back(&segment);
    a_look_is_a_wait_if_it_was_of_use(&segment);
    runs_and_gaps_make_wall_time(&segment);
    a_client_comes_and_goes(&segment);
    whose_visit_is_over_waits_for_nothing(&segment);
    a_forked_child_ends_nobody(&segment);
    forged_segments_are_refused(&path);
    assert!(segment.is_alive().unwrap());
    std::fs::remove_dir_all(&folder).unwrap();
}
