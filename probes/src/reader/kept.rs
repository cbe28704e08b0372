//! From the words of a segment to a snapshot, and what of it is kept for the next one.

use super::cells::Cells;
use super::header::{calls, catalogue, clock_info, process_of, text};
use super::words::{Chain, Words};
use super::{ReadError, Segment};
use crate::catalogue::Hypercall;
use crate::clock;
use crate::contention::{KeptContention, Module};
use crate::layout::{activity, flag, header, lane, module, vcpu};
use crate::mode::Mode;
use crate::snapshot::{Activity, Coverage, Process, Snapshot, Thread, ThreadTotals, VcpuNow};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How often a virtual CPU is looked at again whose holder was changing hands just then: that takes nanoseconds, or for
/// ever if the process died in it.
const TRIES: usize = 16;

/// What does not change in a segment, or not often. Good for one segment, and for one writer of it.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// What words are copied to, for its memory.
    copy: Vec<u64>,
    /// Whose all the rest is, and when measuring began.
    writer: Option<(Process, u64)>,
    of_writer: OfWriter,
}

#[derive(Debug, Default)]
struct OfWriter {
    /// The catalogue as it is written, and our hypercalls by its numbers.
    catalogue: Vec<u64>,
    calls: Vec<Option<Hypercall>>,
    lanes: Chain,
    vcpus: Chain,
    modules: Chain,
    by_address: Arc<[Module]>,
    cells: Cells,
    contention: KeptContention,
    /// When the last whole snapshot was taken, in ticks.
    whole_at: Option<u64>,
}

/// How much a snapshot has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All that is in the segment.
    Whole,
    /// What costs much less: all figures are exact, but how long each event took, and who waited for what, is that of the last
    /// whole one ([`Snapshot::contention_as_of`]). The first one is whole.
    Outline,
}

impl Kept {
    /// What is in `segment` now: all of it, or else, if there has been a whole snapshot of it before, its outline. `ended`: its
    /// process ended then, in ticks, as its parent has seen.
    ///
    /// # Errors
    /// When it cannot be read or contradicts itself. Nothing that is kept is of use then.
    pub(super) fn snapshot(
        &mut self,
        segment: &Segment,
        extent: Extent,
        ended: Option<u64>,
    ) -> Result<Snapshot, ReadError> {
        let head = segment.header()?;
        let process = process_of(&head);
        let alive = process.is_alive();
        let clock = clock_info(&head);
        clock::adopt(clock.source);
        let words = &mut Words::new(segment, &head, &mut self.copy)?;
        let read_at = clock::now();
        let began = head[header::BEGAN_TICKS];
        if self.writer.as_ref().is_none_or(|(writer, start)| *writer != process || *start != began) {
            self.of_writer = OfWriter::default();
            self.writer = Some((process.clone(), began));
        }
        let kept = &mut self.of_writer;
        let whole_before = kept.whole_at.filter(|_| extent == Extent::Outline);
        kept.read_calls(words).ok_or_else(|| words.problem("its catalogue lies outside"))?;
        let mut threads = kept.threads(words, read_at).ok_or_else(|| words.problem("a lane lies outside"))?;
        let cells = kept.cells.read(words, &kept.calls, &mut threads, whole_before.is_none());
        let cells = cells.ok_or_else(|| words.problem("a histogram or its overflow table lies outside"))?;
        let (vcpus, migrations) = kept.vcpus(segment, words)?;
        let contention = match whole_before {
            Some(_) => kept.contention.last(),
            None => {
                let modules = kept.modules(words).ok_or_else(|| words.problem("a module lies outside"))?;
                let contention = kept.contention.read(words, &kept.calls, modules);
                kept.whole_at = Some(read_at);
                contention.ok_or_else(|| words.problem("what it says of contention"))?
            }
        };
        let last_sign = vcpus.iter().filter_map(|vcpu| vcpu.holder.map(|(_, since)| since).or(vcpu.free_since)).max();
        let taken = match (ended, alive, head[header::ENDED_TICKS]) {
            (Some(ended), ..) => ended,
            (None, true, _) => read_at,
            (None, false, 0) => last_sign.unwrap_or(began),
            (None, false, ended) => ended,
        };
        Ok(Snapshot {
            process,
            clock,
            mode: Mode::from_number(head[header::MODE]).ok_or_else(|| segment.damaged("its timing mode is unknown"))?,
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
            migrations,
            threads,
            contention,
            contention_as_of: whole_before,
            cells,
        })
    }
}

impl OfWriter {
    fn read_calls(&mut self, words: &mut Words<'_>) -> Option<()> {
        let catalogue = catalogue(words)?;
        if self.catalogue != catalogue {
            self.calls = calls(catalogue);
            catalogue.clone_into(&mut self.catalogue);
        }
        Some(())
    }

