//! Another `librumpuser.so` behind our probes: the back end `external:PATH`.
//!
//! The guest calls us; we pass every hypercall on to the other library ([`forward`]), and hand that library upcalls of
//! ours, which pass on to the guest's ([`upcalls`]). So both are seen, and neither the guest nor the library can tell. What
//! the guest makes by its hypercalls (mutexes, threads, descriptors) is the other library's; we do not look inside.

mod library;
mod load;
mod upcalls;

pub(crate) use library::External;
pub(crate) use load::load;
pub(crate) use upcalls::{completion, table};

use rumpscope_probes::{Hypercall, initial_exec, measure};

initial_exec! {
    /// 1 + the hypercall that the other library carries out for this thread; 0: none.
    fn under_way() -> *mut u8 = "scope_under_way"
}

/// Runs `work`, which calls the other library, as hypercall `call`.
pub(crate) fn forward<R>(call: Hypercall, work: impl FnOnce() -> R) -> R {
    on_account_of(call, || measure(call, work))
}

/// Runs `work`, which calls the other library: its upcalls are made for `call`.
pub(crate) fn on_account_of<R>(call: Hypercall, work: impl FnOnce() -> R) -> R {
    // SAFETY: the slot belongs to this thread and lives as long as it; nobody else has its address.
    let outer = unsafe { under_way().replace(call as u8 + 1) };
    let outcome = work();
    // SAFETY: as above.
    unsafe { under_way().write(outer) };
    outcome
}

/// The hypercall that the other library carries out for this thread.
fn call_under_way() -> Option<Hypercall> {
    // SAFETY: as in `on_account_of`.
    let call = unsafe { under_way().read() };
    Hypercall::from_number(usize::from(call.checked_sub(1)?))
}
