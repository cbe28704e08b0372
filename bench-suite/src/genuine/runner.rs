//! Boots the kernel, starts the threads of a load, ends them, and counts.

use super::kernel::Kernel;
use super::load::Run;
use super::worker::Worker;
use super::{KernelError, Libraries, Load};
use crate::ab::Figures;
use crate::workload::rng::Rng;
use crate::workload::share;
use crate::workload::stopwatch::Stopwatch;
use core::time::Duration;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Barrier};
use std::time::Instant;

/// What to run. The number of virtual CPUs is the hypervisor's affair (`RUMP_NCPU`).
#[derive(Clone, Debug)]
pub struct Options {
    /// The load.
    pub load: Load,
    /// Its threads; `None`: what suits it. Rounded up where it needs pairs.
    pub threads: Option<usize>,
    /// For how long; `None`: until all operations are done.
    pub duration: Option<Duration>,
    /// How many operations in all; `None`: as many as there is time for.
    pub operations: Option<u64>,
    /// For how long the same runs first, unmeasured.
    pub warm_up: Option<Duration>,
    /// Decides what is chosen at random.
    pub seed: u64,
}

/// Boots the kernel in `libraries` on the hypervisor at `hypervisor` and runs the load. Once per process, which is to end
/// after an error: threads may be left in the kernel then.
///
/// # Errors
/// When the kernel cannot be loaded or booted, a call failed, or a result was wrong.
pub fn run(options: &Options, libraries: &Libraries, hypervisor: &std::path::Path) -> Result<Figures, KernelError> {
    let kernel = Kernel::boot(libraries, hypervisor, options.load)?;
    let what = |what: String| KernelError::Check { load: options.load, what };
    // A process of our own, which has the files that all threads use. Its first thread is this one.
    let process = kernel.new_process().map_err(|failed| what(failed.into()))?;
    let kind = options.load.kind();
    let threads = options.load.threads_for(options.threads.unwrap_or(kind.threads));
    let load = (kind.setup)(&kernel, threads).map_err(what)?;
    let pass = |duration, operations| {
        Pass { kernel, load: &load, pid: kernel.getpid(), threads, multiple: kind.multiple, duration, operations }
            .run(options.seed)
            .map_err(what)
    };
    if let Some(duration) = options.warm_up.filter(|duration| !duration.is_zero()) {
        pass(Some(duration), None)?;
    }
    let figures = pass(options.duration, options.operations)?;
    drop(process);
    Ok(figures)
}

/// One time that all threads run.
struct Pass<'a> {
    kernel: Kernel,
    load: &'a Arc<dyn Run>,
    pid: i32,
    threads: usize,
    multiple: usize,
    duration: Option<Duration>,
    operations: Option<u64>,
}

impl Pass<'_> {
    fn run(&self, seed: u64) -> Result<Figures, String> {
        let stop = Arc::new(AtomicBool::new(false));
        // Passed twice: when all are ready, and when the stopwatch runs.
        let start = Arc::new(Barrier::new(self.threads + 1));
        let (sender, outcomes) = channel();
        let mut seeds = Rng::new(seed);
        for index in 0..self.threads {
            let (kernel, load, pid, seed) = (self.kernel, Arc::clone(self.load), self.pid, seeds.next());
            let (stop, start, sender) = (Arc::clone(&stop), Arc::clone(&start), sender.clone());
            let limit = self.limit(index);
            let main = move || {
                let lwp = kernel.new_lwp(pid);
                start.wait();
                start.wait();
                let mut worker = Worker::new(index, pid, seed, limit, &stop);
                let ran = lwp.map_err(String::from).and_then(|_lwp| load.run(&kernel, &mut worker));
                // Who waits has gone where another thread has failed.
                let _ = sender.send(ran.map(|()| worker.operations()));
            };
            let started = std::thread::Builder::new().name(format!("load{index}")).spawn(main);
            started.map_err(|error| format!("cannot start thread {index}: {error}"))?;
        }
        start.wait();
        let stopwatch = Stopwatch::start();
        let end = self.duration.map(|duration| Instant::now() + duration);
        start.wait();
        let (mut operations, mut ended) = (0, 0);
        while ended < self.threads {
            let left =
                end.filter(|_| !stop.load(Ordering::Relaxed)).map(|end| end.saturating_duration_since(Instant::now()));
            let outcome = match left {
                None => outcomes.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(left) => outcomes.recv_timeout(left),
            };
            match outcome {
                Ok(done) => operations += done?,
                Err(RecvTimeoutError::Timeout) => {
                    stop.store(true, Ordering::Relaxed);
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return Err("a thread ended without a word".to_owned()),
            }
            ended += 1;
        }
        let time = stopwatch.stop();
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Ok(Figures { operations, wall_ns: ns(time.wall), cpu_ns: ns(time.cpu), threads: self.threads })
    }

    /// How many operations a thread is to do; those that only answer do as many as they are asked to.
    fn limit(&self, index: usize) -> u64 {
        let of = |total| share(total, self.threads / self.multiple, index / self.multiple);
        self.operations.filter(|_| index.is_multiple_of(self.multiple)).map_or(u64::MAX, of)
    }
}
