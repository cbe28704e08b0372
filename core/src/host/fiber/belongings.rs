//! What of its host thread is a fiber's own.

use super::guest_storage;
use crate::abi::types::Lwp;
use crate::lwp;
use core::ops::Range;
use core::ptr;
use libc::c_int;
use rumpscope_probes::Context;

/// A host thread that runs fibers: what must be known of it to run one.
#[derive(Debug)]
pub(super) struct Host {
    /// Where it has the guest's thread-local storage; null where the guest has none.
    guest_storage: *mut u8,
}

impl Host {
    /// The calling thread.
    pub(super) fn new() -> Self {
        Host { guest_storage: guest_storage::of_this_thread() }
    }
}

/// Of a fiber that is paused: its own. While it runs: the host thread's.
#[derive(Debug)]
pub(super) struct Belongings {
    lwp: *mut Lwp,
    errno: c_int,
    measuring: Context,
    guest_storage: Box<[u8]>,
}

impl Belongings {
    /// Those of a new fiber on that stack.
    pub(super) fn new(stack: Range<usize>) -> Self {
        Belongings {
            lwp: ptr::null_mut(),
            errno: 0,
            measuring: Context::on_stack(stack),
            guest_storage: guest_storage::initial(),
        }
    }

    /// Exchanges them with those in the calling thread, which is `host`.
    pub(super) fn exchange(&mut self, host: &Host) {
        let lwp = lwp::current();
        lwp::set_current(self.lwp);
        self.lwp = lwp;
        self.measuring.exchange();
        if !host.guest_storage.is_null() {
            // SAFETY: the calling thread's storage of this size, which the guest, not running now, does not use.
            unsafe {
                ptr::swap_nonoverlapping(host.guest_storage, self.guest_storage.as_mut_ptr(), self.guest_storage.len())
            };
        }
        // Last: nothing above may change it.
        // SAFETY: the calling thread's own.
        unsafe { ptr::swap(libc::__errno_location(), &mut self.errno) };
    }
}
