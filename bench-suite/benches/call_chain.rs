//! What it costs to take the calling thread's own call chain:
//!
//! ```text
//! cargo bench -p rumpscope-bench-suite --bench call_chain
//! ```
//!
//! Every caller is a function of its own, so each frame's rule is looked up at another place. `first` is the first chain
//! in the process, with all that is to be found out and recorded about what is loaded; `new` the first chain from callers
//! that no chain went through before.

use rumpscope_bench_suite::statistics::quantile;
use rumpscope_probes::{CHAIN_DEPTH, call_chain};
use std::hint::black_box;
use std::time::Instant;

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

fn main() {
    println!("first chain of {CHAIN_DEPTH}  {:>8} ns", once(0));
    println!("new chain of {CHAIN_DEPTH}    {:>8} ns\n", once(1));
    println!("depth   median ns  least ns");
    for depth in [1, 5, 16, CHAIN_DEPTH] {
        let times = often(depth);
        let [median, least] = [0.5, 0.0].map(|part| quantile(&times, part).unwrap_or(f64::NAN));
        println!("{depth:>5} {median:>11.1} {least:>9.1}");
    }
}
