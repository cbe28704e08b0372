//! What it costs to read a busy guest's segment again and again:
//!
//! ```text
//! cargo bench -p rumpscope-bench-suite --bench reading -- --workload mixed,locks --ncpu 8 --reads 50
//! ```
//!
//! The guest runs in a process of its own; its segment is read ten times in a second, as a dashboard at its fastest does,
//! with the guest at work beside it. `first` is the first reading, which finds all memory new; the others are told by
//! their median and their longest. *Processor* is the time that the reading thread had a processor, which is what a reader
//! takes from others; its part of one processor is at ten readings a second. `outline` is the same time of a reading without
//! histograms, which is taken between two whole ones.

use rumpscope_bench_suite::guest::{self, GuestOptions};
use rumpscope_bench_suite::hypervisor::{Hypervisor, own_library};
use rumpscope_bench_suite::statistics::quantile;
use rumpscope_bench_suite::workload::Workload;
use rumpscope_probes::reader::{Extent, Reader, Segment};
use rumpscope_probes::{ENV_SEGMENT, own_folder, segment_folder};
use std::error::Error;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const USAGE: &str = "\
Options: --workload W,W,...  what the guest does (default mixed,locks)
         --ncpu N            its virtual CPUs (default 8)
         --warm-up MS        for how long it runs before it is read (default 5000)
         --reads N           how often it is read (default 50)
         --interval MS       how often that is (default 100)";

/// The argument that makes this program the guest.
const GUEST: &str = "guest-to-be-read";

/// How long the guest may take until it has a segment.
const BOOT: Duration = Duration::from_secs(30);

struct Options {
    workloads: Vec<Workload>,
    ncpu: u32,
    warm_up: Duration,
    reads: u32,
    interval: Duration,
}

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1) {
        Some(first) if first == GUEST => run_guest(),
        _ => options().and_then(|options| options.map_or(Ok(()), |options| run(&options))),
    };
    outcome.map_or_else(
        |error| {
            eprintln!("reading: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

fn run_guest() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(2);
    let mut next = || arguments.next().ok_or("an argument is missing");
    let options = GuestOptions {
        workload: next()?.parse()?,
        ncpu: Some(next()?.parse()?),
        duration: Some(Duration::from_secs(3600)),
        ..GuestOptions::default()
    };
    let library =
        own_library().ok_or("librumpuser.so is not beside this program: build it (`cargo build --release`)")?;
    guest::run(&options, Hypervisor::load(&library)?)?;
    Ok(())
}

/// What is asked for; `None`: help, which has been given.
fn options() -> Result<Option<Options>, Box<dyn Error>> {
    let millis = Duration::from_millis;
    let mut options = Options {
        workloads: vec![Workload::Mixed, Workload::Locks],
        ncpu: 8,
        warm_up: millis(5000),
        reads: 50,
        interval: millis(100),
    };
    // cargo bench says so. Where it is run for nothing but to see that it runs, little is enough.
    if !std::env::args().any(|argument| argument == "--bench") {
        options = Options { ncpu: 2, warm_up: millis(10), reads: 2, interval: millis(1), ..options };
    }
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--bench" => {}
            "--workload" => options.workloads = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--ncpu" => options.ncpu = value()?.parse()?,
            "--warm-up" => options.warm_up = millis(value()?.parse()?),
            "--reads" => options.reads = value()?.parse::<u32>()?.max(1),
            "--interval" => options.interval = millis(value()?.parse()?),
            "--help" => {
                println!("{USAGE}");
                return Ok(None);
            }
            _ => return Err(format!("there is no {argument}\n{USAGE}").into()),
        }
    }
    Ok(Some(options))
}

/// A guest that runs until it is dropped.
struct Guest {
    process: Child,
    segment: PathBuf,
}

impl Guest {
    fn start(workload: Workload, ncpu: u32) -> Result<Self, Box<dyn Error>> {
        let folder = segment_folder();
        own_folder(&folder)?;
        let segment = folder.join(format!("reading-{}", std::process::id()));
        let mut command = Command::new(std::env::current_exe()?);
        command.args([GUEST, workload.name(), &ncpu.to_string()]).env(ENV_SEGMENT, &segment);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        Ok(Guest { process, segment })
    }

    fn open(&mut self) -> Result<Segment, Box<dyn Error>> {
        let begin = Instant::now();
        loop {
            match Segment::open(&self.segment) {
                Ok(segment) => return Ok(segment),
                Err(error) if begin.elapsed() > BOOT => return Err(error.into()),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
            if let Some(status) = self.process.try_wait()? {
                return Err(format!("the guest ended: {status}").into());
            }
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.segment);
    }
}

/// The time that the calling thread has had a processor.
fn processor() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    // Linux has pages of 4 KiB on x86-64; elsewhere the figure is a lower bound.
    pages.unwrap_or(0) * 4096
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    println!(
        "workload  vCPUs  cells  locks  waits  chains     used    first   median  longest  processor  of one  outline  of one  resident"
    );
    for &workload in &options.workloads {
        let mut guest = Guest::start(workload, options.ncpu)?;
        let mut reader = Reader::new(guest.open()?);
        std::thread::sleep(options.warm_up);
        let (mut wall, mut own, mut outlines) = (Vec::new(), Vec::new(), Vec::new());
        let mut kept = None;
        let begin = Instant::now();
        for read in 0..=options.reads {
            let (before, start) = (processor(), Instant::now());
            let snapshot = black_box(reader.snapshot()?);
            // As whoever shows intervals: the one before is dropped when the next has been read.
            let earlier = kept.replace(snapshot);
            drop(black_box(earlier));
            wall.push(start.elapsed().as_secs_f64() * 1e6);
            own.push((processor() - before).as_secs_f64() * 1e6);
            let half = options.interval / 2;
            std::thread::sleep((options.interval * read + half).saturating_sub(begin.elapsed()));
            let before = processor();
            drop(black_box(reader.read(Extent::Outline)?));
            outlines.push((processor() - before).as_secs_f64() * 1e6);
            std::thread::sleep((options.interval * (read + 1)).saturating_sub(begin.elapsed()));
        }
        let snapshot = kept.ok_or("nothing was read")?;
        let first = wall.remove(0);
        own.remove(0);
        let at = |values: &[f64], part| quantile(values, part).unwrap_or(f64::NAN);
        println!(
            "{:<8} {:>6} {:>6} {:>6} {:>6} {:>7} {:>8} {first:>6.0}us {:>6.0}us {:>6.0}us {:>8.0}us {:>6.2}% {:>6.0}us {:>6.2}% {:>6} MiB",
            workload.name(),
            snapshot.vcpus.len(),
            snapshot.cells.len(),
            snapshot.contention.locks.len(),
            snapshot.contention.waits.len(),
            snapshot.contention.stacks.len(),
            format!("{} KiB", used(&guest.segment)?),
            at(&wall, 0.5),
            at(&wall, 1.0),
            at(&own, 0.5),
            at(&own, 0.5) * 10.0 / 1e6 * 100.0,
            at(&outlines, 0.5),
            at(&outlines, 0.5) * 10.0 / 1e6 * 100.0,
            resident() >> 20,
        );
    }
    Ok(())
}

/// KiB that the segment at `path` uses, as its header says: word 3.
fn used(path: &Path) -> Result<u64, Box<dyn Error>> {
    let mut word = [0; 8];
    std::os::unix::fs::FileExt::read_exact_at(&std::fs::File::open(path)?, &mut word, 3 * 8)?;
    Ok(u64::from_ne_bytes(word) * 8 / 1024)
}
