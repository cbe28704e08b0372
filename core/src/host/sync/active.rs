//! Waiting actively: looking again and again for a short time, before sleeping.
//!
//! To be woken on an idle processor takes some 25 microseconds on a virtual machine; who is still looking goes on at
//! once. But it uses a processor. So a wait is active only
//! - where waits have been short of late: each object learns how long its waits last ([`Habit`](super::habit::Habit)),
//!   and each thread how long those on objects that are new, because some live for one wait only;
//! - and where looking is not in the way: who is to end a wait may be standing in line for the very processor. Objects and
//!   threads learn that, too;
//! - and where somebody waits for the thread: not where those who signal go on without it
//!   ([`Answers`](super::answers::Answers)), or want to go on with what they have given up
//!   ([`Turns`](super::turns::Turns));
//! - and while fewer threads do it than there are processors, less one for whoever ends the wait
//!   ([`Seats`](super::seats::Seats)).
//!
//! Who looks does not offer the processor to others (`sched_yield`). Linux puts whoever does that behind the others for as
//! long as a time slice, some milliseconds. Measured, it loses more than it gains wherever threads are more than
//! processors. Only those offer it who have waited for so long that they stay awake whatever others want
//! ([`stay_awake_politely`]), and threads that share a processor, instead of looking ([`offers`](super::offers)).

use super::deadline::Deadline;
use super::primitive::{spin_loop, yield_now};
#[cfg(not(loom))]
use crate::host::fiber;
use crate::host::gather;

/// What it takes to be woken on an idle processor, in nanoseconds: as measured on a virtual machine.
pub(super) const WAKE_UP: u64 = 25_000;

/// A wait is never active for longer than this. To wait actively for as long as sleeping would cost is at most twice as
/// bad as to know the future (Karlin, Li, Manasse, Owicki, "Empirical studies of competitive spinning for a
/// shared-memory multiprocessor", SOSP 1991).
pub(super) const LONGEST: u64 = WAKE_UP;

/// What came of looking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host) enum Looked {
    /// It did not: nobody had the patience, or others were looking.
    No,
    /// It saw the end of the wait.
    Well,
    /// The same, but nobody waited for the thread: it could as well have slept.
    ForNothing,
    /// It ran out of patience.
    InVain,
    /// The same, and whoever was to end the wait was waiting for the very processor, for so many nanoseconds.
    InTheWay(u64),
}

/// Looks until `is_over` or for about `patience` nanoseconds, not beyond `deadline`. Says what came of it, and for how many
/// nanoseconds it did.
#[cfg(not(loom))]
pub(in crate::host) fn look(
    patience: u64,
    deadline: Option<&Deadline>,
    is_over: impl FnMut() -> bool,
) -> (Looked, u64) {
    // What a fiber waits for may be for another fiber to give, which does not run meanwhile.
    if patience == 0 || fiber::is_running() {
        return (Looked::No, 0);
    }
    processors::look(patience, deadline, is_over)
}

/// One look is enough: the model has every other thread run before and after it.
#[cfg(loom)]
pub(in crate::host) fn look(patience: u64, _: Option<&Deadline>, mut is_over: impl FnMut() -> bool) -> (Looked, u64) {
    if patience != 0 {
        is_over();
    }
    (Looked::No, 0)
}

/// As [`stay_awake`], but the processor is offered to others again and again.
pub(super) fn stay_awake_politely(is_over: impl FnMut() -> bool) -> u64 {
    stay_awake_and(is_over, yield_now)
}

/// Looks until `is_over`, or for as long as it takes to be woken, whatever the host's threads want. Says for how many
/// nanoseconds. A fiber does not: others run meanwhile; nor does one of threads that share a processor: whoever is to end it does
/// not.
pub(super) fn stay_awake(is_over: impl FnMut() -> bool) -> u64 {
    if gather::is_gathered() {
        return 0;
    }
    stay_awake_and(is_over, || ())
}

fn stay_awake_and(mut is_over: impl FnMut() -> bool, between: impl Fn()) -> u64 {
    /// So many looks take about a microsecond.
    const LOOKS: u32 = if cfg!(loom) { 1 } else { 32 };
    #[cfg(not(loom))]
    if fiber::is_running() {
        return 0;
    }
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
        between();
    }
}

#[cfg(loom)]
pub(in crate::host) fn now() -> u64 {
    0
}

