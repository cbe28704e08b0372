//! Memory from the hypervisor: allocations of any size, and mappings of whole host pages.

use super::{errno, hypercall};
use core::ffi::c_int;
use core::ops::{Deref, DerefMut};
use core::ptr::{self, NonNull};

/// Memory from `rumpuser_malloc`. Its first contents are zeros, written by the guest.
#[derive(Debug)]
pub struct Allocation(Bytes);

/// Memory from `rumpuser_anonmmap`. Its first contents are zeros.
#[derive(Debug)]
pub struct Mapping(Bytes);

#[derive(Debug)]
struct Bytes {
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: plain memory with one owner.
unsafe impl Send for Bytes {}
// SAFETY: as above; shared references only read.
unsafe impl Sync for Bytes {}

impl Allocation {
    /// `size` bytes, aligned to `align`, which is a power of two or 0 for no wish.
    ///
    /// # Errors
    /// `ENOMEM`, or what the hypervisor says.
    pub fn new(size: usize, align: usize) -> Result<Self, c_int> {
        let mut memory = ptr::null_mut();
        let align = c_int::try_from(align).map_err(|_| errno::EINVAL)?;
        // SAFETY: `memory` takes the result.
        errno::check(unsafe { hypercall::malloc(size, align, &mut memory) })?;
        let start = NonNull::new(memory.cast::<u8>()).ok_or(errno::ENOMEM)?;
        // SAFETY: the hypervisor gave this many bytes.
        unsafe { start.write_bytes(0, size) };
        Ok(Allocation(Bytes { start, size }))
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // SAFETY: from `malloc`, with the size asked for; nobody uses it any more.
        unsafe { hypercall::free(self.0.start.as_ptr().cast(), self.0.size) }
    }
}

impl Mapping {
    /// `size` bytes, on a host page boundary.
    ///
    /// # Errors
    /// `ENOMEM`, or what the hypervisor says.
    pub fn new(size: usize) -> Result<Self, c_int> {
        let mut memory = ptr::null_mut();
        // SAFETY: `memory` takes the result; no place is preferred.
        errno::check(unsafe { hypercall::anonmmap(ptr::null_mut(), size, 0, 0, &mut memory) })?;
        let start = NonNull::new(memory.cast()).ok_or(errno::ENOMEM)?;
        Ok(Mapping(Bytes { start, size }))
    }

    /// Where it starts. The memory may be used through this by who divides it up.
    pub(super) fn start(&self) -> NonNull<u8> {
        self.0.start
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: from `anonmmap`, with the size asked for; nobody uses it any more.
        unsafe { hypercall::unmap(self.0.start.as_ptr().cast(), self.0.size) }
    }
}

macro_rules! as_slice {
    ($($memory:ident)*) => {
        $(
            impl Deref for $memory {
                type Target = [u8];
                fn deref(&self) -> &[u8] {
                    // SAFETY: the hypervisor gave this many bytes to us alone, and they are initialised.
                    unsafe { core::slice::from_raw_parts(self.0.start.as_ptr(), self.0.size) }
                }
            }

            impl DerefMut for $memory {
                fn deref_mut(&mut self) -> &mut [u8] {
                    // SAFETY: as in `deref`, borrowed mutably.
                    unsafe { core::slice::from_raw_parts_mut(self.0.start.as_ptr(), self.0.size) }
                }
            }
        )*
    };
}

as_slice! { Allocation Mapping }
