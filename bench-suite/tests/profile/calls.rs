//! A process that makes every hypercall there is, from several threads, and knows how often.

use crate::process::end_if_it_hangs;
use crate::tally::{self, count};
use core::ffi::{c_char, c_int, c_long, c_void};
use core::ptr::{self, null_mut};
use rumpscope_bench_suite::hypervisor::Hypervisor;
use rumpscope_probes::Hypercall;
use rumpuser::abi::types::{self, Component, Evcnt, Hyperup, Iovec, Lwp, Modinfo, lwp_op};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::mpsc;

/// How often calls that are timed by sampling are made in a row: more than are ever left out between two samples.
const MANY: u32 = 3000;
/// How long each `clock_sleep` takes, in nanoseconds.
pub const SLEEP: c_long = 5_000_000;
/// Threads that make all the calls.
const THREADS: usize = 3;
/// What the process tells whoever started it, when it goes into the background.
pub const IN_BACKGROUND: c_int = 42;

macro_rules! call {
    ($hypervisor:expr, $call:ident $name:ident($($argument:expr),*)) => {{
        count(Hypercall::$call);
        // SAFETY: everything below keeps the interface's contract: objects are made before they are used and ended once,
        // locks are given back by who has them, and pointers are to places that stay until the call returns.
        unsafe { ($hypervisor.calls.$name)($($argument),*) }
    }};
}

/// Makes the calls, and ends by the last of them.
pub fn main(hypervisor: Hypervisor) -> ! {
    let hypervisor: &'static Hypervisor = Box::leak(Box::new(hypervisor));
    let upcalls = upcalls();
    assert_eq!(call!(hypervisor, Init init(types::VERSION, &upcalls)), 0);
    // The process that goes on is a copy of this one; so this comes before there are threads.
    assert_eq!(call!(hypervisor, DaemonizeBegin daemonize_begin()), 0);
    end_if_it_hangs();
    assert_eq!(call!(hypervisor, DaemonizeDone daemonize_done(IN_BACKGROUND)), 0);
    let lwp: *mut Lwp = ptr::from_ref(&upcalls).cast_mut().cast();
    call!(hypervisor, Curlwpop curlwpop(lwp_op::SET, lwp));
    call!(hypervisor, DlBootstrap dl_bootstrap(modinit, symload, compload, evcntattach));
    let threads: Vec<_> = (0..THREADS).map(|_| create(hypervisor, every_call)).collect();
    fork_that_is_not_counted(hypervisor);
    for thread in threads {
        join(hypervisor, thread);
    }
    // Threads that ended have left their counts to others; those go on with them.
    join(hypervisor, create(hypervisor, every_call));
    count(Hypercall::Exit);
    tally::tell_counts();
    // SAFETY: ends the process.
    unsafe { (hypervisor.calls.exit)(0) }
}

extern "C" fn every_call(hypervisor: *mut c_void) -> *mut c_void {
    // SAFETY: `create` gives the library, which stays for ever.
    let hypervisor = unsafe { &*hypervisor.cast::<Hypervisor>() };
    let mut body = 0_u64;
    let lwp: *mut Lwp = ptr::from_mut(&mut body).cast();
    call!(hypervisor, Curlwpop curlwpop(lwp_op::CREATE, lwp));
    call!(hypervisor, Curlwpop curlwpop(lwp_op::SET, lwp));
    for _ in 0..MANY {
        assert_eq!(call!(hypervisor, Curlwp curlwp()), lwp);
    }
    host(hypervisor);
    memory(hypervisor);
    files(hypervisor);
    clocks(hypervisor);
    mutexes(hypervisor, lwp);
    rwlocks(hypervisor);
    condvars(hypervisor);
    components(hypervisor);
    sysproxy(hypervisor);
    call!(hypervisor, Curlwpop curlwpop(lwp_op::CLEAR, lwp));
    call!(hypervisor, Curlwpop curlwpop(lwp_op::DESTROY, lwp));
    count(Hypercall::ThreadExit);
    // SAFETY: no frame of this thread needs to be left in order.
    unsafe { (hypervisor.calls.thread_exit)() }
}

