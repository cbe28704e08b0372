//! Anonymous mappings.

use crate::host::errno::Errno;
use core::ffi::c_void;
use libc::c_int;

/// Maps `size` bytes of zeros at a multiple of two to the power of `alignment_bit`, at `prefer` where that is possible.
///
/// With `executable`, the memory can be written *and* executed: a guest puts modules there, and the interface has no
/// call that would change the protection between writing and running them. Nothing else is executable. A host that
/// forbids such memory makes it an error.
///
/// # Errors
/// EINVAL: no size, or an alignment that no address has. Those of `mmap(2)`.
pub fn map(prefer: *mut c_void, size: usize, alignment_bit: u32, executable: bool) -> Result<*mut c_void, Errno> {
    let alignment = 1usize.checked_shl(alignment_bit).ok_or(Errno(libc::EINVAL))?;
    let execute = if executable { libc::PROT_EXEC } else { 0 };
    let protection = libc::PROT_READ | libc::PROT_WRITE | execute;
    let start = anonymous(prefer, size, protection)?;
    if (start as usize) & (alignment - 1) == 0 {
        return Ok(start);
    }
    // SAFETY: just made, used by nobody.
    unsafe { unmap(start, size) }?;
    // The host has no call for it: map more, and cut off both ends.
    let page = page_size();
    let size = size.checked_next_multiple_of(page).ok_or(Errno(libc::ENOMEM))?;
    let slack = alignment.saturating_sub(page);
    let whole = size.checked_add(slack).ok_or(Errno(libc::ENOMEM))?;
    let start = anonymous(prefer, whole, protection)?;
    let before = (start as usize).wrapping_neg() & (alignment - 1);
    let aligned = start.wrapping_byte_add(before);
    // SAFETY: both ends belong to the mapping just made, and used by nobody. Where the host does not cut, they stay.
    unsafe {
        let _ = cut(start, before);
        let _ = cut(aligned.wrapping_byte_add(size), slack - before);
    }
    Ok(aligned)
}

/// Unmaps `size` bytes from `start`.
///
/// # Errors
/// Those of `munmap(2)`: EINVAL where `start` is not at a page or there is no size.
///
/// # Safety
/// Nobody uses the memory any more, and it was mapped for the caller.
pub unsafe fn unmap(start: *mut c_void, size: usize) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    match unsafe { libc::munmap(start, size) } {
        0 => Ok(()),
        _ => Err(Errno::last()),
    }
}

/// # Safety
/// As for [`unmap`].
unsafe fn cut(start: *mut c_void, size: usize) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    if size == 0 { Ok(()) } else { unsafe { unmap(start, size) } }
}

fn anonymous(prefer: *mut c_void, size: usize, protection: c_int) -> Result<*mut c_void, Errno> {
    // SAFETY: without MAP_FIXED the address is a wish; no mapping that exists is touched.
    let start = unsafe { libc::mmap(prefer, size, protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
    if start == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(start) }
}

fn page_size() -> usize {
    // SAFETY: no preconditions.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(super::PAGE).max(super::PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::ptr::null_mut;

    fn protection(address: *mut c_void) -> String {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("readable");
        let address = address as usize;
        let line = maps.lines().find(|line| {
            let (range, _) = line.split_once(' ').expect("a range");
            let (start, end) = range.split_once('-').expect("two ends");
            let number = |text| usize::from_str_radix(text, 16).expect("a number");
            (number(start)..number(end)).contains(&address)
        });
        line.and_then(|line| line.split(' ').nth(1)).unwrap_or("none").to_owned()
    }

    #[test]
    fn alignment_holds_and_the_ends_are_cut() {
        for bit in [0, 12, 13, 16, 21, 25] {
            let size = 3 * 4096 + 100;
            let start = map(null_mut(), size, bit, false).expect("mapped");
            assert_eq!(start as usize % (1 << bit), 0);
            // SAFETY: ours, for `size` bytes.
            unsafe {
                start.cast::<u8>().add(size - 1).write(1);
                assert_eq!(start.cast::<u8>().read(), 0);
                assert_eq!(unmap(start, size), Ok(()));
            }
        }
    }

    #[test]
    fn executable_only_when_asked() {
        let plain = map(null_mut(), 4096, 0, false).expect("mapped");
        assert_eq!(protection(plain), "rw-p");
        let code = map(null_mut(), 4096, 14, true).expect("mapped");
        assert_eq!(protection(code), "rwxp");
        // SAFETY: ours.
        assert_eq!(unsafe { (unmap(plain, 4096), unmap(code, 4096)) }, (Ok(()), Ok(())));
    }

    #[test]
    fn a_free_preferred_address_is_used() {
        let somewhere = map(null_mut(), 1 << 20, 16, false).expect("mapped");
        // SAFETY: ours.
        unsafe { unmap(somewhere, 1 << 20) }.expect("unmapped");
        let again = map(somewhere, 4096, 16, false).expect("mapped");
        // Another thread may have taken the address meanwhile; alignment holds all the same.
        assert_eq!(again as usize % (1 << 16), 0);
        // SAFETY: ours.
        unsafe { unmap(again, 4096) }.expect("unmapped");
    }

    #[test]
    fn impossible_wishes_are_errors() {
        assert_eq!(map(null_mut(), 0, 0, false), Err(Errno(libc::EINVAL)));
        assert_eq!(map(null_mut(), 4096, 64, false), Err(Errno(libc::EINVAL)));
        assert_eq!(map(null_mut(), 4096, 63, false), Err(Errno(libc::ENOMEM)));
        assert_eq!(map(null_mut(), usize::MAX, 13, false), Err(Errno(libc::ENOMEM)));
    }
}
