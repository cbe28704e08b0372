//! The subcommands.

mod bench;
mod guest;
mod kernel;
mod locks;
mod ls;
mod offcpu;
mod record;
mod replay;
mod run;
mod top;
mod trace;
mod why;

use crate::cli::{Cli, Command};

/// Does what `cli` says; the result is the exit status.
///
/// # Errors
/// What kept it from being done, for people.
pub fn dispatch(cli: Cli) -> anyhow::Result<i32> {
    match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Ls(args) => ls::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Locks(args) => locks::run(&args),
        Command::Offcpu(args) => offcpu::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Trace(args) => trace::run(&args),
        Command::Record(args) => record::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Guest(args) => Ok(guest::run(&args)),
        Command::Kernel(args) => Ok(kernel::run(&args)),
    }
}