fn create(hypervisor: &'static Hypervisor, main: extern "C" fn(*mut c_void) -> *mut c_void) -> *mut c_void {
    let mut cookie = null_mut();
    let argument = ptr::from_ref(hypervisor).cast_mut().cast();
    let error = call!(hypervisor, ThreadCreate thread_create(main, argument, c"all".as_ptr(), 1, 0, -1, &mut cookie));
    assert_eq!(error, 0);
    cookie
}

fn join(hypervisor: &Hypervisor, thread: *mut c_void) {
    assert_eq!(call!(hypervisor, ThreadJoin thread_join(thread)), 0);
}

/// A copy of the process makes calls, too; they are not the guest's.
fn fork_that_is_not_counted(hypervisor: &Hypervisor) {
    // SAFETY: the child makes only calls that take no lock which another thread may hold.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let (mut seconds, mut nanoseconds) = (0, 0);
        for _ in 0..MANY {
            // SAFETY: both may be written; `_exit` ends the child.
            unsafe {
                (hypervisor.calls.curlwp)();
                (hypervisor.calls.clock_gettime)(types::clock::ABSMONO, &mut seconds, &mut nanoseconds);
                (hypervisor.calls.clock_sleep)(types::clock::RELWALL, 0, 0);
            }
        }
        // SAFETY: as above.
        unsafe { libc::_exit(0) }
    }
    let mut status = 0;
    // SAFETY: our own child; `status` may be written.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
}

fn host(hypervisor: &Hypervisor) {
    let mut text = [0_u8; 64];
    let buffer = text.as_mut_ptr().cast();
    assert_eq!(call!(hypervisor, Getparam getparam(c"_RUMPUSER_NCPU".as_ptr(), buffer, text.len())), 0);
    assert_ne!(call!(hypervisor, Getparam getparam(c"RUMP_NO_SUCH".as_ptr(), buffer, text.len())), 0);
    for _ in 0..MANY {
        call!(hypervisor, Seterrno seterrno(0));
    }
    assert_eq!(call!(hypervisor, Kill kill(-1, 0)), 0);
    call!(hypervisor, Putchar putchar(b'\n'.into()));
    call!(hypervisor, Dprintf dprintf(c"%s".as_ptr(), c"".as_ptr()));
    let mut got = 0;
    assert_eq!(call!(hypervisor, Getrandom getrandom(buffer, 16, 0, &mut got)), 0);
}

fn memory(hypervisor: &Hypervisor) {
    let mut memory = null_mut();
    // A failed call is a call.
    assert_ne!(call!(hypervisor, Malloc malloc(8, 3, &mut memory)), 0);
    assert_eq!(call!(hypervisor, Malloc malloc(100, 0, &mut memory)), 0);
    call!(hypervisor, Free free(memory, 100));
    assert_eq!(call!(hypervisor, Anonmmap anonmmap(null_mut(), 4096, 0, 0, &mut memory)), 0);
    call!(hypervisor, Unmap unmap(memory, 4096));
}

