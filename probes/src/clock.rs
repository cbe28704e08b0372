//! The clock of the measured process.
//!
//! The time stamp counter where the machine has an invariant one that its kernel trusts too, read with a plain `rdtsc`:
//! a fence would cost more than it could put right, since a hypercall's own work is not moved across its reads by more
//! than some instructions. Elsewhere `clock_gettime(CLOCK_MONOTONIC)`.

use crate::snapshot::ClockSource;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Whether ticks are the time stamp counter's. Set once, before the first measurement.
static TSC: AtomicBool = AtomicBool::new(false);

/// Nanoseconds per tick of the time stamp counter, in units of 2^-32; 0 where a tick is a nanosecond. Set as `TSC` is.
static SCALE: AtomicU64 = AtomicU64::new(0);

/// Nanoseconds by the time stamp counter, since it was 0; `None` where it is not used. For lengths, which are right to some
/// 0.2 %: half as long to read as the host's clock.
#[inline]
pub fn counted_ns() -> Option<u64> {
    // Relaxed: as in `is_tsc`.
    match SCALE.load(Ordering::Relaxed) {
        0 => None,
        scale => Some(((u128::from(tsc()) * u128::from(scale)) >> 32) as u64),
    }
}

/// `nanoseconds` in ticks, as well as the rate was known when measuring began.
pub(crate) fn ticks(nanoseconds: u64) -> u64 {
    // Relaxed: as in `is_tsc`.
    match SCALE.load(Ordering::Relaxed) {
        0 => nanoseconds,
        scale => (nanoseconds as f64 * 2f64.powi(32) / scale as f64) as u64,
    }
}

/// The current time in ticks. Not ordered with the instructions around it.
#[inline(always)]
pub fn now() -> u64 {
    if is_tsc() { tsc() } else { monotonic_ns() }
}

/// The time stamp counter; 0 on machines that have none, where [`is_tsc`] is never true.
#[inline(always)]
pub(crate) fn tsc() -> u64 {
    #[cfg(all(target_arch = "x86_64", not(any(miri, loom))))]
    // SAFETY: every x86-64 processor has the instruction; that user code may execute it was seen by `choose`.
    return unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(not(all(target_arch = "x86_64", not(any(miri, loom)))))]
    0
}

/// The ticks from `start` to `end`. The counters of two processors may differ by some ticks: never less than none.
#[inline(always)]
pub(crate) fn between(start: u64, end: u64) -> u64 {
    // A branch that is always predicted, where a conditional move would be waited for.
    if end < start {
        cold();
        return 0;
    }
    end - start
}

#[cold]
fn cold() {}

/// Whether ticks are the time stamp counter's.
#[inline]
pub(crate) fn is_tsc() -> bool {
    // Relaxed: set before any thread measures, never changed.
    TSC.load(Ordering::Relaxed)
}

/// `CLOCK_MONOTONIC` in nanoseconds.
pub fn monotonic_ns() -> u64 {
    read_ns(libc::CLOCK_MONOTONIC)
}

/// The wall clock in nanoseconds since 1970.
pub fn unix_ns() -> u64 {
    read_ns(libc::CLOCK_REALTIME)
}

fn read_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid; both clocks exist on every Linux, so the call cannot fail.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// What was found out about the clock when measuring began.
#[derive(Clone, Copy, Debug)]
pub struct Calibration {
    /// What [`now`] reads.
    pub source: ClockSource,
    /// Ticks in a second: an estimate, good to some 0.2 %. A reader has the whole run to do better.
    pub ticks_per_second: f64,
    /// Median cost of two reads in nanoseconds.
    pub two_reads_ns: f64,
    /// The shortest time that two reads in a row tell apart, in nanoseconds: a processor may count in larger steps than
    /// its rate says, and a read takes its time.
    pub step_ns: f64,
}

/// Decides which clock [`now`] reads and measures it; takes about 50 microseconds.
pub fn calibrate() -> Calibration {
    begin_calibration().end()
}

/// The clock has been decided on, and its rate is being measured: the longer, the better.
#[derive(Debug)]
pub(crate) struct Calibrating {
    source: ClockSource,
    /// From [`read_both`], at the beginning.
    began: (u64, u64),
}

/// Decides which clock [`now`] reads, and begins to measure it.
pub(crate) fn begin_calibration() -> Calibrating {
    let source = choose();
    TSC.store(source == ClockSource::Tsc, Ordering::Relaxed);
    Calibrating { source, began: read_both() }
}

impl Calibrating {
    /// Has measured it, for 20 microseconds at least.
    pub(crate) fn end(self) -> Calibration {
        let Calibrating { source, began } = self;
        let ticks_per_second = match source {
            ClockSource::Tsc => measure_rate(began),
            ClockSource::Monotonic => 1e9,
        };
        let scale = if source == ClockSource::Tsc { 1e9 / ticks_per_second * 2f64.powi(32) } else { 0.0 };
        SCALE.store(scale as u64, Ordering::Relaxed);
        let ns = |ticks: f64| ticks * 1e9 / ticks_per_second;
        Calibration { source, ticks_per_second, two_reads_ns: ns(measure_cost()), step_ns: ns(measure_step()) }
    }
}

