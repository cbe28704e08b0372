//! From tables back to the sample that they were made from. The tables may come from a forged file.

use super::bytes::Flaw;
use super::layout::table;
use super::tables::{Histogram, Row, Tables};
use crate::precision::Precision;
use crate::sample::{Counter, HostThread, Sample, State};
use rumpscope_probes::buckets::{CHUNK_BUCKETS, CHUNKS};
use rumpscope_probes::contention::{Contention, Lock, LockKind, Module, Part, Wait};
use rumpscope_probes::{
    Activity, CHAIN_DEPTH, ClockInfo, ClockSource, Coverage, Distribution, Hypercall, MOST_VCPUS, Metric, Mode, Place,
    Process, Quantity, Snapshot, Thread, ThreadTotals, VcpuNow,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Chunks of all histograms of a sample together: as many as there are in the largest segment, 256 MiB.
const MOST_CHUNKS: usize = (256 << 20) / (8 * CHUNK_BUCKETS);

const NO_SUCH_CALL: Flaw = Flaw("it names a hypercall that this version does not know");
pub(super) const WRONG_ROW: Flaw = Flaw("a row has not the fields of its table");

/// How much of a sample is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// No waits, call chains and modules, of which there may be a hundred times as many rows as of all else.
    Figures,
}

impl Tables {
    /// The sample, or that much of it.
    pub fn sample(&self, extent: Extent) -> Result<Sample, Flaw> {
        let is_wanted = |number: usize| match number {
            table::STACKS | table::MODULES | table::WAITS => extent == Extent::Whole,
            _ => true,
        };
        let rows = |number: usize| self.0.get(number).filter(|_| is_wanted(number)).map_or(&[][..], Vec::as_slice);
        let [head] = rows(table::SAMPLE) else { return Err(WRONG_ROW) };
        let mut room = MOST_CHUNKS;
        let contention = Contention {
            stacks: Arc::new(rows(table::STACKS).iter().map(stack).collect::<Result<_, _>>()?),
            modules: rows(table::MODULES).iter().map(module).collect::<Result<_, _>>()?,
            locks: rows(table::LOCKS).iter().map(|row| lock(row, &mut room)).collect::<Result<_, _>>()?,
            waits: rows(table::WAITS).iter().map(wait).collect::<Result<_, _>>()?,
            // These two stand in the first table.
            recorded: false,
            lost: 0,
        };
        let mut sample = sample(head, contention)?;
        sample.snapshot.vcpus = rows(table::VCPUS).iter().map(vcpu).collect::<Result<_, _>>()?;
        sample.snapshot.migrations = rows(table::MIGRATIONS).iter().map(migration).collect::<Result<_, _>>()?;
        sample.snapshot.threads = rows(table::THREADS).iter().map(thread).collect::<Result<_, _>>()?;
        sample.snapshot.cells = rows(table::CELLS).iter().map(|row| cell(row, &mut room)).collect::<Result<_, _>>()?;
        sample.threads = rows(table::HOST_THREADS).iter().map(host_thread).collect::<Result<_, _>>()?;
        counters(rows(table::COUNTERS), &mut sample.threads)?;
        Ok(sample)
    }
}

/// The fields of a key, of which there must be that many.
fn key<const N: usize>(row: &Row) -> Result<[u64; N], Flaw> {
    row.key.numbers.as_slice().try_into().map_err(|_| WRONG_ROW)
}

pub(super) fn figures<const N: usize>(row: &Row) -> Result<[u64; N], Flaw> {
    row.figures.as_slice().try_into().map_err(|_| WRONG_ROW)
}

fn texts<const N: usize>(row: &Row) -> Result<[String; N], Flaw> {
    row.key.texts.clone().try_into().map_err(|_| WRONG_ROW)
}

fn histogram(row: &Row, number: usize) -> Result<&Histogram, Flaw> {
    row.histograms.get(number).ok_or(WRONG_ROW)
}

/// A number in a field that may be too small for it.
fn small<T: TryFrom<u64>>(number: u64) -> Result<T, Flaw> {
    T::try_from(number).map_err(|_| Flaw("a number is too large for its field"))
}

fn flag(number: u64) -> Result<bool, Flaw> {
    match number {
        0 | 1 => Ok(number == 1),
        _ => Err(Flaw("a flag is neither 0 nor 1")),
    }
}

/// A clock's rate in ticks per second, at least the slowest that segments may have.
pub(super) fn rate(bits: u64) -> Result<f64, Flaw> {
    let rate = f64::from_bits(bits);
    if rate.is_finite() && rate >= 1.0 { Ok(rate) } else { Err(Flaw("its clock does not go on")) }
}

/// What reading a clock costs, or how fine it is, in nanoseconds.
fn cost(bits: u64) -> Result<f64, Flaw> {
    Some(f64::from_bits(bits)).filter(|cost| cost.is_finite()).ok_or(Flaw("what its clock costs is no time"))
}

