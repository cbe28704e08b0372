//! From a sample to tables. Whatever is taken apart here is so with all its fields: where one is added that is not written,
//! this does not compile.

use super::tables::{Histogram, Key, Row, Table, Tables};
use crate::sample::{Counter, HostThread, Sample, State};
use rumpscope_probes::buckets::{CHUNK_BUCKETS, chunk_and_bucket};
use rumpscope_probes::contention::{Contention, Lock, Module, Part, Wait};
use rumpscope_probes::{
    Activity, ClockInfo, ClockSource, Coverage, Distribution, Metric, Place, Process, Snapshot, Thread, ThreadTotals,
    VcpuNow,
};

impl Tables {
    /// All of `sample`.
    pub fn of(sample: &Sample) -> Self {
        let Sample { snapshot, state: _, threads: host_threads, missed, precision: _ } = sample;
        let Snapshot {
            process,
            clock,
            mode,
            backend,
            began,
            taken,
            coverage,
            vcpus,
            migrations,
            threads,
            contention,
            contention_as_of: _,
            cells,
        } = snapshot;
        let Process { pid, start_time, program, began_unix_ns } = process;
        let ClockInfo { source, ticks_per_second, two_reads_ns, step_ns } = clock;
        let Coverage { vcpus_known: _, guest_transitions_seen: _, guest_ended: _, lost_timings, lost_places } =
            coverage;
        // Only whole samples are taken apart here: what they tell of waiting is as of now.
        let Contention { recorded: _, stacks, modules, locks, waits, lost } = &**contention;
        let key = [
            u64::from(*pid),
            *start_time,
            *began_unix_ns,
            u64::from(*source == ClockSource::Tsc),
            two_reads_ns.to_bits(),
            step_ns.to_bits(),
            *mode as u64,
            *began,
        ];
        let figures = [*taken, ticks_per_second.to_bits(), flags(sample), *missed, *lost_timings, *lost_places, *lost];
        Tables(vec![
            vec![named(row(key, figures), &[program, backend])],
            vcpus.iter().map(vcpu).collect(),
            migrations.iter().map(|(&pair, &count)| migration(pair, count)).collect(),
            threads.iter().map(thread).collect(),
            stacks.iter().map(|(&number, frames)| stack(number, frames)).collect(),
            modules.iter().map(module).collect(),
            locks.iter().map(|(&number, of)| lock(number, of)).collect(),
            waits.iter().map(wait).collect(),
            cells.iter().map(|(&(place, metric), of)| cell(place, metric, of)).collect(),
            host_threads.iter().map(host_thread).collect(),
            counters(host_threads),
        ])
    }
}

/// What is so or not, a bit each.
pub(super) fn flags(sample: &Sample) -> u64 {
    let Coverage { vcpus_known, guest_transitions_seen, guest_ended, .. } = sample.snapshot.coverage;
    let recorded = sample.snapshot.contention.recorded;
    let flags = [vcpus_known, guest_transitions_seen, guest_ended, recorded, sample.state == State::Dead];
    flags.iter().rev().fold(0, |all, &flag| all << 1 | u64::from(flag))
}

pub(super) fn row(key: impl Into<Vec<u64>>, figures: impl Into<Vec<u64>>) -> Row {
    Row { key: Key { numbers: key.into(), texts: Vec::new() }, figures: figures.into(), histograms: Vec::new() }
}

fn named(row: Row, texts: &[&str]) -> Row {
    let texts = texts.iter().map(|&text| text.to_owned()).collect();
    Row { key: Key { texts, ..row.key }, ..row }
}

pub(super) fn vcpu(of: &VcpuNow) -> Row {
    let VcpuNow { index, holder, free_since } = *of;
    let flags = u64::from(holder.is_some()) | u64::from(free_since.is_some()) << 1;
    let (lane, since, free_since) = match (holder, free_since) {
        (Some((lane, since)), free) => (lane, since, free.unwrap_or(0)),
        // In the place of the holder's, so that the time is told from the one before.
        (None, free) => (0, free.unwrap_or(0), 0),
    };
    row([u64::from(index)], [flags, u64::from(lane), since, free_since])
}

pub(super) fn migration((from, to): (u16, u16), count: u64) -> Row {
    row([u64::from(from), u64::from(to)], [count])
}

