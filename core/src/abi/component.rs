//! Services for drivers that have hypercalls of their own: `rumpuser_component_*`.

use super::seam::{forward, on_backend};
use super::types::Lwp;
use crate::host::backend::Backend;
use crate::host::errno::Errno;
use crate::upcall;
use core::ptr::null_mut;
use libc::{c_int, c_void};
use rumpscope_probes::{Hypercall, measure};

/// Gives up the virtual CPU, around a wait in a driver's own hypercall. The result is for
/// [`rumpuser_component_schedule`].
///
/// # Safety
/// The calling thread is on a virtual CPU, or runs no lwp.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_component_unschedule() -> *mut c_void {
    let call = Hypercall::ComponentUnschedule;
    on_backend!(call, component_unschedule(), B => measure(call, || {
        let cookie = upcall::unschedule(call, null_mut()).into_cookie();
        B::leave();
        cookie
    }))
}

/// Takes a virtual CPU again.
///
/// # Safety
/// `cookie` is from [`rumpuser_component_unschedule`], called by this thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_component_schedule(cookie: *mut c_void) {
    let call = Hypercall::ComponentSchedule;
    on_backend!(call, component_schedule(cookie), B => measure(call, || {
        B::come_back();
        upcall::schedule(upcall::Unscheduled::from_cookie(call, cookie), null_mut());
    }))
}

/// Gives the calling host thread, which has none, an lwp of the guest's process 0.
///
/// # Safety
/// The guest has booted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_component_kthread() {
    forward!(Hypercall::ComponentKthread, component_kthread());
    let call = Hypercall::ComponentKthread;
    measure(call, || take_lwp(call));
}

/// See [`rumpuser_component_kthread`]; on account of `cause`.
pub(crate) fn take_lwp(cause: Hypercall) {
    upcall::on_cpu(cause, || {
        if let Some(upcalls) = upcall::table() {
            // SAFETY: the guest's own function, on a virtual CPU.
            let error = unsafe { (upcalls.lwproc_newlwp)(0) };
            if error != 0 {
                crate::host::diagnostic::warn(
                    Hypercall::ComponentKthread.name(),
                    format_args!("the guest gives no lwp of process 0: its error {error}"),
                );
            }
        }
    });
}

/// Gives back what [`rumpuser_component_kthread`] gave.
///
/// # Safety
/// The calling thread has that lwp.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_component_kthread_release() {
    forward!(Hypercall::ComponentKthreadRelease, component_kthread_release());
    let call = Hypercall::ComponentKthreadRelease;
    measure(call, || {
        upcall::on_cpu(call, || {
            if let Some(upcalls) = upcall::table() {
                // SAFETY: the guest's own function, on a virtual CPU.
                unsafe { (upcalls.lwproc_release)() };
            }
        });
    });
}

/// The lwp that the calling thread runs, or would run if it entered the guest.
///
/// # Safety
/// The guest has booted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_component_curlwp() -> *mut Lwp {
    forward!(Hypercall::ComponentCurlwp, component_curlwp());
    let call = Hypercall::ComponentCurlwp;
    measure(call, || {
        upcall::on_cpu(call, || {
            // SAFETY: the guest's own function, on a virtual CPU.
            upcall::table().map_or(null_mut(), |upcalls| unsafe { (upcalls.lwproc_curlwp)() })
        })
    })
}

/// Has the calling thread run `lwp` from now on; null for none.
///
/// # Safety
/// `lwp` is null or an lwp that no other thread runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_component_switchlwp(lwp: *mut Lwp) {
    forward!(Hypercall::ComponentSwitchlwp, component_switchlwp(lwp));
    let call = Hypercall::ComponentSwitchlwp;
    measure(call, || {
        upcall::on_cpu(call, || {
            if let Some(upcalls) = upcall::table() {
                // SAFETY: the guest's own function, on a virtual CPU.
                unsafe { (upcalls.lwproc_switch)(lwp) };
            }
        });
    });
}

/// NetBSD's number for this host's error number.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_component_errtrans(error: c_int) -> c_int {
    forward!(Hypercall::ComponentErrtrans, component_errtrans(error));
    measure(Hypercall::ComponentErrtrans, move || Errno(error).to_netbsd())
}
