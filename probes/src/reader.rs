//! Reading a segment: of a running process, a dead one, or a forged one.
//!
//! A reader copies the words in use with `pread` and looks at the copy. It maps nothing: a file that is cut short while
//! it is read would otherwise be SIGBUS for the reader. The kernel copies whole aligned words, so no counter is torn;
//! different counters may be some nanoseconds of writing apart. Nothing in the copy is trusted: every position is
//! checked, every chain is bounded. Reading changes nothing, and any number of readers may do it.

use crate::buckets::CHUNKS;
use crate::catalogue::{CATALOGUE, Hypercall, Metric, Quantity};
use crate::clock;
use crate::contention::{Contention, Module, contention};
use crate::distribution::Distribution;
use crate::layout::{self, activity, cell, chunk, flag, header, lane, module, overflow, vcpu};
use crate::mode::Mode;
use crate::process;
use crate::snapshot::{
    Activity, ClockInfo, ClockSource, Coverage, Place, Process, Snapshot, Thread, ThreadTotals, VcpuNow,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Why a segment could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be opened or read.
    #[error("cannot read the segment {path}: {reason}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the host said.
        reason: io::Error,
    },
    /// The file is no segment, or not one yet.
    #[error("{path} is no segment of rumpscope (or its process has not finished making it)")]
    NoSegment {
        /// Which file.
        path: PathBuf,
    },
    /// The file is a segment of another version of rumpscope.
    #[error(
        "{path} is a segment of version {found}; this rumpscope reads version {known}: use the rumpscope that belongs to the hypervisor"
    )]
    Version {
        /// Which file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// Ours.
        known: u64,
    },
    /// The file contradicts itself.
    #[error("{path} is damaged: {what}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Which of its statements cannot be true.
        what: &'static str,
    },
}

/// An open segment.
#[derive(Debug)]
pub struct Segment {
    path: PathBuf,
    file: File,
}

