//! Playing a recording: the sample that is shown, and the one before it.

use super::error::RecordingError;
use super::interval::Interval;
use super::playhead::Playhead;
use super::reader::Recording;
use crate::sample::Sample;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a recording is searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busiest {
    /// Most hypercalls in a second.
    Calls,
    /// Most waiting for locks.
    Waiting,
}

/// Where a player is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which sample is current, from 0.
    pub index: usize,
    /// How many there are.
    pub count: usize,
    /// When it was taken, from the first one on.
    pub elapsed: Duration,
    /// From the first to the last.
    pub length: Duration,
}

/// Plays a recording. It begins at the first sample that has another one before it, so that there is an interval to show,
/// and is playing. Whatever moves it reads the samples at once; where that fails, it stays where it was, and pauses.
#[derive(Debug)]
pub struct Player {
    recording: Recording,
    playhead: Playhead,
    /// The number of `current`.
    shown: usize,
    current: Arc<Sample>,
    before: Option<Arc<Sample>>,
}

impl Player {
    /// A player of `recording`.
    ///
    /// # Errors
    /// When the first samples cannot be read.
    pub fn new(mut recording: Recording) -> Result<Self, RecordingError> {
        let times = recording.intervals().iter().map(|interval| interval.elapsed).collect();
        let current = recording.at(0)?;
        let mut player = Player { recording, playhead: Playhead::new(times), shown: 0, current, before: None };
        player.seek(1)?;
        Ok(player)
    }

    /// It is `now`: goes on as far as time has gone. `true`: another sample is current.
    ///
    /// # Errors
    /// When that sample cannot be read.
    pub fn tick(&mut self, now: Instant) -> Result<bool, RecordingError> {
        self.moved(|playhead| playhead.tick(now))
    }

    /// When the next sample is due; `None` while it does not play.
    pub fn due(&self) -> Option<Instant> {
        self.playhead.due()
    }

    /// The sample where it stands.
    pub fn current(&self) -> &Arc<Sample> {
        &self.current
    }

    /// The sample before that in the recording; `None` at the first one.
    pub fn before(&self) -> Option<&Arc<Sample>> {
        self.before.as_ref()
    }

    /// Goes on, or stays. From the end it begins anew.
    ///
    /// # Errors
    /// As for [`Player::tick`]; so for all that move.
    pub fn toggle(&mut self) -> Result<bool, RecordingError> {
        self.moved(Playhead::toggle)
    }

    /// Stays where it is.
    pub fn pause(&mut self) {
        self.playhead.pause();
    }

    /// Whether it goes on by itself.
    pub fn is_playing(&self) -> bool {
        self.playhead.is_playing()
    }

    /// That many samples on, or back, and stays there.
    ///
    /// # Errors
    /// As for [`Player::toggle`].
    pub fn step(&mut self, by: isize) -> Result<bool, RecordingError> {
        self.moved(|playhead| playhead.step(by))
    }

    /// To sample `index`, or to the last one; goes on if it did.
    ///
    /// # Errors
    /// As for [`Player::toggle`].
    pub fn seek(&mut self, index: usize) -> Result<bool, RecordingError> {
        self.moved(|playhead| playhead.seek(index))
    }

    /// To the last sample that was taken that long after the first one, or before.
    ///
    /// # Errors
    /// As for [`Player::toggle`].
    pub fn seek_to(&mut self, elapsed: Duration) -> Result<bool, RecordingError> {
        self.moved(|playhead| playhead.seek_to(elapsed))
    }

    /// To the end of the busiest interval; to the first of them where several are equally busy.
    ///
    /// # Errors
    /// As for [`Player::toggle`].
    pub fn to_busiest(&mut self, by: Busiest) -> Result<bool, RecordingError> {
        let index = busiest(self.recording.intervals(), by);
        self.seek(index)
    }

    /// Twice as fast.
    pub fn faster(&mut self) {
        self.playhead.faster();
    }

    /// Half as fast.
    pub fn slower(&mut self) {
        self.playhead.slower();
    }

    /// How fast time goes; 1 is as it was recorded.
    pub fn speed(&self) -> f64 {
        self.playhead.speed()
    }

    /// Where it is.
    pub fn position(&self) -> Position {
        let elapsed = |index: usize| self.intervals().get(index).map_or(Duration::ZERO, |interval| interval.elapsed);
        let count = self.recording.len();
        Position { index: self.shown, count, elapsed: elapsed(self.shown), length: elapsed(count - 1) }
    }

    /// What happened before each sample of the recording: for graphs of all of it.
    pub fn intervals(&self) -> &[Interval] {
        self.recording.intervals()
    }

    /// Gives `each` the last `count` samples up to the current one, oldest first: to fill graphs after a jump. Fewer at
    /// the beginning. One at a time, since all of them in memory may be much. All but the current one and the one before are
    /// without waits, call chains and modules.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn for_each_before(&mut self, count: usize, mut each: impl FnMut(Arc<Sample>)) -> Result<(), RecordingError> {
        let first = (self.shown + 1).saturating_sub(count);
        for index in first..=self.shown {
            let before = self.before.as_ref().filter(|_| index + 1 == self.shown);
            each(match before {
                _ if index == self.shown => Arc::clone(&self.current),
                Some(before) => Arc::clone(before),
                None => self.recording.figures_at(index)?,
            });
        }
        Ok(())
    }

    /// What is played.
    pub fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Reads the samples where `by` has led; whether they are others.
    fn moved(&mut self, by: impl FnOnce(&mut Playhead)) -> Result<bool, RecordingError> {
        by(&mut self.playhead);
        let index = self.playhead.index();
        if index == self.shown {
            return Ok(false);
        }
        match self.read(index) {
            Ok((before, current)) => (self.before, self.current, self.shown) = (before, current, index),
            Err(problem) => {
                self.playhead.pause();
                self.playhead.seek(self.shown);
                return Err(problem);
            }
        }
        Ok(true)
    }

    fn read(&mut self, index: usize) -> Result<(Option<Arc<Sample>>, Arc<Sample>), RecordingError> {
        let before = match index.checked_sub(1) {
            Some(before) if before == self.shown => Some(Arc::clone(&self.current)),
            Some(before) => Some(self.recording.at(before)?),
            None => None,
        };
        Ok((before, self.recording.at(index)?))
    }
}

/// The first of the intervals that have most of it; the longer one of a moment's burst is no less busy.
fn busiest(intervals: &[Interval], by: Busiest) -> usize {
    let figure = |interval: &Interval| match by {
        Busiest::Calls => interval.calls_per_second(),
        Busiest::Waiting => interval.waiting(),
    };
    let most = intervals.iter().map(figure).fold(0.0, f64::max);
    intervals.iter().position(|interval| figure(interval) >= most).unwrap_or(0)
}
