//! Checks of what the guest hands over.

use crate::host::diagnostic;
use crate::host::errno::Errno;
use core::ffi::CStr;
use core::ptr::NonNull;
use libc::c_char;
use rumpscope_probes::Hypercall;

/// Says what is wrong with a call of `call`, and gives EINVAL.
pub(crate) fn invalid(call: Hypercall, what: core::fmt::Arguments<'_>) -> Errno {
    diagnostic::warn(call.name(), what);
    Errno(libc::EINVAL)
}

/// `pointer`, which argument `name` of `call` is.
///
/// # Errors
/// EFAULT where it is null; it is said, too.
pub(crate) fn pointer<T>(call: Hypercall, name: &str, pointer: *const T) -> Result<NonNull<T>, Errno> {
    NonNull::new(pointer.cast_mut()).ok_or_else(|| {
        diagnostic::warn(call.name(), format_args!("{name} is a null pointer"));
        Errno(libc::EFAULT)
    })
}

/// The string that argument `name` of `call` points to.
///
/// # Errors
/// EFAULT where it is null; it is said, too.
///
/// # Safety
/// `string` is null, or a string that ends with a zero byte and stays as it is while the result is used.
pub(crate) unsafe fn string<'a>(call: Hypercall, name: &str, string: *const c_char) -> Result<&'a CStr, Errno> {
    let string = pointer(call, name, string)?;
    // SAFETY: the caller's promise.
    Ok(unsafe { CStr::from_ptr(string.as_ptr()) })
}
