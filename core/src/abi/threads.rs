//! Host threads for the guest.

use super::result;
use super::seam::{self, Other, on_backend};
use crate::host::backend::{Backend, Native};
use crate::host::diagnostic;
use crate::host::errno::Errno;
use crate::host::fiber::Fibers;
use crate::host::pthread::Pthread;
use crate::host::thread;
use crate::upcall;
use core::ffi::{CStr, c_void};
use libc::{c_char, c_int};
use rumpscope_probes::{Hypercall, measure};
use std::time::Duration;

/// How often a thread is asked for again where the host has no room for it, and how long after one another: the guest's kernel
/// gives up without it, and one that has been joined counts a little longer for the host.
const TRIES: u32 = 10;
const MOMENT: Duration = Duration::from_millis(10);

/// Starts a host thread that runs `main(argument)`. The name is set before `main` runs. Where the host has no room for
/// another thread, and has none a moment later, that is the caller's error (`EAGAIN`). A joinable thread needs `cookie`,
/// which [`rumpuser_thread_join`] takes.
///
/// Two arguments have no effect with back ends of ours. `priority`: a guest thread runs while it holds a virtual CPU, so
/// a host thread with less than the others' share of the host would stall all who want the same virtual CPU; more than
/// their share takes privileges. `cpu`, the virtual CPU that the thread will be bound to: the guest keeps that promise
/// itself, on whichever host CPU; host threads that are pinned for it wait for each other where there are fewer host CPUs.
///
/// # Safety
/// `main` may be called with `argument` on another thread; `name` is a string or null; `cookie` may be written unless
/// it is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_thread_create(
    main: thread::Main,
    argument: *mut c_void,
    name: *const c_char,
    joinable: c_int,
    priority: c_int,
    cpu: c_int,
    cookie: *mut *mut c_void,
) -> c_int {
    let call = Hypercall::ThreadCreate;
    on_backend!(call, thread_create(main, argument, name, joinable, priority, cpu, cookie), B => measure(call, || {
        let joinable = joinable != 0;
        if joinable && cookie.is_null() {
            diagnostic::warn("thread_create", format_args!("a joinable thread without a cookie could not be joined"));
            return result(Err(Errno(libc::EINVAL)));
        }
        // SAFETY: a string, says the caller.
        let name = (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) });
        // SAFETY: the caller's word.
        let spawn = || unsafe { B::spawn(main, argument, name, joinable) };
        let mut spawned = spawn();
        for _ in 0..TRIES {
            if spawned != Err(Errno(libc::EAGAIN)) {
                break;
            }
            seam::off_cpu(call, || std::thread::sleep(MOMENT));
            spawned = spawn();
        }
        result(spawned.map(|thread| {
            if joinable {
                // SAFETY: not null, so it may be written.
                unsafe { cookie.write(thread) };
            }
        }))
    }))
}

/// Ends the calling host thread, from any depth, as if its main function had returned.
///
/// # Safety
/// No function between the thread's main one and this call needs to run its end.
// "C-unwind" for hosts where ending a thread unwinds.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn rumpuser_thread_exit() -> ! {
    measure(Hypercall::ThreadExit, || ());
    match seam::other() {
        // SAFETY: the caller's word; no destructor is pending here, nor below.
        Some(Other::External(library)) => unsafe { (library.thread_exit)() },
        // SAFETY: as above.
        Some(Other::Pthread) => unsafe { Pthread::exit() },
        // SAFETY: as above.
        Some(Other::Fibers) => unsafe { Fibers::exit() },
        // SAFETY: as above.
        None => unsafe { Native::exit() },
    }
}

/// Waits, off the virtual CPU, for a joinable thread to end.
///
/// # Safety
/// `cookie` is that of a joinable thread which nobody has joined.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_thread_join(cookie: *mut c_void) -> c_int {
    let call = Hypercall::ThreadJoin;
    on_backend!(call, thread_join(cookie), B => {
        // SAFETY: the caller's word.
        measure(call, || result(upcall::off_cpu(call, || unsafe { B::join(cookie) })))
    })
}
