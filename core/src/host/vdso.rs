//! The kernel's own code in every process for reading clocks, called without the C library's wrapper around it.

use core::ffi::c_void;
use core::mem::transmute;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use libc::{c_int, clockid_t, timespec};

/// `clock_gettime`: 0, or something else where it failed.
type ClockGettime = unsafe extern "C" fn(clockid_t, *mut timespec) -> c_int;

/// What reads clocks; null: not looked for yet.
static CLOCK_GETTIME: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// Reads `clock` into `time`: 0, or something else where it failed, and `errno` says why.
///
/// # Safety
/// `time` may be written.
#[inline(always)]
pub unsafe fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    // Relaxed: all there is behind it was there before the process was.
    let mut found = CLOCK_GETTIME.load(Ordering::Relaxed);
    if found.is_null() {
        found = find();
    }
    // SAFETY: only functions of this type are stored.
    let read = unsafe { transmute::<*mut c_void, ClockGettime>(found) };
    // SAFETY: the caller's word.
    if unsafe { read(clock, time) } == 0 {
        return 0;
    }
    // SAFETY: likewise.
    unsafe { ask_again(clock, time) }
}

/// The kernel's function has failed: only the C library says why, by `errno`.
#[cold]
unsafe fn ask_again(clock: clockid_t, time: *mut timespec) -> c_int {
    // SAFETY: the caller's word.
    unsafe { libc::clock_gettime(clock, time) }
}

/// The kernel's function, or the C library's where there is none (in a static program, or on a machine without).
#[cold]
fn find() -> *mut c_void {
    let name = if cfg!(target_arch = "aarch64") { c"__kernel_clock_gettime" } else { c"__vdso_clock_gettime" };
    // SAFETY: with RTLD_NOLOAD it is only looked for what is there.
    let kernel = unsafe { libc::dlopen(c"linux-vdso.so.1".as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_LAZY) };
    let mut found = ptr::null_mut();
    if !kernel.is_null() {
        // SAFETY: the handle is open.
        found = unsafe { libc::dlsym(kernel, name.as_ptr()) };
    }
    if found.is_null() {
        found = libc::clock_gettime as ClockGettime as *mut c_void;
    }
    CLOCK_GETTIME.store(found, Ordering::Relaxed);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_read_the_same_clock() {
        let read = |with: unsafe fn(clockid_t, *mut timespec) -> c_int| {
            let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: `time` may be written.
            assert_eq!(unsafe { with(libc::CLOCK_MONOTONIC, &mut time) }, 0);
            (time.tv_sec, time.tv_nsec)
        };
        // SAFETY: the caller's word.
        let library = |clock, time| unsafe { libc::clock_gettime(clock, time) };
        let before = read(library);
        let kernel = read(clock_gettime);
        let after = read(library);
        assert!(before <= kernel && kernel <= after);
    }

    #[test]
    fn the_kernels_function_is_used_where_there_is_one_and_errors_are_the_librarys() {
        let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` may be written.
        assert_eq!(unsafe { clock_gettime(1000, &mut time) }, -1);
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EINVAL));
        let maps = std::fs::read_to_string("/proc/self/maps").expect("the process's own");
        let has_one = maps.contains("[vdso]") && cfg!(not(target_feature = "crt-static"));
        let library = libc::clock_gettime as ClockGettime as *mut c_void;
        assert_eq!(CLOCK_GETTIME.load(Ordering::Relaxed) != library, has_one);
    }
}
