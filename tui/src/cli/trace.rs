//! `rumpscope trace` on the command line.

use super::MeasuredArgs;
use clap::Args;
use rumpscope_reports::timeline::Condition;
use std::path::PathBuf;
use std::time::Duration;

/// What takes part in no run of ours.
const OF_OUR_RUNS: [&str; 9] =
    ["program", "ncpu", "workload", "seed", "backend", "block_io", "timing", "duration", "events"];

const HELP: &str = "\
Examples:
  rumpscope trace 4711 --last 5s -o now.pftrace    what a running process did
  rumpscope trace -o end.pftrace -- ./my_rump_program --its-option
                                                   the last seconds of a program
  rumpscope trace --workload locks --duration 2s   of the embedded guest
  rumpscope trace 4711 --when 'wait:mutex>10ms' --times 3
                                                   what led to long waits for locks

Open the file at https://ui.perfetto.dev. There is a track for each virtual CPU,
and for each thread one of its hypercalls and one of where it was.

Conditions are SUBJECT>TIME, where SUBJECT is one of
  wait       a thread is off its virtual CPU, in a hypercall
  call       a hypercall, from entry to return
  vcpu-wait  a thread waits for a virtual CPU
  run        a thread keeps its virtual CPU
  off        a thread is off its virtual CPU, also when it has nothing to do
and may name a hypercall or a family behind a colon, as in call:bio>50ms or
wait:mutex>10ms. (Threads with nothing to do wait, too: `wait` alone is true
soon.) What goes on counts as well. docs/trace.md tells more.

Exit status:
  That of the guest where one is started, as for `run`; otherwise 0
  2    bad usage
  3    there is no such process, it records no events, the condition never came
       true, or the trace could not be written
  126  the program could not be started
  127  there is no such program";

/// `rumpscope trace`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct TraceArgs {
    /// A running process, or one whose segment is left
    #[arg(value_name = "PID", conflicts_with_all = OF_OUR_RUNS)]
    pub pid: Option<u32>,

    /// How much time the trace is of, if so much is recorded still
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    pub last: Duration,

    /// Where it is written to; with --times a number follows, from the second on
    #[arg(short, long, value_name = "FILE", default_value = "rumpscope.pftrace")]
    pub output: PathBuf,

    /// Wait until this has happened, and write what led to it
    #[arg(long, value_name = "CONDITION")]
    pub when: Option<Condition>,

    /// How often, then
    #[arg(long, value_name = "N", default_value = "1", requires = "when", value_parser = clap::value_parser!(u32).range(1..))]
    pub times: u32,

    /// Memory for events of the guest that is started, as 64MiB [default: 10MiB]
    #[arg(long, value_name = "SIZE", value_parser = rumpscope_probes::events::check_size)]
    pub events: Option<String>,

    /// What is started, where no process is named.
    #[command(flatten)]
    pub measured: MeasuredArgs,
}
