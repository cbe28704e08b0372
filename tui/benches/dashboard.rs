//! What watching takes from the machine: processor time and memory of the dashboard, and how soon it is there.
//!
//! ```text
//! cargo bench -p rumpscope --bench dashboard -- --workload locks --ncpu 8 --screens 1,4 --rounds 3
//! ```
//!
//! The real command shows the embedded guest, which runs in a process of its own, in a terminal of 120x40 that this program
//! reads. Each round starts a dashboard and goes through the screens. *Processor* is the time that the dashboard's process
//! had processors, as part of one: in all, of its sampler, of the thread that draws, and of the one that finds names.
//! Figures are medians over rounds; *peak* is the most memory that it ever had, up to the end of that screen.

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

const USAGE: &str = "\
Options: --workload W,W,...  what the guest does (default locks)
         --ncpu N            its virtual CPUs (default 8)
         --interval MS       how often it is looked at (default 100)
         --screens N,N,...   by their keys (default 1,2,3,4,5,6)
         --seconds N         for how long each is measured (default 10)
         --rounds N          how often (default 3)";

/// What nothing here takes longer than.
const LONG: Duration = Duration::from_secs(30);

/// How long a guest runs before it is looked at, and a screen is shown before it is measured: by then names have been found.
const SETTLE: Duration = Duration::from_secs(2);

const COLUMNS: u16 = 120;
const ROWS: u16 = 40;

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Options {
    workloads: Vec<String>,
    ncpu: u16,
    interval: Duration,
    screens: Vec<u8>,
    seconds: Duration,
    rounds: u32,
    settle: Duration,
}

fn main() -> ExitCode {
    match options().and_then(|options| options.map_or(Ok(()), |options| run(&options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dashboard: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What is asked for; `None`: help, which has been given.
fn options() -> Outcome<Option<Options>> {
    let mut options = Options {
        workloads: vec!["locks".to_owned()],
        ncpu: 8,
        interval: Duration::from_millis(100),
        screens: (1..=6).collect(),
        seconds: Duration::from_secs(10),
        rounds: 3,
        settle: SETTLE,
    };
    // cargo bench says so. Where it is run for nothing but to see that it runs, little is enough.
    if !std::env::args().any(|argument| argument == "--bench") {
        let short = Duration::from_millis(200);
        options = Options { ncpu: 2, seconds: short, rounds: 1, settle: short, ..options };
    }
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--bench" => {}
            "--workload" => options.workloads = value()?.split(',').map(str::to_owned).collect(),
            "--ncpu" => options.ncpu = value()?.parse()?,
            "--interval" => options.interval = Duration::from_millis(value()?.parse()?),
            "--screens" => options.screens = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--seconds" => options.seconds = Duration::from_secs(value()?.parse::<u64>()?.max(1)),
            "--rounds" => options.rounds = value()?.parse::<u32>()?.max(1),
            "--help" => {
                println!("{USAGE}");
                return Ok(None);
            }
            _ => return Err(format!("there is no {argument}\n{USAGE}").into()),
        }
    }
    Ok(Some(options))
}

fn run(options: &Options) -> Outcome<()> {
    println!("workload  vCPUs  screen  processor  sampler  drawing    names  resident      peak");
    for workload in &options.workloads {
        let guest = Guest::start(workload, options)?;
        let mut measured = BTreeMap::<u8, Vec<Figures>>::new();
        let mut first = Vec::new();
        for _ in 0..options.rounds {
            let mut dashboard = Dashboard::start(&guest.folder, options)?;
            first.push(dashboard.first.as_secs_f64() * 1e3);
            for &screen in &options.screens {
                dashboard.press(&screen.to_string())?;
                dashboard.show(options.settle);
                let before = processors(dashboard.pid)?;
                let begin = Instant::now();
                dashboard.show(options.seconds);
                let taken = begin.elapsed();
                let figures = Figures::new(&before, &processors(dashboard.pid)?, taken, dashboard.pid)?;
                measured.entry(screen).or_default().push(figures);
            }
            dashboard.leave()?;
        }
        for (screen, figures) in measured {
            let of = |figure: fn(&Figures) -> f64| median(figures.iter().map(figure).collect());
            println!(
                "{workload:<8} {:>6} {screen:>7} {:>9.2}% {:>7.2}% {:>7.2}% {:>7.2}% {:>5.0} MiB {:>5.0} MiB",
                options.ncpu,
                of(|figures| figures.all),
                of(|figures| figures.sampler),
                of(|figures| figures.drawing),
                of(|figures| figures.names),
                of(|figures| figures.resident),
                of(|figures| figures.peak),
            );
        }
        println!("{workload:<8} {:>6}   first picture after {:.0} ms", options.ncpu, median(first));
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) { f64::midpoint(values[middle - 1], values[middle]) } else { values[middle] }
}

/// What was taken while one screen was shown: processors in percent of one, memory in MiB.
struct Figures {
    all: f64,
    sampler: f64,
    drawing: f64,
    names: f64,
    resident: f64,
    peak: f64,
}

impl Figures {
    fn new(before: &Processors, after: &Processors, taken: Duration, pid: u32) -> Outcome<Self> {
        let part = |named: &dyn Fn(u32, &str) -> bool| {
            let threads = after.iter().filter(|(tid, (name, _))| named(**tid, name));
            let ns: u64 = threads.map(|(tid, (_, ns))| ns - before.get(tid).map_or(0, |(_, before)| *before)).sum();
            ns as f64 / taken.as_nanos() as f64 * 100.0
        };
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let memory = |what: &str| -> Outcome<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(what)).ok_or("the host tells no memory")?;
            Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
        };
        Ok(Figures {
            all: part(&|_, _| true),
            sampler: part(&|_, name| name == "sampler"),
            drawing: part(&|tid, _| tid == pid),
            names: part(&|_, name| name == "names"),
            resident: memory("VmRSS:")?,
            peak: memory("VmHWM:")?,
        })
    }
}

