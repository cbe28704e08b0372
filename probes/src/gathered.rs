//! For how long the guest's threads were gathered on one processor, or each group of them on one.

use crate::catalogue::Metric;
use crate::clock;
use crate::local;
use crate::snapshot::Place;

/// The guest's threads are, from now on. What to give [`gathering_ends`].
pub fn gathering_begins() -> u64 {
    clock::now()
}

/// They were since `began`, and are let go. Of no use inside of what is being measured.
pub fn gathering_ends(began: u64) {
    let ticks = clock::between(began, clock::now());
    local::with(|local| {
        let Some(recorder) = local.recorder() else { return };
        let row = local.row_at(recorder, Place::OffCpu);
        if let Some(cell) = local.cell(recorder, row, Metric::GATHERED.number()) {
            cell.record(&recorder.arena, ticks);
        }
    });
}
