//! The timeline: what happened when, the last seconds of it.
//!
//! Counters tell how much; events tell the order. Each lane writes its events into a block of its own. When that is full,
//! it takes another one: a new one, as long as the guest's budget lasts, and then the one that was full first of all. So
//! what is kept is a window of time, the same for all threads, however unevenly they record; it is overwritten from its
//! far end, and what was lost is counted.
//!
//! An event is recorded when what it tells is over, with the clock reads that the histograms needed anyway: three plain
//! stores to memory that only this thread writes. What only a sample is timed of is no event; so what a timeline shows it
//! shows completely.

mod block;
mod model;
mod packed;
mod read;
mod record;
mod setting;
mod store;

pub use model::{Event, LaneEvents, Tenure, Timeline, What};
pub use read::Follower;
pub use record::wake;
pub use setting::{ENV_EVENTS, check_size};

pub(crate) use block::Block;
pub(crate) use setting::wanted;
pub(crate) use store::{STEP_BYTES, Store};
#[cfg(all(test, loom))]
pub(crate) use {block::Owner, packed::Packed};
