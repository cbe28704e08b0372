//! Recordings: a series of samples in a file (`docs/recording.md`), to be looked at later as if it were now.
//!
//! ```text
//! Sample ─► Recorder ─► file ─► Recording::at(index) ─► Sample
//!                                   ▲
//!                        Player: which one is due now
//! ```
//!
//! * [`Recorder`] writes each sample as changes of the one before, at once. Whatever happens to it, the file has all
//!   samples that it took.
//! * [`Recording`] reads them, from a file that it does not trust. [`Recording::intervals`] tells how busy the guest was
//!   at any time without reading samples.
//! * [`Player`] is what a dashboard drives: [`Player::tick`] as time passes, [`Player::current`] and [`Player::before`] to
//!   show, and whatever the keys ask for. Where it stands is decided by a [`Playhead`].
//!
//! Where a [limit](Recorder::with_limit) has no room for a whole sample, its [outline](Sample::is_outline) is written.
//!
//! A sample is made into `tables` of numbers (`flatten`, `restore`); `changes` are what is written of them; a
//! `frame` says whether that is as it was written.

#[cfg(doc)]
use crate::sample::Sample;

mod about;
mod bytes;
mod changes;
mod compression;
mod edits;
mod error;
mod flatten;
#[cfg(test)]
mod forged;
mod frame;
mod interval;
mod layout;
mod limit;
mod marks;
mod outline;
mod player;
mod playhead;
mod reader;
mod recorder;
mod restore;
mod tables;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use about::About;
pub use error::{Damage, RecordError, RecordingError};
pub use interval::Interval;
pub use layout::VERSION;
pub use player::{Busiest, Player, Position};
pub use playhead::Playhead;
pub use reader::Recording;
pub use recorder::Recorder;
