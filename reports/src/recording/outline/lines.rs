//! What of a sample is in its outline, as tables; and the sample back.

use super::figure::Kind::{self, Count, Moment, Time, TimeOf, Value};
use crate::precision::Precision;
use crate::recording::bytes::Flaw;
use crate::recording::tables::{Row, Table};
use crate::recording::{flatten, restore};
use crate::sample::{HostThread, Sample, State};
use rumpscope_probes::contention::Contention;
use rumpscope_probes::{Coverage, Distribution, Metric, Place, Snapshot};
use std::sync::Arc;

/// Tables of an outline.
pub const TABLES: usize = 6;

/// Which of them has the cells.
pub const CELLS: usize = 4;

/// The figures of each table's rows.
pub const KINDS: [&[Kind]; TABLES] = [
    // The sample: ticks in a second, flags, missed, lost timings, lost places. (When it was taken stands before it.)
    &[Value, Value, Value, Count, Count],
    // Virtual CPUs: flags, lane of the holder, since when, free since when.
    &[Value, Value, Moment, Moment],
    // Migrations from one virtual CPU to another: how often.
    &[Count],
    // Threads: host thread, what it waits in, since when; calls, run, off, wanted, migrations.
    &[Value, Value, Moment, Count, Time, Time, Time, Count],
    // Cells: events that were not timed, those that were, sum.
    &[Count, Count, TimeOf(1)],
    // Host threads: state; on a processor, ready; voluntary and involuntary switches; minor and major faults.
    &[Value, Time, Time, Count, Count, Count, Count],
];

/// How many rows [`of`] a sample there are.
pub fn count(sample: &Sample) -> usize {
    let Snapshot { vcpus, migrations, threads, cells, .. } = &sample.snapshot;
    1 + vcpus.len() + migrations.len() + threads.len() + cells.len() + sample.threads.len()
}

/// The most figures that a row has: one of threads.
pub const MOST_FIGURES: usize = KINDS[3].len();

/// The tables of `sample`, by fields as in `flatten`: those of recordings, without what an outline has not.
pub fn of(sample: &Sample) -> [Table; TABLES] {
    let Sample { snapshot, state: _, threads: host_threads, missed, precision: _ } = sample;
    let Coverage { lost_timings, lost_places, .. } = snapshot.coverage;
    let head = [snapshot.clock.ticks_per_second.to_bits(), flatten::flags(sample), *missed, lost_timings, lost_places];
    [
        vec![flatten::row([], head)],
        snapshot.vcpus.iter().map(flatten::vcpu).collect(),
        snapshot.migrations.iter().map(|(&pair, &count)| flatten::migration(pair, count)).collect(),
        snapshot.threads.iter().map(flatten::thread).collect(),
        snapshot.cells.iter().map(|(&(place, metric), of)| cell(place, metric, of)).collect(),
        host_threads.iter().map(flatten::host_thread).collect(),
    ]
}

fn cell(place: Place, metric: Metric, of: &Distribution) -> Row {
    flatten::row(flatten::cell_key(place, metric), [of.untimed, of.timed(), of.sum])
}

/// The sample that was taken at `taken`, of which `tables` are known, as far as `precision` says, and all others are as in
/// `whole`.
pub fn sample(tables: &[Table; TABLES], taken: u64, precision: Precision, whole: &Sample) -> Result<Sample, Flaw> {
    let [head, vcpus, migrations, threads, cells, host_threads] = tables;
    let [head] = &head[..] else { return Err(restore::WRONG_ROW) };
    let [ticks_per_second, flags, missed, lost_timings, lost_places] = restore::figures(head)?;
    let [vcpus_known, guest_transitions_seen, guest_ended, recorded, dead] = restore::flags(flags)?;
    let mut clock = whole.snapshot.clock;
    clock.ticks_per_second = restore::rate(ticks_per_second)?;
    let cell = |row: &Row| {
        let key = restore::cell_key(row)?;
        Ok((key, distribution(row, whole.snapshot.cells.get(&key))?))
    };
    let host_thread = |row: &Row| Ok(HostThread { counters: Vec::new(), ..restore::host_thread(row)? });
    Ok(Sample {
        snapshot: Snapshot {
            process: whole.snapshot.process.clone(),
            clock,
            mode: whole.snapshot.mode,
            backend: whole.snapshot.backend.clone(),
            began: whole.snapshot.began,
            taken,
            coverage: Coverage { vcpus_known, guest_transitions_seen, guest_ended, lost_timings, lost_places },
            vcpus: vcpus.iter().map(restore::vcpu).collect::<Result<_, _>>()?,
            migrations: migrations.iter().map(restore::migration).collect::<Result<_, _>>()?,
            threads: threads.iter().map(restore::thread).collect::<Result<_, _>>()?,
            contention: contention(recorded, &whole.snapshot.contention),
            contention_as_of: Some(whole.snapshot.contention_taken()),
            cells: cells.iter().map(cell).collect::<Result<_, Flaw>>()?,
        },
        state: if dead { State::Dead } else { State::Alive },
        threads: host_threads.iter().map(host_thread).collect::<Result<_, Flaw>>()?,
        missed,
        precision,
    })
}

/// What is told of waiting: what `whole` told.
fn contention(recorded: bool, whole: &Arc<Contention>) -> Arc<Contention> {
    if recorded == whole.recorded {
        return Arc::clone(whole);
    }
    Arc::new(Contention { recorded, ..Contention::clone(whole) })
}

/// That of a cell that was `whole`.
fn distribution(row: &Row, whole: Option<&Distribution>) -> Result<Distribution, Flaw> {
    let [untimed, timed, sum] = restore::figures(row)?;
    let mut distribution = whole.cloned().unwrap_or_default();
    (distribution.untimed, distribution.sum) = (untimed, sum);
    distribution.unplaced = timed.saturating_sub(distribution.timed());
    Ok(distribution)
}