/// Makes [`now`] of a reading process the clock of the measured one.
pub fn adopt(source: ClockSource) {
    TSC.store(source == ClockSource::Tsc, Ordering::Relaxed);
}

#[cfg(all(target_arch = "x86_64", not(any(miri, loom))))]
fn choose() -> ClockSource {
    // CPUID 0x8000_0007, EDX bit 8: the counter runs at a constant rate in all power states (AMD APM vol. 3, E.4.6;
    // Intel SDM vol. 3B, 18.17.1). The kernel also checks that it agrees across processors: its verdict is the
    // clock source it uses, or "tsc" missing from the available ones.
    let invariant = core::arch::x86_64::__cpuid(0x8000_0000).eax >= 0x8000_0007
        && core::arch::x86_64::__cpuid(0x8000_0007).edx & (1 << 8) != 0;
    let mut forbidden: libc::c_int = 0;
    // SAFETY: PR_GET_TSC writes one int.
    let asked = unsafe { libc::prctl(libc::PR_GET_TSC, &mut forbidden) };
    let readable = asked == 0 && forbidden == libc::PR_TSC_ENABLE;
    let mut room = [0; 256];
    let sources =
        crate::process::beginning("/sys/devices/system/clocksource/clocksource0/available_clocksource", &mut room);
    let trusted = sources.is_some_and(|sources| sources.split(u8::is_ascii_whitespace).any(|source| source == b"tsc"));
    if invariant && readable && trusted { ClockSource::Tsc } else { ClockSource::Monotonic }
}

#[cfg(not(all(target_arch = "x86_64", not(any(miri, loom)))))]
fn choose() -> ClockSource {
    ClockSource::Monotonic
}

/// Ticks per second, from both clocks as they were read first and as they are at least 20 microseconds later.
fn measure_rate((ticks, ns): (u64, u64)) -> f64 {
    loop {
        let (later_ticks, later_ns) = read_both();
        if later_ns - ns >= 20_000 {
            return (later_ticks - ticks) as f64 * 1e9 / (later_ns - ns) as f64;
        }
    }
}

/// Ticks and monotonic nanoseconds at the same moment, as nearly as can be had: of a few tries the one in which the
/// two reads of the counter around the clock were nearest.
pub fn read_both() -> (u64, u64) {
    let mut best = (u64::MAX, 0, 0);
    for _ in 0..4 {
        let before = now();
        let ns = monotonic_ns();
        let after = now();
        let width = after.wrapping_sub(before);
        if width < best.0 {
            best = (width, before + width / 2, ns);
        }
    }
    (best.1, best.2)
}

/// Median ticks that two reads take.
fn measure_cost() -> f64 {
    const ROUNDS: u64 = 16;
    let mut costs = [0u64; 15];
    for cost in &mut costs {
        let begin = now();
        for _ in 0..ROUNDS {
            core::hint::black_box(now());
            core::hint::black_box(now());
        }
        *cost = now() - begin;
    }
    costs.sort_unstable();
    costs[costs.len() / 2] as f64 / ROUNDS as f64
}

/// The smallest usual difference other than none between two reads in a row, in ticks: the 5th percentile, because the
/// odd read on another processor says nothing of the step.
fn measure_step() -> f64 {
    let mut last = now();
    let mut steps = [0; 200].map(|_: u64| {
        let next = now();
        next.saturating_sub(core::mem::replace(&mut last, next))
    });
    steps.sort_unstable();
    let first = steps.partition_point(|step| *step == 0);
    let some = &steps[first..];
    some.get(some.len() / 20).map_or(1.0, |step| *step as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_follow_the_monotonic_clock() {
        let calibration = calibrate();
        let (ticks, ns) = read_both();
        let counted = counted_ns();
        assert_eq!(counted.is_some(), calibration.source == ClockSource::Tsc);
        assert!((super::ticks(1_000_000) as f64 * 1e3 / calibration.ticks_per_second - 1.0).abs() < 1e-5);
        // Long enough for the estimate's error to be the larger part, however busy the machine.
        while monotonic_ns() < ns + 2_000_000 {}
        let (later_ticks, later_ns) = read_both();
        let measured = (later_ticks - ticks) as f64 * 1e9 / calibration.ticks_per_second;
        let true_ns = (later_ns - ns) as f64;
        assert!((measured / true_ns - 1.0).abs() < 0.05, "{measured} ticks' ns in {true_ns} ns");
        if let Some((from, to)) = counted.zip(counted_ns()) {
            assert!(((to - from) as f64 / true_ns - 1.0).abs() < 0.05, "{from} to {to} in {true_ns} ns");
        }
        assert!(calibration.two_reads_ns > 0.0);
    }
}