fn files(hypervisor: &Hypervisor) {
    use types::{bio, open, sync};
    let name = format!("{}/all-calls-{}-{:?}", env!("CARGO_TARGET_TMPDIR"), std::process::id(), lwp_of(hypervisor));
    let path = std::ffi::CString::new(name).expect("no zero in it");
    let path: *const c_char = path.as_ptr();
    let mut fd = -1;
    assert_eq!(call!(hypervisor, Open open(path, open::RDWR | open::CREATE, &mut fd)), 0);
    let mut data = [7_u8; 512];
    let mut moved = 0;
    let mut buffer = Iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
    assert_eq!(call!(hypervisor, Iovwrite iovwrite(fd, &buffer, 1, 0, &mut moved)), 0);
    assert_eq!(call!(hypervisor, Iovread iovread(fd, &mut buffer, 1, 0, &mut moved)), 0);
    assert_eq!(call!(hypervisor, Syncfd syncfd(fd, sync::WRITE | sync::SYNC, 0, 0)), 0);
    for operation in [bio::WRITE, bio::READ, bio::WRITE | bio::SYNC] {
        let (told, completion) = mpsc::channel::<()>();
        let argument = Box::into_raw(Box::new(told)).cast();
        call!(hypervisor, Bio bio(fd, operation, data.as_mut_ptr().cast(), data.len(), 0, done, argument));
        // It may have been made inside the call: this thread does not give up its virtual CPU for it then.
        tell_completed();
        completion.recv().expect("a completion");
    }
    assert_eq!(call!(hypervisor, Close close(fd)), 0);
    let (mut size, mut kind) = (0, 0);
    assert_eq!(call!(hypervisor, Getfileinfo getfileinfo(path, &mut size, &mut kind)), 0);
    // SAFETY: a path of our own.
    assert_eq!(unsafe { libc::unlink(path) }, 0);
}

fn lwp_of(hypervisor: &Hypervisor) -> *mut Lwp {
    call!(hypervisor, Curlwp curlwp())
}

thread_local! {
    /// Whom to tell when the completion that this thread has just made is over.
    static TOLD: core::cell::Cell<*mut c_void> = const { core::cell::Cell::new(null_mut()) };
}

unsafe extern "C" fn done(argument: *mut c_void, bytes: usize, error: c_int) {
    assert_eq!((bytes, error), (512, 0));
    count(Hypercall::BioDone);
    TOLD.set(argument);
}

/// The thread of a completion gives up its virtual CPU after it: the completion has been counted then.
unsafe extern "C" fn unschedule() {
    tell_completed();
}

fn tell_completed() {
    let told = TOLD.replace(null_mut());
    if !told.is_null() {
        // SAFETY: from `files`, once.
        let told = *unsafe { Box::from_raw(told.cast::<mpsc::Sender<()>>()) };
        told.send(()).expect("somebody waits");
    }
}

fn clocks(hypervisor: &Hypervisor) {
    let (mut seconds, mut nanoseconds) = (0, 0);
    assert_eq!(call!(hypervisor, ClockGettime clock_gettime(types::clock::ABSMONO, &mut seconds, &mut nanoseconds)), 0);
    for _ in 0..3 {
        assert_eq!(call!(hypervisor, ClockSleep clock_sleep(types::clock::RELWALL, 0, SLEEP)), 0);
    }
}

fn mutexes(hypervisor: &Hypervisor, me: *mut Lwp) {
    let mut mutex = null_mut();
    call!(hypervisor, MutexInit mutex_init(&mut mutex, types::mutex::KMUTEX));
    call!(hypervisor, MutexEnter mutex_enter(mutex));
    let mut owner = null_mut();
    for _ in 0..MANY {
        call!(hypervisor, MutexOwner mutex_owner(mutex, &mut owner));
        assert_eq!(owner, me);
    }
    assert_ne!(call!(hypervisor, MutexTryenter mutex_tryenter(mutex)), 0);
    call!(hypervisor, MutexExit mutex_exit(mutex));
    call!(hypervisor, MutexDestroy mutex_destroy(mutex));
    call!(hypervisor, MutexInit mutex_init(&mut mutex, types::mutex::SPIN));
    call!(hypervisor, MutexEnterNowrap mutex_enter_nowrap(mutex));
    call!(hypervisor, MutexExit mutex_exit(mutex));
    let spin_p = hypervisor.calls.mutex_spin_p.expect("our library has it");
    for _ in 0..MANY {
        count(Hypercall::MutexSpinP);
        // SAFETY: a mutex.
        assert_ne!(unsafe { spin_p(mutex) }, 0);
    }
    call!(hypervisor, MutexDestroy mutex_destroy(mutex));
}

