//! The command line.

mod bench;
mod contention;
mod live;
mod look;
mod recording;
mod trace;

pub use bench::BenchArgs;
pub use contention::{LocksArgs, OffcpuArgs, SourceArgs, WhyArgs};
pub use live::{LsArgs, TopArgs};
pub use look::LookArgs;
pub use recording::{DEFAULT_LIMIT, Limit, RecordArgs, ReplayArgs};
pub use trace::TraceArgs;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use rumpscope_bench_suite::genuine;
use rumpscope_bench_suite::guest::GuestOptions;
use rumpscope_bench_suite::workload::Workload;
use rumpscope_probes::Mode;
use rumpuser::host::backend::Kind as BackendKind;
use rumpuser::host::block::choice;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// A hypervisor for rump kernels that can tell you where the time went.
#[derive(Debug, Parser)]
#[command(name = "rumpscope", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a rump kernel and show where its time goes
    Run(RunArgs),
    /// List the rump kernels that run and are measured
    Ls(LsArgs),
    /// Watch one that runs
    Top(TopArgs),
    /// Which locks are waited for, by whom, from where, and who holds them
    Locks(LocksArgs),
    /// A flame graph of the time that threads do not run
    Offcpu(OffcpuArgs),
    /// Why a thread waits, or why a lock is waited for: the chain of blocking in words
    Why(WhyArgs),
    /// The last seconds as a trace for Perfetto: what every thread and virtual CPU did, and when
    Trace(TraceArgs),
    /// Record a running process, or a program to start, into a file
    Record(RecordArgs),
    /// Show a recording
    Replay(ReplayArgs),
    /// Compare host back ends: which is faster, and whether the difference is real
    Bench(BenchArgs),
    /// The embedded guest itself; `run` and `bench` start it in processes of its own
    #[command(hide = true)]
    Guest(GuestCommand),
    /// A genuine kernel with a load; `bench` starts it in processes of its own
    #[command(hide = true)]
    Kernel(KernelCommand),
}

const RUN_HELP: &str = "\
Examples:
  rumpscope run                                    the embedded guest, for ten seconds
  rumpscope run --workload locks --ncpu 4 --duration 30s
  rumpscope run -- ./my_rump_program --its-option  a program with a shared rump kernel
  rumpscope run --duration 1m --json profile.json -- rump_server -s unix:///tmp/sock

On a terminal, the dashboard shows the guest while it runs, and the summary is
printed when you leave it (q). A guest that still runs then is ended as by
--duration. Meanwhile it reads nothing, and what it writes is shown afterwards.
Where standard input or output is no terminal, and with --no-tui or --json -,
the summary is all there is, and the guest has the terminal.

Exit status:
  That of the guest; 128+n where signal n killed it (the profile up to then is
  printed); 0 where it was ended with SIGTERM by --duration or with the dashboard.
  2    bad usage
  3    no profile: the program never called the hypervisor (the reasons are
       printed), or the profile could not be written
  126  the program could not be started
  127  there is no such program";

/// `rumpscope run`.
#[derive(Debug, Args)]
#[command(after_help = RUN_HELP)]
pub struct RunArgs {
    /// What runs.
    #[command(flatten)]
    pub measured: MeasuredArgs,

    /// Also write the profile with whole histograms to FILE as JSON; `-` writes it to standard output instead of the
    /// text
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Also record the run, a sample a second, in FILE, for `rumpscope replay`
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,

    /// Print the summary alone, also on a terminal
    #[arg(long)]
    pub no_tui: bool,

    /// How the dashboard looks.
    #[command(flatten)]
    pub look: LookArgs,
}

/// A guest that is started to be measured, and how.
#[derive(Clone, Debug, Args)]
pub struct MeasuredArgs {
    /// What both kinds of guest understand.
    #[command(flatten)]
    pub guest: GuestArgs,