impl Segment {
    /// Opens the segment at `path` and checks its header.
    ///
    /// # Errors
    /// When it cannot be read, is no segment, or one of another version.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let file = File::open(path).map_err(|reason| ReadError::Io { path: path.to_owned(), reason })?;
        let segment = Segment { path: path.to_owned(), file };
        segment.header()?;
        Ok(segment)
    }

    /// The current time on the segment's clock, in ticks.
    ///
    /// # Errors
    /// As for [`Segment::open`].
    pub fn now(&self) -> Result<u64, ReadError> {
        clock::adopt(clock_source(&self.header()?));
        Ok(clock::now())
    }

    /// Whether its process still runs.
    ///
    /// # Errors
    /// As for [`Segment::open`].
    pub fn is_alive(&self) -> Result<bool, ReadError> {
        Ok(is_alive(&self.header()?))
    }

    /// All that is in it now. Of a process that has ended without saying when, the last sign of life counts as the end.
    ///
    /// # Errors
    /// When it cannot be read or contradicts itself.
    pub fn snapshot(&self) -> Result<Snapshot, ReadError> {
        self.snapshot_of(None)
    }

    /// The same of a process that ended at `ended` (ticks, from [`Segment::now`]) as its parent has seen.
    ///
    /// # Errors
    /// As for [`Segment::snapshot`].
    pub fn snapshot_ended(&self, ended: u64) -> Result<Snapshot, ReadError> {
        self.snapshot_of(Some(ended))
    }

    fn snapshot_of(&self, ended: Option<u64>) -> Result<Snapshot, ReadError> {
        let head = self.header()?;
        let alive = is_alive(&head);
        let clock = clock_info(&head);
        clock::adopt(clock.source);
        let used = head[header::USED];
        if used < header::SIZE as u64 || used > head[header::CAPACITY] {
            return Err(self.damaged("it uses more words than it has"));
        }
        let words = Words { words: self.read(used as usize)?, capacity: head[header::CAPACITY] };
        let read_at = clock::now();
        let names = words.calls().ok_or_else(|| self.damaged("its catalogue lies outside"))?;
        let mut threads = words.threads(&names, read_at).ok_or_else(|| self.damaged("a lane lies outside"))?;
        let mut cells = BTreeMap::new();
        words.cells(&names, &mut cells, &mut threads).ok_or_else(|| self.damaged("a histogram lies outside"))?;
        words.overflow(&names, &mut cells).ok_or_else(|| self.damaged("its overflow table lies outside"))?;
        let vcpus = self.vcpus(&words)?;
        let modules = words.modules().ok_or_else(|| self.damaged("a module lies outside"))?;
        let contention = contention(&words, &names).ok_or_else(|| self.damaged("what it says of contention"))?;
        let began = head[header::BEGAN_TICKS];
        let last_sign = vcpus.iter().filter_map(|vcpu| vcpu.holder.map(|(_, since)| since).or(vcpu.free_since)).max();
        let taken = match (ended, alive, head[header::ENDED_TICKS]) {
            (Some(ended), ..) => ended,
            (None, true, _) => read_at,
            (None, false, 0) => last_sign.unwrap_or(began),
            (None, false, ended) => ended,
        };
        Ok(Snapshot {
            process: Process {
                pid: head[header::PID] as u32,
                start_time: head[header::START_TIME],
                program: text(&head[header::PROGRAM..header::PROGRAM + 25]),
                began_unix_ns: head[header::BEGAN_UNIX],
            },
            clock,
            mode: Mode::from_number(head[header::MODE]).ok_or_else(|| self.damaged("its timing mode is unknown"))?,
            backend: text(&head[header::BACKEND..header::BACKEND + 4]),
            began,
            taken: taken.max(began),
            coverage: Coverage {
                vcpus_known: head[header::FLAGS] & flag::VCPUS_KNOWN != 0,
                guest_transitions_seen: head[header::FLAGS] & flag::GUEST_TRANSITIONS != 0,
                guest_ended: head[header::ENDED_TICKS] != 0,
                lost_timings: head[header::LOST_TIMINGS],
                lost_places: head[header::LOST_PLACES],
            },
            vcpus,
            threads,
            contention: Contention { modules, ..contention },
            cells,
        })
    }

    fn vcpus(&self, words: &Words) -> Result<Vec<VcpuNow>, ReadError> {
        let mut vcpus = Vec::new();
        for (position, block) in words.vcpus().ok_or_else(|| self.damaged("a virtual CPU lies outside"))? {
            let mut block = block.to_vec();
            // Its holder was changing hands just then; that takes nanoseconds, or for ever if the process died in it.
            for _ in 0..16 {
                if block[vcpu::SEQUENCE].is_multiple_of(2) {
                    break;
                }
                block = self.read_at(position, vcpu::SIZE)?;
            }
            let (holder, since) = (block[vcpu::HOLDER], block[vcpu::SINCE]);
            vcpus.push(VcpuNow {
                index: block[vcpu::INDEX] as u16,
                holder: holder.checked_sub(1).map(|lane| (lane as u32, since)),
                free_since: (holder == 0 && since != 0).then_some(since),
            });
        }
        vcpus.sort_unstable_by_key(|vcpu| vcpu.index);
        Ok(vcpus)
    }

    pub(crate) fn header(&self) -> Result<Vec<u64>, ReadError> {
        let words = match self.read(header::SIZE) {
            Err(ReadError::Damaged { path, .. }) => return Err(ReadError::NoSegment { path }),
            words => words?,
        };
        if words[header::MAGIC] != layout::MAGIC {
            return Err(ReadError::NoSegment { path: self.path.clone() });
        }
        if words[header::VERSION] != layout::VERSION {
            let (found, known) = (words[header::VERSION], layout::VERSION);
            return Err(ReadError::Version { path: self.path.clone(), found, known });
        }
        Ok(words)
    }

    /// The first `count` words. A header that claims more than the file has is found out before anything is allocated.
    fn read(&self, count: usize) -> Result<Vec<u64>, ReadError> {
        if (count as u64).checked_mul(8).is_none_or(|bytes| bytes > self.length().unwrap_or(0)) {
            return Err(self.damaged("the file is shorter than it says"));
        }
        self.read_at(0, count)
    }

    /// The bytes that the file has now.
    pub(crate) fn length(&self) -> Result<u64, ReadError> {
        let length = self.file.metadata().map(|data| data.len());
        length.map_err(|reason| ReadError::Io { path: self.path.clone(), reason })
    }

    /// Our hypercalls by the writer's number.
    pub(crate) fn calls(&self) -> Result<Vec<Option<Hypercall>>, ReadError> {
        let head = self.header()?;
        let words = usize::try_from(head[header::CATALOGUE].saturating_add(head[header::CALLS].saturating_mul(4)));
        let words = Words { words: self.read(words.unwrap_or(usize::MAX))?, capacity: head[header::CAPACITY] };
        words.calls().ok_or_else(|| self.damaged("its catalogue lies outside"))
    }

    pub(crate) fn read_at(&self, position: usize, count: usize) -> Result<Vec<u64>, ReadError> {
        let mut bytes = vec![0; count * 8];
        match self.file.read_exact_at(&mut bytes, position as u64 * 8) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(self.damaged("the file was cut short"));
            }
            result => result.map_err(|reason| ReadError::Io { path: self.path.clone(), reason })?,
        }
        Ok(bytes.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().unwrap_or_default())).collect())
    }

    pub(crate) fn damaged(&self, what: &'static str) -> ReadError {
        ReadError::Damaged { path: self.path.clone(), what }
    }
}

