//! The locks under threads that dawdle at random between any two steps of an algorithm.
//!
//! ```text
//! RUMPSCOPE_DELAYS=1 cargo test -p rumpscope-core --test stress -- --nocapture
//! ```
//!
//! for five seconds, or for as many as `RUMPSCOPE_STRESS_SECONDS` says; `RUMPSCOPE_STRESS_SEED` chooses where to begin. What
//! loom's models cannot reach is many threads, deadlines, the real futex, threads that are gathered on one processor and let go,
//! and the way in which a lock learns when to wait actively. Whoever enters a held lock spoils what the lock protects; a lost
//! wake-up is a round that does not end.
#![cfg(all(delays, not(loom)))]

use rumpuser::host::gather;
use rumpuser::host::sync::{
    Condvar, Deadline, Home, Monitor, Mutex, Note, OtherReaders, Outcome, Owner, Reply, Rwlock, Waited, about_to_wait,
    seed_delays,
};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const MOST_THREADS: u64 = 9;
/// What each thread does in a round, so many times.
const OPERATIONS: u64 = 1_500;
/// How long the main thread sleeps between two looks at a round.
const LOOK: Duration = Duration::from_millis(5);
/// After so many looks (a minute) it hangs: a round takes a fraction of a second, on a busy machine some seconds. Looks are
/// counted, since the clock goes on while the process is suspended.
const HANGS: u32 = 12_000;

/// Names for owners: each thread uses the address of an element.
static NAMES: [u64; MOST_THREADS as usize] = [0; MOST_THREADS as usize];

fn name(thread: u64) -> Owner {
    Owner::from_address(&NAMES[thread as usize])
}

/// Something that only a lock makes safe to share.
struct Guarded<T>(UnsafeCell<T>);

// SAFETY: used under the lock that is tested.
unsafe impl<T> Sync for Guarded<T> {}

impl<T: Copy> Guarded<T> {
    fn new(value: T) -> Self {
        Guarded(UnsafeCell::new(value))
    }

    fn get(&self) -> T {
        // SAFETY: the lock under test is held for reading or writing. Volatile: read anew each time.
        unsafe { self.0.get().read_volatile() }
    }

    fn set(&self, value: T) {
        // SAFETY: the lock under test is held for writing.
        unsafe { self.0.get().write_volatile(value) }
    }
}

/// A thread's choices: SplitMix64.
struct Choices(u64);

impl Choices {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// Runs `body(thread, choices)` on so many threads.
fn run(threads: u64, seed: u64, body: impl Fn(u64, &mut Choices) + Sync) {
    thread::scope(|scope| {
        for thread in 0..threads {
            let body = &body;
            scope.spawn(move || body(thread, &mut Choices(seed ^ (thread << 32))));
        }
    });
}

fn mutex_excludes(threads: u64, seed: u64) {
    let mutex = Mutex::new();
    let count = Guarded::new(0u64);
    let entered = AtomicU64::new(0);
    run(threads, seed, |thread, choices| {
        let me = name(thread);
        for _ in 0..OPERATIONS {
            match choices.below(4) {
                0 => mutex.lock(me),
                1 => drop(mutex.lock_waiting(me, || (), &|| entered.load(Ordering::Relaxed) as u32)),
                2 if mutex.try_lock_spinning(me) => {}
                _ if mutex.try_lock(me) => {}
                _ => continue,
            }
            assert_eq!(mutex.owner(), Some(me));
            let before = count.get();
            if choices.below(16) == 0 {
                thread::yield_now();
            }
            count.set(before + 1);
            entered.fetch_add(1, Ordering::Relaxed);
            mutex.unlock(me).unwrap();
            assert_ne!(mutex.owner(), Some(me));
            // Those who find it kept doze until then, or for a while.
            if choices.below(8) == 0 {
                about_to_wait([me; 2]);
            }
        }
    });
    assert_eq!(count.get(), entered.into_inner());
    assert_eq!(mutex.owner(), None);
}

fn rwlock_excludes(threads: u64, seed: u64) {
    let lock = Rwlock::new();
    let pair = Guarded::new((0u64, 0u64));
    let writes = AtomicU64::new(0);
    let write = || {
        let (left, right) = pair.get();
        assert_eq!(left, right);
        pair.set((left + 1, right));
        pair.set((left + 1, right + 1));
        writes.fetch_add(1, Ordering::Relaxed);
    };
    let read = || {
        let (left, right) = pair.get();
        assert_eq!(left, right);
        left
    };
    run(threads, seed, |thread, choices| {
        let me = name(thread);
        for _ in 0..OPERATIONS {
            if choices.below(3) == 0 {
                if !lock.try_write(me) {
                    lock.write_waiting(me, || ());
                }
                assert!(lock.is_written_by(me) && lock.readers() == 0);
                write();
                if choices.below(3) == 0 {
                    let before = pair.get().0;
                    lock.downgrade(me).unwrap();
                    assert_eq!(read(), before, "no writer gets in between");
                }
            } else {
                if !lock.try_read() {
                    lock.read_waiting(|| ());
                }
                let before = read();
                if choices.below(3) == 0 {
                    match lock.try_upgrade(me).unwrap() {
                        Ok(()) => {
                            assert_eq!(pair.get().0, before);
                            write();
                        }
                        Err(OtherReaders) => assert_eq!(read(), before),
                    }
                }
            }
            lock.exit(me).unwrap();
        }
    });
    assert!(lock.is_unused());
    let writes = writes.into_inner();
    assert_eq!(pair.get(), (writes, writes));
}

/// Where a thread goes after a wait: to the mutex, now or later.
fn home<'a>(monitor: &'a Monitor, choices: &mut Choices) -> Home<'a> {
    if choices.below(2) == 0 { Home::next(monitor) } else { Home::later(monitor) }
}

