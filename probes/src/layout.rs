//! Where things stand in a segment. All positions and sizes are in 64-bit words of the host's byte order; the format is
//! told byte by byte in `docs/segment.md`, which changes with this file and with [`VERSION`].
//!
//! A segment is a header, then blocks that are never moved or freed: the catalogue and the overflow table, *cells* with their
//! *tables* and *chunks*, *tallies*, *lanes*, *virtual CPUs*, *modules*, *call chains*, *locks* and *waits*. Most are chained from
//! the header by their kind; a block is filled before it is chained. Behind them lie the *event blocks*.

use crate::buckets::{CHUNK_BUCKETS, CHUNKS};
use crate::catalogue::{Hypercall, Metric};

/// "RUMPSCOP" as bytes in memory.
pub const MAGIC: u64 = u64::from_ne_bytes(*b"RUMPSCOP");
/// Grows with every change of the format.
pub const VERSION: u64 = 9;
/// Blocks begin on multiples of this: 128 bytes, so that two writers never share a cache line, nor the pair of lines
/// that x86-64 prefetches together (Intel 64 and IA-32 Optimization Reference Manual, 3.7.3).
pub const BLOCK_ALIGN: usize = 16;

/// In every chained block: the position of the next one of its kind; 0: none.
pub const LINK: usize = 0;

/// The header's words.
pub mod header {
    /// [`super::MAGIC`]; written last, when the rest of the header is in place.
    pub const MAGIC: usize = 0;
    /// [`super::VERSION`].
    pub const VERSION: usize = 1;
    /// Words that the file can grow to.
    pub const CAPACITY: usize = 2;
    /// Words in use so far; all blocks lie below.
    pub const USED: usize = 3;
    /// Process number of the writer.
    pub const PID: usize = 4;
    /// Its start time: field 22 of `/proc/PID/stat`.
    pub const START_TIME: usize = 5;
    /// First eight bytes of the host's boot identifier; ticks are comparable within one boot.
    pub const BOOT: usize = 6;
    /// 0: monotonic clock, 1: time stamp counter.
    pub const CLOCK_SOURCE: usize = 7;
    /// Ticks in a second, as an IEEE double: the writer's estimate.
    pub const TICKS_PER_SECOND: usize = 8;
    /// Cost of two clock reads in nanoseconds, as an IEEE double.
    pub const TWO_READS_NS: usize = 9;
    /// Ticks when measuring began.
    pub const BEGAN_TICKS: usize = 10;
    /// The monotonic clock at that moment, in nanoseconds.
    pub const BEGAN_MONOTONIC: usize = 11;
    /// The wall clock at that moment, in nanoseconds since 1970.
    pub const BEGAN_UNIX: usize = 12;
    /// Ticks when the guest ended by `rumpuser_exit`; 0 before.
    pub const ENDED_TICKS: usize = 13;
    /// The timing mode's number.
    pub const MODE: usize = 14;
    /// Bits of [`super::flag`].
    pub const FLAGS: usize = 15;
    /// Events counted but not timed, for want of room.
    pub const LOST_TIMINGS: usize = 16;
    /// Events counted in the overflow table, for want of room.
    pub const LOST_PLACES: usize = 17;
    /// Position of the first cell; 0: none.
    pub const CELLS: usize = 18;
    /// Position of the first lane; 0: none.
    pub const LANES: usize = 19;
    /// Position of the first virtual CPU; 0: none.
    pub const VCPUS: usize = 20;
    /// Hypercalls in the catalogue.
    pub const CALLS: usize = 21;
    /// Quantities of each.
    pub const QUANTITIES: usize = 22;
    /// Position of the catalogue.
    pub const CATALOGUE: usize = 23;
    /// Position of the overflow table.
    pub const OVERFLOW: usize = 24;
    /// The shortest time that two reads of the clock in a row tell apart, in nanoseconds, as an IEEE double.
    pub const STEP_NS: usize = 25;
    /// Position of the first module; 0: none.
    pub const MODULES: usize = 26;
    /// Position of the first block of tallies; 0: none.
    pub const TALLIES: usize = 27;
    /// Position of the first call chain; 0: none.
    pub const STACKS: usize = 57;
    /// Position of the first lock; 0: none.
    pub const LOCKS: usize = 58;
    /// Position of the first wait; 0: none.
    pub const WAITS: usize = 59;
    /// Waits that are in no wait block, for want of room.
    pub const LOST_WAITS: usize = 60;
    /// The host back end: 32 bytes of text, padded with zeros.
    pub const BACKEND: usize = 28;
    /// What runs: 200 bytes of text, padded with zeros.
    pub const PROGRAM: usize = 32;
    /// Position of the first event block, beyond what `CAPACITY` says; 0: no events are recorded.
    pub const EVENTS: usize = 61;
    /// Event blocks that have been used so far, one behind the other.
    pub const EVENT_BLOCKS: usize = 62;
    /// Events that no block was found for.
    pub const LOST_EVENTS: usize = 63;
    /// Words of the header.
    pub const SIZE: usize = 64;
}

