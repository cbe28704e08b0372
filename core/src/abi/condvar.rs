//! Condition variables.

use super::mutex::Mtx;
use super::object;
use super::seam::on_backend;
use crate::host::backend::{Backend, Condvar, Native};
use crate::host::diagnostic;
use crate::host::errno::Errno;
use crate::host::sync::{Deadline, Home, Outcome, Owner};
use crate::{lwp, upcall};
use libc::c_int;
use rumpscope_probes::contention::Watch;
use rumpscope_probes::{Hypercall, measure, measure_quick, measure_short, transition};

/// A condition variable of the guest.
#[derive(Debug)]
// A line of its own: neighbours do not slow each other down.
#[repr(align(64))]
pub struct Cv<B: Backend = Native> {
    condition: B::Condvar,
    watch: Watch,
}

/// The names under which the caller may hold a mutex ([`Mtx::me`]).
fn names<B: Backend>() -> [Owner; 2] {
    [Owner::from_address(lwp::current()), B::running_thread()]
}

impl<B: Backend> Cv<B> {
    /// The condition variable at an address that the guest has from us.
    ///
    /// # Safety
    /// It is one of this back end, and stays as long as the reference.
    #[inline(always)]
    unsafe fn at<'a>(cv: *mut Cv) -> &'a Self {
        // SAFETY: the caller's word.
        unsafe { &*cv.cast() }
    }

    /// Gives up the virtual CPU, then the mutex, and waits. The guest's scheduler may itself use `mtx`, its interlock:
    /// then it takes it while it gives up the virtual CPU, and gives it back while it takes one. In any case the mutex
    /// is held between `unschedule` and the wait, so no signal that belongs to this wait can come too early.
    fn wait(&self, call: Hypercall, mtx: &Mtx<B>, deadline: Option<&Deadline>) -> Outcome {
        let me = mtx.me();
        let interlock = core::ptr::from_ref(mtx).cast_mut().cast();
        let off = upcall::unschedule(call, interlock);
        let outcome = self.wait_in_place(call, mtx, me, mtx.home(), deadline);
        if mtx.comes_before_cpu() {
            mtx.enter_after_wait(call, me, outcome);
            upcall::schedule(off, interlock);
        } else {
            upcall::schedule(off, interlock);
            mtx.enter_with_cpu(call, me, outcome);
        }
        outcome
    }

    /// Waits for a signal; gives the mutex up, and does not take it again.
    fn wait_in_place(
        &self,
        call: Hypercall,
        mtx: &Mtx<B>,
        me: Owner,
        home: Option<Home<'_, B::Mutex>>,
        deadline: Option<&Deadline>,
    ) -> Outcome {
        let waited = self.watch.wait_for_signal(call, |note, waits| {
            let waited = self.condition.wait(home, deadline, note, || {
                mtx.exit(call, me);
                waits();
            });
            (waited, (waited.outcome != Outcome::TimedOut).then_some(waited.reply))
        });
        transition::waited_actively(call, waited.active);
        waited.outcome
    }
}

/// Makes a condition variable.
///
/// # Safety
/// `cv` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_cv_init(cv: *mut *mut Cv) {
    on_backend!(Hypercall::CvInit, cv_init(cv), B => {
        measure_short(Hypercall::CvInit, || {
            // SAFETY: the caller's word.
            unsafe { cv.write(object::create("cv_init", Cv::<B> { condition: Condvar::new(), watch: Watch::new(cv.addr()) }).cast()) };
        })
    })
}

/// Ends a condition variable that nobody waits for.
///
/// # Safety
/// `cv` is a condition variable that nobody uses from now on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_cv_destroy(cv: *mut Cv) {
    on_backend!(Hypercall::CvDestroy, cv_destroy(cv), B => {
        measure_short(Hypercall::CvDestroy, || {
            // SAFETY: the caller's word.
            let ended = unsafe { Cv::<B>::at(cv) };
            if ended.condition.retire().is_err() {
                diagnostic::fatal("cv_destroy", format_args!("threads still wait for condition variable {cv:p}"));
            }
            ended.watch.end();
            // SAFETY: the caller's word; made by `rumpuser_cv_init`.
            unsafe { object::destroy(cv.cast::<Cv<B>>()) };
        })
    })
}

/// Gives up `mtx` and the virtual CPU until there is a signal, and has both again afterwards.
///
/// # Safety
/// `cv` and `mtx` are what they are called; the caller holds `mtx`, unless that is its virtual CPU's own lock.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_cv_wait(cv: *mut Cv, mtx: *mut Mtx) {
    on_backend!(Hypercall::CvWait, cv_wait(cv, mtx), B => {
        // SAFETY: the caller's word.
        let (cv, mtx) = unsafe { (Cv::<B>::at(cv), Mtx::<B>::at(mtx)) };
        measure(Hypercall::CvWait, || {
            cv.wait(Hypercall::CvWait, mtx, None);
        })
    })
}