/// Takes the mutex after a wait that ended so. Seldom it says that it came too early: else few would.
fn relock(monitor: &Monitor, me: Owner, outcome: Outcome, choices: &mut Choices) {
    monitor.mutex().lock_waiting(me, || (), &|| 0);
    // SAFETY: locked above.
    unsafe {
        match outcome {
            Outcome::Handed => monitor.arrive(),
            Outcome::Signalled if choices.below(200) == 0 => monitor.came_too_early(),
            _ => {}
        }
    }
}

/// Threads hand a token round; each wait needs its signal.
fn ring_loses_no_signal(threads: u64, seed: u64) {
    ring(threads, seed);
}

/// Some such rings of two side by side.
fn pairs_lose_no_signal(threads: u64, seed: u64) {
    thread::scope(|scope| {
        (0..threads.div_ceil(2)).for_each(|pair| _ = scope.spawn(move || ring(2, seed ^ (pair << 48))))
    });
}

fn ring(threads: u64, seed: u64) {
    let monitor = Monitor::new();
    let conditions: Vec<Condvar> = (0..threads).map(|_| Condvar::new()).collect();
    let turn = Guarded::new(0u64);
    run(threads, seed, |thread, choices| {
        let me = name(thread);
        for _ in 0..OPERATIONS / 4 {
            monitor.mutex().lock(me);
            while turn.get() != thread {
                let home = home(&monitor, choices);
                let Waited { outcome, .. } =
                    conditions[thread as usize].wait(Some(home), None, Note::NONE, || monitor.unlock(me).unwrap());
                assert_ne!(outcome, Outcome::TimedOut);
                relock(&monitor, me, outcome, choices);
            }
            let next = (thread + 1) % threads;
            turn.set(next);
            if choices.below(2) == 0 {
                conditions[next as usize].signal([me; 2], |_| Reply::NONE);
                monitor.unlock(me).unwrap();
            } else {
                monitor.unlock(me).unwrap();
                // May come so late that it ends a later wait of the same thread, which therefore looks again.
                conditions[next as usize].broadcast([me; 2], |_| Reply::NONE);
            }
        }
    });
    for condition in &conditions {
        assert_eq!(condition.retire(), Ok(()));
    }
}