/// Bits of the header's flags.
pub mod flag {
    /// It is known which virtual CPU an lwp holds.
    pub const VCPUS_KNOWN: u64 = 1;
    /// The guest's own transitions are seen.
    pub const GUEST_TRANSITIONS: u64 = 2;
    /// It is recorded who waits for whom.
    pub const CONTENTION: u64 = 4;
}

/// The catalogue: a name of 32 bytes for each hypercall, padded with zeros, in the order of their numbers.
pub mod catalogue {
    /// Words of a name.
    pub const NAME: usize = 4;
    /// Words of the whole.
    pub const SIZE: usize = super::Hypercall::COUNT * NAME;
}

/// Words of a segment without its events at most: 256 MiB, room for some 300,000 histograms. A file with more is no segment of
/// ours, and nothing is allocated for what it says.
pub const MOST_WORDS: usize = (256 << 20) / 8;

/// The overflow table: a count for each metric, of events that found no room for a cell.
pub mod overflow {
    /// Words of the whole: as many as there are calls times quantities in the header.
    pub const SIZE: usize = super::Metric::COUNT;
}

/// A cell: one metric of one lane at one place. Only the lane's thread writes it.
pub mod cell {
    /// Position of its table.
    pub const TABLE: usize = 1;
    /// Events that were not timed.
    pub const UNTIMED: usize = 2;
    /// Events that were timed. Written last: those that it counts are in the histogram, the sum and the maximum.
    pub const TIMED: usize = 3;
    /// Sum of the timed events, in ticks.
    pub const SUM: usize = 4;
    /// The longest of them.
    pub const MAX: usize = 5;
    /// The value of `UNTIMED` at which the next event is timed, in cells that are sampled; of use to the writer only.
    pub const SAMPLE_AT: usize = 6;
    /// Position of the first two chunks of the histogram, which lie side by side, once they have room of their own; before 0.
    /// The table says it, too: this is for the writer only.
    pub const LINEAR: usize = 7;
    /// Words of a cell.
    pub const SIZE: usize = 8;
    /// So many cells of a lane lie side by side, and so many tables, so that no two threads write in one line.
    pub const SIDE_BY_SIDE: usize = 16;
    /// The same of a lane's first ones: most threads have few.
    pub const FIRST_SIDE_BY_SIDE: usize = 4;
}

/// The table of a cell: what it is of, and where its histogram is.
pub mod table {
    /// Lane (high 32 bits), place (16 bits), metric (low 16 bits).
    pub const KEY: usize = 0;
    /// Where the [slots](crate::slot::Slot) of the chunks begin, two in a word.
    pub const SLOTS: usize = 1;
    /// The word with the slot of chunk `index`, and the bit at which it begins.
    #[inline(always)]
    pub const fn slot(index: usize) -> (usize, u32) {
        (SLOTS + index / 2, crate::slot::BITS * (index % 2) as u32)
    }
    /// Words of a table: three lines of memory, and a few words that nobody uses.
    pub const SIZE: usize = 24;

