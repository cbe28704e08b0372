//! Waiting actively: looking again and again for a short time, before sleeping.
//!
//! To be woken on an idle processor takes some 25 microseconds on a virtual machine; who is still looking goes on at
//! once. But it uses a processor. So a wait is active only
//! - where waits have been short of late: each object learns how long its waits last ([`Habit`](super::habit::Habit)),
//!   and each thread how long those on objects that are new, because some live for one wait only;
//! - and while fewer threads do it than there are processors, less one for whoever ends the wait (`Seat`);
//! - and while the host has nothing better to do with the processor: every few microseconds it is offered to others. If
//!   somebody takes it, the wait goes on asleep. If that is not this process itself ([`presence`](super::presence)), the
//!   host is crowded, and for a while nobody waits actively (`CROWDED_UNTIL`).

use super::deadline::Deadline;
use super::primitive::{spin_loop, yield_now};
#[cfg(not(loom))]
use crate::host::fiber;

/// What it takes to be woken on an idle processor, in nanoseconds: as measured on a virtual machine.
pub(super) const WAKE_UP: u64 = 25_000;

/// A wait is never active for longer than this. To wait actively for as long as sleeping would cost is at most twice as
/// bad as to know the future (Karlin, Li, Manasse, Owicki, "Empirical studies of competitive spinning for a
/// shared-memory multiprocessor", SOSP 1991).
pub(super) const LONGEST: u64 = WAKE_UP;

/// Looks until `is_over` or for about `patience` nanoseconds, not beyond `deadline`. Says for how many it did; 0: it
/// did not look at all.
#[cfg(not(loom))]
pub(in crate::host) fn look(patience: u64, deadline: Option<&Deadline>, is_over: impl FnMut() -> bool) -> u64 {
    // What a fiber waits for may be for another fiber to give, which does not run meanwhile.
    if patience == 0 || fiber::is_running() { 0 } else { processors::look(patience, deadline, is_over) }
}

/// One look is enough: the model has every other thread run before and after it.
#[cfg(loom)]
pub(in crate::host) fn look(patience: u64, _: Option<&Deadline>, mut is_over: impl FnMut() -> bool) -> u64 {
    if patience != 0 {
        is_over();
    }
    0
}

/// Looks until `is_over`, or for as long as it takes to be woken, whatever the host's threads want; but the processor is
/// offered to them again and again. Says for how many nanoseconds.
pub(super) fn stay_awake(mut is_over: impl FnMut() -> bool) -> u64 {
    /// Looks between two offers: about a microsecond.
    const LOOKS: u32 = if cfg!(loom) { 1 } else { 32 };
    let start = now();
    loop {
        let mut looks = 0..LOOKS;
        let over = looks.any(|_| {
            spin_loop();
            is_over()
        });
        if over || cfg!(loom) || now() - start >= WAKE_UP {
            return now() - start;
        }
        yield_now();
    }
}

#[cfg(loom)]
pub(in crate::host) fn now() -> u64 {
    0
}

/// How many processors there are besides the caller's, but at least one.
#[cfg(loom)]
pub(super) fn others() -> u32 {
    1
}

#[cfg(not(loom))]
pub(in crate::host) use processors::now;
#[cfg(not(loom))]
pub(super) use processors::others;

#[cfg(not(loom))]
mod processors {
    use super::super::deadline::Deadline;
    use super::super::presence;
    use crate::host::clock::{self, Clock};
    use crate::host::cpus;
    use core::hint::spin_loop;
    use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
    use std::sync::OnceLock;
    use std::thread::yield_now;

    /// Looks between two reads of the clock: some 30 to 150 ns each.
    const LOOKS: u32 = 4;
    /// How often the processor is offered to others, in nanoseconds. An offer costs a system call of some 300 ns.
    const OFFER_EVERY: u64 = 3_000;
    /// Whoever comes back from an offer later than this was not alone on the processor.
    const TAKEN: u64 = 2_000;
    /// And later than this: not only for somebody's wake-up, or a short run of another thread.
    const TAKEN_LONG: u64 = 200_000;
    /// If threads of this process have not had half of that time, nobody waits actively for so many times as long: so a
    /// crowded host costs the offers a 16th of the time at most.
    const CROWDED_FOR: u64 = 16;
    /// But not for longer than this, in nanoseconds.
    const CROWDED_AT_MOST: u64 = 200_000_000;

