//! `rumpscope record` and `replay` on the command line.

use super::{LookArgs, MeasuredArgs};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// What takes part in no run of ours.
const OF_OUR_RUNS: [&str; 7] = ["program", "ncpu", "workload", "seed", "backend", "block_io", "timing"];

const DURATION: &str = "\
How long to run, as 500ms, 10s, 2m; a PROGRAM is then sent SIGTERM, and SIGKILL five seconds later [default: 10s for the \
embedded guest, until its end for a PROGRAM]. Of a process that runs: record it for this long [default: until its end]";

const RECORD_HELP: &str = "\
Examples:
  rumpscope record 4711 -o busy.rsr                a running process, until its end or
                                                   Ctrl-C
  rumpscope record 4711 -o busy.rsr --interval 100ms --duration 1m
  rumpscope record -o run.rsr -- ./my_rump_program --its-option
  rumpscope replay run.rsr

Every interval all that the process has counted is written, as far as it has
changed. What has been written stays readable, however the recording ends.
docs/recording.md tells the format.

Exit status:
  That of the guest where one is started, as for `run`, even if the recording
  ended early, which is said; otherwise 0
  2    bad usage
  3    there is no such process, it is not measured, the recording could not be
       made, or its end not be written; of a running process, also if it ended
       early
  126  the program could not be started
  127  there is no such program";

/// `rumpscope record`.
#[derive(Debug, Args)]
#[command(after_help = RECORD_HELP, mut_arg("duration", |argument| argument.help(DURATION)))]
pub struct RecordArgs {
    /// A running process
    #[arg(value_name = "PID", conflicts_with_all = OF_OUR_RUNS)]
    pub pid: Option<u32>,

    /// Where it is written to; a file that is there is written over
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    /// The time between two samples, as 100ms, 1s
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    pub interval: Duration,

    /// What a day of recording may take on the disk, as 100MB, 2GB, or none; up to half of it at once. Where more
    /// happens, samples are written as outlines: counts and sums of times, rounded if they must be, without percentiles
    /// and who waited for whom
    #[arg(long, value_name = "SIZE", default_value = "100MB", value_parser = limit)]
    pub limit: Limit,

    /// What is started, where no process is named.
    #[command(flatten)]
    pub measured: MeasuredArgs,
}

/// What a day of recording may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// That many bytes.
    Bytes(u64),
    /// What it takes.
    None,
}

/// What `run --record` keeps to.
pub const DEFAULT_LIMIT: Limit = Limit::Bytes(100_000_000);

fn limit(text: &str) -> Result<Limit, String> {
    if text == "none" {
        return Ok(Limit::None);
    }
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let unit: u64 = match &*text[digits..].to_ascii_lowercase() {
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        _ => 0,
    };
    let bytes = text[..digits].parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    bytes.filter(|bytes| *bytes != 0).map(Limit::Bytes).ok_or_else(|| "a size such as 100MB or 2GB, or none".to_owned())
}

const REPLAY_HELP: &str = "\
Examples:
  rumpscope replay run.rsr                         in the dashboard
  rumpscope replay run.rsr --text                  the profile of the whole recording
  rumpscope replay run.rsr --from 1m --to 2m       of one minute of it
  rumpscope replay run.rsr --json=profile.json

Exit status:
  0    it was shown
  2    bad usage
  3    it is no recording, one of another version, or has no whole sample
  128+n  signal n ended the dashboard";

/// `rumpscope replay`.
#[derive(Debug, Args)]
#[command(after_help = REPLAY_HELP)]
pub struct ReplayArgs {
    /// A recording
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// Print the profile, also where standard output is a terminal
    #[arg(long)]
    pub text: bool,

    /// Print JSON instead (docs/json.md), or write it to FILE beside the text; as --json=FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub json: Option<PathBuf>,

    /// Only what came after this time of the recording
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub from: Option<Duration>,

    /// Only what came before this time
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub to: Option<Duration>,

    /// How the dashboard looks.
    #[command(flatten)]
    pub look: LookArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_units() {
        assert_eq!(limit("100MB"), Ok(DEFAULT_LIMIT));
        assert_eq!([limit("2gb"), limit("none")], [Ok(Limit::Bytes(2_000_000_000)), Ok(Limit::None)]);
        for wrong in ["", "100", "MB", "0MB", "-1MB", "99999999999999GB", "1TB"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
    }
}
