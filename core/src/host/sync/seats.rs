//! The right to wait actively: as many seats as there are processors, less one for whoever ends a wait.
//!
//! A seat is taken until a time, when its owner will have given up. The host may take the processor from it meanwhile, for
//! milliseconds: then it is free for others.

use core::sync::atomic::{AtomicU64, Ordering};

/// Where there are more processors, these must do.
const MOST: usize = 64;
/// Of those somebody tries so many at most, side by side.
const TRIED: usize = 4;

/// Seats in a row.
pub(super) struct Seats([Place; MOST]);

/// Until when somebody sits there, in nanoseconds of some clock; 0: nobody does. In a line of its own.
#[repr(align(64))]
struct Place(AtomicU64);

/// A seat taken.
pub(super) struct Seat<'a> {
    place: &'a AtomicU64,
    until: u64,
}

impl Seats {
    pub(super) const fn new() -> Self {
        Seats([const { Place(AtomicU64::new(0)) }; MOST])
    }

    /// Takes one of the first `count` from `now` `until` then, if one is free that is tried. Any will do; those who come from
    /// different processors had better try different ones first.
    pub(super) fn take(
        &self,
        count: usize,
        processor: impl FnOnce() -> usize,
        [now, until]: [u64; 2],
    ) -> Option<Seat<'_>> {
        let count = count.min(MOST);
        let first = if count > 1 { processor() } else { 0 };
        (first..first + count.min(TRIED)).find_map(|number| {
            let place = &self.0[number % count].0;
            // Relaxed, here and below: a right, and nothing that comes with it.
            let taken = place.load(Ordering::Relaxed);
            let takes =
                taken <= now && place.compare_exchange(taken, until, Ordering::Relaxed, Ordering::Relaxed).is_ok();
            takes.then(|| Seat { place, until })
        })
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        // Unless the time is up and somebody else has it.
        let _ = self.place.compare_exchange(self.until, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_seats_than_that() {
        let seats = Seats::new();
        for count in [0, 1, 3, TRIED] {
            let taken: Vec<_> = (0..TRIED + 2).filter_map(|_| seats.take(count, || 7, [10, 20])).collect();
            assert_eq!(taken.len(), count);
            drop(taken);
        }
        let many: Vec<_> =
            (0..2 * MOST).filter_map(|processor| seats.take(usize::MAX, || processor, [10, 20])).collect();
        assert_eq!(many.len(), MOST);
    }

    #[test]
    fn a_seat_is_free_when_its_time_is_up() {
        let seats = Seats::new();
        let take = |now| seats.take(1, || unreachable!(), [now, now + 10]);
        let stopped = take(100).unwrap();
        assert!(take(109).is_none());
        let other = take(110).unwrap();
        drop(stopped);
        assert!(take(111).is_none(), "it was the other one's");
        drop(other);
        assert!(take(112).is_some());
    }
}
