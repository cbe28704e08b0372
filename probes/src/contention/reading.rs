//! The reader's side: what a segment says of contention.

use super::model::{Contention, Lock, LockKind, Wait};
use crate::catalogue::Hypercall;
use crate::distribution::Distribution;
use crate::layout::{flag, header, lock, stack, wait};
use crate::reader::Words;
use crate::snapshot::Place;
use crate::unwind::DEPTH;

/// All that is said; `calls`: our number of each of the writer's hypercalls. `None`: the segment is damaged.
pub(crate) fn contention(words: &Words, calls: &[Option<Hypercall>]) -> Option<Contention> {
    let mut all = Contention {
        recorded: words.header(header::FLAGS) & flag::CONTENTION != 0,
        lost: words.header(header::LOST_WAITS),
        ..Contention::default()
    };
    for (position, block) in words.chain_with_positions(header::STACKS, stack::FRAMES)? {
        let depth = usize::try_from(block[stack::DEPTH]).ok().filter(|depth| *depth <= DEPTH)?;
        let frames = words.block((position + stack::FRAMES) as u64, depth)?;
        all.stacks.insert(block[stack::NUMBER] as u32, frames.to_vec());
    }
    for (_, block) in words.chain_with_positions(header::LOCKS, lock::SIZE)? {
        all.locks.insert(block[lock::NUMBER] as u32, words.lock(block)?);
    }
    let call = |number: u64| calls.get(usize::try_from(number).ok()?).copied().flatten();
    for (_, block) in words.chain_with_positions(header::WAITS, wait::SIZE)? {
        // Of a hypercall that we do not know: from a later version with the same format.
        all.waits.extend(wait_of(block, call));
    }
    Some(all)
}

impl Words {
    fn lock(&self, block: &[u64]) -> Option<Lock> {
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
            waiters: block[lock::WAITERS] as u32,
            most_waiters: block[lock::MOST_WAITERS] as u32,
            wait: self.cell_at(block[lock::WAIT])?,
            held_after_wait: self.cell_at(block[lock::HELD_AFTER_WAIT])?,
            held: self.cell_at(block[lock::HELD])?,
        })
    }

    fn cell_at(&self, position: u64) -> Option<Distribution> {
        let mut distribution = Distribution::default();
        if position != 0 && !self.is_newer(position) {
            self.add_cell(self.block(position, crate::layout::cell::SIZE)?, &mut distribution)?;
        }
        Some(distribution)
    }
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
        place: Place::from_number((what >> 48) as u16),
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
