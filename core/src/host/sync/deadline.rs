//! When a wait ends at the latest.

use crate::host::clock::Time;
use libc::timespec;

const NANOSECONDS: i64 = 1_000_000_000;

/// A time on `CLOCK_MONOTONIC`: steps of the wall clock move no deadline.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(timespec);

impl From<Time> for Deadline {
    fn from(time: Time) -> Self {
        Deadline(time.to_host())
    }
}

impl Deadline {
    /// `seconds` and `nanoseconds` from now. Any value is taken as the sum that it stands for: a negative one is over
    /// already, and one beyond the range of the clock is its end.
    pub fn after(seconds: i64, nanoseconds: i64) -> Self {
        let mut now = timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `now` is a valid place for the result. The clock exists on every Linux, so there is no error.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
        Self::sum(now, seconds, nanoseconds)
    }

    /// The time that is so many nanoseconds on the clock.
    pub(in crate::host) fn at(nanoseconds: u64) -> Self {
        let second = NANOSECONDS as u64;
        // Both are below 2^63.
        Deadline(timespec { tv_sec: (nanoseconds / second) as i64, tv_nsec: (nanoseconds % second) as i64 })
    }

    fn sum(now: timespec, seconds: i64, nanoseconds: i64) -> Self {
        // At most 10^9 + 10^9: cannot overflow.
        let fraction = now.tv_nsec + nanoseconds.rem_euclid(NANOSECONDS);
        let seconds = seconds
            .saturating_add(nanoseconds.div_euclid(NANOSECONDS))
            .saturating_add(now.tv_sec)
            .saturating_add(fraction / NANOSECONDS)
            // Linux refuses times before the clock's start; its start is past as well.
            .max(0);
        Deadline(timespec { tv_sec: seconds, tv_nsec: fraction % NANOSECONDS })
    }

    /// In nanoseconds on the clock; the end of what can be said so, where it is later.
    pub(in crate::host) fn nanoseconds(&self) -> u64 {
        // Neither part is negative: see `sum`.
        (self.0.tv_sec as u64).saturating_mul(NANOSECONDS as u64).saturating_add(self.0.tv_nsec as u64)
    }

    /// As the host's calls take it.
    pub(in crate::host) fn as_timespec(&self) -> &timespec {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(now: (i64, i64), seconds: i64, nanoseconds: i64) -> (i64, i64) {
        let Deadline(time) = Deadline::sum(timespec { tv_sec: now.0, tv_nsec: now.1 }, seconds, nanoseconds);
        (time.tv_sec, time.tv_nsec)
    }

    #[test]
    fn carries_nanoseconds() {
        assert_eq!(sum((10, 999_999_999), 1, 1), (12, 0));
        assert_eq!(sum((10, 0), 0, 2_500_000_000), (12, 500_000_000));
    }

    #[test]
    fn negative_times_are_past() {
        assert_eq!(sum((10, 5), -1, 0), (9, 5));
        assert_eq!(sum((10, 0), 0, -1), (9, 999_999_999));
        assert_eq!(sum((10, 5), i64::MIN, i64::MIN).0, 0);
    }

    #[test]
    fn huge_times_are_the_end_of_the_clock() {
        assert_eq!(sum((10, 5), i64::MAX, i64::MAX).0, i64::MAX);
    }
}
