//! Clocks, threads, parameters, randomness, signals, the console and drivers' services.

use super::{Outcome, c_string, outcome};
use crate::conformance::guest::{Lwp, guest};
use crate::hypervisor::ThreadMain;
use core::ptr::null_mut;
use libc::{c_char, c_int, c_long, c_void};
use rumpuser::abi::types::Hyperup;
use std::time::Duration;

/// Seconds and nanoseconds of a clock.
pub(crate) fn clock(which: c_int) -> Outcome<(i64, c_long)> {
    let (mut seconds, mut nanoseconds) = (i64::MIN, c_long::MIN);
    let error = hypercall!(clock_gettime(which, &mut seconds, &mut nanoseconds));
    outcome(error, (seconds, nanoseconds))
}

pub(crate) fn sleep(which: c_int, seconds: i64, nanoseconds: c_long) -> Outcome {
    outcome(hypercall!(clock_sleep(which, seconds, nanoseconds)), ())
}

/// The host's clock, for comparison.
pub(crate) fn host_clock(id: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes the time to a local.
    assert_eq!(unsafe { libc::clock_gettime(id, &mut time) }, 0);
    duration(time.tv_sec, time.tv_nsec)
}

pub(crate) fn duration(seconds: i64, nanoseconds: i64) -> Duration {
    assert!((0..1_000_000_000).contains(&nanoseconds), "nanoseconds: {nanoseconds}");
    Duration::new(seconds.try_into().expect("not negative"), nanoseconds.try_into().expect("below a second"))
}

/// What a parameter's buffer is filled with before the call.
pub(crate) const UNTOUCHED: u8 = 0xa5;

/// The outcome for a buffer that says it has `size` bytes, and the whole of the memory around it, which is larger.
pub(crate) fn parameter_into(name: &str, size: usize) -> (Outcome, Vec<u8>) {
    let name = c_string(name);
    let mut memory = vec![UNTOUCHED; size + 512];
    let error = hypercall!(getparam(name.as_ptr(), memory.as_mut_ptr().cast::<c_void>(), size));
    (outcome(error, ()), memory)
}

/// A parameter, with ample room for it.
pub(crate) fn parameter(name: &str) -> Outcome<String> {
    let (outcome, memory) = parameter_into(name, 256);
    let end = memory.iter().position(|byte| *byte == 0);
    outcome.map(|()| String::from_utf8(memory[..end.expect("a NUL at the end")].to_vec()).expect("text"))
}

/// How many bytes of `memory` were filled.
pub(crate) fn random(memory: &mut [u8], flags: c_int) -> Outcome<usize> {
    let mut bytes = usize::MAX;
    let error = hypercall!(getrandom(memory.as_mut_ptr().cast::<c_void>(), memory.len(), flags, &mut bytes));
    outcome(error, bytes)
}

pub(crate) fn kill(process: i64, signal: c_int) -> Outcome {
    outcome(hypercall!(kill(process, signal)), ())
}

/// `init`; `table` is null or a table that outlives the call.
pub(crate) fn hypercall_init(version: c_int, table: *const Hyperup) -> c_int {
    hypercall!(init(version, table))
}

pub(crate) fn exit(status: c_int) -> ! {
    hypercall!(exit(status))
}

pub(crate) fn put_char(character: c_int) {
    hypercall!(putchar(character));
}

/// Text on the console, character by character as the guest does it.
pub(crate) fn put_text(text: &str) {
    for byte in text.bytes() {
        put_char(c_int::from(byte));
    }
}

pub(crate) fn set_errno(number: c_int) {
    hypercall!(seterrno(number));
}

/// The host's `errno` of the calling thread.
pub(crate) fn errno() -> c_int {
    // SAFETY: the address of the calling thread's `errno` is always valid.
    unsafe { *libc::__errno_location() }
}

/// How a thread is to be created.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadPlan<'n> {
    pub(crate) name: Option<&'n str>,
    pub(crate) joinable: bool,
    pub(crate) priority: c_int,
    pub(crate) cpu: c_int,
}

impl ThreadPlan<'static> {
    pub(crate) const JOINABLE: Self = ThreadPlan { name: Some("conformance"), joinable: true, priority: 0, cpu: -1 };
    pub(crate) const DETACHED: Self = ThreadPlan { joinable: false, ..Self::JOINABLE };
}

/// What names a joinable thread to the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cookie(pub(crate) *mut c_void);

// SAFETY: only a name.
unsafe impl Send for Cookie {}

impl ThreadPlan<'_> {
    /// Creates the thread; `cookie` is what it held before where the library does not write it.
    pub(crate) fn create_into(self, main: ThreadMain, argument: *mut c_void, cookie: &mut Cookie) -> Outcome {
        let name = self.name.map(c_string);
        let name = name.as_ref().map_or(core::ptr::null(), |name| name.as_ptr().cast::<c_char>());
        let place = if self.joinable { &raw mut cookie.0 } else { null_mut() };
        let joinable = c_int::from(self.joinable);
        outcome(hypercall!(thread_create(main, argument, name, joinable, self.priority, self.cpu, place)), ())
    }

    pub(crate) fn create(self, main: ThreadMain, argument: *mut c_void) -> Outcome<Cookie> {
        let mut cookie = Cookie(null_mut());
        self.create_into(main, argument, &mut cookie)?;
        Ok(cookie)
    }
}

/// Ends the calling thread. No frame up to the thread's main function may have anything to drop.
pub(crate) fn thread_exit() -> ! {
    let exit = guest().calls.thread_exit;
    // SAFETY: the same type but for unwinding, which is how most hosts end a thread.
    let exit: unsafe extern "C-unwind" fn() -> ! = unsafe { core::mem::transmute(exit) };
    // SAFETY: called by a thread that the library created.
    unsafe { exit() }
}

/// A thread's main function that calls [`thread_exit`].
pub(crate) type ExitingMain = extern "C-unwind" fn(*mut c_void) -> *mut c_void;

/// The same as the interface wants it.
pub(crate) fn exiting(main: ExitingMain) -> ThreadMain {
    // SAFETY: the same type but for unwinding; the library only starts a thread with it.
    unsafe { core::mem::transmute(main) }
}

pub(crate) fn thread_join(cookie: Cookie) -> Outcome {
    outcome(hypercall!(thread_join(cookie.0)), ())
}

pub(crate) fn component_unschedule() -> *mut c_void {
    hypercall!(component_unschedule())
}

pub(crate) fn component_schedule(cookie: *mut c_void) {
    hypercall!(component_schedule(cookie));
}

pub(crate) fn component_kthread() {
    hypercall!(component_kthread());
}

pub(crate) fn component_kthread_release() {
    hypercall!(component_kthread_release());
}

pub(crate) fn component_curlwp() -> Lwp {
    Lwp::from_ptr(hypercall!(component_curlwp()))
}

pub(crate) fn component_switchlwp(lwp: Lwp) {
    hypercall!(component_switchlwp(lwp.as_ptr()));
}

pub(crate) fn errtrans(host: c_int) -> c_int {
    hypercall!(component_errtrans(host))
}

pub(crate) fn daemonize_begin() -> Outcome {
    outcome(hypercall!(daemonize_begin()), ())
}

pub(crate) fn daemonize_done(error: c_int) -> Outcome {
    outcome(hypercall!(daemonize_done(error)), ())
}
