//! The process in which the rows run: one library, one timing mode.

use super::rows::{Objects, ROWS, Row};
use crate::bare;
use crate::hypervisor::Hypervisor;
use crate::statistics::median;
use rumpscope_probes::clock;
use std::error::Error;
use std::path::PathBuf;
use std::process::exit;
use std::thread;
use std::time::{Duration, Instant};

/// First argument of a process that is to measure times; the library follows.
pub(super) const TIME: &str = "--time-hypercalls";
/// First argument of a process that `callgrind` is to watch; the library follows.
pub(super) const COUNT: &str = "--count-hypercalls";

/// What `callgrind` is to watch, function by function in the order of the rows.
pub(super) const WATCHED: &str = "rumpscope_watched_calls";
/// How often a row's calls are made there. A call that is timed once in a while makes the mean of so many an estimate,
/// good to some hundredths of an instruction.
pub(super) const WATCHED_TIMES: u64 = 40_000;

/// How many times a row is timed, and for about how long each time. The median counts: what else the machine does falls
/// on a few.
const BATCHES: usize = 21;
const BATCH: Duration = Duration::from_millis(1);

/// Runs the rows if the arguments of this process ask for that, and ends the process; returns otherwise. The first thing
/// that a program which measures has to call.
pub fn child_main() {
    let mut arguments = std::env::args_os().skip(1);
    let run = match arguments.next() {
        Some(first) if first == TIME => time,
        Some(first) if first == COUNT => watch,
        _ => return,
    };
    let outcome = prepare(PathBuf::from(arguments.next().unwrap_or_default())).map(|objects| run(&objects));
    if let Err(error) = &outcome {
        eprintln!("{error}");
    }
    exit(i32::from(outcome.is_err()));
}

fn prepare(library: PathBuf) -> Result<Objects, Box<dyn Error>> {
    let hypervisor = Hypervisor::load(&library)?;
    bare::boot(&hypervisor)?;
    clock::calibrate();
    // A second thread exists, so that the C library takes none of its short cuts for single ones.
    thread::Builder::new().spawn(|| {
        loop {
            thread::park();
        }
    })?;
    Ok(Objects::new(hypervisor.calls))
}

/// Prints a line for each row: nanoseconds per hypercall.
fn time(objects: &Objects) {
    for row in ROWS {
        println!("{}", nanoseconds(row, objects));
    }
}

fn nanoseconds(row: &Row, objects: &Objects) -> f64 {
    let run = |times: u64| {
        let start = Instant::now();
        (row.run)(objects, times);
        start.elapsed()
    };
    // Warm-up, until a batch is long enough.
    let mut times = 64;
    while run(times) < BATCH / 2 {
        times *= 2;
    }
    let batches: Vec<_> = (0..BATCHES).map(|_| run(times).as_nanos() as f64).collect();
    median(&batches).unwrap_or_default() / times as f64 / f64::from(row.calls)
}

/// Runs each row under the eyes of `callgrind`.
fn watch(objects: &Objects) {
    for row in ROWS {
        // First uses set things up; not what is counted.
        (row.run)(objects, WATCHED_TIMES / 4);
        rumpscope_watched_calls(row, objects);
    }
}

/// `callgrind` counts from entry to return, and writes a file at each return.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn rumpscope_watched_calls(row: &Row, objects: &Objects) {
    (row.run)(objects, WATCHED_TIMES);
}