fn call(number: u64) -> Result<Hypercall, Flaw> {
    usize::try_from(number).ok().and_then(Hypercall::from_number).ok_or(NO_SUCH_CALL)
}

/// What [`flatten::flags`](super::flatten::flags) has made a number of.
pub(super) fn flags(number: u64) -> Result<[bool; 5], Flaw> {
    match number >> 5 {
        0 => Ok([0, 1, 2, 3, 4].map(|bit| number >> bit & 1 == 1)),
        _ => Err(Flaw("it has flags that this version does not know")),
    }
}

fn sample(row: &Row, contention: Contention) -> Result<Sample, Flaw> {
    let [pid, start_time, began_unix_ns, source, two_reads, step, mode, began] = key(row)?;
    let [taken, ticks_per_second, flags, missed, lost_timings, lost_places, lost] = figures(row)?;
    let [program, backend] = texts(row)?;
    let [vcpus_known, guest_transitions_seen, guest_ended, recorded, dead] = self::flags(flags)?;
    Ok(Sample {
        snapshot: Snapshot {
            process: Process { pid: small(pid)?, start_time, program, began_unix_ns },
            clock: ClockInfo {
                source: if flag(source)? { ClockSource::Tsc } else { ClockSource::Monotonic },
                ticks_per_second: rate(ticks_per_second)?,
                two_reads_ns: cost(two_reads)?,
                step_ns: cost(step)?,
            },
            mode: Mode::from_number(mode).ok_or(Flaw("its timing mode is unknown"))?,
            backend,
            began,
            taken,
            coverage: Coverage { vcpus_known, guest_transitions_seen, guest_ended, lost_timings, lost_places },
            vcpus: Vec::new(),
            migrations: BTreeMap::new(),
            threads: Vec::new(),
            contention: Arc::new(Contention { recorded, lost, ..contention }),
            contention_as_of: None,
            cells: BTreeMap::new(),
        },
        state: if dead { State::Dead } else { State::Alive },
        threads: Vec::new(),
        missed,
        precision: Precision::EXACT,
    })
}

pub(super) fn vcpu(row: &Row) -> Result<VcpuNow, Flaw> {
    let [index] = key(row)?;
    let [flags, lane, since, free_since] = figures(row)?;
    let (holder, free_since) = match flags {
        0 => (None, None),
        1 => (Some((small(lane)?, since)), None),
        2 => (None, Some(since)),
        3 => (Some((small(lane)?, since)), Some(free_since)),
        _ => return Err(Flaw("a virtual CPU has flags that this version does not know")),
    };
    Ok(VcpuNow { index: vcpu_index(index)?, holder, free_since })
}

/// Of a virtual CPU that a segment has room for: tables of all pairs of them are made.
fn vcpu_index(number: u64) -> Result<u16, Flaw> {
    let index = small(number)?;
    if usize::from(index) < MOST_VCPUS { Ok(index) } else { Err(Flaw("it has more virtual CPUs than there can be")) }
}

pub(super) fn migration(row: &Row) -> Result<((u16, u16), u64), Flaw> {
    let [from, to] = key(row)?;
    let [count] = figures(row)?;
    Ok(((vcpu_index(from)?, vcpu_index(to)?), count))
}

pub(super) fn thread(row: &Row) -> Result<Thread, Flaw> {
    let [lane] = key(row)?;
    let [tid, activity, since, calls, run, off, wanted, migrations] = figures(row)?;
    let [name] = texts(row)?;
    let now = match activity.checked_sub(1) {
        None => Activity::Untold,
        Some(number) if number % 2 == 0 => Activity::Blocked { call: call(number / 2)?, since },
        Some(number) => Activity::WantsVcpu { call: call(number / 2)?, since },
    };
    let totals = ThreadTotals { calls, run, off, wanted, migrations };
    Ok(Thread { lane: small(lane)?, tid: small(tid)?, name, now, totals })
}

fn stack(row: &Row) -> Result<(u32, Vec<u64>), Flaw> {
    let (&number, frames) = row.key.numbers.split_first().ok_or(WRONG_ROW)?;
    if frames.len() > CHAIN_DEPTH {
        return Err(Flaw("a call chain has more functions than are ever noted"));
    }
    Ok((small(number)?, frames.to_vec()))
}

fn module(row: &Row) -> Result<Module, Flaw> {
    let [start, end, bias] = key(row)?;
    let [path] = texts(row)?;
    Ok(Module { path, start, end, bias })
}

