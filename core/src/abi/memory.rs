//! Memory: `rumpuser_malloc`, `free`, `anonmmap`, `unmap`.

use super::argument::{invalid, pointer};
use super::result;
use super::seam::forward;
use crate::host::diagnostic;
use crate::host::memory::{self, mapping};
use core::ptr::NonNull;
use libc::{c_int, c_void};
use rumpscope_probes::{Hypercall, measure, measure_quick};

/// Allocates `size` bytes at a multiple of `alignment` (0 or a power of two) into `*memory`.
///
/// # Safety
/// `memory` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_malloc(size: usize, alignment: c_int, memory: *mut *mut c_void) -> c_int {
    forward!(Hypercall::Malloc, malloc(size, alignment, memory));
    let call = Hypercall::Malloc;
    let from_magazine = || {
        if memory.is_null() {
            return None;
        }
        let page = memory::allocate_at_once(size, usize::try_from(alignment).ok()?)?;
        // SAFETY: not null, so valid, as the caller promises.
        unsafe { memory.write(page.as_ptr()) };
        Some(0)
    };
    measure_quick(call, from_magazine, || {
        let allocate = || {
            let memory = pointer(call, "memory", memory)?;
            let alignment = usize::try_from(alignment)
                .ok()
                .filter(|alignment| *alignment == 0 || alignment.is_power_of_two())
                .ok_or_else(|| invalid(call, format_args!("alignment {alignment} is not a power of two")))?;
            let got = memory::allocate(size, alignment)?;
            // SAFETY: not null, so valid, as the caller promises.
            unsafe { memory.write(got.as_ptr()) };
            Ok(())
        };
        result(allocate())
    })
}

/// Frees what [`rumpuser_malloc`] gave, `size` bytes. Null is nothing to free.
///
/// # Safety
/// `memory` is null, or from [`rumpuser_malloc`], not freed yet, and used by nobody any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_free(memory: *mut c_void, size: usize) {
    forward!(Hypercall::Free, free(memory, size));
    let call = Hypercall::Free;
    let to_magazine = || match NonNull::new(memory) {
        // SAFETY: the caller's promise; what is not taken here is still to be freed below.
        Some(memory) => unsafe { memory::release_at_once(memory, size) }.then_some(()),
        // Guests do that often.
        None => Some(()),
    };
    measure_quick(call, to_magazine, || {
        let Some(memory) = NonNull::new(memory) else { return };
        // SAFETY: the caller's promise.
        if let Err(memory::WrongSize) = unsafe { memory::release(memory, size) } {
            diagnostic::warn(call.name(), format_args!("a page ({memory:p}) was freed with size {size}"));
        }
    });
}

/// Maps `size` bytes of zeros at a multiple of 2 to the power of `alignbit` into `*memory`, at `prefer` if possible.
/// With `exec` not 0 the memory is writable and executable: see [`mapping::map`].
///
/// # Safety
/// `memory` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_anonmmap(
    prefer: *mut c_void,
    size: usize,
    alignbit: c_int,
    exec: c_int,
    memory: *mut *mut c_void,
) -> c_int {
    forward!(Hypercall::Anonmmap, anonmmap(prefer, size, alignbit, exec, memory));
    let call = Hypercall::Anonmmap;
    measure(call, || {
        let map = || {
            let memory = pointer(call, "memory", memory)?;
            let alignbit = u32::try_from(alignbit)
                .ok()
                .filter(|&bit| bit < usize::BITS)
                .ok_or_else(|| invalid(call, format_args!("alignment of 2 to the power of {alignbit}")))?;
            let got = mapping::map(prefer, size, alignbit, exec != 0)?;
            // SAFETY: not null, so valid, as the caller promises.
            unsafe { memory.write(got) };
            Ok(())
        };
        result(map())
    })
}

/// Unmaps `size` bytes from `memory`.
///
/// # Safety
/// They were mapped for the guest, and nobody uses them any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_unmap(memory: *mut c_void, size: usize) {
    forward!(Hypercall::Unmap, unmap(memory, size));
    let call = Hypercall::Unmap;
    measure(call, || {
        // SAFETY: the caller's promise.
        if let Err(errno) = unsafe { mapping::unmap(memory, size) } {
            diagnostic::warn(call.name(), format_args!("cannot unmap {size} bytes at {memory:p}: {errno}"));
        }
    });
}