#[cfg(loom)]
pub(in crate::host) fn monotonic() -> u64 {
    0
}

/// How many processors there are besides the caller's, but at least one.
#[cfg(loom)]
pub(super) fn others() -> u32 {
    1
}

/// How many processors there are.
#[cfg(loom)]
pub(in crate::host) fn processors() -> u32 {
    2
}

#[cfg(not(loom))]
pub(super) use processors::others;
#[cfg(not(loom))]
pub(in crate::host) use processors::{monotonic, now, processors};

#[cfg(not(loom))]
mod processors {
    use super::super::deadline::Deadline;
    use super::super::seats::Seats;
    use super::Looked;
    use crate::host::clock::{self, Clock};
    use crate::host::{cpus, gather};
    use core::hint::spin_loop;
    use rumpscope_probes::clock::counted_ns;
    use std::sync::OnceLock;

    /// Looks between two reads of the clock: some 30 to 150 ns each.
    const LOOKS: u32 = 4;
    static SEATS: Seats = Seats::new();

    /// How many threads may wait actively at a time.
    fn seats() -> u32 {
        static COUNT: OnceLock<u32> = OnceLock::new();
        *COUNT.get_or_init(|| cpus::available() as u32 - 1)
    }

    /// How many processors there are besides the caller's, but at least one.
    pub(in super::super) fn others() -> u32 {
        seats().max(1)
    }

    /// How many processors there are for the guest's threads.
    pub(in crate::host) fn processors() -> u32 {
        gather::shared_processors().unwrap_or_else(|| seats() + 1)
    }

    /// Who finds no seat looks without one for so long, in nanoseconds, until one is free: a thread that ends another's
    /// wait and then waits itself meets the other before it has seen it.
    const STANDING: u64 = 500;

    /// Nanoseconds of a clock that only goes on, and is quick to read: for lengths.
    #[inline]
    pub(in crate::host) fn now() -> u64 {
        counted_ns().unwrap_or_else(monotonic)
    }

    /// The monotonic clock in nanoseconds; 0 where the host does not tell.
    pub(in crate::host) fn monotonic() -> u64 {
        clock::now(Clock::Monotonic).map_or(0, |now| now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
    }

    pub(super) fn look(patience: u64, deadline: Option<&Deadline>, mut is_over: impl FnMut() -> bool) -> (Looked, u64) {
        let start = now();
        if seats() == 0 || gather::is_quiet() {
            return (Looked::No, 0);
        }
        let end = start.saturating_add(patience);
        let take_seat = |now: u64| SEATS.take(seats() as usize, cpus::current, [now, end]);
        let mut seat = take_seat(start);
        loop {
            for _ in 0..LOOKS {
                spin_loop();
                if is_over() {
                    return (Looked::Well, now() - start);
                }
            }
            let time = now();
            let looked = time - start;
            if seat.is_none() {
                seat = take_seat(time);
            }
            if looked >= patience {
                return (Looked::InVain, looked);
            }
            if deadline.is_some_and(|deadline| monotonic() >= deadline.nanoseconds())
                || (seat.is_none() && looked >= STANDING)
            {
                return (Looked::No, looked);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn nobody_looks_without_patience_or_beyond_the_deadline() {
        assert_eq!(look(0, None, || panic!("looked")), (Looked::No, 0));
        let mut looks = 0u32;
        let (_, late) = look(u64::from(u32::MAX), Some(&Deadline::after(-1, 0)), || {
            looks += 1;
            false
        });
        assert!(looks < 100, "{looks} looks, {late} ns");
    }

    #[test]
    fn the_end_of_a_wait_is_seen() {
        let mut looks = 0;
        let mut look_twice = || {
            look(LONGEST, None, || {
                looks += 1;
                looks == 2
            })
        };
        // Others may be looking, and not all hosts have two processors.
        let (mut looked, _) = look_twice();
        while looked == Looked::No && crate::host::cpus::available() > 1 {
            (looked, _) = look_twice();
        }
        assert!(looked == Looked::Well || crate::host::cpus::available() == 1);
    }

    #[test]
    fn looking_in_vain_ends() {
        let (mut looked, mut time) = (Looked::No, 0);
        while looked == Looked::No && crate::host::cpus::available() > 1 {
            (looked, time) = look(5_000, None, || false);
        }
        assert!(looked == Looked::InVain && time >= 5_000 || crate::host::cpus::available() == 1);
    }
}