pub(super) fn thread(of: &Thread) -> Row {
    let Thread { lane, tid, name, now, totals } = of;
    let ThreadTotals { calls, run, off, wanted, migrations } = *totals;
    let (activity, since) = match *now {
        Activity::Untold => (0, 0),
        Activity::Blocked { call, since } => (1 + 2 * call as u64, since),
        Activity::WantsVcpu { call, since } => (2 + 2 * call as u64, since),
    };
    let figures = [u64::from(*tid), activity, since, calls, run, off, wanted, migrations];
    named(row([u64::from(*lane)], figures), &[name])
}

fn stack(number: u32, frames: &[u64]) -> Row {
    row([&[u64::from(number)], frames].concat(), [])
}

fn module(of: &Module) -> Row {
    let Module { path, start, end, bias } = of;
    named(row([*start, *end, *bias], []), &[path])
}

fn lock(number: u32, of: &Lock) -> Row {
    let Lock {
        kind,
        address,
        generation,
        made,
        ended,
        merged,
        acquisitions,
        contended,
        spun,
        holder,
        waiters,
        most_waiters,
        wait,
        held_after_wait,
        held,
    } = of;
    let key = [u64::from(number), *kind as u64, *address, u64::from(*generation), u64::from(*made)];
    let own = [
        u64::from(*ended),
        *merged,
        *contended,
        *spun,
        lane_or_none(*holder),
        u64::from(*waiters),
        u64::from(*most_waiters),
        *acquisitions,
    ];
    let times = [wait, held_after_wait, held];
    let sums = times.into_iter().flat_map(|of| [of.untimed, of.sum, of.max]);
    let figures: Vec<u64> = own.into_iter().chain(sums).collect();
    Row { histograms: times.map(histogram).into(), ..row(key, figures) }
}

fn wait(of: &Wait) -> Row {
    let Wait { call, lock, place: at, waiter, waiter_lane, part, holder, holder_lane, count, ticks, max } = *of;
    let (part, holder_call) = match part {
        Part::Held => (1, 0),
        Part::HolderWaited(call) => (2, call as u64),
        Part::HandOver => (3, 0),
        Part::Alone => (4, 0),
        Part::Unknown => (5, 0),
    };
    let key = [
        call as u64,
        u64::from(lock),
        place(at),
        u64::from(waiter),
        u64::from(waiter_lane),
        part,
        holder_call,
        u64::from(holder),
        lane_or_none(holder_lane),
    ];
    row(key, [count, ticks, max])
}

/// 0 where there is none.
fn lane_or_none(lane: Option<u32>) -> u64 {
    lane.map_or(0, |lane| u64::from(lane) + 1)
}

fn cell(at: Place, metric: Metric, of: &Distribution) -> Row {
    Row { histograms: vec![histogram(of)], ..row(cell_key(at, metric), [of.untimed, of.sum, of.max]) }
}

pub(super) fn cell_key(at: Place, metric: Metric) -> [u64; 3] {
    let Metric { quantity, call } = metric;
    [place(at), quantity as u64, call as u64]
}

/// 0 on no virtual CPU, 1 not known, otherwise its index and 2; as in events.
fn place(of: Place) -> u64 {
    match of {
        Place::OffCpu => 0,
        Place::Unknown => 1,
        Place::Vcpu(index) => u64::from(index) + 2,
    }
}

pub(super) fn host_thread(of: &HostThread) -> Row {
    let HostThread {
        tid,
        name,
        state,
        cpu_ns,
        ready_ns,
        voluntary_switches,
        involuntary_switches,
        minor_faults,
        major_faults,
        // A table of their own.
        counters: _,
    } = of;
    let figures = [
        u64::from(u32::from(*state)),
        *cpu_ns,
        *ready_ns,
        *voluntary_switches,
        *involuntary_switches,
        *minor_faults,
        *major_faults,
    ];
    named(row([u64::from(*tid)], figures), &[name])
}

/// Those of all threads; the first number of the key is the row of the thread.
fn counters(threads: &[HostThread]) -> Table {
    let counters = threads.iter().enumerate().flat_map(|(index, thread)| {
        thread.counters.iter().map(move |counter| match counter {
            Counter::Counts { value, enabled_ns, running_ns } => {
                row([index as u64, 0], [*value, *enabled_ns, *running_ns])
            }
            Counter::Missing(why) => named(row([index as u64, 1], [0; 3]), &[why]),
        })
    });
    counters.collect()
}

fn histogram(of: &Distribution) -> Histogram {
    let bucket = |(low, _, count)| {
        let (chunk, bucket) = chunk_and_bucket(low);
        ((chunk * CHUNK_BUCKETS + bucket) as u16, count)
    };
    of.buckets().map(bucket).collect()
}
