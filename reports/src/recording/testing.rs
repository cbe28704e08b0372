//! Hand-made samples for tests.

use super::{About, Recorder};
use crate::contention::testing;
use crate::host::Host;
use crate::precision::Precision;
use crate::run::{Ended, Ran};
use crate::sample::{Counter, HostThread, Sample, State};
use proptest::prelude::*;
use rumpscope_probes::contention::Module;
use rumpscope_probes::{Activity, Distribution, Hypercall, Metric, Place, Quantity, Snapshot, VcpuNow};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that is removed when this is dropped.
pub struct TemporaryFile(PathBuf);

impl TemporaryFile {
    /// One that is not there yet.
    pub fn new(name: &str) -> Self {
        let name = format!("rumpscope-{name}-{}-{:?}", std::process::id(), std::thread::current().id());
        TemporaryFile(std::env::temp_dir().join(name))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What the samples are of.
pub fn about() -> About {
    let host = Host { system: "Linux 6.12.0 x86_64".to_owned(), processor: "Example 9000".to_owned(), cores: 4 };
    About { ran: Ran::Program { command: vec!["server".to_owned(), "--fast".to_owned()] }, host }
}

/// How that ended.
pub fn ended() -> Ended {
    Ended::Killed { signal: 11, name: "SIGSEGV".to_owned() }
}

/// The bytes of a recording of `samples`.
pub fn record(samples: &[Sample], ended: Option<&Ended>) -> Vec<u8> {
    let file = TemporaryFile::new("recording");
    let mut recorder = Recorder::create(file.path(), &about()).unwrap();
    samples.iter().for_each(|sample| recorder.add(sample).unwrap());
    assert_eq!(recorder.samples(), samples.len());
    if let Some(ended) = ended {
        recorder.finish(ended).unwrap();
    }
    std::fs::read(file.path()).unwrap()
}

/// Outlines that are rounded as little as they ever are.
pub const FINEST: Precision = Precision { times: 7, ..Precision::EXACT };

/// The same, with outlines where `whole` does not hold, rounded as far as `precision` says; it holds for the first one.
pub fn record_outlines(
    samples: &[Sample],
    whole: impl Fn(usize) -> bool,
    precision: impl Fn(usize) -> Precision,
    ended: Option<&Ended>,
) -> Vec<u8> {
    let file = TemporaryFile::new("outlines");
    let mut recorder = Recorder::create(file.path(), &about()).unwrap().with_limit(u64::MAX);
    for (index, sample) in samples.iter().enumerate() {
        match whole(index) {
            true => recorder.add(sample).unwrap(),
            false => recorder.add_outline(sample, precision(index)),
        }
    }
    assert_eq!(recorder.samples(), samples.len());
    if let Some(ended) = ended {
        recorder.finish(ended).unwrap();
    }
    std::fs::read(file.path()).unwrap()
}

/// The first of a series: clients that wait for a disk.
pub fn sample() -> Sample {
    let mut snapshot = testing::snapshot(testing::contention());
    snapshot.vcpus = vec![
        VcpuNow { index: 0, holder: Some((1, snapshot.taken - 500)), free_since: None },
        VcpuNow { index: 1, holder: None, free_since: Some(snapshot.taken - 90_000) },
        VcpuNow { index: 2, holder: None, free_since: None },
    ];
    snapshot.migrations = [((0, 1), 7), ((1, 0), 1 << 40), ((255, 2), 1)].into();
    let contention = Arc::make_mut(&mut snapshot.contention);
    for (lock, holder) in contention.locks.values_mut().zip([Some(2), None, Some(u32::MAX), Some(0)]) {
        lock.holder = holder;
    }
    snapshot.threads[1].now = Activity::Blocked { call: Hypercall::Bio, since: snapshot.taken - 70_000 };
    snapshot.threads[2].now = Activity::WantsVcpu { call: Hypercall::CvWait, since: snapshot.taken - 3 };
    contention.modules = [Module { path: "/lib/librump.so.0".to_owned(), start: 0x10, end: 0x40, bias: 0x10 }].into();
    for (place, quantity, call, longest) in [
        (Place::Vcpu(0), Quantity::Call, Hypercall::MutexEnter, 5_000),
        (Place::Vcpu(1), Quantity::Call, Hypercall::MutexEnter, 9_000),
        (Place::OffCpu, Quantity::Off, Hypercall::Bio, 1 << 44),
        (Place::Unknown, Quantity::Run, Hypercall::GuestOwn, 100),
    ] {
        snapshot.cells.insert((place, Metric { quantity, call }), testing::spread(1000, 20, longest));
    }
    let counters = vec![
        Counter::Counts { value: 1 << 33, enabled_ns: 1_000_000, running_ns: 900_000 },
        Counter::Missing("the host has no such counter".to_owned()),
    ];
    let thread = HostThread {
        tid: 101,
        name: "client 1".to_owned(),
        state: 'S',
        cpu_ns: 123_456_789,
        ready_ns: 3_000,
        voluntary_switches: 77,
        involuntary_switches: 3,
        minor_faults: 200,
        major_faults: 1,
        counters,
    };
    let other = HostThread { tid: 102, name: "ioflush".to_owned(), counters: Vec::new(), ..thread.clone() };
    Sample { snapshot, state: State::Alive, threads: vec![thread, other], missed: 0, precision: Precision::EXACT }
}

/// A cell that comes later.
pub const GROWN: (Place, Metric) = (Place::Vcpu(7), Metric::call(Hypercall::Kill));

/// What `event` adds to it.
pub fn kills(event: u64) -> Distribution {
    testing::spread(event % 100, 7, 1 << 20)
}

/// The next sample, an interval later; `event` decides what happened.
pub fn next(before: &Sample, event: u64) -> Sample {
    let mut sample = before.clone();
    // With all fields, so that one that is new is thought of.
    let Snapshot {
        process: _,
        clock,
        mode: _,
        backend: _,
        began: _,
        taken,
        coverage,
        vcpus,
        migrations,
        threads,
        contention,
        contention_as_of: _,
        cells,
    } = &mut sample.snapshot;
    *taken += 2_000_000_000 + event % 1000;
    clock.ticks_per_second += 1e-3;
    coverage.lost_timings += event % 3;
    let now = *taken;
    for vcpu in vcpus.iter_mut() {
        match (event >> vcpu.index) % 3 {
            0 => (vcpu.holder, vcpu.free_since) = (Some((event as u32 % 5, now - event % 4096)), None),
            1 => (vcpu.holder, vcpu.free_since) = (None, Some(now - event % 77)),
            _ => {}
        }
    }
    *migrations.entry(((event % 5) as u16, (event / 5 % 5) as u16)).or_default() += 1 + event % 1000;
    let index = event as usize % threads.len();
    threads[index].totals.calls += event;
    threads[index].totals.run += event << 8;
    threads[index].now = match event % 4 {
        0 => Activity::Untold,
        1 => Activity::Blocked { call: Hypercall::CvWait, since: now - event % 8192 },
        _ => threads[index].now,
    };
    for (number, cell) in cells.values_mut().enumerate() {
        (0..(event >> number) % 7).for_each(|nth| cell.record((event + nth) % (1 << 46)));
        cell.untimed += event % 2;
    }
    let contention = Arc::make_mut(contention);
    for lock in contention.locks.values_mut() {
        lock.wait.record(event % (1 << 30));
        lock.contended += 1;
        lock.acquisitions += 1 + event % 10;
        lock.waiters = (event % 3) as u32;
        lock.holder = (event as u32 % 6).checked_sub(1);
    }
    let count = contention.waits.len() as u64;
    let wait = &mut contention.waits[(event % count) as usize];
    (wait.count, wait.ticks, wait.max) = (wait.count + 1, wait.ticks + event, wait.max.max(event));
    if event.is_multiple_of(5) {
        let mut wait = wait.clone();
        wait.waiter_lane += 1;
        wait.ticks = event;
        contention.waits.push(wait);
        let number = contention.stacks.len() as u32 + 1;
        Arc::make_mut(&mut contention.stacks).insert(number, vec![event, event + 5, u64::MAX]);
    }
    if event.is_multiple_of(7) {
        let (&number, lock) = contention.locks.last_key_value().unwrap();
        let lock = lock.clone();
        contention.locks.insert(number + 1, lock);
        cells.entry(GROWN).or_default().merge(&kills(event));
    }
    if event.is_multiple_of(11) && !sample.threads.is_empty() {
        sample.threads.remove(0);
        sample.missed += 1;
    }
    for thread in &mut sample.threads {
        thread.cpu_ns += event % 1_000_000_000;
        thread.state = if event.is_multiple_of(2) { 'R' } else { 'D' };
        for counter in &mut thread.counters {
            if let Counter::Counts { value, enabled_ns, running_ns } = counter {
                (*value, *enabled_ns, *running_ns) = (*value + event, *enabled_ns + 1_000, *running_ns + 1_000);
            }
        }
    }
    if sample.threads.is_empty() {
        sample.state = State::Dead;
    }
    sample
}

/// A series of samples of which each is later than the one before.
pub fn series(events: &[u64]) -> Vec<Sample> {
    let mut samples = vec![sample()];
    for &event in events {
        let next = next(&samples[samples.len() - 1], event);
        samples.push(next);
    }
    samples
}

/// Any such series, of up to `most` samples.
pub fn any_series(most: usize) -> impl Strategy<Value = Vec<Sample>> {
    proptest::collection::vec(0..1u64 << 40, 0..most).prop_map(|events| series(&events))
}
