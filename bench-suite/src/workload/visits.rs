//! Ways of being an lwp, for workload `threads`: each function goes one of them and says whether all was as it should be.

use crate::guest::driver::{self, KernelThread};
use crate::guest::kernel::kernel;
use crate::guest::lwp::{self, Lwp};
use crate::guest::process::{INIT, KERNEL};
use crate::guest::thread::Thread;
use crate::guest::upcall::UPCALLS;
use crate::guest::{entry, errno, syscall};
use core::ffi::c_int;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// Goes on in a new process for a moment, and back. Called in the kernel.
pub(super) fn new_process() -> bool {
    let home = lwp::me();
    let child = kernel().processes.fork(home.process().pid(), "child");
    // SAFETY: a new lwp, which nobody runs; the one left behind is kept for the way back.
    unsafe { entry::switch(Some(child)) };
    let me = lwp::me();
    let pid = me.process().pid();
    let second = Lwp::create(Arc::clone(me.process()));
    let right = me.process().parent() == home.process().pid()
        && me.process().name() == "child"
        && me.process().lwps() == 2
        && me.id() != home.id();
    // Both lwps of the child end when they are switched away from, and the child with them.
    me.exit();
    // SAFETY: a new lwp, which nobody runs.
    unsafe { entry::switch(Some(second)) };
    lwp::me().exit();
    // SAFETY: nobody ran the lwp that this thread came from.
    unsafe { entry::switch(Some(home.into())) };
    right && ptr::eq(lwp::me(), home) && kernel().processes.find(pid).is_none()
}

/// Has a thread without lwp do `work`, and waits for it. Called in the kernel.
fn in_new_driver(work: fn() -> bool) -> Result<bool, c_int> {
    let right = Arc::new(AtomicBool::new(false));
    let for_thread = Arc::clone(&right);
    // Release and acquire are the hypervisor's: the thread has ended when it is joined.
    let main = move || for_thread.store(work(), Ordering::Relaxed);
    Thread::driver("driver", Box::new(main))?.join();
    Ok(right.load(Ordering::Relaxed))
}

/// A driver's thread comes into the kernel. Called in the kernel.
pub(super) fn driver() -> Result<bool, c_int> {
    in_new_driver(|| {
        let without = !driver::has_lwp();
        let thread = KernelThread::new();
        let own = thread.lwp();
        let in_kernel = thread.in_kernel(|| ptr::eq(lwp::me(), own) && lwp::me().process().pid() == KERNEL);
        let other = thread.in_kernel(|| kernel().processes.find(INIT).map(Lwp::create));
        let as_other = other.is_some_and(|other| {
            // SAFETY: a new lwp, which nobody else runs.
            let other = unsafe { other.as_ref() };
            // SAFETY: as above; it is freed only when it is switched away from after `work`.
            unsafe {
                thread.in_kernel_as(other, || {
                    let right = ptr::eq(lwp::me(), other) && lwp::me().process().pid() == INIT;
                    other.exit();
                    right
                })
            }
        });
        let back = ptr::eq(thread.lwp(), own);
        drop(thread);
        without && in_kernel && as_other && back && !driver::has_lwp()
    })
}

/// A thread does what the hypervisor's system call server does for a remote client: a process, calls, its end. Called
/// in the kernel.
pub(super) fn remote_client() -> Result<bool, c_int> {
    // SAFETY: the upcalls are called in the order of the interface, between `schedule` and `unschedule`, by a thread
    // that has no lwp at first; the names are strings, the results have room.
    in_new_driver(|| unsafe {
        (UPCALLS.schedule)();
        let forked = (UPCALLS.lwproc_rfork)(ptr::null_mut(), 0, c"client".as_ptr()) == 0;
        let pid = (UPCALLS.getpid)();
        let named = lwp::me().process().name() == "client";
        (UPCALLS.execnotify)(c"program".as_ptr());
        let renamed = lwp::me().process().name() == "program";
        let lwp = (UPCALLS.lwproc_curlwp)();
        (UPCALLS.unschedule)();

        (UPCALLS.schedule)();
        let same = ptr::eq((UPCALLS.lwproc_curlwp)(), lwp);
        let mut results = [0; 2];
        let called = (UPCALLS.syscall)(syscall::GETPID, ptr::null_mut(), results.as_mut_ptr()) == 0;
        let answered = results[0] == i64::from(pid);
        let unknown = (UPCALLS.syscall)(-1, ptr::null_mut(), results.as_mut_ptr()) == errno::ENOSYS;
        let second = (UPCALLS.lwproc_newlwp)(pid) == 0;
        // On the second lwp now, which ends here; then the first.
        (UPCALLS.lwproc_release)();
        let ending = (UPCALLS.lwproc_curlwp)().is_null();
        (UPCALLS.lwproc_switch)(lwp);
        (UPCALLS.lwpexit)();
        let no_more = (UPCALLS.lwproc_newlwp)(pid) == errno::EBUSY;
        (UPCALLS.lwproc_release)();
        (UPCALLS.unschedule)();

        (UPCALLS.schedule)();
        let gone = (UPCALLS.lwproc_newlwp)(pid) == errno::ESRCH;
        (UPCALLS.unschedule)();
        let steps = [forked, named, renamed, same, called, answered, unknown, second, ending, no_more, gone];
        steps.iter().all(|right| *right) && !driver::has_lwp()
    })
}
