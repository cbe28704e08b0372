//! Where samples come from: a kernel that runs, or a recording of one.

pub use crate::live::News;
use crossbeam_channel::Receiver;
use rumpscope_reports::recording::Player;
use std::fmt::Debug;
use std::time::Duration;

/// Where samples come from.
#[derive(Debug)]
pub enum Source {
    /// A kernel that runs; samples come by themselves.
    Live(Box<dyn Live>),
    /// A recording; samples are asked for.
    Replay(Box<Player>),
}

/// A kernel that runs.
pub trait Live: Debug {
    /// What comes from it. A channel that is closed says that nothing more will come.
    fn news(&self) -> &Receiver<News>;

    /// The time between two samples.
    fn interval(&self) -> Duration;

    /// Changes it; what comes is then [`interval`](Self::interval), which may be bounded.
    fn set_interval(&mut self, interval: Duration);

    /// The file that is recorded to now.
    fn recording(&self) -> Option<String>;

    /// Starts a recording, or stops the one under way; what the user is to be told.
    ///
    /// # Errors
    /// When the file cannot be made or written.
    fn toggle_recording(&mut self) -> anyhow::Result<String>;

    /// Why a recording has ended early, if one has since this was asked last.
    fn trouble(&mut self) -> Option<String> {
        None
    }

    /// Writes what the kernel did lately as a trace for Perfetto; what the user is to be told.
    ///
    /// # Errors
    /// When the kernel records no events, or the file cannot be made.
    fn save_trace(&mut self) -> anyhow::Result<String>;
}
