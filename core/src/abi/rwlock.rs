//! Reader/writer locks.

use super::object;
use super::seam::on_backend;
use super::types::rw;
use crate::host::backend::{Backend, Native, Rwlock};
use crate::host::diagnostic;
use crate::host::errno::Errno;
use crate::host::sync::Owner;
use crate::{lwp, upcall};
use libc::c_int;
use rumpscope_probes::{Hypercall, measure, measure_quick, measure_short, transition};

/// A reader/writer lock of the guest.
#[derive(Debug)]
// A line of its own: neighbours do not slow each other down.
#[repr(align(64))]
pub struct Rw<B: Backend = Native> {
    lock: B::Rwlock,
}

impl<B: Backend> Rw<B> {
    /// The lock at an address that the guest has from us.
    ///
    /// # Safety
    /// It is one of this back end, and stays as long as the reference.
    #[inline(always)]
    unsafe fn at<'a>(rw: *mut Rw) -> &'a Self {
        // SAFETY: the caller's word.
        unsafe { &*rw.cast() }
    }
}

/// Writers are known by their lwp.
#[inline(always)]
fn me() -> Owner {
    Owner::from_address(lwp::current())
}

#[cold]
fn enter_contended<B: Backend>(rw: &Rw<B>, kind: c_int) {
    if !matches!(kind, rw::READER | rw::WRITER) {
        fatal_kind(Hypercall::RwEnter, kind);
    }
    let me = me();
    if me != Owner::NOBODY && rw.lock.is_written_by(me) {
        diagnostic::fatal("rw_enter", format_args!("the caller holds lock {rw:p} as writer: it would wait for ever"));
    }
    upcall::off_cpu(Hypercall::RwEnter, || {
        let active = if kind == rw::WRITER { rw.lock.write_waiting(me) } else { rw.lock.read_waiting() };
        transition::waited_actively(Hypercall::RwEnter, active);
    });
}

#[cold]
fn fatal_not_held<B: Backend>(call: Hypercall, rw: &Rw<B>, how: &str) -> ! {
    diagnostic::fatal(call.name(), format_args!("lock {rw:p} is not held by the caller{how}"))
}

#[cold]
fn fatal_kind(call: Hypercall, kind: c_int) -> ! {
    diagnostic::fatal(call.name(), format_args!("{kind} is neither reader (0) nor writer (1)"))
}

/// Makes a reader/writer lock.
///
/// # Safety
/// `rw` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_rw_init(rw: *mut *mut Rw) {
    on_backend!(Hypercall::RwInit, rw_init(rw), B => {
        measure_short(Hypercall::RwInit, || {
            // SAFETY: the caller's word.
            unsafe { rw.write(object::create("rw_init", Rw::<B> { lock: Rwlock::new() }).cast()) };
        })
    })
}

/// Enters as reader or writer ([`rw`]); waits off the virtual CPU.
///
/// # Safety
/// `rw` is a reader/writer lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_rw_enter(kind: c_int, rw: *mut Rw) {
    on_backend!(Hypercall::RwEnter, rw_enter(kind, rw), B => {
        // SAFETY: the caller's word.
        let rw = unsafe { Rw::<B>::at(rw) };
        let enter = || match kind {
            rw::READER => rw.lock.try_read(),
            rw::WRITER => rw.lock.try_write(me()),
            _ => false,
        };
        measure_quick(Hypercall::RwEnter, || enter().then_some(()), || enter_contended(rw, kind))
    })
}

/// Enters as reader or writer if that needs no wait, else `EBUSY`: also where others have waited for it too long.
///
/// # Safety
/// `rw` is a reader/writer lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_rw_tryenter(kind: c_int, rw: *mut Rw) -> c_int {
    on_backend!(Hypercall::RwTryenter, rw_tryenter(kind, rw), B => {
        // SAFETY: the caller's word.
        let rw = unsafe { Rw::<B>::at(rw) };
        measure_short(Hypercall::RwTryenter, || {
            let entered = match kind {
                rw::READER => rw.lock.try_read(),
                rw::WRITER => rw.lock.try_write(me()),
                _ => return Errno(libc::EINVAL).to_netbsd(),
            };
            if entered {
                return 0;
            }
            B::after_failed_try();
            Errno(libc::EBUSY).to_netbsd()
        })
    })
}

