//! The profile tells the truth: what a process knows of its own hypercalls is what its segment says.
//!
//! Each test starts this program again as the measured process, which runs on the library that lies beside it and prints
//! what it knows; the test reads the segment that it left behind.

mod accounting;
mod books;
mod calls;
mod contention;
mod counted;
mod crash;
mod parts;
mod process;
mod tally;

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

fn main() -> ExitCode {
    process::child_main();
    let trials: Vec<Trial> = [counted::trials(), accounting::trials(), crash::trials(), contention::trials()]
        .into_iter()
        .flatten()
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