fn lock(row: &Row, room: &mut usize) -> Result<(u32, Lock), Flaw> {
    let [number, kind, address, generation, made] = key(row)?;
    let [ended, merged, contended, spun, holder, waiters, most_waiters, acquisitions, sums @ ..] = figures::<17>(row)?;
    let mut times = |number: usize| {
        let [untimed, sum, max] = [0, 1, 2].map(|figure| sums[3 * number + figure]);
        distribution(untimed, sum, max, histogram(row, number)?, room)
    };
    let kinds = [LockKind::Mutex, LockKind::SpinMutex, LockKind::Rwlock, LockKind::Condvar];
    let kind = kinds.into_iter().find(|of| *of as u64 == kind).ok_or(Flaw("a lock is of no known kind"))?;
    let lock = Lock {
        kind,
        address,
        generation: small(generation)?,
        made: small(made)?,
        ended: flag(ended)?,
        merged,
        acquisitions,
        contended,
        spun,
        holder: lane_or_none(holder)?,
        waiters: small(waiters)?,
        most_waiters: small(most_waiters)?,
        wait: times(0)?,
        held_after_wait: times(1)?,
        held: times(2)?,
    };
    Ok((small(number)?, lock))
}

fn wait(row: &Row) -> Result<Wait, Flaw> {
    let [waits_in, lock, at, waiter, waiter_lane, part, holder_call, holder, holder_lane] = key(row)?;
    let [count, ticks, max] = figures(row)?;
    Ok(Wait {
        call: call(waits_in)?,
        lock: small(lock)?,
        place: place(at)?,
        waiter: small(waiter)?,
        waiter_lane: small(waiter_lane)?,
        part: match part {
            1 => Part::Held,
            2 => Part::HolderWaited(call(holder_call)?),
            3 => Part::HandOver,
            4 => Part::Alone,
            5 => Part::Unknown,
            _ => return Err(Flaw("a part of a wait is of no known kind")),
        },
        holder: small(holder)?,
        holder_lane: lane_or_none(holder_lane)?,
        count,
        ticks,
        max,
    })
}

/// A lane and 1; 0: none.
fn lane_or_none(number: u64) -> Result<Option<u32>, Flaw> {
    number.checked_sub(1).map(small).transpose()
}

fn cell(row: &Row, room: &mut usize) -> Result<((Place, Metric), Distribution), Flaw> {
    let [untimed, sum, max] = figures(row)?;
    Ok((cell_key(row)?, distribution(untimed, sum, max, histogram(row, 0)?, room)?))
}

pub(super) fn cell_key(row: &Row) -> Result<(Place, Metric), Flaw> {
    let [at, quantity, of] = key(row)?;
    let quantity = usize::try_from(quantity).ok().and_then(|number| Quantity::ALL.get(number));
    let quantity = *quantity.ok_or(Flaw("it names a quantity that this version does not know"))?;
    let metric = Metric { quantity, call: call(of)? };
    Ok((place(at)?, metric))
}

fn place(number: u64) -> Result<Place, Flaw> {
    Ok(match number {
        0 => Place::OffCpu,
        1 => Place::Unknown,
        index => Place::Vcpu(small(index - 2)?),
    })
}

pub(super) fn host_thread(row: &Row) -> Result<HostThread, Flaw> {
    let [tid] = key(row)?;
    let [state, cpu_ns, ready_ns, voluntary_switches, involuntary_switches, minor_faults, major_faults] = figures(row)?;
    let [name] = texts(row)?;
    Ok(HostThread {
        tid: small(tid)?,
        name,
        state: char::from_u32(small(state)?).ok_or(Flaw("the state of a thread is no character"))?,
        cpu_ns,
        ready_ns,
        voluntary_switches,
        involuntary_switches,
        minor_faults,
        major_faults,
        counters: Vec::new(),
    })
}

fn counters(rows: &[Row], threads: &mut [HostThread]) -> Result<(), Flaw> {
    for row in rows {
        let [thread, missing] = key(row)?;
        let thread = usize::try_from(thread).ok().and_then(|thread| threads.get_mut(thread));
        let [value, enabled_ns, running_ns] = figures(row)?;
        let counter = match flag(missing)? {
            true => Counter::Missing(texts::<1>(row)?.concat()),
            false => Counter::Counts { value, enabled_ns, running_ns },
        };
        thread.ok_or(Flaw("a counter is of no thread"))?.counters.push(counter);
    }
    Ok(())
}

/// `room`: how many chunks may still be made.
fn distribution(
    untimed: u64,
    sum: u64,
    max: u64,
    histogram: &Histogram,
    room: &mut usize,
) -> Result<Distribution, Flaw> {
    let mut distribution = Distribution::default();
    (distribution.untimed, distribution.sum, distribution.max) = (untimed, sum, max);
    let chunk_of = |&(bucket, _): &(u16, u64)| usize::from(bucket) / CHUNK_BUCKETS;
    for buckets in histogram.chunk_by(|one, next| chunk_of(one) == chunk_of(next)) {
        let chunk = chunk_of(&buckets[0]);
        if chunk >= CHUNKS {
            return Err(Flaw("a histogram has more buckets than there are"));
        }
        *room = room.checked_sub(1).ok_or(Flaw("it says more than fits into a segment"))?;
        let mut counts = [0; CHUNK_BUCKETS];
        for &(bucket, count) in buckets {
            counts[usize::from(bucket) % CHUNK_BUCKETS] = count;
        }
        distribution.set_chunk(chunk, &counts);
    }
    Ok(distribution)
}
