//! What the head and the foot of the screen tell, beside what is in the samples.

use super::theme::Role;
use std::time::{Duration, Instant};

/// What is shown, and whether it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A kernel, as it runs.
    Live,
    /// A recording, as it runs.
    Replay,
    /// The user holds the picture.
    Paused,
    /// The kernel has ended; this is how it was.
    Dead,
    /// No samples come any more, for another reason.
    Lost,
}

impl Mode {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Live => "LIVE",
            Mode::Replay => "REPLAY",
            Mode::Paused => "PAUSED",
            Mode::Dead => "DEAD",
            Mode::Lost => "LOST",
        }
    }

    /// What it means.
    pub const fn role(self) -> Role {
        match self {
            Mode::Live => Role::Good,
            Mode::Replay | Mode::Paused => Role::Warning,
            Mode::Dead | Mode::Lost => Role::Error,
        }
    }
}

/// Where a replay is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// The number of the sample, from 0, and how many there are.
    pub index: usize,
    /// How many samples there are.
    pub len: usize,
    /// Seconds since the first sample.
    pub seconds: f64,
    /// Of all of them.
    pub whole_seconds: f64,
    /// How fast it goes; 1 is as fast as it was.
    pub speed: f64,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Status {
    /// What is shown.
    pub mode: Mode,
    /// The time between two samples that was asked for, where samples come by themselves.
    pub interval: Option<Duration>,
    /// The file that is recorded to.
    pub recording: Option<String>,
    /// Where a replay is.
    pub progress: Option<Progress>,
    /// What the user is told at the moment.
    pub message: Option<Message>,
}

/// Something that the user is told for a while.
#[derive(Clone, Debug)]
pub struct Message {
    /// In a sentence.
    pub text: String,
    /// Whether it is good or bad.
    pub role: Role,
    /// Until when; `None`: it stays.
    until: Option<Instant>,
}

impl Message {
    /// What has been done; it goes after a while.
    pub fn told(text: String) -> Self {
        Message { text, role: Role::Good, until: Some(Instant::now() + Duration::from_secs(6)) }
    }

    /// What could not be done; it goes after a longer while.
    pub fn failed(text: String) -> Self {
        Message { text, role: Role::Error, until: Some(Instant::now() + Duration::from_secs(15)) }
    }

    /// What stays true.
    pub fn lasting(text: String, role: Role) -> Self {
        Message { text, role, until: None }
    }

    /// Whether its time is over.
    pub fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}