fn rwlocks(hypervisor: &Hypervisor) {
    use types::rw;
    let mut lock = null_mut();
    call!(hypervisor, RwInit rw_init(&mut lock));
    call!(hypervisor, RwEnter rw_enter(rw::READER, lock));
    assert_eq!(call!(hypervisor, RwTryupgrade rw_tryupgrade(lock)), 0);
    assert_ne!(call!(hypervisor, RwTryenter rw_tryenter(rw::READER, lock)), 0);
    call!(hypervisor, RwDowngrade rw_downgrade(lock));
    let mut held = 0;
    for _ in 0..MANY {
        call!(hypervisor, RwHeld rw_held(rw::READER, lock, &mut held));
        assert_ne!(held, 0);
    }
    call!(hypervisor, RwExit rw_exit(lock));
    call!(hypervisor, RwDestroy rw_destroy(lock));
}

/// A condition that one thread waits for and another makes true.
struct Condition {
    hypervisor: &'static Hypervisor,
    mutex: AtomicPtr<c_void>,
    condvar: AtomicPtr<c_void>,
    met: AtomicBool,
}

extern "C" fn meet(condition: *mut c_void) -> *mut c_void {
    // SAFETY: from `condvars`, which waits for this thread.
    let condition = unsafe { &*condition.cast::<Condition>() };
    let hypervisor = condition.hypervisor;
    // Relaxed: this thread was made after both were set.
    let (mutex, condvar) = (condition.mutex.load(Ordering::Relaxed), condition.condvar.load(Ordering::Relaxed));
    call!(hypervisor, MutexEnterNowrap mutex_enter_nowrap(mutex));
    // Relaxed: protected by the mutex.
    condition.met.store(true, Ordering::Relaxed);
    call!(hypervisor, CvSignal cv_signal(condvar));
    call!(hypervisor, CvBroadcast cv_broadcast(condvar));
    call!(hypervisor, MutexExit mutex_exit(mutex));
    null_mut()
}

fn condvars(hypervisor: &Hypervisor) {
    // SAFETY: `main` leaked it.
    let hypervisor: &'static Hypervisor = unsafe { &*ptr::from_ref(hypervisor) };
    let (mut mutex, mut condvar) = (null_mut(), null_mut());
    call!(hypervisor, MutexInit mutex_init(&mut mutex, types::mutex::SPIN));
    call!(hypervisor, CvInit cv_init(&mut condvar));
    for wrapped in [true, false] {
        let condition = Condition {
            hypervisor,
            mutex: AtomicPtr::new(mutex),
            condvar: AtomicPtr::new(condvar),
            met: AtomicBool::new(false),
        };
        call!(hypervisor, MutexEnterNowrap mutex_enter_nowrap(mutex));
        let mut cookie = null_mut();
        let argument = ptr::from_ref(&condition).cast_mut().cast();
        let name = c"meets".as_ptr();
        assert_eq!(call!(hypervisor, ThreadCreate thread_create(meet, argument, name, 1, 0, -1, &mut cookie)), 0);
        // Relaxed: protected by the mutex.
        while !condition.met.load(Ordering::Relaxed) {
            if wrapped {
                call!(hypervisor, CvWait cv_wait(condvar, mutex));
            } else {
                call!(hypervisor, CvWaitNowrap cv_wait_nowrap(condvar, mutex));
            }
        }
        call!(hypervisor, MutexExit mutex_exit(mutex));
        join(hypervisor, cookie);
    }
    call!(hypervisor, MutexEnter mutex_enter(mutex));
    assert_ne!(call!(hypervisor, CvTimedwait cv_timedwait(condvar, mutex, 0, 1000)), 0);
    call!(hypervisor, MutexExit mutex_exit(mutex));
    let mut waiters = -1;
    for _ in 0..MANY {
        call!(hypervisor, CvHasWaiters cv_has_waiters(condvar, &mut waiters));
        assert_eq!(waiters, 0);
    }
    call!(hypervisor, CvDestroy cv_destroy(condvar));
    call!(hypervisor, MutexDestroy mutex_destroy(mutex));
}

