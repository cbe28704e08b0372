//! Starts the clients of the workloads, ends them, and collects what they found.

use super::client::{Client, Control, Tally, Task};
use super::partition::Partition;
use super::rng::Rng;
use super::stopwatch::Stopwatch;
use super::{Kind, Load, Setup, Workload};
use crate::guest::cache::Cache;
use crate::guest::image::Image;
use crate::guest::kcondvar::KCondvar;
use crate::guest::kmutex::KMutex;
use crate::guest::thread::Thread;
use crate::guest::{GuestError, GuestOptions, HostTime, PartReport, clock, entry};
use core::time::Duration;
use std::sync::Arc;

/// How long a guest runs that was told neither a time nor a number of operations.
const DEFAULT_DURATION: Duration = Duration::from_secs(10);

/// What came of the workloads.
#[derive(Debug)]
pub struct Outcome {
    /// How long they ran, by the guest's clock.
    pub time: Duration,
    /// How long they ran, by the host's, and what that cost.
    pub host_time: HostTime,
    /// What each did.
    pub parts: Vec<PartReport>,
}

/// A workload and its clients.
struct Part {
    workload: Workload,
    kind: &'static Kind,
    threads: usize,
    load: Arc<dyn Load>,
    /// Put together by its clients at their end.
    tally: KMutex<Tally>,
}

/// What the clients share with who started them.
struct Shared {
    parts: Vec<Part>,
    control: Control,
    /// Clients that have come to their end.
    ended: KMutex<usize>,
    one_ended: KCondvar,
}

/// Runs the workload of `options`, with `image` as its disk if it has one; called in the kernel.
///
/// # Errors
/// When it could not be prepared, or a check failed.
pub fn run(options: &GuestOptions, image: Option<Image>) -> Result<Outcome, GuestError> {
    let disk = image.as_ref().map(|image| Cache::open(image.path()).map(Arc::new)).transpose()?;
    // A temporary image goes now, so that it is gone however the guest ends.
    drop(image);
    let need = options.workload.disk();
    if let Some(have) = disk.as_ref().map(|disk| disk.size()).filter(|have| *have < need) {
        return Err(GuestError::DiskTooSmall { have, need, workload: options.workload.name() });
    }
    let outcome = warm_up(options, disk.as_ref()).and_then(|()| run_on(options, disk.as_ref()));
    // All that used the disk ended with `run_on`.
    let closed = disk.and_then(Arc::into_inner).map_or(Ok(()), Cache::close);
    // What went wrong first is worth more than what came of it.
    let outcome = outcome?;
    closed?;
    Ok(outcome)
}

/// A run of its own before the one that counts: caches are filled, threads and pages were made once.
fn warm_up(options: &GuestOptions, disk: Option<&Arc<Cache>>) -> Result<(), GuestError> {
    let Some(duration) = options.warm_up else { return Ok(()) };
    let options = GuestOptions { duration: Some(duration), operations: None, ..options.clone() };
    run_on(&options, disk).map(drop)
}

fn run_on(options: &GuestOptions, disk: Option<&Arc<Cache>>) -> Result<Outcome, GuestError> {
    let shared = Arc::new(Shared {
        parts: parts(options, disk)?,
        control: Control::default(),
        ended: KMutex::new(0),
        one_ended: KCondvar::new(),
    });
    let start = clock::now();
    let stopwatch = Stopwatch::start();
    let clients = start_clients(&shared, options);
    if let Ok(clients) = &clients {
        wait(&shared, options, start, clients.len());
    }
    shared.control.stop();
    for client in clients? {
        client.join();
    }
    let host_time = stopwatch.stop();
    let time = clock::now().saturating_sub(start);
    report(&shared, time, host_time)
}

