//! Soft interrupts: work put off by who cannot do it now, done soon after on the same virtual CPU by a thread bound to it.

use super::cpu::{self, Cpu};
use super::host_lock::HostCondvar;
use super::kernel::kernel;
use super::lwp::{self, BOUND, INTERRUPT};
use super::scheduler;
use super::thread::Thread;
use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};
use std::collections::VecDeque;
use std::sync::Arc;

/// A kind of soft interrupt: what is to be done when it is asked for.
pub struct Softint {
    handler: Box<dyn Fn() + Send + Sync>,
    /// It may run on several virtual CPUs at once; otherwise it gets the big kernel lock.
    mpsafe: bool,
    /// By virtual CPU: whether it is queued there. Written by who has that CPU.
    queued: Box<[AtomicBool]>,
}

impl core::fmt::Debug for Softint {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Softint").field("mpsafe", &self.mpsafe).finish_non_exhaustive()
    }
}

impl Softint {
    /// A new kind; `mpsafe`: the handler needs no big kernel lock.
    pub fn establish(mpsafe: bool, handler: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        let queued = cpu::all().iter().map(|_| AtomicBool::new(false)).collect();
        Arc::new(Softint { handler: Box::new(handler), mpsafe, queued })
    }

    /// Asks for it on the virtual CPU of the calling lwp. Asked for twice before it runs, it runs once.
    pub fn schedule(self: &Arc<Self>) {
        let cpu = lwp::me().cpu();
        // Relaxed: used by who has the virtual CPU.
        if !self.queued[cpu.index() as usize].swap(true, Ordering::Relaxed) {
            // SAFETY: the calling lwp has the virtual CPU, and keeps it over the call.
            unsafe { cpu.softints.push(Arc::clone(self)) };
        }
    }

    fn run(&self, cpu: &Cpu) {
        // Before the handler: asked for from now on, it must run again.
        self.queued[cpu.index() as usize].store(false, Ordering::Relaxed);
        if self.mpsafe {
            (self.handler)();
        } else {
            kernel().big_lock.with(&self.handler);
        }
    }
}

/// What waits to be done on a virtual CPU.
#[derive(Debug)]
pub struct SoftintQueue {
    /// Used only by who has the virtual CPU: that is all the locking there is.
    pending: UnsafeCell<VecDeque<Arc<Softint>>>,
    wake: HostCondvar,
    stop: AtomicBool,
}

// SAFETY: `pending` is used only by the lwp that has the virtual CPU, one at a time.
unsafe impl Sync for SoftintQueue {}

impl SoftintQueue {
    pub(super) fn new() -> Self {
        SoftintQueue {
            pending: UnsafeCell::new(VecDeque::new()),
            wake: HostCondvar::new(),
            stop: AtomicBool::new(false),
        }
    }

    /// # Safety
    /// The caller has the virtual CPU.
    unsafe fn push(&self, softint: Arc<Softint>) {
        // SAFETY: the caller has the virtual CPU, and nothing here gives it up.
        unsafe { (*self.pending.get()).push_back(softint) }
    }

    /// # Safety
    /// The caller has the virtual CPU.
    unsafe fn pop(&self) -> Option<Arc<Softint>> {
        // SAFETY: as in `push`.
        unsafe { (*self.pending.get()).pop_front() }
    }

    /// Wakes the handler if there is something to do. Called by who is about to give up the virtual CPU.
    #[inline]
    pub(super) fn wake_handler(&self) {
        // SAFETY: the caller still has the virtual CPU.
        if unsafe { !(*self.pending.get()).is_empty() } || self.stop.load(Ordering::Relaxed) {
            self.wake.signal();
        }
    }
}

/// Starts the handlers, one for each virtual CPU.
pub fn start() -> Result<Vec<Thread>, c_int> {
    let handler = |cpu: &'static Cpu| {
        let name = format!("softint{}", cpu.index());
        Thread::kernel(&name, Some(cpu), Box::new(move || handle(cpu)))
    };
    cpu::all().iter().map(handler).collect()
}

fn handle(cpu: &'static Cpu) {
    lwp::me().set(INTERRUPT);
    loop {
        // SAFETY: this lwp is bound to the virtual CPU and runs, so it has it.
        while let Some(softint) = unsafe { cpu.softints.pop() } {
            softint.run(cpu);
        }
        if cpu.softints.stop.load(Ordering::Relaxed) {
            return;
        }
        // No wake-up is lost between the look at the queue and the wait: on the way out this lwp takes the CPU's mutex
        // before it gives the CPU up, and keeps it until it waits. Who fills the queue next needs the mutex to get the
        // CPU, because this lwp was the last to have it.
        // SAFETY: the mutex of the CPU that this lwp has.
        unsafe { cpu.softints.wake.wait(&cpu.mutex) };
    }
}

/// Ends the handlers after what is queued is done.
pub fn stop(handlers: Vec<Thread>) {
    for cpu in cpu::all() {
        // From the CPU itself, so that its handler is either waiting or will see the flag.
        run_on(cpu, || cpu.softints.stop.store(true, Ordering::Relaxed));
    }
    for handler in handlers {
        handler.join();
    }
}

/// Does `work` on a certain virtual CPU.
pub fn run_on(cpu: &'static Cpu, work: impl FnOnce()) {
    let lwp = lwp::me();
    let was_bound = lwp.has(BOUND);
    lwp.set(BOUND);
    scheduler::unschedule(lwp, ptr::null_mut());
    lwp.set_target(cpu);
    scheduler::schedule(lwp, ptr::null_mut());
    work();
    if !was_bound {
        lwp.clear(BOUND);
    }
    // The next unschedule wakes the handler; do not make it wait for that.
    cpu.softints.wake_handler();
}
