//! The instructions of uncontended hypercalls, counted by `valgrind --tool=callgrind` on the optimised library, against
//! the budgets in `instructions.txt`; and that none of them leaves the library for a lock, an allocation or a system call.
//!
//! ```text
//! cargo test --release -p rumpscope-bench-suite --test instructions
//! ```
//!
//! or, whatever this program is built with, of the library that `RUMPSCOPE_LIBRARY` names, which must be an optimised one.
//! The calls go through pointers into the shared object, as a guest's do. A count is exact: it depends on the compiler,
//! but not on the machine, nor on what else that does. `UPDATE_BUDGETS=1` writes the budgets anew.

use libtest_mimic::{Arguments, Failed, Trial};
use rumpscope_bench_suite::hypervisor::own_library;
use rumpscope_bench_suite::micro::{self, Counted, ROWS};
use rumpscope_probes::{ClockSource, Mode};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

const MODES: [Mode; 4] = [Mode::Off, Mode::Counts, Mode::Full, Mode::Exact];

/// Instructions of our own for one time that a row's calls are made.
const BUDGETS: &str = include_str!("instructions.txt");
/// Where they are, from this package.
const BUDGETS_FILE: &str = "tests/instructions.txt";

/// What a new budget is above the count: other compilers make something else of the same source.
const ROOM: f64 = 1.05;

/// Hypercalls whose own work is done by the C library or the kernel, with what may be seen of that.
const WORK_BELOW: [(&str, &[&str]); 2] = [
    // The tool hides the kernel's code for reading clocks, so the C library's stands in for it.
    ("clock_gettime", &["clock_gettime"]),
    ("getrandom 32", &["getrandom", "__pthread_enable_asynccancel", "__pthread_disable_asynccancel"]),
];

/// A histogram that meets a length of its own for the first time gets longer, and the segment with it now and then.
const GROWTH: [&str; 3] = ["madvise", "sysconf", "getpagesize"];

fn main() -> ExitCode {
    micro::child_main();
    let arguments = Arguments::from_args();
    let why_not = why_not();
    if let Some(reason) = &why_not {
        eprintln!("instruction counts: skipped, {reason}");
    }
    if std::env::var_os("UPDATE_BUDGETS").is_some() {
        return update(why_not.as_deref());
    }
    let trial = |mode: Mode| {
        Trial::test(format!("instructions::{}", mode.name()), move || check(mode)).with_ignored_flag(why_not.is_some())
    };
    libtest_mimic::run(&arguments, MODES.map(trial).into()).exit_code()
}

/// Why instructions cannot be counted here.
fn why_not() -> Option<String> {
    if cfg!(debug_assertions) && std::env::var_os("RUMPSCOPE_LIBRARY").is_none() {
        return Some("the library is not optimised: add --release".to_owned());
    }
    if cfg!(not(target_arch = "x86_64")) {
        return Some("the budgets are those of x86-64".to_owned());
    }
    micro::available().err().map(|error| error.to_string())
}

/// Whether anything is timed in the mode.
fn is_timed(mode: Mode) -> bool {
    !matches!(mode, Mode::Off | Mode::Counts)
}

fn count(mode: Mode) -> Result<Vec<Counted>, String> {
    let library = own_library().ok_or("no librumpuser.so: build rumpscope-core")?;
    micro::count(&library, mode, Path::new(env!("CARGO_TARGET_TMPDIR"))).map_err(|error| error.to_string())
}

fn check(mode: Mode) -> Result<(), Failed> {
    let budgets = budgets();
    let mut problems = String::new();
    for counted in count(mode)? {
        let name = counted.row.name;
        if is_timed(mode) && counted.clock != Some(ClockSource::Tsc) {
            return Err(format!("the budgets are those of the time stamp counter, not of {:?}", counted.clock).into());
        }
        match budgets.get(&(name, mode.name())) {
            None => writeln!(problems, "{name}: no budget in {BUDGETS_FILE}")?,
            Some(budget) if counted.own() > f64::from(*budget) + 0.5 => writeln!(
                problems,
                "{name}: {:.1} instructions, {:.1} more than its budget of {budget}{}",
                counted.own(),
                counted.own() - f64::from(*budget),
                places(&counted)
            )?,
            Some(_) => {}
        }
        for function in counted.below().filter(|function| !is_expected(name, mode, &function.name)) {
            writeln!(problems, "{name} leaves the library: for {} in {}", function.name, function.object)?;
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    let hint =
        "If the price is right, UPDATE_BUDGETS=1 cargo test --release -p rumpscope-bench-suite --test instructions";
    Err(format!("\n{problems}{hint}").into())
}

/// Whether a row's calls may execute a function outside of the library.
fn is_expected(row: &str, mode: Mode, function: &str) -> bool {
    let works = WORK_BELOW.iter().find(|(name, _)| *name == row);
    // Some names have the version of the C library behind them.
    let plain = function.split('@').next().unwrap_or_default();
    let grows = is_timed(mode) && GROWTH.contains(&plain);
    grows || works.is_some_and(|(_, expected)| expected.contains(&plain))
}

/// Where the instructions of the library were executed.
fn places(counted: &Counted) -> String {
    let own = counted.functions.iter().filter(|function| counted.is_own(function));
    own.map(|function| format!("\n    {:>12}  {}", function.instructions, function.name)).collect()
}

/// By row and mode.
fn budgets() -> BTreeMap<(&'static str, &'static str), u32> {
    let mut lines = BUDGETS.lines().filter(|line| !line.starts_with('#'));
    let modes: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    let mut budgets = BTreeMap::new();
    for line in lines {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        let numbers = words.split_off(words.len().saturating_sub(modes.len()));
        let name = words.join(" ");
        let Some(row) = ROWS.iter().find(|row| row.name == name) else { panic!("{BUDGETS_FILE}: no row {name:?}") };
        for (mode, number) in modes.iter().zip(numbers) {
            budgets.insert((row.name, *mode), number.parse().expect("a number of instructions"));
        }
    }
    budgets
}

fn update(why_not: Option<&str>) -> ExitCode {
    match why_not.map_or_else(write_budgets, |reason| Err(reason.to_owned())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the budgets are as they were: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_budgets() -> Result<(), String> {
    let mut text = "\
# The most instructions of our own for one time that a row's hypercalls are made, by timing mode: what was counted and
# 5 % for other compilers. UPDATE_BUDGETS=1 cargo test --release -p rumpscope-bench-suite --test instructions
"
    .to_owned();
    let columns = MODES.map(count).into_iter().collect::<Result<Vec<_>, _>>()?;
    let mut line = |name: &str, cells: Vec<String>| {
        let cells: String = cells.iter().map(|cell| format!("{cell:>8}")).collect();
        text += &format!("{name:<24}{cells}\n");
    };
    line("", MODES.map(|mode| mode.name().to_owned()).into());
    for (index, counted) in columns[0].iter().enumerate() {
        let budget = |column: &Vec<Counted>| format!("{:.0}", (column[index].own() * ROOM).ceil());
        println!(
            "{:<24}{}",
            counted.row.name,
            columns.iter().map(|c| format!("{:>9.2}", c[index].own())).collect::<String>()
        );
        line(counted.row.name, columns.iter().map(budget).collect());
    }
    std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(BUDGETS_FILE), text).map_err(|error| error.to_string())
}
