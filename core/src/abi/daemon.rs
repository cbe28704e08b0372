//! Going into the background: `rumpuser_daemonize_begin`, `daemonize_done`.

use super::result;
use super::seam::{self, forward};
use crate::host::diagnostic::warn;
use crate::host::errno::Errno;
use crate::host::{console, daemon, gather};
use libc::c_int;
use rumpscope_probes::{Hypercall, measure};

/// Forks and goes on in the child, which leads a new session; the parent waits for [`rumpuser_daemonize_done`].
///
/// # Safety
/// The program has one thread: in the child, locks of others would never be released.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_daemonize_begin() -> c_int {
    // A guest calls this before `rumpuser_init`.
    if let Err(problem) = seam::choose() {
        warn(Hypercall::DaemonizeBegin.name(), format_args!("{problem}"));
        return Errno(libc::ENOEXEC).to_netbsd();
    }
    measure(Hypercall::DaemonizeBegin, || {
        // Or both processes would write it.
        console::flush();
        // A child made by fork measures nothing, or there would be two writers; but this one is the guest from now on.
        let mode = rumpscope_probes::mode();
        let error = match seam::external() {
            None => result(daemon::fork_into_background()),
            // SAFETY: the program has one thread, says the caller.
            Some(library) => unsafe { (library.daemonize_begin)() },
        };
        if error == 0 {
            rumpscope_probes::continue_in_forked_child(mode);
            gather::continue_in_forked_child();
        }
        error
    })
}

/// Has the waiting parent exit with `error`. With 0 standard input, output and error become `/dev/null`. After that
/// [`rumpuser_daemonize_begin`] can be called again.
///
/// # Safety
/// None.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_daemonize_done(error: c_int) -> c_int {
    forward!(Hypercall::DaemonizeDone, daemonize_done(error));
    measure(Hypercall::DaemonizeDone, || {
        console::flush();
        result(daemon::tell_parent(error))
    })
}
