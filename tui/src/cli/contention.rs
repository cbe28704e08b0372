//! `rumpscope locks`, `offcpu` and `why` on the command line.

use super::MeasuredArgs;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args};
use rumpscope_reports::contention::group::By;
use std::ffi::OsString;
use std::path::PathBuf;

/// What takes part in no run of ours.
const OF_OUR_RUNS: [&str; 6] = ["program", "ncpu", "workload", "seed", "backend", "block_io"];

/// The process that is looked at, or what is started for that.
#[derive(Debug, Args)]
#[command(mut_arg("duration", |argument| argument.help(DURATION)))]
pub struct SourceArgs {
    /// What is started, where nothing is named that runs or ran.
    #[command(flatten)]
    pub measured: MeasuredArgs,

    /// Print in ASCII even where the locale has more
    #[arg(long)]
    pub ascii: bool,
}

const DURATION: &str = "\
How long to run, as 500ms, 10s, 2m; a PROGRAM is then sent SIGTERM, and SIGKILL five seconds later [default: 10s for the \
embedded guest, until its end for a PROGRAM]. Of a process that runs: look at what it does from now on for this long [default: \
look at all that it has done]";

const LOCKS_HELP: &str = "\
Examples:
  rumpscope locks                                  the embedded guest, for ten seconds
  rumpscope locks --workload locks --ncpu 4 --by holder
  rumpscope locks 4711                             a running process, from its start
  rumpscope locks 4711 --duration 5s --by stack    the same, the next five seconds
  rumpscope locks $XDG_RUNTIME_DIR/rumpscope/4711.segment
                                                   one that has ended
  rumpscope locks --json=locks.json -- ./my_rump_program --its-option

A process has a segment if it uses rumpscope's librumpuser.so.0 (or .a): see
docs/segment.md for where. What is exact, what is sampled and what the parts of
a wait are is told in docs/contention.md.

Exit status:
  That of the guest where one is started, as for `run`; otherwise 0
  2    bad usage
  3    there is no such process, it is not measured, or waits were not recorded
  126  the program could not be started
  127  there is no such program";

/// `rumpscope locks`.
#[derive(Debug, Args)]
#[command(after_help = LOCKS_HELP)]
pub struct LocksArgs {
    /// A running process by its number, the segment of one, or a recording
    #[arg(value_name = "PID|FILE", conflicts_with_all = OF_OUR_RUNS, conflicts_with = "timing")]
    pub target: Option<OsString>,

    /// What waits are merged by
    #[arg(long, value_name = "KEY", default_value = "lock", value_parser = by())]
    pub by: By,

    /// Rows of each table
    #[arg(long, value_name = "N", default_value = "10")]
    pub top: usize,

    /// Call chains of waiters, and of holders, below each row
    #[arg(long, value_name = "N", default_value = "1")]
    pub chains: usize,

    /// Print JSON instead (docs/json.md), or write it to FILE beside the text; as --json=FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub json: Option<PathBuf>,

    /// Where it is from.
    #[command(flatten)]
    pub source: SourceArgs,
}

const OFFCPU_HELP: &str = "\
Examples:
  rumpscope offcpu --svg -o offcpu.svg 4711        a running process, from its start
  rumpscope offcpu --svg --duration 5s -o offcpu.svg 4711
  rumpscope offcpu --svg --holders -o holders.svg -- ./my_rump_program
  rumpscope offcpu --folded --workload disk        the embedded guest

Folded text has a line for each stack, outermost function first, with `;` between
them, a space, and nanoseconds: what flamegraph.pl and its like read. A stack
begins with its thread and ends with the hypercall that waited and [what for].
With --holders the stack of who made it wait follows behind `--`, from its
innermost function outwards.

Exit status: as `rumpscope locks`";

/// `rumpscope offcpu`.
#[derive(Debug, Args)]
#[command(after_help = OFFCPU_HELP, group = ArgGroup::new("format").required(true))]
pub struct OffcpuArgs {
    /// A running process by its number, the segment of one, or a recording
    #[arg(value_name = "PID|FILE", conflicts_with_all = OF_OUR_RUNS, conflicts_with = "timing")]
    pub target: Option<OsString>,

    /// Write folded stacks
    #[arg(long, group = "format")]
    pub folded: bool,