/// Makes the only reader the writer, before all writers that wait; `EBUSY` if there are other readers.
///
/// # Safety
/// `rw` is a reader/writer lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_rw_tryupgrade(rw: *mut Rw) -> c_int {
    on_backend!(Hypercall::RwTryupgrade, rw_tryupgrade(rw), B => {
        // SAFETY: the caller's word.
        let rw = unsafe { Rw::<B>::at(rw) };
        measure_short(Hypercall::RwTryupgrade, || match rw.lock.try_upgrade(me()) {
            Ok(Ok(())) => 0,
            Ok(Err(_)) => Errno(libc::EBUSY).to_netbsd(),
            Err(_) => fatal_not_held(Hypercall::RwTryupgrade, rw, " as reader"),
        })
    })
}

/// Makes the writer a reader; no other writer gets in between.
///
/// # Safety
/// `rw` is a reader/writer lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_rw_downgrade(rw: *mut Rw) {
    on_backend!(Hypercall::RwDowngrade, rw_downgrade(rw), B => {
        // SAFETY: the caller's word.
        let rw = unsafe { Rw::<B>::at(rw) };
        let contended = || {
            if rw.lock.downgrade_contended(me()).is_err() {
                fatal_not_held(Hypercall::RwDowngrade, rw, " as writer");
            }
        };
        measure_quick(Hypercall::RwDowngrade, || rw.lock.try_downgrade(me()).then_some(()), contended)
    })
}

/// Leaves.
///
/// # Safety
/// `rw` is a reader/writer lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_rw_exit(rw: *mut Rw) {
    on_backend!(Hypercall::RwExit, rw_exit(rw), B => {
        // SAFETY: the caller's word.
        let rw = unsafe { Rw::<B>::at(rw) };
        let contended = || {
            if rw.lock.exit_contended(me()).is_err() {
                fatal_not_held(Hypercall::RwExit, rw, "");
            }
        };
        measure_quick(Hypercall::RwExit, || rw.lock.try_exit(me()).then_some(()), contended)
    })
}

/// Ends a lock that nobody holds.
///
/// # Safety
/// `rw` is a reader/writer lock that nobody uses from now on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_rw_destroy(rw: *mut Rw) {
    on_backend!(Hypercall::RwDestroy, rw_destroy(rw), B => {
        measure_short(Hypercall::RwDestroy, || {
            // SAFETY: the caller's word.
            if !unsafe { Rw::<B>::at(rw) }.lock.is_unused() {
                diagnostic::fatal("rw_destroy", format_args!("lock {rw:p} is still held"));
            }
            // SAFETY: the caller's word; made by `rumpuser_rw_init`.
            unsafe { object::destroy(rw.cast::<Rw<B>>()) };
        })
    })
}

/// Whether the lock is held: [`rw::WRITER`], by the caller as writer; [`rw::READER`], by any reader.
///
/// "Any" is what the guest means: NetBSD defines `rw_read_held` so, its own locks do not know their readers either, and
/// its assertions are written for that. A list of what each thread reads could only be more often wrong, since an lwp
/// may change its host thread.
///
/// # Safety
/// `rw` is a reader/writer lock; `held` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_rw_held(kind: c_int, rw: *mut Rw, held: *mut c_int) {
    on_backend!(Hypercall::RwHeld, rw_held(kind, rw, held), B => {
        // SAFETY: the caller's word.
        let rw = unsafe { Rw::<B>::at(rw) };
        measure(Hypercall::RwHeld, move || {
            let answer = match kind {
                rw::READER => rw.lock.readers() != 0,
                rw::WRITER => rw.lock.is_written_by(me()),
                _ => fatal_kind(Hypercall::RwHeld, kind),
            };
            // SAFETY: the caller's word.
            unsafe { held.write(answer.into()) };
        })
    })
}
