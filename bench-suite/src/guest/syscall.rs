//! The system calls that have a number: those that the hypervisor's system call upcall can ask for, and clients too.

use super::kernel::kernel;
use super::{clock, entry, errno, lwp};
use core::ffi::{c_int, c_long};

// NetBSD's numbers.
/// `getpid`
pub const GETPID: c_int = 20;
/// `getppid`
pub const GETPPID: c_int = 39;
/// `sched_yield`
pub const SCHED_YIELD: c_int = 350;
/// `_lwp_self`
pub const LWP_SELF: c_int = 311;
/// `clock_gettime`, of the monotonic clock, in nanoseconds.
pub const CLOCK_GETTIME: c_int = 427;
/// `settimeofday`: stands for the calls that run under the big kernel lock; does nothing.
pub const SETTIMEOFDAY: c_int = 419;

/// Does system call `number` for the current lwp, which is on a virtual CPU.
///
/// # Errors
/// `ENOSYS` for a number that is not known.
pub fn dispatch(number: c_int) -> Result<c_long, c_int> {
    match number {
        GETPID => Ok(lwp::me().process().pid().into()),
        GETPPID => Ok(lwp::me().process().parent().into()),
        LWP_SELF => Ok(lwp::me().id().into()),
        SCHED_YIELD => {
            entry::yield_cpu();
            Ok(0)
        }
        CLOCK_GETTIME => Ok(c_long::try_from(clock::now().as_nanos()).unwrap_or(c_long::MAX)),
        SETTIMEOFDAY => kernel().big_lock.with(|| Ok(0)),
        _ => Err(errno::ENOSYS),
    }
}
