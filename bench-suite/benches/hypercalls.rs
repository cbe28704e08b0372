//! What single, uncontended hypercalls cost in every timing mode, and on another library:
//!
//! ```text
//! RUMPSCOPE_COMPARE=/usr/lib/librumpuser.so.0 cargo bench -p rumpscope-bench-suite --bench hypercalls -- --rounds 20
//! ```

use rumpscope_bench_suite::hypervisor::own_library;
use rumpscope_bench_suite::micro::{Subject, child_main, measure, table};
use rumpscope_probes::Mode;
use rumpscope_reports::Style;
use std::error::Error;
use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::process::ExitCode;

/// The environment variable that names another library to compare with.
const COMPARE: &str = "RUMPSCOPE_COMPARE";

/// Six are the fewest that allow an interval.
const ROUNDS: u32 = 10;

fn main() -> ExitCode {
    child_main();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hypercalls: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let rounds = rounds()?;
    let own = own_library().ok_or("no librumpuser.so: build rumpscope-core, or set RUMPSCOPE_LIBRARY")?;
    let other = std::env::var_os(COMPARE).map(PathBuf::from);
    let mut subjects = Vec::new();
    subjects.extend(other.map(|library| Subject { label: "other".to_owned(), library, mode: None }));
    for mode in [Mode::Off, Mode::Counts, Mode::Full, Mode::Exact] {
        subjects.push(Subject { label: mode.name().to_owned(), library: own.clone(), mode: Some(mode) });
    }
    for subject in subjects.iter().filter(|subject| subject.mode.is_none_or(|mode| mode == Mode::Off)) {
        println!("{:<6} {}", if subject.mode.is_some() { "ours" } else { &subject.label }, subject.library.display());
    }
    println!("{rounds} rounds, each with a new process for every column, in random order\n");
    let times = measure(&subjects, rounds, |round| {
        if stderr().is_terminal() {
            eprint!("\rround {round} of {rounds} {}", if round == rounds { "\r\x1b[K" } else { "" });
        }
    })?;
    print!("{}", table(&subjects, &times, &Style { width: usize::MAX, colour: false, ascii: true }));
    println!(
        "\nThe columns: median time; ratio to the other library, with its 95 % interval; what the mode adds to off,"
    );
    println!("in pairs of clock reads.");
    Ok(())
}

fn rounds() -> Result<u32, Box<dyn Error>> {
    // cargo bench says so. Where it is run for nothing but to see that it runs, one is enough.
    let mut rounds = if std::env::args().any(|argument| argument == "--bench") { ROUNDS } else { 1 };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {}
            "--rounds" => {
                rounds = arguments.next().and_then(|value| value.parse().ok()).ok_or("--rounds needs a number")?;
            }
            _ => {
                return Err(
                    format!("{argument}: the only option is --rounds N; {COMPARE}=FILE names another library").into()
                );
            }
        }
    }
    Ok(rounds.max(1))
}
