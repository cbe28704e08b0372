//! Mutexes.

use super::object;
use super::seam::on_backend;
use super::types::{Lwp, mutex};
use crate::guest::vcpu;
use crate::host::backend::{Backend, Mutex, Native};
use crate::host::diagnostic;
use crate::host::errno::Errno;
use crate::host::sync::{Home, Outcome, Owner};
use crate::host::{fiber, gather};
use crate::{lwp, upcall};
use libc::c_int;
use rumpscope_probes::contention::{LockKind, Tried, Watch};
use rumpscope_probes::{Hypercall, measure, measure_quick, measure_short, measure_taking, transition};

/// A mutex of the guest. (The interface gives out its address; which back end it is of, all know.)
#[derive(Debug)]
// A line of its own: neighbours do not slow each other down.
#[repr(align(64))]
pub struct Mtx<B: Backend = Native> {
    pub(super) lock: B::Mutex,
    watch: Watch,
    flags: c_int,
}

/// Where a mutex was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    OnCpu,
    OffCpu,
}

impl<B: Backend> Mtx<B> {
    /// The mutex at an address that the guest has from us.
    ///
    /// # Safety
    /// It is one of this back end, and stays as long as the reference.
    #[inline(always)]
    pub(super) unsafe fn at<'a>(mtx: *mut Mtx) -> &'a Self {
        // SAFETY: the caller's word.
        unsafe { &*mtx.cast() }
    }

    /// The name under which the calling thread holds this mutex: its lwp, which `rumpuser_mutex_owner` tells, or
    /// for mutexes without an owner the thread. Threads are compared too, so that errors are found.
    #[inline(always)]
    pub(super) fn me(&self) -> Owner {
        if self.flags & mutex::KMUTEX != 0 { Owner::from_address(lwp::current()) } else { B::running_thread() }
    }

    #[inline(always)]
    pub(super) fn is_spin(&self) -> bool {
        self.flags & mutex::SPIN != 0
    }

    /// Whether a thread takes it before its virtual CPU after a wait. Spin mutexes of the kernel come after that by the guest's
    /// order; and if one of the others was held while its owner waits for a virtual CPU, all who want it would give up theirs.
    pub(super) fn comes_before_cpu(&self) -> bool {
        self.flags == mutex::SPIN
    }

