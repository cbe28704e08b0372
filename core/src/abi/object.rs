//! Memory for the objects that the guest knows by a pointer.

use crate::host::diagnostic;
use crate::host::memory::slots::{self, SLOT};
use core::alloc::Layout;
use core::ptr::NonNull;

/// Whether an object has the form of a slot. Those of other back ends may be larger.
const fn fits<T>() -> bool {
    size_of::<T>() <= SLOT && align_of::<T>() <= SLOT
}

/// A new object at an address of its own. The interface has no error for objects that cannot be made, so where there
/// is no memory the process ends, saying that hypercall `call` needed some.
pub(super) fn create<T>(call: &str, value: T) -> *mut T {
    let layout = const {
        assert!(size_of::<T>() > 0);
        Layout::new::<T>()
    };
    let object: *mut T = if fits::<T>() {
        slots::allocate().map_or(core::ptr::null_mut(), NonNull::as_ptr).cast()
    } else {
        // SAFETY: the size is not zero.
        unsafe { std::alloc::alloc(layout) }.cast()
    };
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
    if !fits::<T>() {
        // SAFETY: the caller's word; `create` allocates as `Box` does.
        return drop(unsafe { Box::from_raw(object) });
    }
    // SAFETY: the caller's word; it is not used after this.
    unsafe { object.drop_in_place() };
    if let Some(slot) = NonNull::new(object.cast()) {
        // SAFETY: `create` took it from there.
        unsafe { slots::release(slot) };
    }
}

#[cfg(test)]
mod tests {
    use super::fits;
    use crate::abi::condvar::Cv;
    use crate::abi::mutex::Mtx;
    use crate::abi::rwlock::Rw;

    #[test]
    fn locks_of_the_native_back_end_have_the_form_of_a_slot() {
        assert!(fits::<Mtx>() && fits::<Rw>() && fits::<Cv>());
    }
}
