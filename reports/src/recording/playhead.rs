//! Where playing stands: which sample is shown, when the next one is due, how fast time goes. Knows no file and no clock.

use std::time::{Duration, Instant};

/// Powers of two that time can go faster by, from an eighth to 128 times.
const SPEEDS: std::ops::RangeInclusive<i32> = -3..=7;

/// A position among the samples of a recording.
#[derive(Clone, Debug)]
pub struct Playhead {
    /// When each sample was taken, from the first on; never smaller than the one before.
    times: Vec<Duration>,
    index: usize,
    /// In the time of the recording; between the current sample's and the next one's.
    elapsed: Duration,
    playing: bool,
    /// Time goes 2 to this power as fast.
    speed: i32,
    /// When the time was looked at last, while it plays.
    last: Option<Instant>,
}

impl Playhead {
    /// At the first sample, playing. `times`: when each sample was taken, from the first on.
    pub fn new(times: Vec<Duration>) -> Self {
        Playhead { times, index: 0, elapsed: Duration::ZERO, playing: true, speed: 0, last: None }
    }

    /// It is `now`. At the last sample it stops playing.
    pub fn tick(&mut self, now: Instant) {
        if !self.playing {
            return;
        }
        let passed = self.last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        self.last = Some(now);
        self.elapsed = self.elapsed.saturating_add(passed.mul_f64(self.speed()));
        self.index = self.index_at(self.elapsed).max(self.index);
        if self.index + 1 >= self.times.len() {
            self.stand_at(self.index);
            self.pause();
        }
    }

    /// When [`Playhead::tick`] will come to another sample; `None`: not while it is as it is.
    pub fn due(&self) -> Option<Instant> {
        let next = self.times.get(self.index + 1).filter(|_| self.playing)?;
        self.last?.checked_add(next.saturating_sub(self.elapsed).div_f64(self.speed()))
    }

    /// Goes on. From the last sample it begins anew.
    pub fn play(&mut self) {
        if self.index + 1 >= self.times.len() {
            self.stand_at(0);
        }
        (self.playing, self.last) = (true, None);
    }

    /// Stays where it is.
    pub fn pause(&mut self) {
        (self.playing, self.last) = (false, None);
    }

    /// Goes on, or stays.
    pub fn toggle(&mut self) {
        if self.playing { self.pause() } else { self.play() }
    }

    /// Whether it goes on by itself.
    pub fn is_playing(&self) -> bool {
        self.playing
    }

    /// That many samples on, or back, and stays there.
    pub fn step(&mut self, by: isize) {
        self.pause();
        self.stand_at(self.index.saturating_add_signed(by));
    }

    /// To sample `index`, or to the last one; goes on if it did.
    pub fn seek(&mut self, index: usize) {
        self.stand_at(index);
    }

    /// To the last sample that was taken at `elapsed` or before.
    pub fn seek_to(&mut self, elapsed: Duration) {
        self.stand_at(self.index_at(elapsed));
    }

    /// Twice as fast, as long as there is a faster speed.
    pub fn faster(&mut self) {
        self.speed = (self.speed + 1).min(*SPEEDS.end());
    }

    /// Half as fast.
    pub fn slower(&mut self) {
        self.speed = (self.speed - 1).max(*SPEEDS.start());
    }

    /// How fast time goes; 1 is as it was recorded.
    pub fn speed(&self) -> f64 {
        2f64.powi(self.speed)
    }

    /// The sample that is shown.
    pub fn index(&self) -> usize {
        self.index
    }

    fn stand_at(&mut self, index: usize) {
        self.index = index.min(self.times.len().saturating_sub(1));
        self.elapsed = self.times.get(self.index).copied().unwrap_or_default();
    }

    fn index_at(&self, elapsed: Duration) -> usize {
        self.times.partition_point(|time| *time <= elapsed).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Samples after 0, 1, 2, 5 and 6 seconds.
    fn playhead() -> (Playhead, Instant) {
        let mut playhead = Playhead::new([0, 1, 2, 5, 6].map(Duration::from_secs).to_vec());
        let begin = Instant::now();
        playhead.tick(begin);
        (playhead, begin)
    }

    fn after(playhead: &mut Playhead, now: Instant) -> (usize, bool) {
        playhead.tick(now);
        (playhead.index(), playhead.is_playing())
    }

    #[test]
    fn time_goes_as_it_went() {
        let (mut playhead, begin) = playhead();
        assert_eq!(playhead.due(), Some(begin + SECOND));
        let at = |seconds| begin + SECOND.mul_f64(seconds);
        assert_eq!(after(&mut playhead, at(0.9)), (0, true));
        assert_eq!(after(&mut playhead, at(1.1)), (1, true));
        assert_eq!(after(&mut playhead, at(4.9)), (2, true));
        assert_eq!(playhead.due(), Some(at(5.0)));
        assert_eq!(after(&mut playhead, at(5.1)), (3, true));
        assert_eq!(after(&mut playhead, at(100.0)), (4, false));
        assert_eq!(playhead.due(), None);
        playhead.play();
        assert_eq!(after(&mut playhead, at(101.0)), (0, true));
    }

    #[test]
    fn a_pause_takes_no_time() {
        let (mut playhead, begin) = playhead();
        playhead.tick(begin + SECOND / 2);
        playhead.toggle();
        assert_eq!(after(&mut playhead, begin + 10 * SECOND), (0, false));
        playhead.toggle();
        let again = begin + 20 * SECOND;
        assert_eq!(after(&mut playhead, again), (0, true));
        assert_eq!(playhead.due(), Some(again + SECOND / 2));
    }

    #[test]
    fn speed_is_a_power_of_two_within_limits() {
        let (mut playhead, begin) = playhead();
        playhead.faster();
        assert_eq!(after(&mut playhead, begin + SECOND), (2, true));
        assert_eq!(playhead.due(), Some(begin + SECOND + 3 * SECOND / 2));
        (0..20).for_each(|_| playhead.faster());
        assert_eq!(playhead.speed(), 128.0);
        (0..20).for_each(|_| playhead.slower());
        assert_eq!(playhead.speed(), 0.125);
    }

    #[test]
    fn steps_and_jumps_stay_within_the_recording() {
        let (mut playhead, begin) = playhead();
        playhead.step(1);
        assert_eq!((playhead.index(), playhead.is_playing()), (1, false));
        playhead.step(-5);
        assert_eq!(playhead.index(), 0);
        playhead.step(isize::MAX);
        assert_eq!(playhead.index(), 4);
        playhead.seek(2);
        playhead.play();
        playhead.tick(begin);
        assert_eq!(after(&mut playhead, begin + 3 * SECOND), (3, true));
        playhead.seek_to(Duration::from_millis(1500));
        assert_eq!((playhead.index(), playhead.is_playing()), (1, true));
        playhead.seek_to(Duration::MAX);
        assert_eq!(playhead.index(), 4);
    }
}
