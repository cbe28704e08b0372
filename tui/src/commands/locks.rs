//! `rumpscope locks`: which locks are waited for, by whom, from where, and who holds them.

use crate::cli::LocksArgs;
use crate::output::Output;
use crate::waiting;
use rumpscope_reports::contention::table::Options;
use rumpscope_reports::contention::{json, table};

/// Prints it; the result is the exit status.
///
/// # Errors
/// When there is nothing to look at, or the result cannot be written.
pub fn run(args: &LocksArgs) -> anyhow::Result<i32> {
    // Made before the run: a wrong name is not found out after it.
    let output = Output::new(args.json.as_deref(), args.source.ascii)?;
    let source = match waiting::of(args.target.as_deref(), &args.source)? {
        Ok(source) => source,
        Err(status) => return Ok(status),
    };
    let options = Options { by: args.by, top: args.top, chains: args.chains };
    output.write(
        || Ok(json::render(&source.waiting, source.pid, args.by, args.top, args.chains)?),
        |style| table::render(&source.waiting, &options, style),
    )?;
    Ok(source.status)
}