    /// The threads at `now` (ticks), by lane, without what they have counted.
    fn threads(&mut self, words: &mut Words<'_>, now: u64) -> Option<Vec<Thread>> {
        self.lanes.extend(words, header::LANES, lane::SIZE)?;
        let mut threads = Vec::with_capacity(self.lanes.positions().len());
        for &position in self.lanes.positions() {
            let block = words.block(position as u64, lane::SIZE)?;
            threads.push(Thread {
                lane: block[lane::NUMBER] as u32,
                tid: block[lane::TID] as u32,
                name: text(&block[lane::NAME..lane::NAME + 2]),
                now: activity(block[lane::NOW], &self.calls, now),
                totals: ThreadTotals::default(),
            });
        }
        threads.sort_unstable_by_key(|thread| thread.lane);
        Some(threads)
    }

    /// Virtual CPUs, by index, and how often threads came to one of them from which.
    fn vcpus(&mut self, segment: &Segment, words: &mut Words<'_>) -> Result<(Vec<VcpuNow>, Migrations), ReadError> {
        const OUTSIDE: &str = "a virtual CPU lies outside";
        self.vcpus.extend(words, header::VCPUS, vcpu::SIZE).ok_or_else(|| words.problem(OUTSIDE))?;
        let mut vcpus = Vec::with_capacity(self.vcpus.positions().len());
        let mut migrations = Migrations::new();
        for &position in self.vcpus.positions() {
            let block = words.block(position as u64, vcpu::SIZE).map(<[u64]>::to_vec);
            let block = block.ok_or_else(|| words.problem(OUTSIDE))?;
            if block[vcpu::INDEX] >= vcpu::MOST as u64 {
                return Err(segment.damaged("it has more virtual CPUs than there can be"));
            }
            let came_from = block[vcpu::CAME_FROM..].iter().enumerate().filter(|(_, count)| **count != 0);
            let index = block[vcpu::INDEX] as u16;
            migrations.extend(came_from.map(|(from, count)| ((from as u16, index), *count)));
            let held = [vcpu::SEQUENCE, vcpu::HOLDER, vcpu::SINCE].map(|word| block[word]);
            // Where nothing is timed, nobody knows since when.
            let held = consistent(segment, position, held)?.filter(|[_, since]| *since != 0);
            vcpus.push(VcpuNow {
                index,
                holder: held.and_then(|[holder, since]| Some((holder.checked_sub(1)? as u32, since))),
                free_since: held.filter(|[holder, _]| *holder == 0).map(|[_, since]| since),
            });
        }
        vcpus.sort_unstable_by_key(|vcpu| vcpu.index);
        Ok((vcpus, migrations))
    }

    /// By address. Where one was loaded in another's place, only the later one: nothing else tells which one an address
    /// is of.
    fn modules(&mut self, words: &mut Words<'_>) -> Option<Arc<[Module]>> {
        let known = self.modules.positions().len();
        self.modules.extend(words, header::MODULES, module::PATH)?;
        if self.modules.positions().len() == known {
            return Some(Arc::clone(&self.by_address));
        }
        let mut modules = BTreeMap::<u64, Module>::new();
        // All paths together cannot be longer than what is in use.
        let mut left = words.count() as u64;
        for &position in self.modules.positions() {
            let block = words.block(position as u64, module::PATH)?;
            let [start, end] = [block[module::START], block[module::END]];
            let (length, bias) = (block[module::PATH_BYTES], block[module::BIAS]);
            if start >= end || length > module::LONGEST_PATH {
                return None;
            }
            left = left.checked_sub(length.div_ceil(8))?;
            let path = text(words.block((position + module::PATH) as u64, length.div_ceil(8) as usize)?);
            while let Some((&earlier, _)) = modules.range(..end).next_back().filter(|(_, earlier)| earlier.end > start)
            {
                modules.remove(&earlier);
            }
            modules.insert(start, Module { path, start, end, bias });
        }
        self.by_address = modules.into_values().collect();
        Some(Arc::clone(&self.by_address))
    }
}

/// The holder of the virtual CPU at `position`, and since when: the words of a sequence lock. `read` is the sequence and they
/// as they were a moment ago; they belong together if the sequence is the same now, and even. `None`: they never did.
fn consistent(segment: &Segment, position: usize, mut read: [u64; 3]) -> Result<Option<[u64; 2]>, ReadError> {
    const { assert!(vcpu::HOLDER == vcpu::SEQUENCE + 1 && vcpu::SINCE == vcpu::SEQUENCE + 2) };
    for _ in 0..TRIES {
        let now = segment.read_at(position + vcpu::SEQUENCE, 3)?;
        if now[0] == read[0] && read[0].is_multiple_of(2) {
            return Ok(Some([read[1], read[2]]));
        }
        read.copy_from_slice(&now);
    }
    Ok(None)
}

/// By the indices of where threads came from and went to.
type Migrations = BTreeMap<(u16, u16), u64>;

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