    /// How the guest's threads and locks are made: native, pthread, fiber (coroutines on one host thread), or
    /// external:FILE, any other librumpuser.so, which then makes everything, block transfers too [default: native]
    #[arg(long, value_name = "BACKEND", value_parser = backend)]
    pub backend: Option<OsString>,

    /// How block transfers are made; reads that the host has in memory are answered without any of these, except with
    /// `thread` [default: auto]
    #[arg(long, value_name = "ENGINE", value_parser = block_io())]
    pub block_io: Option<String>,

    /// How much is timed [default: full]
    #[arg(long, value_name = "MODE", value_parser = timing())]
    pub timing: Option<Mode>,

    /// The program to run instead of the embedded guest, and its arguments
    #[arg(last = true, value_name = "PROGRAM", conflicts_with_all = ["workload", "seed"])]
    pub program: Vec<OsString>,
}

/// What the embedded guest is told.
#[derive(Clone, Debug, Args)]
pub struct GuestArgs {
    /// Virtual CPUs of the guest
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub ncpu: Option<u16>,

    /// How long to run, as 500ms, 10s, 2m; a PROGRAM is then sent SIGTERM, and SIGKILL five seconds later
    /// [default: 10s for the embedded guest, until its end for a PROGRAM]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,

    /// What the embedded guest does
    #[arg(long, value_parser = workload())]
    pub workload: Option<Workload>,

    /// Where the embedded guest's random choices begin
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// `rumpscope guest`.
#[derive(Clone, Debug, Args)]
pub struct GuestCommand {
    /// What `run` has, too.
    #[command(flatten)]
    pub guest: GuestArgs,

    /// Client threads
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,

    /// Operations in all
    #[arg(long, value_name = "N")]
    pub operations: Option<u64>,

    /// How long the same runs before that
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub warm_up: Option<Duration>,

    /// Where the figures of the run are written to
    #[arg(long, value_name = "FILE")]
    pub figures: Option<PathBuf>,
}

/// `rumpscope kernel`.
#[derive(Clone, Debug, Args)]
pub struct KernelCommand {
    /// The folder of the kernel
    #[arg(long, value_name = "DIR")]
    pub libraries: PathBuf,

    /// What runs
    #[arg(long)]
    pub load: genuine::Load,

    /// Client threads
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,

    /// For how long
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, required_unless_present = "operations")]
    pub duration: Option<Duration>,

    /// Operations in all
    #[arg(long, value_name = "N")]
    pub operations: Option<u64>,

    /// How long the same runs before that
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub warm_up: Option<Duration>,

    /// Where random choices begin
    #[arg(long, value_name = "N")]
    pub seed: u64,

    /// Where the figures of the run are written to
    #[arg(long, value_name = "FILE")]
    pub figures: PathBuf,
}

impl GuestCommand {
    /// What the embedded guest makes of it.
    pub fn options(&self) -> GuestOptions {
        let Self { threads, operations, warm_up, .. } = *self;
        GuestOptions { threads, operations, warm_up, ..self.guest.options() }
    }
}

impl GuestArgs {
    /// What the embedded guest makes of it.
    pub fn options(&self) -> GuestOptions {
        let default = GuestOptions::default();
        GuestOptions {
            ncpu: self.ncpu.map(u32::from),
            duration: self.duration,
            workload: self.workload.unwrap_or(default.workload),
            seed: self.seed.unwrap_or(default.seed),
            ..default
        }
    }

    /// The arguments that say the same.
    pub fn arguments(&self) -> Vec<String> {
        let option = |name: &str, value: Option<String>| value.map(|value| format!("--{name}={value}"));
        let options = [
            option("ncpu", self.ncpu.map(|ncpu| ncpu.to_string())),
            option("duration", self.duration.map(|duration| humantime::format_duration(duration).to_string())),
            option("workload", self.workload.map(|workload| workload.name().to_owned())),
            option("seed", self.seed.map(|seed| seed.to_string())),
        ];
        options.into_iter().flatten().collect()
    }
}