fn clock_source(head: &[u64]) -> ClockSource {
    if head[header::CLOCK_SOURCE] == 1 { ClockSource::Tsc } else { ClockSource::Monotonic }
}

/// The writer's clock. Its rate is measured anew over all the time since measuring began, if the host is still the
/// same boot: much better than the writer's own short look.
pub(crate) fn clock_info(head: &[u64]) -> ClockInfo {
    let source = clock_source(head);
    let estimate = f64::from_bits(head[header::TICKS_PER_SECOND]);
    let estimate = if estimate.is_finite() && estimate >= 1.0 { estimate } else { 1e9 };
    let mut ticks_per_second = estimate;
    if source == ClockSource::Tsc && head[header::BOOT] != 0 && head[header::BOOT] == process::boot() {
        clock::adopt(source);
        let (ticks, ns) = clock::read_both();
        let ticks = ticks.wrapping_sub(head[header::BEGAN_TICKS]);
        let ns = ns.wrapping_sub(head[header::BEGAN_MONOTONIC]);
        let measured = ticks as f64 * 1e9 / ns as f64;
        // A millisecond is enough to do better; what is far off is a header that lies.
        if ns > 1_000_000 && (measured / estimate - 1.0).abs() < 0.05 {
            ticks_per_second = measured;
        }
    }
    let [two_reads_ns, step_ns] = [header::TWO_READS_NS, header::STEP_NS].map(|word| {
        let value = f64::from_bits(head[word]);
        if value.is_finite() { value } else { 0.0 }
    });
    ClockInfo { source, ticks_per_second, two_reads_ns, step_ns }
}

fn is_alive(head: &[u64]) -> bool {
    let pid = head[header::PID].to_string();
    process::start_time_of(&pid).is_some_and(|start| start == head[header::START_TIME])
}

