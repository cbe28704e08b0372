//! Block I/O: `rumpuser_bio`.

use super::component;
use super::types::bio;
use crate::host::block::pool::Pool;
use crate::host::block::{Completion, Engine, Operation, Request};
use crate::host::diagnostic;
use crate::host::file::transfer::Progress;
use crate::upcall::{off_cpu, on_cpu};
use libc::{c_int, c_void};
use rumpscope_probes::transition::apart;
use rumpscope_probes::{Hypercall, measure};
use std::sync::OnceLock;

/// What the guest wants to be called: `(argument, bytes moved, NetBSD error number)`.
pub type Done = unsafe extern "C" fn(*mut c_void, usize, c_int);

#[derive(Debug)]
struct Told {
    done: Done,
    argument: *mut c_void,
}

// SAFETY: the argument is only handed back to the guest's function, which expects that on any thread.
unsafe impl Send for Told {}

impl Told {
    /// On a virtual CPU.
    fn call(self, progress: Progress) {
        let error = progress.stopped.err().map_or(0, |errno| errno.to_netbsd());
        // SAFETY: the guest's own function and argument, once for the request.
        let tell = || unsafe { (self.done)(self.argument, progress.bytes, error) };
        apart(|| measure(Hypercall::BioDone, tell));
    }
}

impl Completion for Told {
    fn thread_starts() {
        // An lwp of its own: the guest would make a temporary one for each completion otherwise.
        apart(|| component::take_lwp(Hypercall::BioDone));
    }

    fn complete(self, progress: Progress) {
        apart(|| on_cpu(Hypercall::BioDone, || self.call(progress)));
    }
}

static POOL: Pool<Told> = Pool::new();

/// Begins a transfer of `size` bytes between `data` and offset `offset` of `fd`, and returns. `operation` is made of the
/// bits in [`bio`]. When it is done, `done(argument, bytes, error)` is called by another thread, on a virtual CPU.
///
/// A guest without threads (`RUMP_THREADS=0`), or a host that grants no more threads or memory, has the transfer made
/// and `done` called before this returns; the caller gives up its virtual CPU for the transfer then.
///
/// # Safety
/// `data` is valid for `size` bytes, and used by nobody else, until `done` is called; `done` is a function of the guest.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_bio(
    fd: c_int,
    operation: c_int,
    data: *mut c_void,
    size: usize,
    offset: i64,
    done: Option<Done>,
    argument: *mut c_void,
) {
    let call = Hypercall::Bio;
    measure(call, || {
        let Some(done) = done else {
            diagnostic::fatal(call.name(), format_args!("nobody to tell that a transfer is done: done is null"));
        };
        let told = Told { done, argument };
        let Some(operation) = operation_of(operation) else {
            diagnostic::warn(call.name(), format_args!("operation {operation:#x} is neither a read nor a write"));
            return told.call(Progress { bytes: 0, stopped: Err(crate::host::errno::Errno(libc::EINVAL)) });
        };
        // SAFETY: the caller's promise.
        let request = unsafe { Request::new(fd, operation, data, size, offset, told) };
        let refused = if guest_has_threads() { POOL.submit(request) } else { Err(request) };
        if let Err(request) = refused {
            let (told, progress) = off_cpu(call, || request.carry_out());
            told.call(progress);
        }
    });
}

fn operation_of(operation: c_int) -> Option<Operation> {
    match operation {
        bio::READ => Some(Operation::Read),
        // Nothing is left to make stable after a read.
        _ if operation == bio::READ | bio::SYNC => Some(Operation::Read),
        bio::WRITE => Some(Operation::Write),
        _ if operation == bio::WRITE | bio::SYNC => Some(Operation::WriteStable),
        _ => None,
    }
}

/// Whether the guest runs kernel threads. It decides by the same variable, at boot.
fn guest_has_threads() -> bool {
    static THREADS: OnceLock<bool> = OnceLock::new();
    *THREADS.get_or_init(|| {
        crate::host::parameter::environment(b"RUMP_THREADS")
            .is_none_or(|setting| setting.as_encoded_bytes().first() != Some(&b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations() {
        assert_eq!(operation_of(bio::READ), Some(Operation::Read));
        assert_eq!(operation_of(bio::READ | bio::SYNC), Some(Operation::Read));
        assert_eq!(operation_of(bio::WRITE), Some(Operation::Write));
        assert_eq!(operation_of(bio::WRITE | bio::SYNC), Some(Operation::WriteStable));
        for impossible in [0, bio::SYNC, bio::READ | bio::WRITE, 8, -1] {
            assert_eq!(operation_of(impossible), None, "{impossible}");
        }
    }
}
