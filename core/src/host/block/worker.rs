//! Threads of engines.

use crate::host::batch;
use std::io;
use std::thread::Builder;

/// Stack of a thread, in bytes. Completions run code of the guest's kernel, which is content with 16 KiB on real
/// machines; the rest is for the host's libraries.
const STACK: usize = 256 << 10;

/// Starts a thread that nobody waits for. It gets no signals: the guest's are for the program's threads.
///
/// # Errors
/// The host grants no thread.
pub(super) fn start(name: String, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // SAFETY: sets are filled before use; only this thread's mask changes, which the new thread inherits, and is
    // restored.
    unsafe {
        let mut all = core::mem::zeroed();
        let mut before = core::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let started = Builder::new().name(name).stack_size(STACK).spawn(|| {
            batch::stay_ordinary();
            run();
        });
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, core::ptr::null_mut());
        started.map(drop)
    }
}