fn workload() -> impl TypedValueParser<Value = Workload> {
    let values = Workload::ALL.map(|workload| PossibleValue::new(workload.name()).help(workload.description()));
    PossibleValuesParser::new(values).try_map(|name| name.parse::<Workload>())
}

pub(crate) fn block_io() -> PossibleValuesParser {
    let help = |name| match name {
        "uring" => "io_uring; pool where the host refuses it",
        "pool" => "up to 8 threads",
        "thread" => "one thread, one transfer at a time, as the stock library does it",
        "inline" => "the caller, off its virtual CPU",
        _ => "pool: what works on every host",
    };
    PossibleValuesParser::new(choice::NAMES.map(|name| PossibleValue::new(name).help(help(name))))
}

/// The loads of `bench`, whatever its guest; which of them the guest has is found out later.
pub(crate) fn load() -> PossibleValuesParser {
    let embedded = Workload::ALL.map(|workload| (workload.name(), workload.description()));
    let genuine = genuine::Load::ALL.map(|load| (load.name(), load.description()));
    let genuine = genuine.map(|(name, help)| PossibleValue::new(name).help(format!("[genuine kernel] {help}")));
    let embedded = embedded.map(|(name, help)| PossibleValue::new(name).help(help));
    PossibleValuesParser::new(embedded.into_iter().chain(genuine).collect::<Vec<_>>())
}

/// A back end by its name, as the library takes it. A path is made absolute: the guest may run elsewhere.
fn backend(setting: &str) -> Result<OsString, String> {
    match BackendKind::from_setting(setting.into())? {
        BackendKind::External(path) => {
            let path = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
            Ok(BackendKind::External(path).setting())
        }
        kind => Ok(kind.setting()),
    }
}

fn timing() -> impl TypedValueParser<Value = Mode> {
    let help = |mode| match mode {
        Mode::Off => "nothing",
        Mode::Counts => "nothing; all calls and transitions are counted",
        Mode::Sampled => "transitions, waits for locks, and one call in 64",
        Mode::Full => "all that takes longer than reading the clock; of calls that do not, a sample",
        Mode::Exact => "every call, at two clock reads each, but for those that cost less than one",
    };
    PossibleValuesParser::new(Mode::ALL.map(|mode| PossibleValue::new(mode.name()).help(help(mode))))
        .try_map(|name| Mode::from_name(&name).ok_or("unknown timing mode"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_timing_mode_has_its_name() {
        for mode in Mode::ALL {
            let cli = Cli::try_parse_from(["rumpscope", "run", "--timing", mode.name()]).unwrap();
            let Command::Run(args) = cli.command else { panic!("not run") };
            assert_eq!(args.measured.timing, Some(mode));
        }
    }

    #[test]
    fn the_workload_belongs_to_the_embedded_guest() {
        for option in ["--workload=locks", "--seed=1"] {
            assert!(Cli::try_parse_from(["rumpscope", "run", option, "--", "true"]).is_err());
            assert!(Cli::try_parse_from(["rumpscope", "run", option]).is_ok());
        }
    }

    #[test]
    fn the_guest_is_told_what_was_said() {
        let arguments = ["--ncpu=3", "--duration=1m 500ms", "--workload=locks", "--seed=7"];
        let parse = |command: &str, arguments: &[String]| {
            let words = ["rumpscope", command].map(str::to_owned);
            Cli::try_parse_from(words.iter().chain(arguments)).unwrap().command
        };
        let Command::Run(run) = parse("run", &arguments.map(str::to_owned)) else { panic!("not run") };
        assert_eq!(run.measured.guest.arguments(), arguments);
        let Command::Guest(guest) = parse("guest", &run.measured.guest.arguments()) else { panic!("not guest") };
        assert_eq!(guest.guest.duration, Some(Duration::from_millis(60_500)));
        assert_eq!((guest.options().ncpu, guest.options().seed), (Some(3), 7));
    }
}
