//! The `rumpscope` command.

mod absence;
mod attach;
mod bench;
mod child;
mod cli;
mod commands;
mod exit;
mod interrupt;
mod measured;
mod output;
mod preload;
mod segment_folder;
mod signal;
mod terminal;
mod waiting;

use clap::Parser;

fn main() {
    let status = commands::dispatch(cli::Cli::parse()).unwrap_or_else(|error| {
        eprintln!("rumpscope: {error:#}");
        exit::NO_PROFILE
    });
    std::process::exit(status);
}