    const _: () = assert!(slot(super::CHUNKS - 1).0 < SIZE);
}

/// A chunk of a histogram: the counts of its buckets.
pub mod chunk {
    /// Words of a chunk.
    pub const SIZE: usize = super::CHUNK_BUCKETS;
}

/// The tallies of one lane at one place: how often each quick call was made there and not timed. Only the lane's thread
/// writes them.
pub mod tally {
    use super::Hypercall;

    /// Lane (high 32 bits), place (16 bits), 16 bits that are 0.
    pub const KEY: usize = 1;
    /// The first one, that of the first of [`CALLS`]; the others follow.
    pub const FIRST: usize = 2;
    /// Words of a block.
    pub const SIZE: usize = 32;
    /// Where the count begins in a tally. The bits below are for the writer only.
    pub const COUNT_SHIFT: u32 = 12;
    /// All quick and cheap calls, those first that guests make most often: a line has room for eight words.
    pub const CALLS: [Hypercall; 28] = {
        use Hypercall::*;
        [
            MutexEnter,
            MutexExit,
            MutexOwner,
            MutexTryenter,
            RwHeld,
            CvBroadcast,
            // The second line.
            RwEnter,
            RwExit,
            Seterrno,
            CvInit,
            CvDestroy,
            CvSignal,
            CvHasWaiters,
            MutexEnterNowrap,
            // The third.
            Curlwp,
            RwTryenter,
            Malloc,
            Free,
            MutexInit,
            MutexDestroy,
            RwInit,
            RwDestroy,
            // The fourth.
            ClockGettime,
            MutexSpinP,
            Curlwpop,
            RwTryupgrade,
            RwDowngrade,
            ComponentErrtrans,
        ]
    };

    const _: () = assert!(FIRST + CALLS.len() <= SIZE);

    /// The word of each hypercall's tally; 0: it has none.
    const WORDS: [usize; Hypercall::COUNT] = {
        let mut words = [0; Hypercall::COUNT];
        let mut number = 0;
        while number < CALLS.len() {
            words[CALLS[number] as usize] = FIRST + number;
            number += 1;
        }
        words
    };

    /// The word of the tally of `call`; `None`: it is not a quick one.
    #[inline(always)]
    pub const fn word(call: Hypercall) -> Option<usize> {
        match WORDS[call as usize] {
            0 => None,
            word => Some(word),
        }
    }

    /// The key of a lane's tallies at a place.
    pub const fn key(lane: u32, place: u16) -> u64 {
        (lane as u64) << 32 | (place as u64) << 16
    }

    /// How many calls a tally has counted.
    pub const fn count(tally: u64) -> u64 {
        tally >> COUNT_SHIFT
    }
}

/// A lane: what one host thread at a time writes.
pub mod lane {
    /// Its number, from 0.
    pub const NUMBER: usize = 1;
    /// The thread that writes it; 0: none now.
    pub const TID: usize = 2;
    /// The thread's name: 16 bytes, padded with zeros.
    pub const NAME: usize = 4;
    /// What it waits for now; see [`super::activity`].
    pub const NOW: usize = 6;
    /// Words of a lane.
    pub const SIZE: usize = 16;
}

/// What a thread that is off its virtual CPU in a hypercall waits for; 0: it is not.
///
/// ```text
///  63                                  8 7        1   0
/// +-------------------------------------+----------+---+
/// |  since when: low 56 bits of ticks   | call + 1 | W |    W: the call is over, a virtual CPU is wanted
/// +-------------------------------------+----------+---+
/// ```
pub mod activity {
    /// See the picture.
    pub const WANTS_VCPU: u64 = 1;
    /// Where the call begins.
    pub const CALL_SHIFT: u32 = 1;
    /// The bits of the call.
    pub const CALL_MASK: u64 = 0x7f;
    /// Where the ticks begin.
    pub const SINCE_SHIFT: u32 = 8;

