//! The host part of a driver: a host thread that is not the kernel's, and comes into it through the services that the
//! hypervisor has for components, as the threads of a rump kernel's network drivers do.

use super::hypercall;
use super::lwp::{self, Lwp};
use core::ptr;

/// The calling thread, which had no lwp, has one of the kernel's process until this is dropped.
#[derive(Debug)]
pub struct KernelThread(());

impl KernelThread {
    /// Asks for the lwp.
    pub fn new() -> Self {
        // SAFETY: the calling thread has no lwp.
        unsafe { hypercall::component_kthread() };
        KernelThread(())
    }

    /// Does `work` in the kernel, on a virtual CPU.
    pub fn in_kernel<R>(&self, work: impl FnOnce() -> R) -> R {
        // SAFETY: the thread has an lwp and no virtual CPU. A null cookie: it holds no big lock.
        unsafe { hypercall::component_schedule(ptr::null_mut()) };
        let result = work();
        // SAFETY: undoes the call above. The cookie tells about the big lock, which `work` has given back.
        let _ = unsafe { hypercall::component_unschedule() };
        result
    }

    /// The thread's lwp, as the hypervisor learns it from the kernel.
    pub fn lwp(&self) -> *const Lwp {
        // SAFETY: the thread has an lwp and no virtual CPU.
        unsafe { hypercall::component_curlwp() }.cast_const().cast()
    }

    /// Does `work` in the kernel as another lwp.
    ///
    /// # Safety
    /// No thread runs it, and it is not freed before `work` has returned.
    pub unsafe fn in_kernel_as<R>(&self, lwp: &Lwp, work: impl FnOnce() -> R) -> R {
        let own = self.lwp();
        // SAFETY: the caller's promise.
        unsafe { hypercall::component_switchlwp(lwp.raw().cast()) };
        let result = self.in_kernel(work);
        // SAFETY: nobody runs the lwp that this thread left.
        unsafe { hypercall::component_switchlwp(own.cast_mut().cast()) };
        result
    }
}

impl Drop for KernelThread {
    fn drop(&mut self) {
        // SAFETY: the thread has the lwp that `new` asked for.
        unsafe { hypercall::component_kthread_release() }
    }
}

/// Whether the calling thread has an lwp.
pub fn has_lwp() -> bool {
    lwp::current().is_some()
}
