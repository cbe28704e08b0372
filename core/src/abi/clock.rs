//! Clocks: `rumpuser_clock_gettime`, `clock_sleep`.

use super::argument::{invalid, pointer};
use super::result;
use super::types::clock as which;
use crate::host::clock::{self, Time};
use crate::upcall::off_cpu;
use libc::{c_int, c_long};
use rumpscope_probes::{Hypercall, measure};

/// Stores the time of `clock` ([`which`]) as seconds and nanoseconds.
///
/// # Safety
/// `seconds` and `nanoseconds` are null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_clock_gettime(clock: c_int, seconds: *mut i64, nanoseconds: *mut c_long) -> c_int {
    let call = Hypercall::ClockGettime;
    measure(call, || {
        let read = || {
            let seconds = pointer(call, "seconds", seconds)?;
            let nanoseconds = pointer(call, "nanoseconds", nanoseconds)?;
            let now = match clock {
                which::RELWALL => clock::wall(),
                which::ABSMONO => clock::monotonic(),
                _ => Err(invalid(call, format_args!("there is no clock {clock}"))),
            }?;
            // SAFETY: not null, so valid, as the caller promises.
            unsafe {
                seconds.write(now.0);
                nanoseconds.write(now.1);
            }
            Ok(())
        };
        result(read())
    })
}

/// Sleeps: for the given time ([`which::RELWALL`]), or until the monotonic clock shows it ([`which::ABSMONO`]).
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_clock_sleep(clock: c_int, seconds: i64, nanoseconds: c_long) -> c_int {
    let call = Hypercall::ClockSleep;
    measure(call, || {
        let sleep = || {
            let time = Time::new(seconds, nanoseconds)
                .map_err(|_| invalid(call, format_args!("{seconds} s {nanoseconds} ns is no time")))?;
            match clock {
                which::RELWALL => off_cpu(call, || clock::sleep(time)),
                which::ABSMONO => off_cpu(call, || clock::sleep_until(time)),
                _ => Err(invalid(call, format_args!("there is no clock {clock}"))),
            }
        };
        result(sleep())
    })
}
