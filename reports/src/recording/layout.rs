//! Which tables a sample is made of. A change here is another version of the format (`docs/recording.md`).

use super::tables::Column::{Count, CountOf, Moment, SumOf, Value, With};
use super::tables::{Column, Layout};

/// Goes up with every change of the format.
pub const VERSION: u32 = 3;

/// What is read: version 1 has no outlines, version 2 has others.
pub(super) const OLDEST: u32 = 1;

/// The position of each table.
pub(super) mod table {
    pub const SAMPLE: usize = 0;
    pub const VCPUS: usize = 1;
    pub const MIGRATIONS: usize = 2;
    pub const THREADS: usize = 3;
    pub const STACKS: usize = 4;
    pub const MODULES: usize = 5;
    pub const LOCKS: usize = 6;
    pub const WAITS: usize = 7;
    pub const CELLS: usize = 8;
    pub const HOST_THREADS: usize = 9;
    pub const COUNTERS: usize = 10;
}

const fn layout(columns: &'static [Column], histograms: usize) -> Layout {
    Layout { columns, histograms }
}

/// The tables. The first has one row.
pub(super) const LAYOUT: [Layout; 11] = [
    // Taken, ticks in a second, flags, missed, lost timings, lost places, lost waits.
    layout(&[Count, Value, Value, Value, Count, Count, Count], 0),
    // Virtual CPUs: flags, lane of the holder, since when, free since when.
    layout(&[Value, Value, Moment, Moment], 0),
    // Migrations from one virtual CPU to another: how often.
    layout(&[Count], 0),
    // Threads: host thread, what it waits in, since when; calls, run, off, wanted, migrations.
    layout(&[Value, Value, Moment, Count, Count, Count, Count, Count], 0),
    // Call chains and modules are keys alone.
    layout(&[], 0),
    layout(&[], 0),
    // Locks: ended, merged, contended, spun, holder, waiters, most waiters, taken; the waits, held after a wait, held.
    layout(
        &[
            Value,
            Count,
            CountOf(0),
            Count,
            Value,
            Value,
            Value,
            With(2),
            Count,
            SumOf(0),
            Count,
            Count,
            SumOf(1),
            Count,
            Count,
            SumOf(2),
            Count,
        ],
        3,
    ),
    // Waits: count, ticks, longest.
    layout(&[Count, Count, Count], 0),
    // Cells: not timed, sum, maximum.
    layout(&[Count, SumOf(0), Count], 1),
    // Host threads: state; on a processor, ready; voluntary and involuntary switches; minor and major faults.
    layout(&[Value, Count, Count, Count, Count, Count, Count], 0),
    // Counters: counted, to count, counting.
    layout(&[Count, Count, With(1)], 0),
];

/// The figure of the first table that all moments are told from.
pub(super) const TAKEN: usize = 0;