/// Gives up `mtx` until there is a signal, and has it again afterwards. Whether the caller has a virtual CPU does not
/// change.
///
/// # Safety
/// `cv` and `mtx` are what they are called; the caller holds `mtx`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_cv_wait_nowrap(cv: *mut Cv, mtx: *mut Mtx) {
    on_backend!(Hypercall::CvWaitNowrap, cv_wait_nowrap(cv, mtx), B => {
        // SAFETY: the caller's word.
        let (cv, mtx) = unsafe { (Cv::<B>::at(cv), Mtx::<B>::at(mtx)) };
        measure(Hypercall::CvWaitNowrap, || {
            let me = mtx.me();
            upcall::about_to_wait();
            let outcome = cv.wait_in_place(Hypercall::CvWaitNowrap, mtx, me, Some(Home::next(&mtx.lock)), None);
            mtx.enter_after_wait(Hypercall::CvWaitNowrap, me, outcome);
        })
    })
}

/// As [`rumpuser_cv_wait`], for at most the given time, on the monotonic clock: `ETIMEDOUT` if that was over before a
/// signal came. A time that is not positive is over at once, but the mutex and the virtual CPU are given up all the
/// same. Nanoseconds may be any number.
///
/// # Safety
/// As for [`rumpuser_cv_wait`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_cv_timedwait(cv: *mut Cv, mtx: *mut Mtx, seconds: i64, nanoseconds: i64) -> c_int {
    on_backend!(Hypercall::CvTimedwait, cv_timedwait(cv, mtx, seconds, nanoseconds), B => {
        // SAFETY: the caller's word.
        let (cv, mtx) = unsafe { (Cv::<B>::at(cv), Mtx::<B>::at(mtx)) };
        measure(Hypercall::CvTimedwait, || {
            // The time runs from the call, not from when the virtual CPU has been given up.
            let deadline = Deadline::after(seconds, nanoseconds);
            match cv.wait(Hypercall::CvTimedwait, mtx, Some(&deadline)) {
                Outcome::Signalled | Outcome::Handed => 0,
                Outcome::TimedOut => Errno(libc::ETIMEDOUT).to_netbsd(),
            }
        })
    })
}

/// Ends the wait of one thread, if any waits: of the one that has waited longest.
///
/// # Safety
/// `cv` is a condition variable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_cv_signal(cv: *mut Cv) {
    on_backend!(Hypercall::CvSignal, cv_signal(cv), B => {
        // SAFETY: the caller's word.
        let cv = unsafe { Cv::<B>::at(cv) };
        let nobody = || cv.condition.waiters() == 0;
        measure_quick(Hypercall::CvSignal, || nobody().then_some(()), || {
            // SAFETY: the waiters' notes are from `wait_for_signal`, and shown by the condition variable while they wait.
            unsafe { cv.watch.signal(Hypercall::CvSignal, |answer| cv.condition.signal(names::<B>(), answer)) };
        })
    })
}

/// Ends the wait of all threads that wait.
///
/// # Safety
/// `cv` is a condition variable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_cv_broadcast(cv: *mut Cv) {
    on_backend!(Hypercall::CvBroadcast, cv_broadcast(cv), B => {
        // SAFETY: the caller's word.
        let cv = unsafe { Cv::<B>::at(cv) };
        let nobody = || cv.condition.waiters() == 0;
        measure_quick(Hypercall::CvBroadcast, || nobody().then_some(()), || {
            // SAFETY: as in `rumpuser_cv_signal`.
            unsafe { cv.watch.signal(Hypercall::CvBroadcast, |answer| cv.condition.broadcast(names::<B>(), answer)) };
        })
    })
}

/// How many threads wait for a signal; those that have got one are not among them.
///
/// # Safety
/// `cv` is a condition variable; `waiters` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_cv_has_waiters(cv: *mut Cv, waiters: *mut c_int) {
    on_backend!(Hypercall::CvHasWaiters, cv_has_waiters(cv, waiters), B => {
        // SAFETY: the caller's word.
        let cv = unsafe { Cv::<B>::at(cv) };
        measure(Hypercall::CvHasWaiters, move || {
            // No host has 2^31 threads.
            // SAFETY: the caller's word.
            unsafe { waiters.write(cv.condition.waiters() as c_int) };
        })
    })
}
