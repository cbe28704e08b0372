//! The system call proxy, with which clients in other processes use a guest: not supported yet.
//!
//! `rumpuser_sp_init` says so; a guest that goes on without the proxy works. The other calls are only made for
//! remote clients, of which there are none then.

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
    _ostype: *const c_char,
    _osrelease: *const c_char,
    _machine: *const c_char,
) -> c_int {
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
    _client: *mut c_void,
    _from: *const c_void,
    _to: *mut c_void,
    _size: usize,
) -> c_int {
    unsupported(Hypercall::SpCopyin)
}

/// Would copy a string from a client. EOPNOTSUPP.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_sp_copyinstr(
    _client: *mut c_void,
    _from: *const c_void,
    _to: *mut c_void,
    _size: *mut usize,
) -> c_int {
    unsupported(Hypercall::SpCopyinstr)
}

/// Would copy to a client. EOPNOTSUPP.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_sp_copyout(
    _client: *mut c_void,
    _from: *const c_void,
    _to: *mut c_void,
    _size: usize,
) -> c_int {
    unsupported(Hypercall::SpCopyout)
}

/// Would copy a string to a client. EOPNOTSUPP.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_sp_copyoutstr(
    _client: *mut c_void,
    _from: *const c_void,
    _to: *mut c_void,
    _size: *mut usize,
) -> c_int {
    unsupported(Hypercall::SpCopyoutstr)
}

/// Would map memory in a client. EOPNOTSUPP.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_sp_anonmmap(_client: *mut c_void, _size: usize, _memory: *mut *mut c_void) -> c_int {
    unsupported(Hypercall::SpAnonmmap)
}

/// Would send a signal to a client. EOPNOTSUPP.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_sp_raise(_client: *mut c_void, _signal: c_int) -> c_int {
    unsupported(Hypercall::SpRaise)
}

/// Would end the service. A guest calls it when it ends, with or without one.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_sp_fini(_client: *mut c_void) {
    measure(Hypercall::SpFini, || {});
}
