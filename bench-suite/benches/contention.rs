//! What becomes of locks that are wanted by many, on our library and on another one:
//!
//! ```text
//! RUMPSCOPE_COMPARE=/usr/lib/librumpuser.so.0 cargo bench -p rumpscope-bench-suite --bench contention -- \
//!     --threads 1,2,4,8,16 --section 200 --outside 0 --rounds 5
//! ```

use rumpscope_bench_suite::contention::{Figures, Kind, Load, child_main, measure, table};
use rumpscope_bench_suite::hypervisor::own_library;
use rumpscope_probes::Mode;
use rumpscope_reports::Style;
use std::error::Error;
use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The environment variable that names another library to compare with.
const COMPARE: &str = "RUMPSCOPE_COMPARE";

const USAGE: &str = "\
Options: --threads N,N,...   how many threads want the lock (default 1,2,4,8,16)
         --section NS,...    work inside, in nanoseconds (default 200,2000)
         --outside NS,...    work outside, in nanoseconds (default 0,2000)
         --duration MS       for how long, in milliseconds (default 200)
         --rounds N          how many times, all loads in turn (default 3)
RUMPSCOPE_COMPARE=FILE names another library.";

struct Options {
    threads: Vec<usize>,
    sections: Vec<u64>,
    outside: Vec<u64>,
    duration: Duration,
    rounds: u32,
}

fn main() -> ExitCode {
    child_main();
    match options().and_then(|options| options.map_or(Ok(()), |options| run(&options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("contention: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is asked for; `None`: help, which has been given.
fn options() -> Result<Option<Options>, Box<dyn Error>> {
    let mut options = Options {
        threads: vec![1, 2, 4, 8, 16],
        sections: vec![200, 2_000],
        outside: vec![0, 2_000],
        duration: Duration::from_millis(200),
        rounds: 3,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut numbers = || -> Result<Vec<u64>, String> {
            let text = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
            let number = |word: &str| word.parse().map_err(|_| format!("{argument} {text}: {word:?} is no number"));
            text.split(',').map(number).collect()
        };
        match argument.as_str() {
            // cargo says so.
            "--bench" => {}
            "--threads" => options.threads = numbers()?.into_iter().map(|count| count.max(1) as usize).collect(),
            "--section" => options.sections = numbers()?,
            "--outside" => options.outside = numbers()?,
            "--duration" => options.duration = Duration::from_millis(numbers()?[0].max(1)),
            "--rounds" => options.rounds = numbers()?[0].max(1) as u32,
            "--help" => {
                println!("{USAGE}");
                return Ok(None);
            }
            _ => return Err(format!("there is no {argument}\n{USAGE}").into()),
        }
    }
    Ok(Some(options))
}

fn loads(options: &Options) -> Vec<Load> {
    let mut loads = Vec::new();
    for kind in Kind::ALL {
        for &section_ns in &options.sections {
            for &outside_ns in &options.outside {
                let load = |&threads| Load { kind, threads, section_ns, outside_ns, duration: options.duration };
                loads.extend(options.threads.iter().map(load));
            }
        }
    }
    loads
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let own = own_library().ok_or("no librumpuser.so: build rumpscope-core, or set RUMPSCOPE_LIBRARY")?;
    let mut subjects = vec![("ours", own, Some(Mode::Full))];
    subjects.extend(std::env::var_os(COMPARE).map(|library| ("other", PathBuf::from(library), None)));
    for (label, library, mode) in &subjects {
        println!(
            "{label:<6} {}{}",
            library.display(),
            mode.map_or(String::new(), |mode| format!(", timing {}", mode.name()))
        );
    }
    let loads = loads(options);
    let mut results: Vec<Vec<Figures>> = vec![Vec::new(); loads.len() * subjects.len()];
    for round in 0..options.rounds {
        for (place, load) in loads.iter().enumerate() {
            if stderr().is_terminal() {
                eprint!("\rround {} of {}, load {} of {} ", round + 1, options.rounds, place + 1, loads.len());
            }
            for turn in 0..subjects.len() {
                // Each round another one begins.
                let subject = (turn + round as usize) % subjects.len();
                let (_, library, mode) = &subjects[subject];
                results[place * subjects.len() + subject].push(measure(library, *mode, load)?);
            }
        }
    }
    if stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
    let lines: Vec<_> = loads.iter().flat_map(|load| subjects.iter().map(move |(label, ..)| (load, *label))).collect();
    let lines: Vec<_> =
        lines.into_iter().zip(&results).map(|((load, label), figures)| (load, label, &figures[..])).collect();
    println!("\n{}", table(&lines, &Style { width: usize::MAX, colour: false, ascii: true }));
    println!(
        "of best: the part of the best schedule's throughput; waits: the part of the sections that found the lock taken,"
    );
    println!(
        "and for how long; for the token, how long it was under way. Medians over the rounds, the longest of the longest."
    );
    Ok(())
}
