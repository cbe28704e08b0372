//! The system call proxy, with which clients in other processes use a guest: not supported yet.
//!
//! `rumpuser_sp_init` says so; a guest that goes on without the proxy works. The other calls are only made for
//! remote clients, of which there are none then.

use super::seam::forward;
use crate::host::diagnostic;
use crate::host::errno::Errno;
use core::ffi::CStr;
use libc::{c_char, c_int, c_void};
use rumpscope_probes::{Hypercall, measure};

/// How many clients' system calls the stock library runs at a time. A program may set it; nothing reads it here.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the name is the interface's")]
pub static mut rumpsp_maxworker: c_int = 128;

/// How many of those threads it keeps when there is nothing to do. Likewise.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the name is the interface's")]
pub static mut rumpsp_idleworker: c_int = 16;

fn unsupported(call: Hypercall) -> c_int {
    measure(call, || Errno(libc::EOPNOTSUPP).to_netbsd())
}

/// Would serve clients at `url`. EOPNOTSUPP.
///
/// # Safety
/// `url` is null or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_sp_init(
    url: *const c_char,
    ostype: *const c_char,
    osrelease: *const c_char,
    machine: *const c_char,
) -> c_int {
    forward!(Hypercall::SpInit, sp_init(url, ostype, osrelease, machine));
    let call = Hypercall::SpInit;
    let url = if url.is_null() {
        c"no address"
    } else {
        // SAFETY: the caller's promise.
        unsafe { CStr::from_ptr(url) }
    };
    diagnostic::warn(
        call.name(),
        format_args!("cannot serve clients at {}: the system call proxy is not supported", url.to_string_lossy()),
    );
    unsupported(call)
}

/// Would copy from a client. EOPNOTSUPP.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_sp_copyin(
    client: *mut c_void,
    from: *const c_void,
    to: *mut c_void,
    size: usize,
) -> c_int {
    forward!(Hypercall::SpCopyin, sp_copyin(client, from, to, size));
    unsupported(Hypercall::SpCopyin)
}

/// Would copy a string from a client. EOPNOTSUPP.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_sp_copyinstr(
    client: *mut c_void,
    from: *const c_void,
    to: *mut c_void,
    size: *mut usize,
) -> c_int {
    forward!(Hypercall::SpCopyinstr, sp_copyinstr(client, from, to, size));
    unsupported(Hypercall::SpCopyinstr)
}

/// Would copy to a client. EOPNOTSUPP.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_sp_copyout(
    client: *mut c_void,
    from: *const c_void,
    to: *mut c_void,
    size: usize,
) -> c_int {
    forward!(Hypercall::SpCopyout, sp_copyout(client, from, to, size));
    unsupported(Hypercall::SpCopyout)
}

/// Would copy a string to a client. EOPNOTSUPP.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_sp_copyoutstr(
    client: *mut c_void,
    from: *const c_void,
    to: *mut c_void,
    size: *mut usize,
) -> c_int {
    forward!(Hypercall::SpCopyoutstr, sp_copyoutstr(client, from, to, size));
    unsupported(Hypercall::SpCopyoutstr)
}

/// Would map memory in a client. EOPNOTSUPP.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_sp_anonmmap(client: *mut c_void, size: usize, memory: *mut *mut c_void) -> c_int {
    forward!(Hypercall::SpAnonmmap, sp_anonmmap(client, size, memory));
    unsupported(Hypercall::SpAnonmmap)
}

/// Would send a signal to a client. EOPNOTSUPP.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_sp_raise(client: *mut c_void, signal: c_int) -> c_int {
    forward!(Hypercall::SpRaise, sp_raise(client, signal));
    unsupported(Hypercall::SpRaise)
}

/// Would end the service. A guest calls it when it ends, with or without one.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_sp_fini(client: *mut c_void) {
    forward!(Hypercall::SpFini, sp_fini(client));
    measure(Hypercall::SpFini, || {});
}
