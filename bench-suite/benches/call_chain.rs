//! What it costs to take the calling thread's own call chain:
//!
//! ```text
//! cargo bench -p rumpscope-bench-suite --bench call_chain
//! ```
//!
//! Every caller is a function of its own, so each frame's rule is looked up at another place. `first` is the first chain
//! in the process, with all that is to be found out and recorded about what is loaded; `new` the first chain from callers
//! that no chain went through before. At the end, what it adds to a wait for a lock that it is recorded, chains included.

use rumpscope_bench_suite::statistics::quantile;
use rumpscope_probes::contention::{LockKind, Watch};
use rumpscope_probes::{CHAIN_DEPTH, ENV_SEGMENT, Hypercall, begin, call_chain};
use std::hint::black_box;
use std::time::{Duration, Instant};

type Work<'a> = &'a mut dyn FnMut();
type Caller = fn(Work<'_>, usize);

/// Functions that call one another. `SET` makes them twice.
fn step<const SET: usize, const N: usize>(work: Work<'_>, left: usize) {
    match left {
        0 => work(),
        _ => black_box(&CALLERS)[SET][N](work, left - 1),
    }
    // The call above is not the last instruction, and no caller is made a part of another.
    black_box(N);
}

macro_rules! callers {
    ($set:literal: $($n:literal)*) => { [$(step::<$set, $n> as Caller),*] };
}

static CALLERS: [[Caller; 32]; 2] = [
    callers!(0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 0),
    callers!(1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 0),
];

fn take(depth: usize) -> usize {
    let mut frames = [0; CHAIN_DEPTH];
    let count = call_chain(&mut frames, depth);
    black_box(&frames);
    count
}

/// Nanoseconds of one chain, taken once at the end of all callers of a set.
fn once(set: usize) -> u128 {
    let mut time = 0;
    CALLERS[set][0](
        &mut || {
            let begin = Instant::now();
            black_box(take(CHAIN_DEPTH));
            time = begin.elapsed().as_nanos();
        },
        CHAIN_DEPTH,
    );
    time
}

/// Nanoseconds of a chain of `depth`, in each of many rounds.
fn often(depth: usize) -> Vec<f64> {
    const ROUNDS: usize = 201;
    const CHAINS: u32 = 1000;
    let mut times = Vec::with_capacity(ROUNDS);
    let mut round = || {
        let begin = Instant::now();
        for _ in 0..CHAINS {
            assert_eq!(black_box(take(black_box(depth))), depth);
        }
        times.push(begin.elapsed().as_nanos() as f64 / f64::from(CHAINS));
    };
    CALLERS[0][0](&mut || (0..ROUNDS).for_each(|_| round()), CHAIN_DEPTH);
    times
}

/// Nanoseconds that a wait takes at the end of 16 callers, in each of many rounds: registered, charged to a holder who takes
/// his chain, told, and the hold after it timed. The waiter is its own holder: what the two do at the same time otherwise
/// is done one after the other.
fn waits() -> Vec<f64> {
    const ROUNDS: usize = 2001;
    /// Long enough for the holder's chain to be taken each time.
    const WAIT: Duration = Duration::from_micros(5);
    let wait = || {
        let begin = Instant::now();
        while begin.elapsed() < WAIT {}
        begin.elapsed()
    };
    let watch = Watch::new(0x1000);
    let mut times = Vec::with_capacity(ROUNDS);
    let mut round = || {
        let mut waited = Duration::ZERO;
        let begin = Instant::now();
        watch.wait_alone(LockKind::Mutex, Hypercall::MutexEnter, |announce| {
            announce();
            waited = wait();
            watch.release(|| ());
            0
        });
        let put_off = watch.take_put_off();
        watch.end_timed_hold();
        put_off.tell();
        times.push(begin.elapsed().saturating_sub(waited).as_nanos() as f64);
    };
    CALLERS[0][0](&mut || (0..ROUNDS).for_each(|_| round()), 16);
    times
}

fn main() {
    println!("first chain of {CHAIN_DEPTH}  {:>8} ns", once(0));
    println!("new chain of {CHAIN_DEPTH}    {:>8} ns\n", once(1));
    println!("depth   median ns  least ns");
    for depth in [1, 5, 16, CHAIN_DEPTH] {
        let times = often(depth);
        let [median, least] = [0.5, 0.0].map(|part| quantile(&times, part).unwrap_or(f64::NAN));
        println!("{depth:>5} {median:>11.1} {least:>9.1}");
    }

    let segment = std::env::temp_dir().join(format!("rumpscope-bench-{}", std::process::id()));
    // SAFETY: this program has one thread.
    unsafe { std::env::set_var(ENV_SEGMENT, &segment) };
    if let Err(problem) = begin("none", None) {
        return eprintln!("waits are not measured: {problem}");
    }
    let times = waits();
    let _ = std::fs::remove_file(&segment);
    let [median, least] = [0.5, 0.0].map(|part| quantile(&times, part).unwrap_or(f64::NAN));
    println!("\na wait of a thread 16 deep, waiter and holder together: {median:.0} ns more (least {least:.0})");
}