fn components(hypervisor: &Hypervisor) {
    let cookie = call!(hypervisor, ComponentUnschedule component_unschedule());
    call!(hypervisor, ComponentSchedule component_schedule(cookie));
    call!(hypervisor, ComponentKthread component_kthread());
    call!(hypervisor, ComponentKthreadRelease component_kthread_release());
    call!(hypervisor, ComponentSwitchlwp component_switchlwp(null_mut()));
    call!(hypervisor, ComponentCurlwp component_curlwp());
    for _ in 0..MANY {
        assert_eq!(call!(hypervisor, ComponentErrtrans component_errtrans(libc::EAGAIN)), 35);
    }
}

fn sysproxy(hypervisor: &Hypervisor) {
    let name = c"unix://nowhere".as_ptr();
    let (mut size, mut memory) = (0, null_mut());
    call!(hypervisor, SpInit sp_init(name, name, name, name));
    call!(hypervisor, SpCopyin sp_copyin(null_mut(), ptr::null(), null_mut(), 0));
    call!(hypervisor, SpCopyinstr sp_copyinstr(null_mut(), ptr::null(), null_mut(), &mut size));
    call!(hypervisor, SpCopyout sp_copyout(null_mut(), ptr::null(), null_mut(), 0));
    call!(hypervisor, SpCopyoutstr sp_copyoutstr(null_mut(), ptr::null(), null_mut(), &mut size));
    call!(hypervisor, SpAnonmmap sp_anonmmap(null_mut(), 0, &mut memory));
    call!(hypervisor, SpRaise sp_raise(null_mut(), 1));
    call!(hypervisor, SpFini sp_fini(null_mut()));
}

unsafe extern "C" fn modinit(_: *const *const Modinfo, _: usize) {}

unsafe extern "C" fn symload(_: *mut c_void, _: u64, _: *mut c_char, _: u64) -> c_int {
    0
}

unsafe extern "C" fn compload(_: *const Component) {}

unsafe extern "C" fn evcntattach(_: *mut Evcnt) {}

/// A guest with as many virtual CPUs as there are threads: giving one up or taking one is nothing.
fn upcalls() -> Hyperup {
    unsafe extern "C" fn nothing() {}
    unsafe extern "C" fn backend_unschedule(_: c_int, nlocks: *mut c_int, _: *mut c_void) {
        // SAFETY: the hypervisor's variable.
        unsafe { nlocks.write(0) };
    }
    unsafe extern "C" fn backend_schedule(_: c_int, _: *mut c_void) {}
    unsafe extern "C" fn lwproc_switch(_: *mut Lwp) {}
    unsafe extern "C" fn lwproc_rfork(_: *mut c_void, _: c_int, _: *const c_char) -> c_int {
        0
    }
    unsafe extern "C" fn lwproc_newlwp(_: libc::pid_t) -> c_int {
        0
    }
    unsafe extern "C" fn lwproc_curlwp() -> *mut Lwp {
        null_mut()
    }
    unsafe extern "C" fn syscall(_: c_int, _: *mut c_void, _: *mut c_long) -> c_int {
        0
    }
    unsafe extern "C" fn execnotify(_: *const c_char) {}
    unsafe extern "C" fn getpid() -> libc::pid_t {
        1
    }
    Hyperup {
        schedule: nothing,
        unschedule,
        backend_unschedule,
        backend_schedule,
        lwproc_switch,
        lwproc_release: nothing,
        lwproc_rfork,
        lwproc_newlwp,
        lwproc_curlwp,
        syscall,
        lwpexit: nothing,
        execnotify,
        getpid,
        extra: [null_mut(); 8],
    }
}
