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
use rumpscope_probes::contention::{LockKind, Watch};
use rumpscope_probes::{Hypercall, measure, measure_quick, measure_short, measure_taking, transition};

/// A reader/writer lock of the guest.
#[derive(Debug)]
// A line of its own: neighbours do not slow each other down.
#[repr(align(64))]
pub struct Rw<B: Backend = Native> {
    lock: B::Rwlock,
    watch: Watch,
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

    /// Enters if that needs no wait.
    #[inline(always)]
    fn try_enter(&self, kind: c_int) -> bool {
        match kind {
            rw::READER => self.lock.try_read(),
            rw::WRITER => {
                let entered = self.lock.try_write(me());
                if entered {
                    self.watch.taken();
                }
                entered
            }
            _ => false,
        }
    }

    fn exit(&self) {
        if self.watch.is_watched() && self.watch.is_due() {
            let put_off = self.watch.take_put_off();
            self.watch.release(|| self.leave());
            put_off.tell();
        } else {
            self.leave();
        }
    }

    fn leave(&self) {
        if !self.lock.try_exit(me()) {
            self.leave_contended();
        }
    }

    #[cold]
    fn leave_contended(&self) {
        if self.lock.exit_contended(me()).is_err() {
            fatal_not_held(Hypercall::RwExit, self, "");
        }
    }

    /// The whole of [`rumpuser_rw_exit`] where somebody waits, or there is something to note. Apart from the rest, and the last
    /// thing that it does: so not even a register is saved for it.
    #[cold]
    #[inline(never)]
    fn exit_watched(&self) {
        let put_off = self.watch.take_put_off();
        if self.watch.is_watched() && self.watch.is_due() {
            let unwaited = || self.watch.leave_unwaited(|| self.lock.try_exit(me())).then_some(());
            measure_quick(Hypercall::RwExit, unwaited, || self.exit());
        } else {
            let leave = || self.lock.try_exit(me()).then_some(());
            measure_quick(Hypercall::RwExit, leave, || self.leave_contended());
        }
        put_off.tell();
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
    let call = Hypercall::RwEnter;
    let ended = upcall::off_cpu_for_lock(call, || {
        let (active, ended) = if kind == rw::WRITER {
            let active = rw.watch.wait_alone(LockKind::Rwlock, call, |announce| {
                let active = rw.lock.write_waiting(me, announce);
                rw.watch.taken();
                active
            });
            (active, None)
        } else {
            let (active, ended) = rw.watch.wait(LockKind::Rwlock, call, |announce| rw.lock.read_waiting(announce));
            (active, Some(ended))
        };
        transition::waited_actively(call, active);
        ended
    });
    if let Some(ended) = ended {
        ended.tell();
    }
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
            unsafe { rw.write(object::create("rw_init", Rw::<B> { lock: Rwlock::new(), watch: Watch::new(rw.addr()) }).cast()) };
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
        let enter = || rw.try_enter(kind).then_some(());
        let sampled = |weight| rw.watch.sampled(weight, kind == rw::WRITER);
        measure_taking(Hypercall::RwEnter, enter, || enter_contended(rw, kind), sampled)
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
            if !matches!(kind, rw::READER | rw::WRITER) {
                return Errno(libc::EINVAL).to_netbsd();
            }
            if rw.try_enter(kind) {
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
            Ok(Err(_)) => {
                B::after_failed_try();
                Errno(libc::EBUSY).to_netbsd()
            }
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
            let downgrade = || {
                if !rw.lock.try_downgrade(me()) && rw.lock.downgrade_contended(me()).is_err() {
                    fatal_not_held(Hypercall::RwDowngrade, rw, " as writer");
                }
            };
            if rw.watch.is_waited_for() { rw.watch.release(downgrade) } else { downgrade() }
        };
        let downgrade = || (!rw.watch.is_waited_for() && rw.lock.try_downgrade(me())).then_some(());
        // Now: afterwards the caller is one of several.
        let put_off = rw.watch.take_put_off();
        measure_quick(Hypercall::RwDowngrade, downgrade, contended);
        put_off.tell();
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
        if rw.watch.is_watched() {
            return rw.exit_watched();
        }
        measure_quick(Hypercall::RwExit, || rw.lock.try_exit(me()).then_some(()), || rw.leave_contended())
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
            let ended = unsafe { Rw::<B>::at(rw) };
            if !ended.lock.is_unused() {
                diagnostic::fatal("rw_destroy", format_args!("lock {rw:p} is still held"));
            }
            ended.watch.end();
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
