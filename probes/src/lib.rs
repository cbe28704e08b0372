//! What rumpscope measures, and how it gets out of the measured process.
//!
//! * [`measure`] and [`transition`] are what the hypervisor calls: the way of one hypercall, and of a thread that leaves
//!   its virtual CPU and comes back.
//! * What they write is the *segment*, a mapped file (`docs/segment.md`): per host thread and virtual CPU, a counter and
//!   a histogram of every [`Metric`] of the [`CATALOGUE`]. Each has one writer, so no instruction on the way is locked.
//! * [`events`] are the last seconds of it, one by one.
//! * [`reader`] makes [`Snapshot`]s of it, from another process, at its own pace.
//!
//! Nothing here knows a rump kernel: virtual CPUs are numbers, and the guest is asked through a function.

mod arena;
pub mod buckets;
mod catalogue;
mod cell;
mod claim;
pub mod clock;
pub mod contention;
mod context;
mod counts;
mod distribution;
pub mod events;
mod gathered;
mod initial_exec;
mod lane;
mod layout;
mod local;
mod measure;
mod mode;
#[cfg(all(test, loom))]
mod models;
mod primitive;
mod process;
mod progress;
mod provider;
mod quick;
pub mod reader;
mod recorder;
mod slot;
mod snapshot;
mod start;
mod tally;
#[cfg(test)]
mod testing;
pub mod thread;
pub mod transition;
mod unwind;
mod vcpu;

pub use catalogue::{CATALOGUE, Entry, Family, Hypercall, Metric, Quantity, Timing};
pub use contention::ENV_CONTENTION;
pub use context::Context;
pub use distribution::Distribution;
pub use events::ENV_EVENTS;
pub use gathered::{gathering_begins, gathering_ends};
pub use layout::VERSION as SEGMENT_VERSION;
pub use layout::vcpu::MOST as MOST_VCPUS;
pub use measure::measure;
pub use mode::Mode;
pub use process::is_privileged;
pub use progress::progress;
pub use quick::{measure_quick, measure_short, measure_taking};
pub use recorder::{
    WhichVcpu, Witness, continue_in_forked_child, forget_place, guest_ended, guest_tells_transitions, mode,
    vcpus_are_known,
};
pub use snapshot::{
    Activity, ClockInfo, ClockSource, Coverage, Place, Process, Snapshot, Thread, ThreadTotals, VcpuNow,
};
pub use start::{ENV_SEGMENT, ENV_SWITCH, ENV_TIMING, EXTENSION, begin, own_folder, segment_folder};
pub use unwind::{DEPTH as CHAIN_DEPTH, call_chain};
