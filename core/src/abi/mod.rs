//! The C entry points of the interface, one file per family of hypercalls; nothing else is exported.
//!
//! Every entry point has the same shape: [`measure`](rumpscope_probes::measure) names the hypercall in the catalogue,
//! the body checks the arguments, calls `host` (through [`crate::upcall::off_cpu`] where the call can block), and
//! turns a host error into a NetBSD error number with [`result`]. Before that, it asks which back end is in use (`seam`).

mod argument;
pub mod block;
pub mod clock;
pub mod component;
pub mod condvar;
pub mod console;
pub mod daemon;
pub mod file;
pub mod guest_probes;
pub mod host;
pub mod init;
pub mod loader;
pub mod lwp;
pub mod memory;
pub mod mutex;
mod object;
pub mod rwlock;
pub(crate) mod seam;
pub mod sysproxy;
pub mod threads;
pub mod types;

use crate::host::errno::Errno;
use libc::c_int;

/// What a hypercall returns for `outcome`: 0, or the NetBSD error number.
pub(crate) fn result(outcome: Result<(), Errno>) -> c_int {
    match outcome {
        Ok(()) => 0,
        Err(errno) => errno.to_netbsd(),
    }
}

/// The deliberate guest probes; see [`guest_probes`].
#[unsafe(no_mangle)]
pub extern "C" fn hypervisor_guest_probes() -> *const guest_probes::GuestProbes {
    crate::guest::transitions::probes()
}
