//! Block I/O: a transfer, and what its completion saw.

use crate::conformance::guest::{DEADLINE, Event, Lwp, guest};
use libc::{c_int, c_void, pid_t};
use std::sync::{Condvar, Mutex};

/// What the completion was told, and where it ran.
#[derive(Clone, Debug)]
pub(crate) struct Completion {
    pub(crate) bytes: usize,
    pub(crate) error: c_int,
    /// The buffer.
    pub(crate) data: Vec<u8>,
    /// The host thread that ran it.
    pub(crate) tid: pid_t,
    /// The lwp of that thread, as the library knows it.
    pub(crate) lwp: Lwp,
    /// How often completion was told so far.
    pub(crate) times: usize,
}

/// A request on its way. Its memory is never freed: a library that completes it twice does no further harm.
#[derive(Debug)]
pub(crate) struct Transfer {
    /// What the library reads from or writes to; ours again when it is complete.
    memory: *mut u8,
    length: usize,
    completion: Mutex<Option<Completion>>,
    completed: Condvar,
    /// What else happens at completion.
    then: fn(),
}

// SAFETY: `memory` is only touched by the library until completion, and read by the completion after that.
unsafe impl Sync for Transfer {}

impl Transfer {
    /// Asks for a transfer of `data` at `offset`.
    pub(crate) fn start(fd: c_int, operation: c_int, data: Vec<u8>, offset: i64) -> &'static Self {
        Self::start_then(fd, operation, data, offset, || {})
    }

    /// The same; the completion runs `then` before it tells the waiter.
    pub(crate) fn start_then(fd: c_int, operation: c_int, data: Vec<u8>, offset: i64, then: fn()) -> &'static Self {
        let memory = Vec::leak(data);
        let (memory, length) = (memory.as_mut_ptr(), memory.len());
        let transfer: &'static Transfer = Box::leak(Box::new(Transfer {
            memory,
            length,
            completion: Mutex::default(),
            completed: Condvar::new(),
            then,
        }));
        let argument = core::ptr::from_ref(transfer).cast_mut().cast::<c_void>();
        hypercall!(bio(fd, operation, memory.cast::<c_void>(), length, offset, done, argument));
        transfer
    }

    /// Whether it is complete.
    pub(crate) fn poll(&self) -> Option<Completion> {
        self.completion.lock().expect("no panic while locked").clone()
    }

    /// Waits for its completion, off the virtual CPU.
    pub(crate) fn wait(&self) -> Completion {
        guest().aside(|| {
            let completion = self.completion.lock().expect("no panic while locked");
            let (completion, timeout) = self
                .completed
                .wait_timeout_while(completion, DEADLINE, |completion| completion.is_none())
                .expect("no panic while locked");
            assert!(!timeout.timed_out(), "a transfer is not completed");
            completion.clone().expect("waited for it")
        })
    }
}

unsafe extern "C" fn done(argument: *mut c_void, bytes: usize, error: c_int) {
    assert!(!argument.is_null(), "the completion has its argument");
    // SAFETY: the argument is a transfer that lives for ever.
    let transfer = unsafe { &*argument.cast::<Transfer>() };
    // SAFETY: the library is done with the buffer, which lives for ever.
    let data = unsafe { core::slice::from_raw_parts(transfer.memory, transfer.length) }.to_vec();
    // SAFETY: has no preconditions.
    let tid = unsafe { libc::gettid() };
    let guest = guest();
    assert!(guest.is_on_cpu(), "the completion runs on a virtual CPU");
    guest.trace.record(Event::Mark("done"));
    (transfer.then)();
    let mut completion = transfer.completion.lock().expect("no panic while locked");
    let times = completion.as_ref().map_or(0, |completion| completion.times) + 1;
    *completion = Some(Completion { bytes, error, data, tid, lwp: guest.curlwp(), times });
    transfer.completed.notify_all();
}
