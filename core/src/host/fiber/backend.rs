//! Fibers as a back end.

use super::strand::Fiber;
use crate::host::backend::Backend;
use crate::host::clock::{self, Time};
use crate::host::errno::Errno;
use crate::host::sync::{self, Owner};
use crate::host::thread::{self, Main};
use core::ffi::{CStr, c_void};
use std::sync::Arc;

/// All guest threads on one host thread; the locks are [`Native`](crate::host::backend::Native)'s.
#[derive(Clone, Copy, Debug)]
pub struct Fibers;

impl Backend for Fibers {
    type Mutex = sync::Monitor;
    type Rwlock = sync::Rwlock;
    type Condvar = sync::Condvar;

    #[inline]
    fn running_thread() -> Owner {
        super::identity().unwrap_or_else(crate::lwp::host_thread)
    }

    fn after_failed_try() {
        super::yield_now();
    }

    unsafe fn spawn(
        main: Main,
        argument: *mut c_void,
        name: Option<&CStr>,
        joinable: bool,
    ) -> Result<*mut c_void, Errno> {
        // SAFETY: the caller's word.
        let fiber = unsafe { super::spawn(main, argument, name) }?;
        // A fiber that is not joinable is its runner's alone, and the address tells nothing.
        Ok(if joinable { Arc::into_raw(fiber).cast_mut().cast() } else { core::ptr::null_mut() })
    }

    unsafe fn join(fiber: *mut c_void) -> Result<(), Errno> {
        // SAFETY: `spawn` gave it, and the caller joins it once.
        let fiber = unsafe { Arc::from_raw(fiber.cast_const().cast::<Fiber>()) };
        super::join(&fiber);
        Ok(())
    }

    unsafe fn exit() -> ! {
        // SAFETY: the caller's word.
        unsafe {
            super::exit();
            thread::exit()
        }
    }

    fn sleep_until(deadline: Time) -> Result<(), Errno> {
        if super::sleep_until(&deadline.into()) { Ok(()) } else { clock::sleep_until(deadline) }
    }

    fn block_on<R>(work: impl FnOnce() -> R) -> R {
        super::in_host_call(work)
    }

    fn leave() {
        super::leave();
    }

    fn come_back() {
        super::come_back();
    }
}
