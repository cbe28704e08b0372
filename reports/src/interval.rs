//! What was added between two snapshots of one process.

use rumpscope_probes::contention::Contention;
use rumpscope_probes::{Coverage, Snapshot, Thread, ThreadTotals};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A snapshot of the time from `earlier` to `later`, two snapshots of one process: its counters are those that grew, by as
/// much as they did, so that all that is made of a snapshot can be made of an interval. It began when `earlier` was taken.
///
/// Runs and gaps are counted when they end: those that had begun before are in it as a whole
/// ([`Vcpu::between`](crate::Vcpu::between) takes that off). Who waited for what is not in it: that is
/// [`Waiting::between`](crate::contention::Waiting::between), which costs more than most want at every look.
pub fn between(earlier: &Snapshot, later: &Snapshot) -> Snapshot {
    // Both are in the order of their keys, which is looked through once.
    let mut before = earlier.cells.iter().peekable();
    let added = later.cells.iter().filter_map(|(key, distribution)| {
        while before.next_if(|(earlier, _)| *earlier < key).is_some() {}
        let added = match before.next_if(|(earlier, _)| *earlier == key) {
            Some((_, before)) if before == distribution => return None,
            Some((_, before)) => distribution.since(before),
            None => distribution.clone(),
        };
        Some((*key, added))
    });
    let cells = added.collect();
    let before: HashMap<u32, &ThreadTotals> =
        earlier.threads.iter().map(|thread| (thread.lane, &thread.totals)).collect();
    let thread = |thread: &Thread| {
        let totals = before.get(&thread.lane).map_or(thread.totals, |before| since(&thread.totals, before));
        Thread { totals, ..thread.clone() }
    };
    Snapshot {
        process: later.process.clone(),
        clock: later.clock,
        mode: later.mode,
        backend: later.backend.clone(),
        began: earlier.taken,
        taken: later.taken,
        coverage: Coverage {
            lost_timings: later.coverage.lost_timings.saturating_sub(earlier.coverage.lost_timings),
            lost_places: later.coverage.lost_places.saturating_sub(earlier.coverage.lost_places),
            ..later.coverage
        },
        vcpus: later.vcpus.clone(),
        migrations: later
            .migrations
            .iter()
            .map(|(key, count)| (*key, count.saturating_sub(*earlier.migrations.get(key).unwrap_or(&0))))
            .filter(|(_, count)| *count != 0)
            .collect(),
        threads: later.threads.iter().map(thread).collect(),
        contention: Arc::new(Contention {
            recorded: later.contention.recorded,
            stacks: Default::default(),
            modules: Default::default(),
            locks: BTreeMap::new(),
            waits: Vec::new(),
            lost: 0,
        }),
        contention_as_of: later.contention_as_of,
        cells,
    }
}

fn since(later: &ThreadTotals, earlier: &ThreadTotals) -> ThreadTotals {
    ThreadTotals {
        calls: later.calls.saturating_sub(earlier.calls),
        run: later.run.saturating_sub(earlier.run),
        off: later.off.saturating_sub(earlier.off),
        wanted: later.wanted.saturating_sub(earlier.wanted),
        migrations: later.migrations.saturating_sub(earlier.migrations),
    }
}