/// By thread: its name, and for how long it has had a processor, in nanoseconds.
type Processors = BTreeMap<u32, (String, u64)>;

fn processors(pid: u32) -> Outcome<Processors> {
    let mut threads = Processors::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = task?.path();
        let read = |name| std::fs::read_to_string(path.join(name));
        // It may have ended meanwhile.
        let (Ok(name), Ok(times)) = (read("comm"), read("schedstat")) else { continue };
        let tid = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().parse()?;
        let ns = times.split(' ').next().unwrap_or_default().parse()?;
        threads.insert(tid, (name.trim().to_owned(), ns));
    }
    Ok(threads)
}

/// A guest that runs until it is dropped, the only one in its folder.
struct Guest {
    process: std::process::Child,
    folder: PathBuf,
}

impl Guest {
    fn start(workload: &str, options: &Options) -> Outcome<Self> {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("dashboard-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_rumpscope"));
        command.args(["run", "--no-tui", "--duration", "1h", "--workload", workload]);
        command.arg("--ncpu").arg(options.ncpu.to_string()).env("XDG_RUNTIME_DIR", &folder);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let guest = Guest { process, folder };
        std::thread::sleep(options.settle);
        Ok(guest)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It takes its own guest with it.
        if let Ok(pid) = i32::try_from(self.process.id()) {
            // SAFETY: no memory is involved; it was not waited for, so the number is its own.
            unsafe { libc::kill(pid, libc::SIGTERM) };
        }
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A dashboard in a terminal.
struct Dashboard {
    // The terminal is there as long as this is.
    _master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    pid: u32,
    /// How long it took to its first picture.
    first: Duration,
}

impl Dashboard {
    /// Starts one of the only kernel whose segment is in `folder`.
    fn start(folder: &Path, options: &Options) -> Outcome<Self> {
        let size = PtySize { rows: ROWS, cols: COLUMNS, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size)?;
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_rumpscope"));
        command.args(["top", "--interval", &format!("{}ms", options.interval.as_millis())]);
        for (name, value) in [("TERM", "xterm-256color"), ("LC_ALL", "C.UTF-8")] {
            command.env(name, value);
        }
        command.env("XDG_RUNTIME_DIR", folder);
        let begin = Instant::now();
        let child = pair.slave.spawn_command(command)?;
        let pid = child.process_id().ok_or("the dashboard has no process")?;
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader()?;
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        let keys = pair.master.take_writer()?;
        let mut dashboard = Dashboard { _master: pair.master, child, keys, output, pid, first: Duration::ZERO };
        let (rows, columns) = NonZeroU16::new(ROWS).zip(NonZeroU16::new(COLUMNS)).ok_or("no size")?;
        let mut screen = vt100::Parser::new(rows, columns, 0);
        while !screen.screen().contents().contains(" LIVE ") {
            let left = LONG.saturating_sub(begin.elapsed());
            let bytes = dashboard
                .output
                .recv_timeout(left)
                .map_err(|_| format!("no picture comes; this is there:\n{}", screen.screen().contents()))?;
            screen.process(&bytes);
            dashboard.first = begin.elapsed();
        }
        Ok(dashboard)
    }

    fn press(&mut self, keys: &str) -> Outcome<()> {
        self.keys.write_all(keys.as_bytes())?;
        Ok(self.keys.flush()?)
    }

    /// Lets it show what it does for so long.
    fn show(&self, time: Duration) {
        let begin = Instant::now();
        while let Some(left) = time.checked_sub(begin.elapsed()) {
            if self.output.recv_timeout(left) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }

    fn leave(mut self) -> Outcome<()> {
        self.press("q")?;
        let begin = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begin.elapsed() > LONG {
                self.child.kill()?;
                return Err("the dashboard did not end".into());
            }
            // What it writes must be read, or it waits.
            self.show(Duration::from_millis(5));
        }
        Ok(())
    }
}
