//! The current lwp.

use super::seam::{self, forward};
use super::types::{Lwp, lwp_op};
use crate::external;
use crate::host::diagnostic;
use crate::lwp;
use libc::c_int;
use rumpscope_probes::{Hypercall, measure, measure_short};

/// The lwp of the calling host thread, or null.
///
/// # Safety
/// Any thread may ask at any time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_curlwp() -> *mut Lwp {
    forward!(Hypercall::Curlwp, curlwp());
    measure(Hypercall::Curlwp, lwp::current)
}

/// Tells that the guest has made an lwp, is about to free one, or that the calling host thread begins or ends to be one
/// ([`lwp_op`]).
///
/// # Safety
/// `lwp` is an lwp of the guest; it is not looked at.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_curlwpop(op: c_int, lwp: *mut Lwp) {
    if let Some(library) = seam::external() {
        // SAFETY: what the caller promises us is what the interface has it promise every library.
        external::forward(Hypercall::Curlwpop, || unsafe { (library.curlwpop)(op, lwp) });
        // The answer to the guest is the other library's. Ours tells the probes which virtual CPU the thread is on.
        match op {
            lwp_op::SET => lwp::set_current(lwp),
            lwp_op::CLEAR => lwp::set_current(core::ptr::null_mut()),
            _ => {}
        }
        return;
    }
    measure_short(Hypercall::Curlwpop, || match op {
        // An lwp is only its address here: there is nothing to make or to free.
        lwp_op::CREATE | lwp_op::DESTROY => {}
        lwp_op::SET => {
            let current = lwp::current();
            if !current.is_null() || lwp.is_null() {
                fatal(format_args!("cannot set lwp {lwp:p}: the thread runs lwp {current:p}"));
            }
            lwp::set_current(lwp);
        }
        lwp_op::CLEAR => {
            let current = lwp::current();
            if current != lwp {
                fatal(format_args!("cannot clear lwp {lwp:p}: the thread runs lwp {current:p}"));
            }
            lwp::set_current(core::ptr::null_mut());
        }
        _ => diagnostic::warn(Hypercall::Curlwpop.name(), format_args!("there is no operation {op}; ignored")),
    })
}

#[cold]
fn fatal(message: core::fmt::Arguments<'_>) -> ! {
    diagnostic::fatal(Hypercall::Curlwpop.name(), message)
}
