//! The remote system call server.

use super::{Outcome, outcome};
use core::ptr::null_mut;
use libc::c_int;
use std::ffi::CStr;

/// Offers the guest's system calls at `url`.
pub(crate) fn sysproxy_init(url: &CStr) -> Outcome {
    let text = c"conformance";
    outcome(hypercall!(sp_init(url.as_ptr(), text.as_ptr(), text.as_ptr(), text.as_ptr())), ())
}

/// Ends a server that was never started.
pub(crate) fn sysproxy_fini() {
    hypercall!(sp_fini(null_mut()));
}

/// A call that returns an error number.
type Call = fn() -> c_int;

/// The calls on a client, which there cannot be without a server, by their names.
pub(crate) const CLIENT_CALLS: [(&str, Call); 6] = [
    ("copyin", || hypercall!(sp_copyin(null_mut(), memory(), memory(), 8))),
    ("copyinstr", || hypercall!(sp_copyinstr(null_mut(), memory(), memory(), &mut 8))),
    ("copyout", || hypercall!(sp_copyout(null_mut(), memory(), memory(), 8))),
    ("copyoutstr", || hypercall!(sp_copyoutstr(null_mut(), memory(), memory(), &mut 8))),
    ("anonmmap", || hypercall!(sp_anonmmap(null_mut(), 4096, &mut null_mut()))),
    ("raise", || hypercall!(sp_raise(null_mut(), 15))),
];

/// Memory that a call may use.
fn memory() -> *mut libc::c_void {
    Box::leak(Box::new([0_u64; 8])).as_mut_ptr().cast()
}
