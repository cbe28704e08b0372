//! The smallest guest that can be one.
//!
//! It has virtual CPUs and lwps, does nothing with them, and records every transition. Its upcalls check what the
//! interface demands of their caller; what they find wrong fails the case. There is one guest in a process.

mod cpus;
mod thread;
mod trace;
mod upcalls;

pub(crate) use thread::{GuestThread, Signal};
pub(crate) use trace::Event;
pub(crate) use upcalls::{Lwp, TABLE, new_lwp};

use crate::hypervisor::{Hypercalls, Hypervisor, LoadError};
use cpus::Cpus;
use libc::{c_int, c_void};
use rumpuser::abi::types::{VERSION, lwp_op, mutex};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::time::Duration;
use trace::Trace;

/// How long a case waits for something that must happen. Far above what it takes, below the runner's own limit.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// Virtual CPUs of a guest that is not limited: more than any case has threads.
const MANY_CPUS: usize = 1000;

static GUEST: OnceLock<Guest> = OnceLock::new();

/// The guest of this process.
pub(crate) fn guest() -> &'static Guest {
    GUEST.get().expect("a loaded guest")
}

/// A library, and a guest on top of it.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) calls: Hypercalls,
    pub(crate) library: PathBuf,
    pub(crate) trace: Trace,
    cpus: Cpus,
    /// The mutex of the guest's scheduler: taken and released inside the upcalls when it is their interlock.
    scheduler_mutex: AtomicPtr<c_void>,
    /// Whether the upcalls overwrite the host's `errno`, as a real guest's do.
    spoils_errno: AtomicBool,
}

impl Guest {
    /// Loads the library; no hypercall is made.
    pub(crate) fn load(library: &Path) -> Result<&'static Self, LoadError> {
        let guest = Guest {
            calls: Hypervisor::load(library)?.calls,
            library: library.to_owned(),
            trace: Trace::default(),
            cpus: Cpus::new(MANY_CPUS),
            scheduler_mutex: AtomicPtr::default(),
            spoils_errno: AtomicBool::new(false),
        };
        Ok(GUEST.get_or_init(|| guest))
    }

    /// Makes the first hypercall, and the calling thread a thread of the guest.
    pub(crate) fn boot(&'static self) {
        // SAFETY: the first hypercall; the table lives on.
        let error = unsafe { (self.calls.init)(VERSION, &TABLE.0) };
        assert_eq!(error, 0, "init of version {VERSION}");
        thread::enter(self);
    }

    /// The end of a case: the calling thread leaves, and no upcall may have been against the rules.
    pub(crate) fn shut_down(&'static self) {
        thread::leave(self);
        let violations = self.trace.violations();
        assert!(violations.is_empty(), "upcalls against the rules:\n{}", violations.join("\n"));
    }

    /// From now on there are only `count` virtual CPUs; the calling thread has one of them.
    pub(crate) fn limit_cpus(&self, count: usize) {
        self.cpus.limit(count);
    }

    /// From now on each upcall leaves a strange value in the host's `errno`.
    pub(crate) fn spoil_errno(&self) {
        // Relaxed: set before the calls that are to see it, by the same thread.
        self.spoils_errno.store(true, Ordering::Relaxed);
    }

    /// Makes a mutex that the upcalls take (unschedule) and release (schedule) when it is their interlock, as the
    /// scheduler of a rump kernel does with its own.
    pub(crate) fn scheduler_mutex(&self) -> super::calls::Mutex {
        let mutex = super::calls::Mutex::new(mutex::SPIN);
        // Release: whoever gets the pointer sees the mutex.
        self.scheduler_mutex.store(mutex.as_ptr(), Ordering::Release);
        mutex
    }

    /// Starts a host thread that runs `body` as a thread of the guest, with an lwp on a virtual CPU.
    pub(crate) fn spawn(&'static self, body: impl FnOnce() + Send + 'static) -> GuestThread {
        thread::spawn(self, body)
    }

    /// Starts a host thread of which the guest knows nothing.
    pub(crate) fn spawn_outside(&'static self, body: impl FnOnce() + Send + 'static) -> GuestThread {
        thread::spawn_outside(self, body)
    }

    /// Runs `wait` while the calling thread has left its virtual CPU of its own will, without any hypercall.
    pub(crate) fn aside<R>(&self, wait: impl FnOnce() -> R) -> R {
        thread::step_off(self);
        let result = wait();
        thread::step_on(self);
        result
    }

    /// Records that the calling thread is at a point of its case.
    pub(crate) fn mark(&self, point: &'static str) {
        self.trace.record(Event::Mark(point));
    }

    /// Runs `call`; returns its result and the transitions that the calling thread made meanwhile. The thread has to
    /// be on a virtual CPU before and after, with as many locks.
    pub(crate) fn watch<R>(&self, call: impl FnOnce() -> R) -> (R, Vec<Event>) {
        let before = thread::state();
        assert!(before.on_cpu, "the case calls on a virtual CPU");
        let start = self.trace.len();
        let result = call();
        assert_eq!(thread::state(), before, "virtual CPU, locks and lwp after the hypercall are not those before it");
        (result, self.trace.of_this_thread(start))
    }

    /// Runs `call`, which must give up the virtual CPU exactly once.
    pub(crate) fn gives_up_cpu<R>(&self, call: impl FnOnce() -> R) -> R {
        self.gives_up_cpu_with(core::ptr::null_mut(), call)
    }

    /// The same, with `interlock` in both upcalls.
    pub(crate) fn gives_up_cpu_with<R>(&self, interlock: *mut c_void, call: impl FnOnce() -> R) -> R {
        let interlock = interlock as usize;
        let (result, events) = self.watch(call);
        assert_eq!(events, [Event::Left { interlock }, Event::Asked { interlock }, Event::Back { interlock }]);
        result
    }

    /// Runs `call`, which must stay on the virtual CPU.
    pub(crate) fn stays_on_cpu<R>(&self, call: impl FnOnce() -> R) -> R {
        let (result, events) = self.watch(call);
        assert_eq!(events, [], "upcalls of a hypercall that has no reason to make one");
        result
    }

    /// Whether the calling thread has a virtual CPU.
    pub(crate) fn is_on_cpu(&self) -> bool {
        thread::state().on_cpu
    }

    /// The lwp of the calling thread, as the guest knows it.
    pub(crate) fn lwp(&self) -> Lwp {
        thread::state().lwp
    }

    /// Tells the library about an lwp.
    pub(crate) fn curlwpop(&self, operation: c_int, lwp: Lwp) {
        debug_assert!((lwp_op::CREATE..=lwp_op::CLEAR).contains(&operation));
        // SAFETY: the callers keep the order create, set, clear, destroy; lwps are never freed.
        unsafe { (self.calls.curlwpop)(operation, lwp.as_ptr()) };
    }

    /// The current lwp, as the library knows it.
    pub(crate) fn curlwp(&self) -> Lwp {
        // SAFETY: has no preconditions.
        Lwp::from_ptr(unsafe { (self.calls.curlwp)() })
    }
}
