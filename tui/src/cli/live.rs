//! `rumpscope ls` and `top` on the command line.

use super::LookArgs;
use clap::Args;
use std::ffi::OsString;
use std::time::Duration;

const LS_HELP: &str = "\
Examples:
  rumpscope ls                 kernels that run, and what is left of others
  rumpscope ls --clean         removes what is left of others
  rumpscope ls --json | jq '.kernels[] | select(.state == \"alive\").pid'

Listed is what has its segment in this user's folder of segments
(docs/segment.md). A process whose RUMPSCOPE_SEGMENT names another place is
found by its number: rumpscope top PID.";

/// `rumpscope ls`.
#[derive(Debug, Args)]
#[command(after_help = LS_HELP)]
pub struct LsArgs {
    /// Remove the segments of those that have ended; what a `rumpscope run` still needs stays
    #[arg(long)]
    pub clean: bool,

    /// Print one line of JSON (docs/json.md)
    #[arg(long)]
    pub json: bool,

    /// Print in ASCII even where the locale has more
    #[arg(long)]
    pub ascii: bool,
}

const TOP_HELP: &str = "\
Examples:
  rumpscope top                the only kernel that runs, or a list to choose from
                               (enter opens the chosen one, q leaves)
  rumpscope top 4711           the dashboard on this one
  rumpscope top 4711 --once    what it does in one second, as text
  rumpscope top 4711 --json --interval 100ms --count 50
                               fifty lines of JSON, one for each interval
  rumpscope top $XDG_RUNTIME_DIR/rumpscope/4711.segment

The dashboard needs a terminal; where standard input or output is none, intervals
are printed as text, one after the other, until the kernel ends.

Exit status:
  0    shown up to the end that was asked for, or that of the kernel
  2    bad usage, or several kernels run and none is named
  3    there is no such kernel, or it cannot be read
  128+n  signal n ended the dashboard";

/// `rumpscope top`.
#[derive(Debug, Args)]
#[command(after_help = TOP_HELP)]
pub struct TopArgs {
    /// The process, by its number, or its segment; without it, the only one that runs
    #[arg(value_name = "PID|FILE")]
    pub target: Option<OsString>,

    /// Print one interval as text, and end
    #[arg(long, conflicts_with = "count")]
    pub once: bool,

    /// Print a line of JSON for each interval (docs/json.md)
    #[arg(long)]
    pub json: bool,

    /// Print so many intervals, and end
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// How long an interval is, as 100ms, 1s, 1m; at least 10ms
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub interval: Duration,

    /// How it looks.
    #[command(flatten)]
    pub look: LookArgs,
}

/// An interval, long enough for a sampler.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if interval < crate::live::SHORTEST {
        return Err(format!("the shortest interval is {}", humantime::format_duration(crate::live::SHORTEST)));
    }
    Ok(interval)
}