/// A small store with one condition variable for both sides, deadlines on some waits: what goes in comes out, once.
fn store_keeps_count(threads: u64, seed: u64) {
    const ROOM: u64 = 3;
    let monitor = Monitor::new();
    let (filled, taken) = (Condvar::new(), Condvar::new());
    let store = Guarded::new(0u64);
    let pairs = (threads / 2).max(1);
    run(2 * pairs, seed, |thread, choices| {
        let me = name(thread);
        let fills = thread < pairs;
        let (mine, others) = if fills { (&taken, &filled) } else { (&filled, &taken) };
        for _ in 0..OPERATIONS / 4 {
            monitor.mutex().lock(me);
            while store.get() == if fills { ROOM } else { 0 } {
                let deadline = (choices.below(3) == 0).then(|| Deadline::after(0, choices.below(60_000) as i64));
                let home = home(&monitor, choices);
                let Waited { outcome, .. } =
                    mine.wait(Some(home), deadline.as_ref(), Note::NONE, || monitor.unlock(me).unwrap());
                assert!(outcome != Outcome::TimedOut || deadline.is_some());
                relock(&monitor, me, outcome, choices);
            }
            let before = store.get();
            store.set(if fills { before + 1 } else { before - 1 });
            // A waiter whose deadline came first has not taken this one: whoever waited longest of the others has.
            if choices.below(4) == 0 {
                others.broadcast([me; 2], |_| Reply::NONE);
            } else {
                others.signal([me; 2], |_| Reply::NONE);
            }
            monitor.unlock(me).unwrap();
        }
    });
    assert_eq!(store.get(), 0);
    assert_eq!((filled.retire(), taken.retire()), (Ok(()), Ok(())));
}

/// The seed of the round under way.
static SEED: AtomicU64 = AtomicU64::new(0);

/// A thread that fails leaves the others waiting for it: the process ends there and then.
fn stop_at_the_first_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        eprintln!("in the round of RUMPSCOPE_STRESS_SEED={}", SEED.load(Ordering::Relaxed));
        std::process::abort();
    }));
}

/// What so many threads do, as a seed has it.
type Scenario = fn(u64, u64);

#[test]
fn stress() {
    let number = |variable: &str| Some(std::env::var(variable).ok()?.parse::<u64>().expect("a number"));
    let duration = Duration::from_secs(number("RUMPSCOPE_STRESS_SECONDS").unwrap_or(5));
    let first = number("RUMPSCOPE_STRESS_SEED").unwrap_or(1);
    // As in a guest; nothing is counted here, so nobody else gathers threads.
    rumpuser::host::batch::begin();
    gather::begin();
    let mut wind = Choices(first);
    let scenarios: [(&str, Scenario); 5] = [
        ("mutex_excludes", mutex_excludes),
        ("rwlock_excludes", rwlock_excludes),
        ("ring_loses_no_signal", ring_loses_no_signal),
        ("pairs_lose_no_signal", pairs_lose_no_signal),
        ("store_keeps_count", store_keeps_count),
    ];
    stop_at_the_first_panic();
    let began = Instant::now();
    let (mut rounds, mut told, mut grouped) = (0, began, 0);
    while began.elapsed() < duration || rounds < scenarios.len() as u64 {
        let seed = first + rounds;
        SEED.store(seed, Ordering::Relaxed);
        let (name, scenario) = scenarios[(seed % scenarios.len() as u64) as usize];
        seed_delays(seed);
        let threads = 2 + Choices(seed).below(MOST_THREADS - 1);
        let round = thread::spawn(move || scenario(threads, seed));
        let mut looks = 0;
        while !round.is_finished() {
            thread::sleep(LOOK);
            looks += 1;
            match wind.below(6) {
                0 => _ = gather::gather(),
                1 => gather::scatter(),
                2 => gather::hands::begin(),
                3 => grouped += u64::from(gather::gather_in_groups()),
                _ => {}
            }
            assert!(looks < HANGS, "{name} with {threads} threads has no end: a wake-up is lost");
        }
        rounds += 1;
        if told.elapsed() > Duration::from_secs(60) {
            told = Instant::now();
            println!("{rounds} rounds in {:.0?}", began.elapsed());
        }
    }
    println!("{rounds} rounds from seed {first} in {:.0?}; {grouped} times in groups", began.elapsed());
}