    const _: () = assert!(super::Hypercall::COUNT < CALL_MASK as usize);

    /// The word for a thread that waits in the call with this number.
    pub const fn pack(call: u8, since: u64, wants_vcpu: bool) -> u64 {
        since << SINCE_SHIFT | (call as u64 + 1) << CALL_SHIFT | wants_vcpu as u64
    }
}

/// A virtual CPU. Only the thread that holds it writes it; the guest's own scheduler orders one holder after the other.
pub mod vcpu {
    /// Its index in the guest.
    pub const INDEX: usize = 1;
    /// Odd while the two words below are being changed.
    pub const SEQUENCE: usize = 2;
    /// The holder's lane + 1; 0: free.
    pub const HOLDER: usize = 3;
    /// Since when (ticks); 0: it was never held.
    pub const SINCE: usize = 4;
    /// How often a thread came to it from the virtual CPU with index 0; the others follow.
    pub const CAME_FROM: usize = 16;
    /// Rump kernels are built for at most so many virtual CPUs. Few in models.
    pub const MOST: usize = if cfg!(loom) { 16 } else { 256 };
    /// Words of a virtual CPU.
    pub const SIZE: usize = CAME_FROM + MOST;
}

/// A module: an object that the process has, or had, loaded. Its size depends on its path.
pub mod module {
    /// Its first address in the process.
    pub const START: usize = 1;
    /// The address after its last.
    pub const END: usize = 2;
    /// What is to be added to an address in the file to have the address in the process.
    pub const BIAS: usize = 3;
    /// Bytes of its path; at most [`LONGEST_PATH`].
    pub const PATH_BYTES: usize = 4;
    /// Its path, text.
    pub const PATH: usize = 5;
    /// What Linux takes as a path at most (`PATH_MAX`), each byte of which may have become three.
    pub const LONGEST_PATH: u64 = 3 * 4096;
}

/// A call chain. Filled before it is chained, never changed.
pub mod stack {
    /// Its number, from 1.
    pub const NUMBER: usize = 1;
    /// How many frames it has.
    pub const DEPTH: usize = 2;
    /// The return addresses, innermost first.
    pub const FRAMES: usize = 3;
}

/// A lock that was waited for, or several made at one place. Written under a lock in the measured process.
pub mod lock {
    /// Its number, from 1.
    pub const NUMBER: usize = 1;
    /// [`LockKind`](crate::contention::LockKind).
    pub const KIND: usize = 2;
    /// Where the guest keeps its pointer to it.
    pub const ADDRESS: usize = 3;
    /// The how manieth at that address (high 32 bits), and the number of the chain of its making.
    pub const MADE: usize = 4;
    /// How many further locks are counted here.
    pub const MERGED: usize = 5;
    /// How often it was taken; of a condition variable, how many signals found a waiter.
    pub const TAKEN: usize = 6;
    /// How often it was waited for.
    pub const CONTENDED: usize = 7;
    /// Of these, how often waiting actively was enough.
    pub const SPUN: usize = 8;
    /// How many wait now.
    pub const WAITERS: usize = 9;
    /// How many waited at the same time at most.
    pub const MOST_WAITERS: usize = 10;
    /// Position of the cell of its waits; 0: none. Such a cell is not chained, and its key is 0.
    pub const WAIT: usize = 11;
    /// The same of the times for which it was held by those who had waited.
    pub const HELD_AFTER_WAIT: usize = 12;
    /// The same of those who had not; a sample.
    pub const HELD: usize = 13;
    /// 1: it has been destroyed.
    pub const ENDED: usize = 14;
    /// The lane + 1 of who has it and is timed for it; 0: nobody, or somebody who took it without a wait.
    pub const HOLDER: usize = 15;
    /// Words of a lock.
    pub const SIZE: usize = 16;
}

/// Time that threads have waited. Only one thread writes it.
pub mod wait {
    use crate::catalogue::Hypercall;
    use crate::contention::Part;