    /// Draw a flame graph
    #[arg(long, group = "format")]
    pub svg: bool,

    /// Show also what those did who made others wait
    #[arg(long)]
    pub holders: bool,

    /// Where it is written to [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Where it is from.
    #[command(flatten)]
    pub source: SourceArgs,
}

const WHY_HELP: &str = "\
Examples:
  rumpscope why 4711                               the lock that is waited for longest
  rumpscope why 4711 ioflush                       a thread, by its name or number
  rumpscope why 4711 proc_lock                     a lock, by its name or address
  rumpscope why 4711 thread:proc_lock              where both have that name
  rumpscope why proc_lock -- ./my_rump_program     of a program that is started
  rumpscope why --of proc_lock --workload locks    of the embedded guest

`rumpscope locks` and `rumpscope locks --by thread` show the names.

Exit status: as `rumpscope locks`; 3 also where nothing has that name";

/// `rumpscope why`.
#[derive(Debug, Args)]
#[command(after_help = WHY_HELP)]
pub struct WhyArgs {
    /// A running process by its number, the segment of one, or a recording
    #[arg(value_name = "PID|FILE", conflicts_with_all = &OF_OUR_RUNS[1..], conflicts_with = "timing")]
    pub target: Option<OsString>,

    /// What is asked about [default: the lock that is waited for longest]
    #[arg(value_name = "THREAD|LOCK", conflicts_with = "program")]
    pub subject: Option<String>,

    /// The same, where no process is named
    #[arg(long, value_name = "THREAD|LOCK", conflicts_with = "subject")]
    pub of: Option<String>,

    /// How many causes are told
    #[arg(long, value_name = "N", default_value = "10")]
    pub top: usize,

    /// Where it is from.
    #[command(flatten)]
    pub source: SourceArgs,
}

fn by() -> impl TypedValueParser<Value = By> {
    let help = |by| match by {
        By::Lock => "the lock",
        By::Class => "all locks made at one place",
        By::Site => "the function that waited",
        By::Stack => "the whole call chain that waited",
        By::Cpu => "the virtual CPU that the waiter was on",
        By::Thread => "the thread that waited",
        By::Holder => "the call chain of who held the lock, or gave the signal",
        By::Edge => "who made whom wait",
    };
    let named = |name: String| By::ALL.into_iter().find(|by| by.name() == name).ok_or("unknown key");
    PossibleValuesParser::new(By::ALL.map(|by| PossibleValue::new(by.name()).help(help(by)))).try_map(named)
}

#[cfg(test)]
mod tests {
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn parse(arguments: &[&str]) -> Result<Command, clap::Error> {
        Cli::try_parse_from(["rumpscope"].iter().chain(arguments)).map(|cli| cli.command)
    }

    #[test]
    fn a_process_is_not_started() {
        for arguments in [
            &["locks", "1", "--", "true"][..],
            &["locks", "1", "--workload", "locks"],
            &["locks", "1", "--ncpu", "2"],
            &["locks", "1", "--timing", "full"],
            &["offcpu", "1"],
            &["offcpu", "1", "--svg", "--folded"],
            &["why", "1", "lock", "--", "true"],
            &["why", "1", "lock", "--of", "lock"],
            &["locks", "--by", "moon"],
        ] {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
        assert!(parse(&["locks", "1", "--duration", "2s"]).is_ok());
    }

    #[test]
    fn json_takes_a_file_only_behind_an_equals_sign() {
        let json = |arguments: &[&str]| match parse(arguments) {
            Ok(Command::Locks(args)) => (args.json, args.target),
            other => panic!("{other:?}"),
        };
        assert_eq!(json(&["locks", "--json", "4711"]), (Some("-".into()), Some("4711".into())));
        assert_eq!(json(&["locks", "--json=file", "4711"]), (Some("file".into()), Some("4711".into())));
        assert_eq!(json(&["locks"]), (None, None));
    }

    #[test]
    fn a_program_may_be_asked_about_by_one_word() {
        let Ok(Command::Why(args)) = parse(&["why", "ioflush", "--", "server", "-x"]) else { panic!("not why") };
        assert_eq!((args.target, args.subject), (Some("ioflush".into()), None));
        assert_eq!(args.source.measured.program, ["server", "-x"]);
    }
}
