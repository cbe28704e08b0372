//! The reader's side: what a segment says of contention.

use super::model::{Contention, Lock, LockKind, Module, StackId, Wait};
use crate::catalogue::Hypercall;
use crate::distribution::Distribution;
use crate::layout::{flag, header, lock, stack, wait};
use crate::reader::{Chain, Words, distributions};
use crate::snapshot::Place;
use crate::unwind::DEPTH;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What of it does not change, or not often.
#[derive(Debug, Default)]
pub(crate) struct KeptContention {
    stacks: Chain,
    by_number: Arc<BTreeMap<StackId, Vec<u64>>>,
    locks: Chain,
    /// As it was last.
    last: Arc<Contention>,
    waits: Chain,
}

impl KeptContention {
    /// All that is said, with these `modules`; `calls`: our number of each of the writer's hypercalls. `None`: the segment is
    /// damaged.
    pub(crate) fn read(
        &mut self,
        words: &mut Words<'_>,
        calls: &[Option<Hypercall>],
        modules: Arc<[Module]>,
    ) -> Option<Arc<Contention>> {
        self.read_stacks(words)?;
        self.locks.extend(words, header::LOCKS, lock::SIZE)?;
        let mut blocks = Vec::with_capacity(self.locks.positions().len());
        self.locks.each(words, lock::SIZE, |_, block| {
            blocks.push(*block.first_chunk::<{ lock::SIZE }>()?);
            Some(())
        })?;
        let locks = self.locks(words, &blocks)?;
        self.waits.extend(words, header::WAITS, wait::SIZE)?;
        let call = |number: u64| calls.get(usize::try_from(number).ok()?).copied().flatten();
        let mut waits = vec![None; self.waits.positions().len()];
        self.waits.each(words, wait::SIZE, |number, block| {
            // Of a hypercall that we do not know: from a later version with the same format.
            *waits.get_mut(number)? = wait_of(block, call);
            Some(())
        })?;
        self.last = Arc::new(Contention {
            recorded: words.header(header::FLAGS) & flag::CONTENTION != 0,
            lost: words.header(header::LOST_WAITS),
            stacks: Arc::clone(&self.by_number),
            modules,
            locks,
            waits: waits.into_iter().flatten().collect(),
        });
        Some(Arc::clone(&self.last))
    }

    /// What was said last.
    pub(crate) fn last(&self) -> Arc<Contention> {
        Arc::clone(&self.last)
    }

    /// The locks in `blocks`, by number. What the figures of their waits count is in the histograms, which are read here.
    fn locks(&self, words: &mut Words<'_>, blocks: &[[u64; lock::SIZE]]) -> Option<BTreeMap<u32, Lock>> {
        let none = Distribution::default();
        let mut cells = Vec::with_capacity(CELLS.len() * blocks.len());
        for block in blocks {
            let last = self.last.locks.get(&(block[lock::NUMBER] as u32));
            let last = last.map_or([&none; CELLS.len()], |last| [&last.wait, &last.held_after_wait, &last.held]);
            let position =
                |word: usize| Some(block[word]).filter(|position| *position != 0 && !words.is_newer(*position));
            cells.extend(CELLS.iter().zip(last).filter_map(|(word, last)| Some((position(*word)? as usize, last))));
        }
        let mut read = distributions(words, &cells)?.into_iter().zip(cells).peekable();
        let lock = |block: &[u64; lock::SIZE]| {
            let cells = CELLS.map(|word| {
                let own = read.next_if(|(_, (position, _))| *position as u64 == block[word]);
                own.map_or_else(Distribution::default, |(now, _)| now)
            });
            Some((block[lock::NUMBER] as u32, lock(block, cells)?))
        };
        blocks.iter().map(lock).collect()
    }

    fn read_stacks(&mut self, words: &mut Words<'_>) -> Option<()> {
        let known = self.stacks.positions().len();
        self.stacks.extend(words, header::STACKS, stack::FRAMES)?;
        let mut added = self.stacks.positions()[known..].to_vec();
        if added.is_empty() {
            return Some(());
        }
        added.sort_unstable();
        // In use by snapshots that were made before, so that this is a copy; soon there are no new chains any more.
        let stacks = Arc::make_mut(&mut self.by_number);
        for position in added {
            let block = words.block(position as u64, stack::FRAMES)?;
            let depth = usize::try_from(block[stack::DEPTH]).ok().filter(|depth| *depth <= DEPTH)?;
            let number = block[stack::NUMBER] as u32;
            let frames = words.block((position + stack::FRAMES) as u64, depth)?;
            stacks.insert(number, frames.to_vec());
        }
        Some(())
    }
}

/// Where a lock's cells are.
const CELLS: [usize; 3] = [lock::WAIT, lock::HELD_AFTER_WAIT, lock::HELD];

/// The lock in `block`, with what its cells hold.
fn lock(block: &[u64; lock::SIZE], [wait, held_after_wait, held]: [Distribution; CELLS.len()]) -> Option<Lock> {
    let made = block[lock::MADE];
    Some(Lock {
        kind: LockKind::from_number(block[lock::KIND])?,
        address: block[lock::ADDRESS],
        generation: (made >> 32) as u32,
        made: made as u32,
        ended: block[lock::ENDED] != 0,
        merged: block[lock::MERGED],
        acquisitions: block[lock::TAKEN],
        contended: block[lock::CONTENDED],
        spun: block[lock::SPUN],
        holder: (block[lock::HOLDER] as u32).checked_sub(1),
        waiters: block[lock::WAITERS] as u32,
        most_waiters: block[lock::MOST_WAITERS] as u32,
        wait,
        held_after_wait,
        held,
    })
}

impl LockKind {
    fn from_number(number: u64) -> Option<Self> {
        let all = [LockKind::Mutex, LockKind::SpinMutex, LockKind::Rwlock, LockKind::Condvar];
        all.into_iter().find(|kind| *kind as u64 == number)
    }
}

fn wait_of(block: &[u64], call: impl Fn(u64) -> Option<Hypercall>) -> Option<Wait> {
    let what = block[wait::WHAT];
    let (stacks, lanes) = (block[wait::STACKS], block[wait::LANES]);
    Some(Wait {
        call: call(what & 0xff)?,
        lock: block[wait::LOCK] as u32,
        place: Place::from_number((what >> 48) as u16)?,
        waiter: (stacks >> 32) as u32,
        waiter_lane: (lanes >> 32) as u32,
        part: wait::decode(what >> 8 & 0xff, what >> 16 & 0xffff, &call)?,
        holder: stacks as u32,
        holder_lane: (lanes as u32).checked_sub(1),
        count: block[wait::COUNT],
        ticks: block[wait::TICKS],
        max: block[wait::MAX],
    })
}
