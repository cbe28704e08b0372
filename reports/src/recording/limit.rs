//! How large a recording may become: where more happens than fits, samples are written less often.

/// Of the size of a day, what may be written at once: recordings of minutes are hardly ever limited.
const AT_ONCE: u64 = 2;

const DAY_NS: u64 = 24 * 60 * 60 * 1_000_000_000;

/// What may still be written, which grows with time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// In a day.
    per_day: u64,
    /// Bytes that may be written now.
    left: u64,
}

impl Limit {
    /// The first day takes `per_day` bytes at most, whatever happens in it, and every later one half of that.
    pub fn new(per_day: u64) -> Self {
        Limit { per_day, left: per_day / AT_ONCE }
    }

    /// That much time has gone by, in nanoseconds.
    pub fn pass(&mut self, ns: u64) {
        let more = u128::from(self.per_day - self.per_day / AT_ONCE) * u128::from(ns) / u128::from(DAY_NS);
        self.left = self.left.saturating_add(u64::try_from(more).unwrap_or(u64::MAX)).min(self.per_day);
    }

    /// Whether about `bytes` may be written.
    pub fn allows(&self, bytes: u64) -> bool {
        bytes <= self.left
    }

    /// That has been written.
    pub fn take(&mut self, bytes: u64) {
        self.left = self.left.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a day takes at one sample a second, each so large; and how many were written.
    fn day(per_day: u64, bytes: u64) -> (u64, u64) {
        let mut limit = Limit::new(per_day);
        let mut written = (0, 0);
        for _ in 0..24 * 60 * 60 {
            limit.pass(1_000_000_000);
            if limit.allows(bytes) {
                limit.take(bytes);
                written = (written.0 + bytes, written.1 + 1);
            }
        }
        written
    }

    #[test]
    fn a_day_stays_below_its_limit() {
        assert_eq!(day(100_000_000, 1_000).1, 86_400);
        let (bytes, samples) = day(100_000_000, 100_000);
        assert!((99_000_000..=100_000_000).contains(&bytes), "{bytes}");
        assert!(samples >= 990, "{samples}");
        assert_eq!(day(u64::MAX, 1 << 30).1, 86_400);
    }

    #[test]
    fn the_first_minutes_are_not_limited() {
        let mut limit = Limit::new(100_000_000);
        for _ in 0..300 {
            assert!(limit.allows(150_000));
            limit.take(150_000);
        }
    }
}
