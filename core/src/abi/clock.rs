//! Clocks: `rumpuser_clock_gettime`, `clock_sleep`.

use super::argument::{invalid, pointer};
use super::result;
use super::seam::{forward, on_backend};
use super::types::clock as which;
use crate::host::backend::Backend;
use crate::host::clock::{self, Clock, Time};
use crate::upcall::off_cpu;
use libc::{c_int, c_long};
use rumpscope_probes::{Hypercall, measure, measure_short};

/// Stores the time of `clock` ([`which`]) as seconds and nanoseconds.
///
/// # Safety
/// `seconds` and `nanoseconds` are null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_clock_gettime(clock: c_int, seconds: *mut i64, nanoseconds: *mut c_long) -> c_int {
    forward!(Hypercall::ClockGettime, clock_gettime(clock, seconds, nanoseconds));
    measure_short(Hypercall::ClockGettime, move || {
        let clock = match clock {
            which::RELWALL => Clock::Wall,
            which::ABSMONO => Clock::Monotonic,
            _ => return no_such_clock(clock),
        };
        if seconds.is_null() || nanoseconds.is_null() {
            return nowhere_to_write(seconds, nanoseconds);
        }
        match clock::now(clock) {
            Ok(now) => {
                // SAFETY: not null, so valid, as the caller promises.
                unsafe {
                    seconds.write(now.tv_sec);
                    nanoseconds.write(now.tv_nsec);
                }
                0
            }
            Err(errno) => errno.to_netbsd(),
        }
    })
}

#[cold]
fn no_such_clock(clock: c_int) -> c_int {
    invalid(Hypercall::ClockGettime, format_args!("there is no clock {clock}")).to_netbsd()
}

/// Says which pointer is null.
#[cold]
fn nowhere_to_write(seconds: *mut i64, nanoseconds: *mut c_long) -> c_int {
    let call = Hypercall::ClockGettime;
    let checked = pointer(call, "seconds", seconds).and_then(|_| pointer(call, "nanoseconds", nanoseconds));
    result(checked.map(|_| ()))
}

/// Sleeps: for the given time ([`which::RELWALL`]), or until the monotonic clock shows it ([`which::ABSMONO`]).
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_clock_sleep(clock: c_int, seconds: i64, nanoseconds: c_long) -> c_int {
    let call = Hypercall::ClockSleep;
    on_backend!(call, clock_sleep(clock, seconds, nanoseconds), B => measure(call, || {
        let sleep = || {
            let time = Time::new(seconds, nanoseconds)
                .map_err(|_| invalid(call, format_args!("{seconds} s {nanoseconds} ns is no time")))?;
            match clock {
                which::RELWALL => off_cpu(call, || B::sleep_until(clock::after(time)?)),
                which::ABSMONO => off_cpu(call, || B::sleep_until(time)),
                _ => Err(invalid(call, format_args!("there is no clock {clock}"))),
            }
        };
        result(sleep())
    }))
}
