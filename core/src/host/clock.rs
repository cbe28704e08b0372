//! Reading clocks and sleeping.

use super::errno::Errno;
use super::vdso;
use libc::{clockid_t, timespec};

const NANOSECONDS: i64 = 1_000_000_000;

/// A point of time or a length of it: whole seconds, and nanoseconds below one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds, 0 or more.
    seconds: i64,
    /// Nanoseconds, below 1,000,000,000.
    nanoseconds: i64,
}

impl Time {
    /// # Errors
    /// EINVAL where `seconds` is negative or `nanoseconds` is not below a second.
    pub fn new(seconds: i64, nanoseconds: i64) -> Result<Self, Errno> {
        if seconds < 0 || !(0..NANOSECONDS).contains(&nanoseconds) {
            return Err(Errno(libc::EINVAL));
        }
        Ok(Time { seconds, nanoseconds })
    }

    /// The time `length` later; at the end of time where there is none.
    fn later(self, length: Time) -> Self {
        let nanoseconds = self.nanoseconds + length.nanoseconds;
        Time {
            seconds: self.seconds.saturating_add(length.seconds).saturating_add(nanoseconds / NANOSECONDS),
            nanoseconds: nanoseconds % NANOSECONDS,
        }
    }

    pub(in crate::host) fn to_host(self) -> timespec {
        timespec { tv_sec: self.seconds, tv_nsec: self.nanoseconds }
    }
}

/// A clock of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Clock {
    /// The time of day; it may be set.
    Wall = libc::CLOCK_REALTIME,
    /// It only goes on.
    Monotonic = libc::CLOCK_MONOTONIC,
}

/// The time on `clock`.
///
/// # Errors
/// Those of the host; on Linux it has none.
#[inline(always)]
pub fn now(clock: Clock) -> Result<timespec, Errno> {
    let mut now = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` may be written. No system call: the time is in a page of the kernel's.
    if unsafe { vdso::clock_gettime(clock as clockid_t, &mut now) } != 0 {
        return Err(Errno::last());
    }
    Ok(now)
}

/// The time on the monotonic clock in `length` from now: a sleep until then is not changed by steps of the wall clock.
///
/// # Errors
/// As for [`now`].
pub fn after(length: Time) -> Result<Time, Errno> {
    let now = now(Clock::Monotonic)?;
    Ok(Time { seconds: now.tv_sec, nanoseconds: now.tv_nsec }.later(length))
}

/// Sleeps until the monotonic clock shows `deadline`; not at all where it has passed. Signals do not end it.
///
/// # Errors
/// Those of the host.
pub fn sleep_until(deadline: Time) -> Result<(), Errno> {
    let deadline = deadline.to_host();
    loop {
        // SAFETY: a valid time; nothing is written back for an absolute one.
        match unsafe {
            libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &deadline, core::ptr::null_mut())
        } {
            0 => return Ok(()),
            libc::EINTR => {}
            failed => return Err(Errno(failed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_checked() {
        assert_eq!(Time::new(-1, 0), Err(Errno(libc::EINVAL)));
        assert_eq!(Time::new(0, -1), Err(Errno(libc::EINVAL)));
        assert_eq!(Time::new(0, NANOSECONDS), Err(Errno(libc::EINVAL)));
        assert!(Time::new(i64::MAX, NANOSECONDS - 1).is_ok());
    }

    #[test]
    fn sums_carry_and_do_not_overflow() {
        let time = |seconds, nanoseconds| Time { seconds, nanoseconds };
        assert_eq!(time(1, 600_000_000).later(time(2, 600_000_000)), time(4, 200_000_000));
        assert_eq!(time(1, 1).later(time(i64::MAX, NANOSECONDS - 1)).seconds, i64::MAX);
    }

    #[test]
    fn a_sleep_is_not_shorter_than_asked() {
        let before = now(Clock::Monotonic).expect("clock");
        let length = Time::new(0, 2_000_000).expect("valid");
        sleep_until(after(length).expect("clock")).expect("slept");
        let after = now(Clock::Monotonic).expect("clock");
        let time = |host: timespec| Time::new(host.tv_sec, host.tv_nsec).expect("valid");
        let (start, end) = (time(before), time(after));
        assert!(end >= start.later(length));
    }

    #[test]
    fn the_past_does_not_wait() {
        sleep_until(Time::new(0, 0).expect("valid")).expect("no error");
    }
}