    /// Place (high 16 bits), 16 bits unused, the call through which the holder waited (16 bits), part (8 bits), call
    /// (8 bits).
    pub const WHAT: usize = 1;
    /// The lock's number; 0: none.
    pub const LOCK: usize = 2;
    /// Chain of the waiter (high 32 bits), chain of the holder.
    pub const STACKS: usize = 3;
    /// Lane of the waiter (high 32 bits), lane of the holder + 1.
    pub const LANES: usize = 4;
    /// Waits that ended here.
    pub const COUNT: usize = 5;
    /// The time, in ticks.
    pub const TICKS: usize = 6;
    /// The longest single time.
    pub const MAX: usize = 7;
    /// Words of a wait.
    pub const SIZE: usize = 16;

    /// What [`WHAT`] says of the part: its number, and that of the call through which the holder waited.
    #[inline(always)]
    pub fn encode(part: Part) -> u32 {
        let (part, through) = match part {
            Part::Held => (1, 0),
            Part::HolderWaited(call) => (2, call as u32),
            Part::HandOver => (3, 0),
            Part::Alone => (4, 0),
            Part::Unknown => (5, 0),
        };
        through << 16 | part << 8
    }

    /// The part with these numbers, as `encode` made them; `call` finds a hypercall by its number. `None`: it is none of ours.
    pub fn decode(part: u64, through: u64, call: impl FnOnce(u64) -> Option<Hypercall>) -> Option<Part> {
        match part {
            1 => Some(Part::Held),
            2 => Some(Part::HolderWaited(call(through)?)),
            3 => Some(Part::HandOver),
            4 => Some(Part::Alone),
            5 => Some(Part::Unknown),
            _ => None,
        }
    }
}

/// An event block: what one lane recorded, one event behind the other, until the block was full. The oldest of all full
/// blocks is used again, by whichever lane needs one. See `crate::events` for the words of an event.
pub mod event_block {
    /// Odd while the block goes from one use to the next; otherwise twice the number of its uses.
    pub const SEQUENCE: usize = 0;
    /// The lane that writes it.
    pub const LANE: usize = 1;
    /// How many events that lane had recorded before.
    pub const FIRST: usize = 2;
    /// Events in it.
    pub const COUNT: usize = 3;
    /// The lane's thread at the time of the first event.
    pub const TID: usize = 4;
    /// Its name: 16 bytes, padded with zeros.
    pub const NAME: usize = 5;
    /// The events, of two words each.
    pub const EVENTS: usize = 8;
    /// Words of a block, a page: what a thread that has next to nothing to tell costs. Short in models.
    pub const SIZE: usize = if cfg!(loom) { 16 } else { 512 };
    /// Words of an event.
    pub const EVENT: usize = 2;
    /// Events that a block has room for.
    pub const MOST: usize = (SIZE - EVENTS) / EVENT;
}

/// A place in a cell's key: the virtual CPU's index, or one of these.
pub mod place {
    /// On no virtual CPU.
    pub const OFF_CPU: u16 = u16::MAX;
    /// Not known.
    pub const UNKNOWN: u16 = u16::MAX - 1;
}

const fn is_aligned(words: usize) -> bool {
    words.is_multiple_of(BLOCK_ALIGN)
}
const _: () = assert!(is_aligned(header::SIZE) && is_aligned(cell::SIZE + table::SIZE) && is_aligned(chunk::SIZE));
const _: () = assert!(is_aligned(tally::SIZE) && is_aligned(lane::SIZE) && is_aligned(vcpu::SIZE));
const _: () = assert!(is_aligned(lock::SIZE) && is_aligned(wait::SIZE));
const _: () = assert!(Metric::COUNT <= 1 << 16);
const _: () = assert!(CHUNKS == 40);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{CATALOGUE, Timing};

    #[test]
    fn quick_calls_have_tallies_and_no_others() {
        for entry in CATALOGUE {
            let quick = matches!(entry.timing, Timing::Quick | Timing::Sampled);
            assert_eq!(tally::word(entry.call).is_some(), quick, "{}", entry.name);
        }
    }
}
