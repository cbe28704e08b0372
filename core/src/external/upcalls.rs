//! The upcalls that the other library gets: each passes on to the guest's, seen by the probes.

use super::call_under_way;
use crate::abi::block::Done;
use crate::abi::types::{Hyperup, Lwp};
use crate::host::diagnostic;
use crate::upcall::{in_upcall, table as guest};
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, Ordering};
use libc::{c_char, c_int, c_long, c_void, pid_t};
use rumpscope_probes::transition::{Direction, apart, visit_end};
use rumpscope_probes::{Hypercall, measure};

struct Upcalls(Hyperup);

// SAFETY: functions, and spare slots that are null.
unsafe impl Sync for Upcalls {}

static UPCALLS: Upcalls = Upcalls(Hyperup {
    schedule,
    unschedule,
    backend_unschedule,
    backend_schedule,
    lwproc_switch,
    lwproc_release,
    lwproc_rfork,
    lwproc_newlwp,
    lwproc_curlwp,
    syscall,
    lwpexit,
    execnotify,
    getpid,
    extra: [core::ptr::null_mut(); 8],
});

/// What the other library is initialised with, instead of the guest's own table.
pub(crate) fn table() -> *const Hyperup {
    &UPCALLS.0
}

thread_local! {
    /// Whether the calling thread is known to serve remote clients.
    static SERVES: Cell<bool> = const { Cell::new(false) };
}

/// Whether there were block transfers.
static TRANSFERS: AtomicBool = AtomicBool::new(false);

/// On whose account the calling thread makes an upcall. Outside of any hypercall it is a thread of the library's own: one
/// that serves clients, or one that completes block transfers. Which of them, shows when it serves.
fn cause() -> Hypercall {
    call_under_way().unwrap_or_else(|| {
        // Relaxed: a transfer that this thread completes went through a lock of the library.
        let serves = SERVES.get() || !TRANSFERS.load(Ordering::Relaxed);
        if serves { Hypercall::SpInit } else { Hypercall::BioDone }
    })
}

/// The guest's own upcalls. It has handed them over before the other library got these.
fn guests() -> &'static Hyperup {
    guest().unwrap_or_else(|| diagnostic::fatal("init", format_args!("an upcall before the guest has told its own")))
}

unsafe extern "C" fn schedule() {
    // SAFETY: as the other library calls this one, here and below.
    in_upcall(cause(), Direction::Schedule, || unsafe { (guests().schedule)() });
}

unsafe extern "C" fn unschedule() {
    // SAFETY: as above.
    in_upcall(cause(), Direction::Unschedule, || unsafe { (guests().unschedule)() });
    visit_end();
}

unsafe extern "C" fn backend_unschedule(reserved: c_int, nlocks: *mut c_int, interlock: *mut c_void) {
    // SAFETY: as above.
    let upcall = || unsafe { (guests().backend_unschedule)(reserved, nlocks, interlock) };
    in_upcall(cause(), Direction::Unschedule, upcall);
}

unsafe extern "C" fn backend_schedule(nlocks: c_int, interlock: *mut c_void) {
    // SAFETY: as above.
    in_upcall(cause(), Direction::Schedule, || unsafe { (guests().backend_schedule)(nlocks, interlock) });
}

unsafe extern "C" fn lwproc_switch(lwp: *mut Lwp) {
    // SAFETY: as above.
    apart(|| unsafe { (guests().lwproc_switch)(lwp) });
}

unsafe extern "C" fn lwproc_release() {
    // SAFETY: as above.
    apart(|| unsafe { (guests().lwproc_release)() });
}

unsafe extern "C" fn lwproc_rfork(client: *mut c_void, flags: c_int, name: *const c_char) -> c_int {
    SERVES.set(true);
    // SAFETY: as above.
    apart(|| unsafe { (guests().lwproc_rfork)(client, flags, name) })
}

unsafe extern "C" fn lwproc_newlwp(process: pid_t) -> c_int {
    // SAFETY: as above.
    apart(|| unsafe { (guests().lwproc_newlwp)(process) })
}

unsafe extern "C" fn lwproc_curlwp() -> *mut Lwp {
    // SAFETY: as above.
    apart(|| unsafe { (guests().lwproc_curlwp)() })
}

unsafe extern "C" fn syscall(number: c_int, arguments: *mut c_void, result: *mut c_long) -> c_int {
    SERVES.set(true);
    // SAFETY: as above.
    apart(|| unsafe { (guests().syscall)(number, arguments, result) })
}

unsafe extern "C" fn lwpexit() {
    // SAFETY: as above.
    apart(|| unsafe { (guests().lwpexit)() });
}

unsafe extern "C" fn execnotify(name: *const c_char) {
    // SAFETY: as above.
    apart(|| unsafe { (guests().execnotify)(name) });
}

unsafe extern "C" fn getpid() -> pid_t {
    // SAFETY: as above.
    apart(|| unsafe { (guests().getpid)() })
}

/// Whom the guest wants to be told of a block transfer's end.
struct Told {
    done: Done,
    argument: *mut c_void,
}

/// `done` and its argument, for the other library to call instead: once.
pub(crate) fn completion(done: Done, argument: *mut c_void) -> (Done, *mut c_void) {
    // Relaxed: see `cause`.
    TRANSFERS.store(true, Ordering::Relaxed);
    (complete, Box::into_raw(Box::new(Told { done, argument })).cast())
}

unsafe extern "C" fn complete(told: *mut c_void, bytes: usize, error: c_int) {
    // SAFETY: from `completion`; a library calls it once for a transfer.
    let told = unsafe { Box::from_raw(told.cast::<Told>()) };
    // SAFETY: the guest's own function and argument.
    apart(|| measure(Hypercall::BioDone, || unsafe { (told.done)(told.argument, bytes, error) }));
}
