//! What becomes of locks that are wanted by many, on any back end:
//!
//! ```text
//! cargo bench -p rumpscope-bench-suite --bench contention -- \
//!     --backend native,stock=external:/usr/lib/librumpuser.so.0@bare --threads 8 --section 200 --outside 0,1000
//! ```

use rumpscope_bench_suite::ab::Variant;
use rumpscope_bench_suite::contention::{Figures, Kind, Load, child_main, measure, table};
use rumpscope_reports::Style;
use std::error::Error;
use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "\
Options: --backend B,B,...   as for rumpscope bench: native, pthread, fiber, external:FILE@bare, ... (default native)
         --threads N,N,...   how many threads want the lock (default 1,2,4,8,16)
         --section NS,...    work inside, in nanoseconds (default 200,2000)
         --outside NS,...    work outside, in nanoseconds (default 0,2000)
         --duration MS       for how long, in milliseconds (default 200)
         --rounds N          how many times, all loads in turn (default 3)";

/// What the columns are.
const LEGEND: &str = "\
of best: the part of the best schedule's throughput. useful: of the processor time that was used, the part that one
thread alone would have needed. waits: the part of the sections that found the lock taken, and for how long; for the
token, how long it was under way. max apart: the longest that as many threads with a mutex each took for one section and
the work outside, which is for how long the host alone keeps one of so many off the processors: what is not longer is not
the lock's doing. Medians over the rounds, the longest of the longest waits.";

struct Options {
    backends: String,
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
        backends: "native".to_owned(),
        threads: vec![1, 2, 4, 8, 16],
        sections: vec![200, 2_000],
        outside: vec![0, 2_000],
        duration: Duration::from_millis(200),
        rounds: 3,
    };
    // cargo bench says so. Where it is run for nothing but to see that it runs, little is enough.
    if !std::env::args().any(|argument| argument == "--bench") {
        let (threads, sections, outside) = (vec![1, 4], vec![200], vec![1_000]);
        options = Options { threads, sections, outside, duration: Duration::from_millis(20), rounds: 1, ..options };
    }
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut numbers = || -> Result<Vec<u64>, String> {
            let text = arguments.next().ok_or_else(|| format!("{argument} needs a value"))?;
            let number = |word: &str| word.parse().map_err(|_| format!("{argument} {text}: {word:?} is no number"));
            text.split(',').map(number).collect()
        };
        match argument.as_str() {
            "--bench" => {}
            "--backend" => options.backends = arguments.next().ok_or("--backend needs a value")?,
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
    let variants = options.backends.split(',').map(|text| Variant::parse(text, &[]));
    let variants = variants.collect::<Result<Vec<_>, _>>()?.concat();
    for Variant { label, library, .. } in &variants {
        println!("{label:<10} {}", library.display());
    }
    let loads = loads(options);
    let mut results: Vec<Vec<Figures>> = vec![Vec::new(); loads.len() * variants.len()];
    for round in 0..options.rounds {
        for (place, load) in loads.iter().enumerate() {
            if stderr().is_terminal() {
                eprint!("\rround {} of {}, load {} of {} ", round + 1, options.rounds, place + 1, loads.len());
            }
            for turn in 0..variants.len() {
                // Each round another one begins.
                let variant = (turn + round as usize) % variants.len();
                results[place * variants.len() + variant].push(measure(&variants[variant], load)?);
            }
        }
    }
    if stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
    let pairs = loads.iter().flat_map(|load| variants.iter().map(move |variant| (load, variant.label.as_str())));
    let lines: Vec<_> = pairs.zip(&results).map(|((load, label), figures)| (load, label, &figures[..])).collect();
    println!("\n{}", table(&lines, &Style { width: usize::MAX, colour: false, ascii: true }));
    println!("{LEGEND}");
    Ok(())
}
