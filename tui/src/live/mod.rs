//! Watching a measured process while it runs.
//!
//! ```text
//! segment ──┐
//! /proc   ──┼─► Sampler's thread ──try_send──► bounded channel of each listener: dashboard, recorder, text
//! counters ─┘
//! ```
//!
//! A [`Sampler`] takes a [`Sample`](rumpscope_reports::Sample) now and then, and gives it to all who listen. Nobody
//! waits for a slow listener: what finds its channel full is lost for it alone, and counted in the next sample that it
//! gets. The measured process does nothing for all this.

mod budget;
mod counters;
pub mod kernels;
mod listeners;
mod pace;
mod sampler;
mod target;
mod task_files;
mod threads;
mod watched;

pub use listeners::News;
pub use pace::Pace;
pub use sampler::{SHORTEST, Sampler};
pub use watched::Watched;