fn parts(options: &GuestOptions, disk: Option<&Arc<Cache>>) -> Result<Vec<Part>, GuestError> {
    let mut free = 0;
    options
        .workload
        .parts()
        .map(|(workload, kind)| {
            // A part of many needs fewer clients to keep the guest busy.
            let default = if options.workload == Workload::Mixed { kind.threads.div_ceil(2) } else { kind.threads };
            let threads = kind.threads_for(options.threads.unwrap_or(default));
            let partition = disk.filter(|_| kind.disk > 0).map(|disk| Partition::new(disk, free, kind.disk));
            free += kind.disk;
            let load = (kind.setup)(&Setup { threads, seed: options.seed, partition })?;
            Ok(Part { workload, kind, threads, load, tally: KMutex::new(Tally::default()) })
        })
        .collect()
}

/// The share of one of `count` in `total`, so that all shares add up.
pub(crate) fn share(total: u64, count: usize, index: usize) -> u64 {
    let (count, index) = (count as u64, index as u64);
    total / count + u64::from(index < total % count)
}

fn start_clients(shared: &Arc<Shared>, options: &GuestOptions) -> Result<Vec<Thread>, GuestError> {
    let mut clients = Vec::new();
    for (part, task) in tasks(&shared.parts, options) {
        let for_client = Arc::clone(shared);
        let name = format!("{}{}", task.workload, task.index);
        let start = if shared.parts[part].kind.host_locks { Thread::program } else { Thread::client };
        match start(&name, Box::new(move || client_main(&for_client, part, task))) {
            Ok(thread) => clients.push(thread),
            Err(errno) => {
                shared.control.stop();
                clients.into_iter().for_each(Thread::join);
                return Err(GuestError::Hypercall { call: "thread_create", errno });
            }
        }
    }
    Ok(clients)
}

/// What each client is to do, with the index of its part.
fn tasks(parts: &[Part], options: &GuestOptions) -> Vec<(usize, Task)> {
    let mut seeds = Rng::new(options.seed);
    let mixed = parts.len() > 1;
    let mut tasks = Vec::new();
    for (part_index, part) in parts.iter().enumerate() {
        let operations = options.operations.map(|total| share(total, parts.len(), part_index));
        for index in 0..part.threads {
            let task = Task {
                workload: part.kind.name,
                index,
                operations: operations.map_or(u64::MAX, |operations| share(operations, part.threads, index)),
                burst: part.kind.burst.filter(|_| mixed),
                seed: seeds.next(),
            };
            tasks.push((part_index, task));
        }
    }
    tasks
}

fn client_main(shared: &Shared, part: usize, task: Task) {
    let part = &shared.parts[part];
    let mut client = Client::new(&shared.control, task);
    part.load.run(&mut client);
    entry::system_call(|| {
        {
            let mut tally = part.tally.enter();
            tally.operations += client.tally().operations;
            tally.checks += client.tally().checks;
        }
        *shared.ended.enter() += 1;
        shared.one_ended.signal();
    });
}

/// Waits until all clients have come to their end or time is up.
fn wait(shared: &Shared, options: &GuestOptions, start: Duration, clients: usize) {
    let limit = match (options.duration, options.operations) {
        (None, None) => Some(DEFAULT_DURATION),
        (limit, _) => limit,
    };
    let mut ended = shared.ended.enter();
    while *ended < clients {
        match limit.map(|limit| (start + limit).saturating_sub(clock::now())) {
            None => shared.one_ended.wait(&mut ended),
            Some(Duration::ZERO) => break,
            Some(left) => {
                let _ = shared.one_ended.wait_for(&mut ended, left);
            }
        }
    }
}

fn report(shared: &Shared, time: Duration, host_time: HostTime) -> Result<Outcome, GuestError> {
    if let Some(failure) = shared.control.failure() {
        return Err(GuestError::Check { workload: failure.workload, what: failure.what });
    }
    let mut parts = Vec::new();
    for part in &shared.parts {
        let tally = *part.tally.enter();
        let check = |what| GuestError::Check { workload: part.kind.name, what };
        let checks = part.load.verify(tally.operations).map_err(check)?;
        parts.push(PartReport {
            workload: part.workload,
            threads: part.threads,
            operations: tally.operations,
            checks: tally.checks + checks,
        });
    }
    Ok(Outcome { time, host_time, parts })
}