    /// Where a thread goes that has waited for a signal off its virtual CPU.
    pub(super) fn home(&self) -> Option<Home<'_, B::Mutex>> {
        match self.flags {
            // It may get a virtual CPU before the signaller gives back its own.
            mutex::KMUTEX if vcpu::are_several() => Some(Home::later(&self.lock)),
            mutex::SPIN | mutex::KMUTEX => Some(Home::next(&self.lock)),
            _ => None,
        }
    }

    fn kind(&self) -> LockKind {
        if self.is_spin() { LockKind::SpinMutex } else { LockKind::Mutex }
    }

    /// Takes the mutex if it is free. Says whether it did.
    #[inline(always)]
    fn try_enter(&self, me: Owner) -> bool {
        let taken = self.lock.try_lock(me);
        if taken {
            self.watch.taken();
        }
        taken
    }

    /// Takes the mutex; waits for it without an upcall: on the virtual CPU, or off it where it was given up before.
    pub(super) fn enter_in_place(&self, call: Hypercall, me: Owner) {
        if !self.try_enter(me) {
            self.enter_in_place_contended(call, me);
        }
    }

    /// The same after a wait for a signal, which ended so.
    pub(super) fn enter_after_wait(&self, call: Hypercall, me: Owner, outcome: Outcome) {
        self.enter_in_place(call, me);
        self.arrive(outcome);
    }

    /// The same with a virtual CPU, which is given up again where the thread must wait for long.
    pub(super) fn enter_with_cpu(&self, call: Hypercall, me: Owner, outcome: Outcome) {
        if self.is_spin() {
            self.enter_in_place(call, me);
        } else if !self.try_enter(me) && self.enter_contended(call, me) == Way::OffCpu && outcome == Outcome::Signalled
        {
            // SAFETY: just entered.
            unsafe { self.lock.came_too_early() };
        }
        self.arrive(outcome);
    }

    /// The caller has entered after a wait that ended so.
    fn arrive(&self, outcome: Outcome) {
        if outcome == Outcome::Handed {
            // SAFETY: the callers have entered; the rest is the outcome.
            unsafe { self.lock.arrive() };
        }
    }

    /// Spin mutexes are held for a short time, by who runs at that time.
    #[cold]
    fn enter_in_place_contended(&self, call: Hypercall, me: Owner) {
        self.refuse_recursion(call, me);
        self.watch.wait_alone(self.kind(), call, |announce| {
            if !self.lock.try_lock_soon(me) {
                announce();
                self.lock.lock_in_place(me);
            }
            self.watch.taken();
            0
        });
    }

    /// Takes the mutex, which is held. Where there are several virtual CPUs, its holder may run on another one and be about to give it
    /// back: then that is waited for in less time than it takes to give up a virtual CPU and have one again.
    #[cold]
    fn enter_contended(&self, call: Hypercall, me: Owner) -> Way {
        self.refuse_recursion(call, me);
        let look = || {
            let entered = self.lock.try_lock_soon(me);
            if entered {
                self.watch.taken();
            }
            entered
        };
        let mut tried = Tried::default();
        if B::Mutex::LOOKS && vcpu::are_several() && !gather::is_gathered() && !fiber::is_running() {
            match self.watch.try_alone(self.kind(), call, look) {
                Ok(()) => return Way::OnCpu,
                Err(failed) => tried = failed,
            }
        }
        upcall::off_cpu_for_lock(call, || {
            let active = self.watch.wait_alone_again(tried, self.kind(), call, |announce| {
                let active = self.lock.lock_waiting(me, announce, &|| self.watch.takings());
                self.watch.taken();
                active
            });
            transition::waited_actively(call, active);
        });
        Way::OffCpu
    }

    fn refuse_recursion(&self, call: Hypercall, me: Owner) {
        if me != Owner::NOBODY && self.lock.owner() == Some(me) {
            diagnostic::fatal(
                call.name(),
                format_args!("mutex {self:p} is held by the caller: it would wait for ever"),
            );
        }
    }

    /// Gives the mutex back.
    pub(super) fn exit(&self, call: Hypercall, me: Owner) {
        if self.watch.is_watched_alone() && self.watch.is_due_alone() {
            let put_off = self.watch.take_put_off();
            self.watch.release(|| self.give_back(call, me));
            put_off.tell();
        } else {
            self.give_back(call, me);
        }
    }

    fn give_back(&self, call: Hypercall, me: Owner) {
        if !self.lock.try_unlock(me) {
            self.give_back_contended(call, me);
        }
    }

    #[cold]
    fn give_back_contended(&self, call: Hypercall, me: Owner) {
        if self.lock.unlock_contended(me).is_err() {
            self.not_mine(call);
        }
    }

    /// The whole of [`rumpuser_mutex_exit`] where somebody waits, or there is something to note. Apart from the rest, and the
    /// last thing that it does: so not even a register is saved for it.
    #[cold]
    #[inline(never)]
    fn exit_watched(&self) {
        let (call, me) = (Hypercall::MutexExit, self.me());
        let put_off = self.watch.take_put_off();
        if self.watch.is_watched_alone() && self.watch.is_due_alone() {
            let unwaited = || self.watch.leave_unwaited(|| self.lock.try_unlock(me)).then_some(());
            measure_quick(call, unwaited, || self.exit(call, me));
        } else {
            let exit = || self.lock.try_unlock(me).then_some(());
            measure_quick(call, exit, || self.give_back_contended(call, me));
        }
        put_off.tell();
    }

    #[cold]
    fn not_mine(&self, call: Hypercall) -> ! {
        let owner = self.lock.owner();
        diagnostic::fatal(call.name(), format_args!("mutex {self:p} is not held by the caller but by {owner:?}"))
    }
}

/// Makes a mutex; `flags` are [`mutex::SPIN`], [`mutex::KMUTEX`] or both.
///
/// # Safety
/// `mtx` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_mutex_init(mtx: *mut *mut Mtx, flags: c_int) {
    on_backend!(Hypercall::MutexInit, mutex_init(mtx, flags), B => {
        measure_short(Hypercall::MutexInit, || {
            if !matches!(flags, 1..=3) {
                diagnostic::fatal("mutex_init", format_args!("flags {flags:#x} are not SPIN (1), KMUTEX (2) or both"));
            }
            // SAFETY: the caller's word.
            unsafe { mtx.write(object::create("mutex_init", Mtx::<B> { lock: Mutex::new(), watch: Watch::new(mtx.addr()), flags }).cast()) };
        })
    })
}

/// Takes the mutex. Where it must wait: off the virtual CPU, unless it is a spin mutex.
///
/// # Safety
/// `mtx` is a mutex.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_mutex_enter(mtx: *mut Mtx) {
    on_backend!(Hypercall::MutexEnter, mutex_enter(mtx), B => {
        // SAFETY: the caller's word.
        let mtx = unsafe { Mtx::<B>::at(mtx) };
        let contended = || {
            if mtx.is_spin() {
                mtx.enter_in_place_contended(Hypercall::MutexEnter, mtx.me());
            } else {
                mtx.enter_contended(Hypercall::MutexEnter, mtx.me());
            }
        };
        let enter = || mtx.try_enter(mtx.me()).then_some(());
        measure_taking(Hypercall::MutexEnter, enter, contended, |weight| mtx.watch.sampled(weight, true))
    })
}

