//! From what was measured to what people and programs read.
//!
//! A [`Summary`] is made from a [`Snapshot`](rumpscope_probes::Snapshot) of the measured process: nanoseconds instead
//! of clock ticks, totals and percentiles beside the whole histograms. Each format is a file that turns it into text:
//! [`table`] for people, [`json`] for programs. [`grid`], [`paragraph`] and [`units`] are what text for people is made of,
//! here and elsewhere. Nothing here knows a terminal; a [`Style`] says what it can show.

pub mod contention;
mod coverage;
mod gathered;
pub mod grid;
mod host;
pub mod interval;
pub mod json;
pub mod paragraph;
pub mod perfetto;
mod precision;
pub mod recording;
mod run;
mod sample;
mod style;
mod summary;
pub mod symbols;
pub mod table;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod timeline;
mod times;
mod transitions;
pub mod units;
mod vcpu;

pub use coverage::Coverage;
pub use gathered::Gathered;
pub use host::Host;
pub use precision::Precision;
pub use run::{Ended, Ran, Run};
pub use sample::{Counter, Event, HostThread, Sample, State};
pub use style::Style;
pub use summary::{Clock, HypercallTimes, Summary};
pub use times::{Percentiles, PlaceTimes, Times, Totals};
pub use transitions::Transition;
pub use vcpu::{Vcpu, VcpuTime};
