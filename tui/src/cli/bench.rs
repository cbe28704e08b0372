//! `rumpscope bench` on the command line.

use clap::Args;
use rumpscope_bench_suite::ab::Guest;
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

const HELP: &str = "\
Examples:
  rumpscope bench                                  what does measuring cost?
  rumpscope bench --backend native,stock=external:/usr/lib/librumpuser.so.0@bare
  rumpscope bench --backend native@off,stock=external:/usr/lib/librumpuser.so.0@bare \\
                  --workload locks,disk --ncpu 1,2,4 --threads 1,4 --rounds 20
  rumpscope bench --guest /usr/local/rump --workload pipe,rawdisk
                                                   the same with a genuine kernel
  rumpscope bench --block-io pool,uring --backend native --workload disk
  rumpscope bench --backend native --json noise.json   how noisy is this machine?
  rumpscope bench --compare before.json after.json     what changed in between?

The first back end is what the others are compared with; it also runs a second
time under another name, which shows the noise of the machine. Ctrl-C ends the
bench and prints what there is.

Exit status:
  0    the bench was made, or what there was of it at Ctrl-C was printed
  2    bad usage
  3    the runs cannot be compared, no more could be made (what there was is
       printed), no run came to its end, or the result could not be written";

/// `rumpscope bench`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct BenchArgs {
    /// What is compared: native, pthread, fiber, or external:PATH, any librumpuser.so behind our probes; each with @off, @counts,
    /// @sampled, @full or @exact for a timing mode; ours also with -contention or -events at the end, without that part of
    /// what is recorded, or with -watched, read ten times a second meanwhile. external:PATH@bare is that library alone: nothing of ours is in its
    /// process, and no hypercall is seen. NAME= before it gives a name of its own
    #[arg(long, value_name = "B,...", value_delimiter = ',', default_value = "native@off,native")]
    pub backend: Vec<String>,

    /// Engines of block transfers: each with each of our own back ends [default: auto]
    #[arg(long, value_name = "E,...", value_delimiter = ',', value_parser = super::block_io())]
    pub block_io: Vec<String>,

    /// The loads [default: all of the guest's, but not mixed, which is made of the others]
    #[arg(long, value_name = "W,...", value_delimiter = ',', value_parser = super::load())]
    pub workload: Vec<String>,

    /// The kernel that runs on the back ends: the embedded one, or the genuine one whose librump.so.0 lies in DIR or
    /// DIR/lib
    #[arg(long, value_name = "embedded|DIR", default_value = "embedded", value_parser = guest)]
    pub guest: Guest,

    /// Virtual CPUs of the guest, each number a load of its own [default: as many as the host has cores]
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=256))]
    pub ncpu: Vec<u16>,

    /// Client threads, each number a load of its own [default: what suits the workload]
    #[arg(long, value_name = "N,...", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Vec<u16>,

    /// Keep N processors of the host for the guest alone; the bench, which reads those that are watched, uses the others
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub guest_cores: Option<u16>,

    /// How often every back end runs under every load; fewer than 6 cannot show a difference
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,

    /// How long a run is measured
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = humantime::parse_duration)]
    pub duration: Duration,

    /// How many operations a run does, instead of a time
    #[arg(long, value_name = "N", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    pub operations: Option<u64>,

    /// How long a run goes before it is measured
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = humantime::parse_duration)]
    pub warm_up: Duration,

    /// Decides the order of the runs and what the workloads do [default: random]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Also write every run and every result to FILE as JSON; `-` writes it to standard output instead of the text
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Print the table in ASCII even where the locale has more
    #[arg(long)]
    pub ascii: bool,

    /// Make no runs, but compare two results of --json: what both have, the second with the first
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"], conflicts_with_all = [
        "backend", "block_io", "workload", "guest", "ncpu", "threads", "guest_cores", "rounds", "duration", "operations", "warm_up", "seed",
    ])]
    pub compare: Vec<PathBuf>,

    /// Compare runs of different hosts, clocks, versions of segments, builds or --guest-cores, too
    #[arg(long)]
    pub force: bool,
}

fn guest(text: &str) -> Result<Guest, Infallible> {
    Ok(if text == "embedded" { Guest::Embedded } else { Guest::Genuine(PathBuf::from(text)) })
}
