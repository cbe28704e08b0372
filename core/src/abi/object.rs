//! Memory for the objects that the guest knows by a pointer.

use crate::host::diagnostic;
use core::alloc::Layout;

/// A new object at an address of its own. The interface has no error for objects that cannot be made, so where there
/// is no memory the process ends, saying that hypercall `call` needed some.
pub(super) fn create<T>(call: &str, value: T) -> *mut T {
    let layout = const {
        assert!(size_of::<T>() > 0);
        Layout::new::<T>()
    };
    // SAFETY: the size is not zero.
    let object: *mut T = unsafe { std::alloc::alloc(layout) }.cast();
    if object.is_null() {
        diagnostic::fatal(call, format_args!("the host has no memory for another object of {} bytes", layout.size()));
    }
    // SAFETY: fresh memory of the right size and alignment.
    unsafe { object.write(value) };
    object
}

/// Ends an object.
///
/// # Safety
/// `object` comes from [`create`] and nobody uses it any more.
pub(super) unsafe fn destroy<T>(object: *mut T) {
    // SAFETY: the caller's word; `create` allocates as `Box` does.
    drop(unsafe { Box::from_raw(object) });
}
