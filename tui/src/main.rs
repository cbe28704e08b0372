//! The `rumpscope` command.

// First: the others use its macro.
#[macro_use]
mod tell;

mod absence;
mod attach;
mod bench;
mod beside;
mod child;
mod cli;
mod commands;
mod dashboard;
mod exit;
mod heap;
mod interrupt;
mod live;
mod measured;
mod output;
mod preload;
mod recording;
mod segment_folder;
mod signal;
mod terminal;
mod top;
mod trace_file;
mod viewer;
mod waiting;

use clap::Parser;

fn main() {
    let status = commands::dispatch(cli::Cli::parse()).unwrap_or_else(|error| {
        tell!("rumpscope: {error:#}");
        exit::NO_PROFILE
    });
    std::process::exit(status);
}