    /// Threads that wait actively.
    static ACTIVE: AtomicU32 = AtomicU32::new(0);
    /// A time on the monotonic clock, in nanoseconds.
    static CROWDED_UNTIL: AtomicU64 = AtomicU64::new(0);

    /// How many threads may wait actively at a time.
    fn seats() -> u32 {
        static SEATS: OnceLock<u32> = OnceLock::new();
        *SEATS.get_or_init(|| cpus::available() as u32 - 1)
    }

    /// How many processors there are besides the caller's, but at least one.
    pub(in super::super) fn others() -> u32 {
        seats().max(1)
    }

    /// Who finds no seat looks without one for so long, in nanoseconds, until one is free: a thread that ends another's
    /// wait and then waits itself meets the other before it has seen it.
    const STANDING: u64 = 500;

    /// The right to wait actively.
    struct Seat;

    impl Seat {
        fn take() -> Option<Seat> {
            let seats = seats();
            // Relaxed, here and below: only a count.
            if ACTIVE.load(Ordering::Relaxed) >= seats {
                return None;
            }
            if ACTIVE.fetch_add(1, Ordering::Relaxed) >= seats {
                ACTIVE.fetch_sub(1, Ordering::Relaxed);
                return None;
            }
            Some(Seat)
        }
    }

    impl Drop for Seat {
        fn drop(&mut self) {
            ACTIVE.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The monotonic clock in nanoseconds; 0 where the host does not tell.
    pub(in crate::host) fn now() -> u64 {
        clock::now(Clock::Monotonic).map_or(0, |now| now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
    }

    pub(super) fn look(patience: u64, deadline: Option<&Deadline>, mut is_over: impl FnMut() -> bool) -> u64 {
        let start = now();
        // Relaxed: a hint.
        if seats() == 0 || start < CROWDED_UNTIL.load(Ordering::Relaxed) {
            return 0;
        }
        let end = deadline.map_or(u64::MAX, Deadline::nanoseconds).min(start + patience);
        let mut seat = Seat::take();
        let mut offer = start + OFFER_EVERY;
        loop {
            for _ in 0..LOOKS {
                spin_loop();
                if is_over() {
                    return now() - start;
                }
            }
            let time = now();
            presence::is_here(time);
            if seat.is_none() {
                seat = Seat::take();
            }
            if time >= end || (seat.is_none() && time >= start + STANDING) {
                return time - start;
            }
            if time >= offer {
                let back = offer_processor(time);
                if back - time > TAKEN {
                    return back - start;
                }
                offer = back + OFFER_EVERY;
            }
        }
    }

    /// Offers the processor to others at `time`. Says when the caller has it back.
    fn offer_processor(time: u64) -> u64 {
        let (place, used) = presence::used_here();
        yield_now();
        let back = now();
        presence::is_back(back);
        let gone = back - time;
        if gone > TAKEN_LONG && presence::used(place) - used < gone / 2 {
            CROWDED_UNTIL.store(back + (CROWDED_FOR * gone).min(CROWDED_AT_MOST), Ordering::Relaxed);
        }
        back
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn nobody_looks_without_patience_or_beyond_the_deadline() {
        assert_eq!(look(0, None, || panic!("looked")), 0);
        let mut looks = 0u32;
        let late = look(u64::from(u32::MAX), Some(&Deadline::after(-1, 0)), || {
            looks += 1;
            false
        });
        assert!(looks < 100, "{looks} looks, {late} ns");
    }

    #[test]
    fn the_end_of_a_wait_is_seen() {
        // The host may be crowded at any moment; then it is not looked at all, so try until it is.
        let mut looks = 0;
        while looks == 0 && cpus() > 1 {
            look(LONGEST, None, || {
                looks += 1;
                true
            });
        }
        assert!(looks == 1 || cpus() == 1);
    }

    fn cpus() -> usize {
        crate::host::cpus::available()
    }
}
