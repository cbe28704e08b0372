//! The guest's only way out: the hypercalls, each counted in the guest's own books.

use super::accounts::count;
use crate::hypervisor::{BioDone, Hypervisor, ThreadMain};
use core::cell::UnsafeCell;
use core::ffi::{c_char, c_int, c_long, c_void};
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, Ordering};
use rumpscope_probes::Hypercall;
use rumpuser::abi::guest_probes::GuestProbes;
use rumpuser::abi::types::{Hyperup, Lwp};

struct Slot(UnsafeCell<MaybeUninit<Hypervisor>>);

// SAFETY: written once, by `install`, before there is any other thread of the guest; only read after that.
unsafe impl Sync for Slot {}

static HYPERVISOR: Slot = Slot(UnsafeCell::new(MaybeUninit::uninit()));
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Puts the guest on this hypervisor. False when it is on one already: the interface allows one guest per process.
#[must_use]
pub fn install(hypervisor: Hypervisor) -> bool {
    // Relaxed: it only decides who is first.
    if INSTALLED.swap(true, Ordering::Relaxed) {
        return false;
    }
    // SAFETY: only the first caller gets here, before any other guest code runs.
    unsafe { (*HYPERVISOR.0.get()).write(hypervisor) };
    true
}

#[inline(always)]
fn hypervisor() -> &'static Hypervisor {
    // SAFETY: all guest code runs after `install`.
    unsafe { (*HYPERVISOR.0.get()).assume_init_ref() }
}

/// The hypervisor's hooks for the guest's own transitions, where it has them.
#[inline(always)]
pub fn probes() -> Option<&'static GuestProbes> {
    hypervisor().probes.as_ref()
}

macro_rules! counted {
    ($($name:ident $call:ident ($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        $(
            #[doc = concat!("`rumpuser_", stringify!($name), "`, counted.")]
            ///
            /// # Safety
            /// What the interface asks of the guest.
            #[inline]
            pub unsafe fn $name($($argument: $type),*) $(-> $result)? {
                count(Hypercall::$call);
                // SAFETY: the caller keeps the interface's contract.
                unsafe { (hypervisor().calls.$name)($($argument),*) }
            }
        )*
    };
}

counted! {
    init Init(version: c_int, upcalls: *const Hyperup) -> c_int;
    exit Exit(status: c_int) -> !;
    getparam Getparam(name: *const c_char, value: *mut c_void, size: usize) -> c_int;
    malloc Malloc(size: usize, align: c_int, memory: *mut *mut c_void) -> c_int;
    free Free(memory: *mut c_void, size: usize);
    anonmmap Anonmmap(prefer: *mut c_void, size: usize, alignbit: c_int, exec: c_int, memory: *mut *mut c_void) -> c_int;
    unmap Unmap(memory: *mut c_void, size: usize);
    open Open(path: *const c_char, mode: c_int, fd: *mut c_int) -> c_int;
    close Close(fd: c_int) -> c_int;
    getfileinfo Getfileinfo(path: *const c_char, size: *mut u64, kind: *mut c_int) -> c_int;
    syncfd Syncfd(fd: c_int, flags: c_int, start: u64, length: u64) -> c_int;
    bio Bio(fd: c_int, op: c_int, data: *mut c_void, size: usize, offset: i64, done: BioDone, argument: *mut c_void);
    clock_gettime ClockGettime(which: c_int, seconds: *mut i64, nanoseconds: *mut c_long) -> c_int;
    clock_sleep ClockSleep(which: c_int, seconds: i64, nanoseconds: c_long) -> c_int;
    curlwp Curlwp() -> *mut Lwp;
    curlwpop Curlwpop(op: c_int, lwp: *mut Lwp);
    mutex_init MutexInit(mutex: *mut *mut c_void, flags: c_int);
    mutex_destroy MutexDestroy(mutex: *mut c_void);
    mutex_enter MutexEnter(mutex: *mut c_void);
    mutex_enter_nowrap MutexEnterNowrap(mutex: *mut c_void);
    mutex_tryenter MutexTryenter(mutex: *mut c_void) -> c_int;
    mutex_exit MutexExit(mutex: *mut c_void);
    mutex_owner MutexOwner(mutex: *mut c_void, owner: *mut *mut Lwp);
    rw_init RwInit(lock: *mut *mut c_void);
    rw_destroy RwDestroy(lock: *mut c_void);
    rw_enter RwEnter(how: c_int, lock: *mut c_void);
    rw_tryenter RwTryenter(how: c_int, lock: *mut c_void) -> c_int;
    rw_tryupgrade RwTryupgrade(lock: *mut c_void) -> c_int;
    rw_downgrade RwDowngrade(lock: *mut c_void);
    rw_exit RwExit(lock: *mut c_void);
    rw_held RwHeld(how: c_int, lock: *mut c_void, held: *mut c_int);
    cv_init CvInit(cv: *mut *mut c_void);
    cv_destroy CvDestroy(cv: *mut c_void);
    cv_wait CvWait(cv: *mut c_void, mutex: *mut c_void);
    cv_wait_nowrap CvWaitNowrap(cv: *mut c_void, mutex: *mut c_void);
    cv_timedwait CvTimedwait(cv: *mut c_void, mutex: *mut c_void, seconds: i64, nanoseconds: i64) -> c_int;
    cv_signal CvSignal(cv: *mut c_void);
    cv_broadcast CvBroadcast(cv: *mut c_void);
    cv_has_waiters CvHasWaiters(cv: *mut c_void, waiters: *mut c_int);
    thread_join ThreadJoin(cookie: *mut c_void) -> c_int;
    component_kthread ComponentKthread();
    component_kthread_release ComponentKthreadRelease();
    component_schedule ComponentSchedule(cookie: *mut c_void);
    component_unschedule ComponentUnschedule() -> *mut c_void;
    component_curlwp ComponentCurlwp() -> *mut Lwp;
    component_switchlwp ComponentSwitchlwp(lwp: *mut Lwp);
}

/// `rumpuser_thread_create`, counted.
///
/// # Safety
/// What the interface asks of the guest.
pub unsafe fn thread_create(
    main: ThreadMain,
    argument: *mut c_void,
    name: *const c_char,
    joinable: bool,
    cpu: c_int,
    cookie: *mut *mut c_void,
) -> c_int {
    // The guest has one priority for all.
    const PRIORITY: c_int = 0;
    count(Hypercall::ThreadCreate);
    // SAFETY: the caller keeps the interface's contract.
    unsafe { (hypervisor().calls.thread_create)(main, argument, name, c_int::from(joinable), PRIORITY, cpu, cookie) }
}

/// `rumpuser_dprintf` of one string, counted.
pub fn print(text: &core::ffi::CStr) {
    count(Hypercall::Dprintf);
    // SAFETY: the format takes one string.
    unsafe { (hypervisor().calls.dprintf)(c"%s".as_ptr(), text.as_ptr()) };
}
