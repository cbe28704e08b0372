//! The kernel thread (lwp) that a host thread currently runs.

use crate::abi::types::Lwp;
use crate::host::sync::Owner;
use rumpscope_probes::{forget_place, initial_exec};

initial_exec! {
    fn slot() -> *mut *mut Lwp = "scope_current_lwp"
}

/// The lwp of the calling host thread; null when it has none.
#[inline(always)]
pub fn current() -> *mut Lwp {
    // SAFETY: the slot belongs to this thread and lives as long as it; nobody else has its address.
    unsafe { slot().read() }
}

/// Makes `lwp` the calling host thread's; null for none.
#[inline(always)]
pub fn set_current(lwp: *mut Lwp) {
    forget_place();
    // SAFETY: as in `current`.
    unsafe { slot().write(lwp) }
}

/// The calling host thread, as the holder of a lock that knows no lwps.
#[inline(always)]
pub fn host_thread() -> Owner {
    Owner::from_address(slot())
}
