//! Lwps: the kernel's threads. A host thread runs guest code as one of them.

use super::cpu::{self, Cpu};
use super::process::Process;
use super::{console, hypercall};
use core::cell::Cell;
use core::ffi::c_int;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicI32, Ordering};
use rumpuser::abi::types::{Lwp as HostLwp, lwp_op};
use std::sync::Arc;

/// It runs only on the virtual CPU that it is bound to.
pub const BOUND: u32 = 1;
/// It handles soft interrupts: it does not wake their handler when it gives up its virtual CPU.
pub const INTERRUPT: u32 = 2;
/// It is freed when it leaves the kernel.
pub const EXITING: u32 = 4;
/// It stops being the current lwp of its host thread when it leaves the kernel.
pub const CLEAR: u32 = 8;

/// An lwp. Its fields are used by the host thread that runs it; until there is one, by its creator.
///
/// `repr(C)`: a hypervisor finds `cpu` by looking.
#[repr(C)]
#[derive(Debug)]
pub struct Lwp {
    id: c_int,
    flags: Cell<u32>,
    /// The virtual CPU that it has or had last; `None` before the first.
    cpu: Cell<Option<&'static Cpu>>,
    /// The one that it asks for.
    target: Cell<&'static Cpu>,
    /// How often it had the big lock when it was switched out.
    pub(super) big_locks: Cell<c_int>,
    process: Arc<Process>,
}

impl Lwp {
    /// A new lwp of `process`, known to the hypervisor and not yet run. It lives until [`free`].
    pub fn create(process: Arc<Process>) -> NonNull<Lwp> {
        static NEXT_ID: AtomicI32 = AtomicI32::new(1);
        process.lwp_added();
        let lwp = Box::leak(Box::new(Lwp {
            // Relaxed: the numbers only have to differ.
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            flags: Cell::new(0),
            cpu: Cell::new(None),
            target: Cell::new(&cpu::all()[0]),
            big_locks: Cell::new(0),
            process,
        }));
        // SAFETY: a new address of an lwp.
        unsafe { hypercall::curlwpop(lwp_op::CREATE, lwp.raw().cast()) };
        NonNull::from(lwp)
    }

    /// Its number.
    pub fn id(&self) -> c_int {
        self.id
    }

    /// It ends when it leaves the kernel or is switched away from.
    pub fn exit(&self) {
        self.set(EXITING);
    }

    /// Its address; to the hypervisor, its name.
    #[inline(always)]
    pub fn raw(&self) -> *mut Lwp {
        ptr::from_ref(self).cast_mut()
    }

    /// The process it belongs to.
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// The virtual CPU that it has.
    #[inline]
    pub fn cpu(&self) -> &'static Cpu {
        self.cpu.get().unwrap_or_else(|| console::panic(format_args!("lwp {} was never on a virtual CPU", self.id)))
    }

    /// The virtual CPU that it asks for.
    #[inline]
    pub(super) fn target(&self) -> &'static Cpu {
        self.target.get()
    }

    /// From now on it asks for this one, and for no other if it is bound.
    pub(super) fn set_target(&self, cpu: &'static Cpu) {
        self.target.set(cpu);
    }

    /// It has this one now.
    #[inline]
    pub(super) fn run_on(&self, cpu: &'static Cpu) {
        self.cpu.set(Some(cpu));
        self.target.set(cpu);
    }

    /// Whether one of these flags is set.
    #[inline]
    pub(super) fn has(&self, flags: u32) -> bool {
        self.flags.get() & flags != 0
    }

    pub(super) fn set(&self, flags: u32) {
        self.flags.set(self.flags.get() | flags);
    }

    pub(super) fn clear(&self, flags: u32) {
        self.flags.set(self.flags.get() & !flags);
    }
}

/// The address of the calling thread's lwp; null when it has none.
#[inline]
pub fn current_raw() -> *mut HostLwp {
    // SAFETY: may be called by any thread.
    unsafe { hypercall::curlwp() }
}

/// The calling thread's lwp. The reference is good until the thread switches lwps or ends.
#[inline]
pub fn current<'a>() -> Option<&'a Lwp> {
    // SAFETY: the hypervisor gives back what `set_current` set, which is an lwp that is not freed as long as it is set.
    unsafe { current_raw().cast::<Lwp>().as_ref() }
}

/// The lwp of the calling thread, which is in the kernel and so has one.
#[inline]
pub fn me<'a>() -> &'a Lwp {
    current().unwrap_or_else(|| console::panic(format_args!("guest code runs without an lwp")))
}

/// Makes `lwp` that of the calling thread, which has none.
///
/// # Safety
/// No other thread runs it, and it is not freed before [`clear_current`].
pub(super) unsafe fn set_current(lwp: NonNull<Lwp>) {
    // SAFETY: the caller's promise.
    unsafe { hypercall::curlwpop(lwp_op::SET, lwp.as_ptr().cast()) }
}

/// The calling thread runs `lwp` no more.
pub(super) fn clear_current(lwp: &Lwp) {
    // SAFETY: the hypervisor only forgets.
    unsafe { hypercall::curlwpop(lwp_op::CLEAR, lwp.raw().cast()) }
}

/// Frees an lwp; with the last one of a process, the process.
///
/// # Safety
/// It came from [`Lwp::create`], is no thread's current one and has no virtual CPU.
pub(super) unsafe fn free(lwp: NonNull<Lwp>) {
    // SAFETY: the hypervisor forgets an lwp that nobody runs.
    unsafe { hypercall::curlwpop(lwp_op::DESTROY, lwp.as_ptr().cast()) };
    // SAFETY: `create` leaked a box, and nobody else has the address.
    let lwp = unsafe { Box::from_raw(lwp.as_ptr()) };
    lwp.process.lwp_removed();
}
