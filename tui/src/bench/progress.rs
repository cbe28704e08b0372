//! The line that tells how far a bench is. It is on standard error, and only where that is a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// The line; it goes away when this is dropped.
#[derive(Debug)]
pub struct Progress {
    began: Instant,
    runs: usize,
    shown: bool,
}

impl Progress {
    /// Of a bench of this many runs.
    pub fn new(runs: usize) -> Self {
        Progress { began: Instant::now(), runs, shown: io::stderr().is_terminal() }
    }

    /// `done` runs are over; `what` is next.
    pub fn show(&self, done: usize, what: &str) {
        if !self.shown {
            return;
        }
        let left = time_left(self.began.elapsed(), done, self.runs);
        let left = left.map_or(String::new(), |left| format!(", {} left", humantime::format_duration(left)));
        // To the start of the line, and away with what stood there. A terminal that is gone is not worth a word.
        let _ = write!(io::stderr(), "\r\x1b[K{done} of {} runs{left}: {what}", self.runs);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// How long the rest takes if it goes on like this, in whole seconds; `None` before the first run is over.
fn time_left(elapsed: Duration, done: usize, runs: usize) -> Option<Duration> {
    let left = runs.saturating_sub(done) as f64;
    let seconds = elapsed.as_secs_f64() / if done == 0 { return None } else { done as f64 } * left;
    Some(Duration::from_secs(seconds.ceil() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_goes_on_like_the_beginning() {
        assert_eq!(time_left(Duration::from_secs(9), 3, 10), Some(Duration::from_secs(21)));
        assert_eq!(time_left(Duration::from_secs(9), 0, 10), None);
        assert_eq!(time_left(Duration::from_secs(9), 10, 10), Some(Duration::ZERO));
    }
}