/// Takes a spin mutex; never gives up the virtual CPU. For another mutex that would be a deadlock sooner or later: its
/// holder may be waiting for the virtual CPU.
///
/// # Safety
/// `mtx` is a mutex.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_mutex_enter_nowrap(mtx: *mut Mtx) {
    on_backend!(Hypercall::MutexEnterNowrap, mutex_enter_nowrap(mtx), B => {
        // SAFETY: the caller's word.
        let mtx = unsafe { Mtx::<B>::at(mtx) };
        let contended = || {
            if !mtx.is_spin() {
                diagnostic::fatal("mutex_enter_nowrap", format_args!("mutex {mtx:p} is not a spin mutex"));
            }
            mtx.enter_in_place_contended(Hypercall::MutexEnterNowrap, mtx.me());
        };
        let enter = || (mtx.is_spin() && mtx.try_enter(mtx.me())).then_some(());
        measure_taking(Hypercall::MutexEnterNowrap, enter, contended, |weight| mtx.watch.sampled(weight, true))
    })
}

/// Takes the mutex if it is free; `EBUSY` if it is not.
///
/// # Safety
/// `mtx` is a mutex.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_mutex_tryenter(mtx: *mut Mtx) -> c_int {
    on_backend!(Hypercall::MutexTryenter, mutex_tryenter(mtx), B => {
        // SAFETY: the caller's word.
        let mtx = unsafe { Mtx::<B>::at(mtx) };
        measure_short(Hypercall::MutexTryenter, || {
            if mtx.try_enter(mtx.me()) {
                return 0;
            }
            B::after_failed_try();
            Errno(libc::EBUSY).to_netbsd()
        })
    })
}

/// Gives the mutex back.
///
/// # Safety
/// `mtx` is a mutex.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_mutex_exit(mtx: *mut Mtx) {
    on_backend!(Hypercall::MutexExit, mutex_exit(mtx), B => {
        // SAFETY: the caller's word.
        let mtx = unsafe { Mtx::<B>::at(mtx) };
        if mtx.watch.is_watched_alone() {
            return mtx.exit_watched();
        }
        let contended = || mtx.give_back_contended(Hypercall::MutexExit, mtx.me());
        measure_quick(Hypercall::MutexExit, || mtx.lock.try_unlock(mtx.me()).then_some(()), contended)
    })
}

/// Ends a mutex that nobody holds.
///
/// # Safety
/// `mtx` is a mutex that nobody uses from now on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_mutex_destroy(mtx: *mut Mtx) {
    on_backend!(Hypercall::MutexDestroy, mutex_destroy(mtx), B => {
        measure_short(Hypercall::MutexDestroy, || {
            // SAFETY: the caller's word.
            let ended = unsafe { Mtx::<B>::at(mtx) };
            if let Some(owner) = ended.lock.owner() {
                diagnostic::fatal("mutex_destroy", format_args!("mutex {mtx:p} is still held, by {owner:?}"));
            }
            ended.watch.end();
            // SAFETY: the caller's word; made by `rumpuser_mutex_init`.
            unsafe { object::destroy(mtx.cast::<Mtx<B>>()) };
        })
    })
}

/// The lwp that holds a kmutex, or null.
///
/// # Safety
/// `mtx` is a mutex; `lwp` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_mutex_owner(mtx: *mut Mtx, lwp: *mut *mut Lwp) {
    on_backend!(Hypercall::MutexOwner, mutex_owner(mtx, lwp), B => {
        // SAFETY: the caller's word.
        let mtx = unsafe { Mtx::<B>::at(mtx) };
        measure(Hypercall::MutexOwner, move || {
            if mtx.flags & mutex::KMUTEX == 0 {
                not_a_kmutex(core::ptr::from_ref(mtx).addr());
            }
            let owner = mtx.lock.owner().unwrap_or(Owner::NOBODY).address();
            // SAFETY: the caller's word.
            unsafe { lwp.write(owner) };
        })
    })
}

/// The guest asks who has the mutex at this address. (Of that alone: a mutex shown to others would be kept in memory for it.)
#[cold]
fn not_a_kmutex(mtx: usize) -> ! {
    diagnostic::fatal("mutex_owner", format_args!("mutex {mtx:#x} is not a kmutex and has no owner"))
}

/// Whether it is a spin mutex.
///
/// # Safety
/// `mtx` is a mutex.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_mutex_spin_p(mtx: *mut Mtx) -> c_int {
    on_backend!(Hypercall::MutexSpinP, mutex_spin_p(mtx), B => {
        // SAFETY: the caller's word.
        let mtx = unsafe { Mtx::<B>::at(mtx) };
        measure(Hypercall::MutexSpinP, move || mtx.flags & mutex::SPIN)
    })
}
