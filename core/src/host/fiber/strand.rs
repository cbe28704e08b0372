//! A fiber: a stack, what runs on it, and what of its host thread is its own.

use super::belongings::{Belongings, Host};
use super::end::End;
use super::stack;
use crate::host::errno::Errno;
use crate::host::thread::Main;
use core::cell::{Cell, UnsafeCell};
use core::ffi::{CStr, c_void};
use core::fmt;
use core::ptr;
use corosensei::stack::{DefaultStack, Stack};
use corosensei::{Coroutine, CoroutineResult, Yielder};
use rumpscope_probes::initial_exec;
use std::sync::Arc;

/// Why a fiber stopped running, and so what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// Somebody has it, and puts it into the run queue.
    Parked,
    /// It is to go on on a helper.
    Away,
    /// It is to go on on the carrier.
    Back,
    /// It does not go on.
    Ended,
}

/// A fiber; see [`spawn`](super::spawn).
pub struct Fiber {
    /// `None` once it has ended.
    body: UnsafeCell<Option<Body>>,
    /// Where it pauses; null until it runs.
    yielder: Cell<*const Yielder<(), Pause>>,
    /// It runs on a helper, or is on its way there or back.
    away: Cell<bool>,
    /// It was parked, and its time was up.
    pub(super) timed_out: Cell<bool>,
    pub(super) end: End,
}

struct Body {
    coroutine: Coroutine<(), Pause, ()>,
    belongings: Belongings,
}

// SAFETY: who runs the fiber, or is the fiber, uses the cells; that is one host thread at a time, and one hands it to
// the next through a queue with a lock.
unsafe impl Send for Fiber {}
// SAFETY: as above; others use only `end`.
unsafe impl Sync for Fiber {}

impl fmt::Debug for Fiber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Fiber({self:p})")
    }
}

initial_exec! {
    /// The fiber that the calling host thread carries; null: none.
    fn slot() -> *mut *const Fiber = "scope_carried_fiber"
}

/// The fiber that the caller is.
#[inline]
pub(super) fn carried() -> Option<&'static Fiber> {
    // SAFETY: the slot is this thread's own. It is null, or the fiber that the caller is: while it runs, the one who
    // runs it keeps it, and after its end nobody asks.
    unsafe { slot().read().as_ref() }
}

/// The fiber that the caller is, if the carrier runs it.
#[inline]
pub(super) fn running() -> Option<&'static Fiber> {
    carried().filter(|fiber| !fiber.is_away())
}

impl Fiber {
    /// A fiber that is to run `main(argument)`.
    ///
    /// # Errors
    /// EAGAIN where there is no memory for its stack.
    ///
    /// # Safety
    /// `main` may be called with `argument` on another thread.
    pub(super) unsafe fn new(main: Main, argument: *mut c_void, name: Option<&CStr>) -> Result<Arc<Self>, Errno> {
        let name = name.map(|name| name.to_string_lossy().into_owned());
        let stack = stack::take()?;
        let belongings = Belongings::new(stack.limit().get()..stack.base().get());
        let coroutine = Coroutine::with_stack(stack, move |yielder: &Yielder<(), Pause>, ()| {
            if let Some(fiber) = carried() {
                fiber.yielder.set(yielder);
            }
            if let Some(name) = name {
                rumpscope_probes::Context::begin(&name);
            }
            // SAFETY: `new`'s caller said so.
            unsafe { main(argument) };
        });
        Ok(Arc::new(Fiber {
            body: UnsafeCell::new(Some(Body { coroutine, belongings })),
            yielder: Cell::new(ptr::null()),
            away: Cell::new(false),
            timed_out: Cell::new(false),
            end: End::new(),
        }))
    }

    /// Another reference to a fiber.
    pub(super) fn share(&self) -> Arc<Self> {
        // SAFETY: every fiber is in an `Arc` from `new` on, and whoever has `self` has one.
        unsafe {
            Arc::increment_strong_count(self);
            Arc::from_raw(self)
        }
    }

    pub(super) fn is_away(&self) -> bool {
        self.away.get()
    }

    pub(super) fn set_away(&self, away: bool) {
        self.away.set(away);
    }

    /// Runs the fiber, which is paused, until it pauses. To be called by who has taken it from a queue.
    pub(super) fn run(&self, host: &Host) -> Pause {
        // SAFETY: the fiber is paused, and only who took it from its queue may use it; the fiber itself does not.
        let body = unsafe { &mut *self.body.get() };
        let Some(running) = body else { return Pause::Ended };
        running.belongings.exchange(host);
        // SAFETY: the slot is this thread's own, which carries no fiber.
        unsafe { slot().write(self) };
        let pause = match running.coroutine.resume(()) {
            CoroutineResult::Yield(pause) => pause,
            CoroutineResult::Return(()) => Pause::Ended,
        };
        // SAFETY: as above.
        unsafe { slot().write(ptr::null()) };
        running.belongings.exchange(host);
        if pause == Pause::Ended
            && let Some(Body { mut coroutine, belongings }) = body.take()
        {
            // Who joins finds its lane given back.
            drop(belongings);
            if !coroutine.done() {
                // SAFETY: it ended by `exit`, whose caller said that nothing on the stack needs its end; nobody is left
                // who knows of anything there.
                unsafe { coroutine.force_reset() };
            }
            stack::give_back(coroutine.into_stack());
            self.end.announce();
        }
        pause
    }

    /// Stops running; returns when somebody runs the fiber again, maybe on another host thread. To be called by the
    /// fiber itself.
    // Never inlined: nobody may keep the address of something thread-local across it.
    #[inline(never)]
    pub(super) fn pause(&self, why: Pause) {
        // SAFETY: set when the fiber began to run; it stands at the base of the fiber's stack.
        unsafe { (*self.yielder.get()).suspend(why) };
    }
}

/// A stack may go from one host thread to another.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<DefaultStack>();
};
