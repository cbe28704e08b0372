//! A recording in the dashboard: what its player shows, with the history before it.

use super::keys::Action;
use super::scene::Scene;
use super::status::Progress;
use rumpscope_reports::recording::{Busiest, Interval, Player};
use std::time::{Duration, Instant};

/// Samples before the one that was sought that are read for the history: the columns of a wide screen.
const HISTORY: usize = 240;

/// Where that would take longer than a key may go unheard, only so many are read: the history of a large guest begins anew
/// where it was jumped to.
const LITTLE_HISTORY: usize = 40;
const PATIENCE: Duration = Duration::from_millis(400);

/// Parts of a recording that a seek goes by.
const SEEK: usize = 20;

/// A player, and what it last showed.
#[derive(Debug)]
pub struct Playback {
    player: Box<Player>,
    /// The sample that is in the scene; `None`: nothing is yet.
    shown: Option<usize>,
}

impl Playback {
    /// Shows what `player` plays.
    pub fn new(player: Box<Player>) -> Self {
        Playback { player, shown: None }
    }

    /// Where it is.
    pub fn progress(&self) -> Progress {
        let position = self.player.position();
        Progress {
            index: position.index,
            len: position.count,
            seconds: position.elapsed.as_secs_f64(),
            whole_seconds: position.length.as_secs_f64(),
            speed: self.player.speed(),
        }
    }

    /// Whether it goes on by itself.
    pub fn is_playing(&self) -> bool {
        self.player.is_playing()
    }

    /// What happened before each sample.
    pub fn intervals(&self) -> &[Interval] {
        self.player.intervals()
    }

    /// Goes to sample `index`; whether something else is shown then.
    ///
    /// # Errors
    /// When a sample cannot be read.
    pub fn seek(&mut self, index: usize, cumulative: bool, scene: &mut Option<Scene>) -> anyhow::Result<bool> {
        self.player.seek(index)?;
        self.follow(cumulative, scene)
    }

    /// When [`tick`](Self::tick) has something to do.
    pub fn due(&self) -> Option<Instant> {
        if self.shown.is_none() { Some(Instant::now()) } else { self.player.due() }
    }

    /// Goes on, if it is time; whether something else is shown then.
    ///
    /// # Errors
    /// When a sample cannot be read.
    pub fn tick(&mut self, now: Instant, cumulative: bool, scene: &mut Option<Scene>) -> anyhow::Result<bool> {
        let was_playing = self.is_playing();
        self.player.tick(now)?;
        let moved = self.follow(cumulative, scene)?;
        Ok(moved || was_playing != self.is_playing())
    }

    /// Does what a key stands for; whether it was for us.
    ///
    /// # Errors
    /// When a sample cannot be read.
    pub fn act(&mut self, action: Action, cumulative: bool, scene: &mut Option<Scene>) -> anyhow::Result<bool> {
        let position = self.player.position();
        let by = (position.count / SEEK).max(1);
        match action {
            Action::Freeze => _ = self.player.toggle()?,
            Action::StepForward => _ = self.player.step(1)?,
            Action::StepBack => _ = self.player.step(-1)?,
            Action::SeekForward => _ = self.player.seek(position.index.saturating_add(by))?,
            Action::SeekBack => _ = self.player.seek(position.index.saturating_sub(by))?,
            Action::First => _ = self.player.seek(0)?,
            Action::Last => _ = self.player.seek(usize::MAX)?,
            Action::Busiest => {
                self.player.pause();
                self.player.to_busiest(Busiest::Calls)?;
            }
            Action::Faster => self.player.faster(),
            Action::Slower => self.player.slower(),
            _ => return Ok(false),
        }
        self.follow(cumulative, scene)?;
        Ok(true)
    }

    /// Brings the scene to where the player is. Where that is a little further on, what lies between goes into the history;
    /// otherwise it is read anew.
    fn follow(&mut self, cumulative: bool, scene: &mut Option<Scene>) -> anyhow::Result<bool> {
        let index = self.player.position().index;
        let further = self.shown.and_then(|shown| index.checked_sub(shown));
        match (further, &mut *scene) {
            (Some(0), Some(_)) => return Ok(false),
            (Some(further), Some(scene)) if further <= LITTLE_HISTORY => {
                self.player.for_each_before(further, |sample| _ = scene.push(sample))?;
            }
            _ => {
                let begin = Instant::now();
                *scene = self.anew(LITTLE_HISTORY, cumulative)?;
                if index >= LITTLE_HISTORY && begin.elapsed() * (HISTORY / LITTLE_HISTORY) as u32 <= PATIENCE {
                    *scene = self.anew(HISTORY, cumulative)?;
                }
            }
        }
        self.shown = Some(index);
        Ok(true)
    }

    /// The scene where the player is, with so many samples of history.
    fn anew(&mut self, history: usize, cumulative: bool) -> anyhow::Result<Option<Scene>> {
        // One sample after the other: of a large kernel, each takes megabytes.
        let mut anew: Option<Scene> = None;
        self.player.for_each_before(history, |sample| match &mut anew {
            Some(scene) => _ = scene.push(sample),
            None => anew = Some(Scene::new(sample, cumulative)),
        })?;
        Ok(anew)
    }
}
