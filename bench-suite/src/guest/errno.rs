//! NetBSD's error numbers, as far as the guest uses them.

use core::ffi::c_int;

/// No such process.
pub const ESRCH: c_int = 3;
/// Input/output error.
pub const EIO: c_int = 5;
/// Cannot allocate memory.
pub const ENOMEM: c_int = 12;
/// Busy.
pub const EBUSY: c_int = 16;
/// Invalid argument.
pub const EINVAL: c_int = 22;
/// Resource temporarily unavailable.
pub const EAGAIN: c_int = 35;
/// Function not implemented.
pub const ENOSYS: c_int = 78;

/// `Ok` for 0.
pub fn check(errno: c_int) -> Result<(), c_int> {
    if errno == 0 { Ok(()) } else { Err(errno) }
}