pub(crate) fn text(words: &[u64]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a thread said that it waits for, at `now` (ticks).
fn activity(word: u64, calls: &[Option<Hypercall>], now: u64) -> Activity {
    let number = (word >> activity::CALL_SHIFT & activity::CALL_MASK).checked_sub(1);
    let Some(&Some(call)) = number.and_then(|number| calls.get(number as usize)) else { return Activity::Untold };
    // The high bits of the ticks are missing; it was not years ago.
    let ago = now.wrapping_sub(word >> activity::SINCE_SHIFT) & (u64::MAX >> activity::SINCE_SHIFT);
    // It was written after the clock was read here.
    let ago = if ago > u64::MAX >> (activity::SINCE_SHIFT + 1) { 0 } else { ago };
    let since = now.saturating_sub(ago);
    match word & activity::WANTS_VCPU {
        0 => Activity::Blocked { call, since },
        _ => Activity::WantsVcpu { call, since },
    }
}

/// Adds a cell of `metric`, that many events and ticks, to the totals of its thread.
fn add_to_thread(totals: &mut ThreadTotals, metric: Metric, count: u64, ticks: u64) {
    let (total, added) = match metric.quantity {
        Quantity::Call | Quantity::Slow => (&mut totals.calls, count),
        Quantity::Run => (&mut totals.run, ticks),
        Quantity::Off => (&mut totals.off, ticks),
        Quantity::Reschedule | Quantity::SlowReschedule => (&mut totals.wanted, ticks),
        Quantity::Migration => (&mut totals.migrations, count),
        _ => return,
    };
    *total = total.saturating_add(added);
}

/// A copy of the words in use. Every method returns `None` where the copy points outside of itself.
pub(crate) struct Words {
    words: Vec<u64>,
    /// Positions from the copy's end up to here are blocks that were added while it was made.
    capacity: u64,
}

type Cells = BTreeMap<(Place, Metric), Distribution>;

impl Words {
    pub(crate) fn block(&self, position: u64, size: usize) -> Option<&[u64]> {
        let position = usize::try_from(position).ok()?;
        self.words.get(position..position.checked_add(size)?)
    }

    /// A word of the header.
    pub(crate) fn header(&self, word: usize) -> u64 {
        self.words[word]
    }

    /// Whether what is at `position` is newer than the copy.
    pub(crate) fn is_newer(&self, position: u64) -> bool {
        (self.words.len() as u64..self.capacity).contains(&position)
    }

    /// The blocks of a chain. A chain that runs outside or in a circle ends with `None`.
    fn chain(&self, head: usize, size: usize) -> impl Iterator<Item = Option<&[u64]>> + '_ {
        let mut next = self.words[head];
        let mut left = self.words.len() / size + 1;
        let mut broken = false;
        core::iter::from_fn(move || {
            if next == 0 || broken || self.is_newer(next) {
                return None;
            }
            left = left.saturating_sub(1);
            let block = if left == 0 { None } else { self.block(next, size) };
            broken = block.is_none();
            next = block.map_or(0, |block| block[layout::LINK]);
            Some(block)
        })
    }

    /// Our number of each of the writer's hypercalls, by name; `None` in the list: we do not know it.
    fn calls(&self) -> Option<Vec<Option<Hypercall>>> {
        let count = usize::try_from(self.words[header::CALLS]).ok()?;
        let names = self.block(self.words[header::CATALOGUE], count.checked_mul(layout::catalogue::NAME)?)?;
        let known: BTreeMap<&str, Hypercall> = CATALOGUE.iter().map(|entry| (entry.name, entry.call)).collect();
        Some(names.chunks(layout::catalogue::NAME).map(|name| known.get(text(name).as_str()).copied()).collect())
    }

    /// The metric with the writer's number; `None`: we do not know it.
    fn metric(&self, calls: &[Option<Hypercall>], number: usize) -> Option<Metric> {
        let quantity = *Quantity::ALL.get(number.checked_div(calls.len())?)?;
        let call = (*calls.get(number % calls.len())?)?;
        Some(Metric { quantity, call })
    }

    /// All cells, by place and metric, and added up for each of `threads`, which are in the order of their lanes.
    fn cells(&self, calls: &[Option<Hypercall>], cells: &mut Cells, threads: &mut [Thread]) -> Option<()> {
        for block in self.chain(header::CELLS, cell::SIZE) {
            let block = block?;
            let key = block[cell::KEY];
            let Some(metric) = self.metric(calls, usize::from(key as u16)) else { continue };
            let place = Place::from_number((key >> 16) as u16);
            let count = self.add_cell(block, cells.entry((place, metric)).or_default())?;
            let lane = (key >> 32) as u32;
            if let Ok(index) = threads.binary_search_by_key(&lane, |thread| thread.lane) {
                add_to_thread(&mut threads[index].totals, metric, count, block[cell::SUM]);
            }
        }
        Some(())
    }

    /// Adds what is in a cell to `distribution`; how many events that were.
    pub(crate) fn add_cell(&self, block: &[u64], distribution: &mut Distribution) -> Option<u64> {
        let mut events = block[cell::UNTIMED];
        distribution.untimed = distribution.untimed.saturating_add(block[cell::UNTIMED]);
        distribution.sum = distribution.sum.wrapping_add(block[cell::SUM]);
        distribution.max = distribution.max.max(block[cell::MAX]);
        for index in 0..CHUNKS {
            let position = block[cell::CHUNKS + index];
            if position == 0 || self.is_newer(position) {
                continue;
            }
            let counts = self.block(position, chunk::SIZE)?;
            for (total, count) in distribution.chunk_mut(index).iter_mut().zip(counts) {
                *total = total.saturating_add(*count);
                events = events.saturating_add(*count);
            }
        }
        Some(events)
    }

    fn overflow(&self, calls: &[Option<Hypercall>], cells: &mut Cells) -> Option<()> {
        if self.words[header::LOST_PLACES] == 0 || self.words[header::OVERFLOW] == 0 {
            return Some(());
        }
        for (number, &count) in self.block(self.words[header::OVERFLOW], overflow::SIZE)?.iter().enumerate() {
            if let (Some(metric), 1..) = (self.metric(calls, number), count) {
                let distribution = cells.entry((Place::Unknown, metric)).or_default();
                distribution.untimed = distribution.untimed.saturating_add(count);
            }
        }
        Some(())
    }

    /// The blocks of a chain and their positions.
    pub(crate) fn chain_with_positions(&self, head: usize, size: usize) -> Option<Vec<(usize, &[u64])>> {
        let mut next = self.words[head];
        let mut blocks = Vec::new();
        for block in self.chain(head, size) {
            let block = block?;
            blocks.push((next as usize, block));
            next = block[layout::LINK];
        }
        Some(blocks)
    }

    /// The virtual CPUs' blocks and their positions.
    fn vcpus(&self) -> Option<Vec<(usize, &[u64])>> {
        self.chain_with_positions(header::VCPUS, vcpu::SIZE)
    }

    /// By address. Where one was loaded in another's place, only the later one: nothing else tells which one an address
    /// is of.
    fn modules(&self) -> Option<Vec<Module>> {
        let mut modules = BTreeMap::<u64, Module>::new();
        // All paths together cannot be longer than what is in use.
        let mut left = self.words.len() as u64;
        for (position, block) in self.chain_with_positions(header::MODULES, module::PATH)? {
            let [start, end] = [block[module::START], block[module::END]];
            let length = block[module::PATH_BYTES];
            if start >= end || length > module::LONGEST_PATH {
                return None;
            }
            left = left.checked_sub(length.div_ceil(8))?;
            let path = text(self.block((position + module::PATH) as u64, length.div_ceil(8) as usize)?);
            while let Some((&earlier, _)) = modules.range(..end).next_back().filter(|(_, earlier)| earlier.end > start)
            {
                modules.remove(&earlier);
            }
            modules.insert(start, Module { path, start, end, bias: block[module::BIAS] });
        }
        Some(modules.into_values().collect())
    }

    /// The threads at `now` (ticks), without what they have counted.
    fn threads(&self, calls: &[Option<Hypercall>], now: u64) -> Option<Vec<Thread>> {
        let mut threads = Vec::new();
        for block in self.chain(header::LANES, lane::SIZE) {
            let block = block?;
            threads.push(Thread {
                lane: block[lane::NUMBER] as u32,
                tid: block[lane::TID] as u32,
                name: text(&block[lane::NAME..lane::NAME + 2]),
                now: activity(block[lane::NOW], calls, now),
                totals: ThreadTotals::default(),
            });
        }
        threads.sort_unstable_by_key(|thread| thread.lane);
        Some(threads)
    }
}
