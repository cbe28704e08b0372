//! Block I/O: `rumpuser_bio`.

use super::component;
use super::seam::{self, off_cpu};
use super::types::bio;
use crate::external;
use crate::host::block::choice::VARIABLE;
use crate::host::block::{Choice, Completion, Engine, Operation, Request, engine, uring};
use crate::host::diagnostic;
use crate::host::file::transfer::Progress;
use crate::upcall::on_cpu;
use core::cell::Cell;
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

    /// In one visit to a virtual CPU.
    fn complete_all(done: Vec<(Self, Progress)>) {
        let tell = || done.into_iter().for_each(|(told, progress)| told.call(progress));
        apart(|| on_cpu(Hypercall::BioDone, tell));
    }
}

/// The engine that is used, and why. Decided once, by the environment.
pub fn choice() -> &'static Choice {
    static CHOICE: OnceLock<Choice> = OnceLock::new();
    CHOICE.get_or_init(|| Choice::new(std::env::var_os(VARIABLE), guest_has_threads(), uring::available))
}

fn chosen_engine() -> &'static dyn Engine<Told> {
    static ENGINE: OnceLock<&'static dyn Engine<Told>> = OnceLock::new();
    *ENGINE.get_or_init(|| engine(choice().kind))
}

thread_local! {
    /// Whether the calling thread is in a completion that it called inside [`rumpuser_bio`].
    static ANSWERING: Cell<bool> = const { Cell::new(false) };
}

/// Answers a read that needs no device, before `rumpuser_bio` returns. The caller keeps its virtual CPU: nothing waits.
/// A guest's kernel is ready for that, because drivers of memory disks do it, and its own when a request is invalid.
///
/// A completion may ask for the next block, and that one's completion likewise. A stack is not long enough for a whole
/// disk, so what a completion asks for here is left to the engine.
fn answer_at_once(request: Request<Told>) -> Result<(), Request<Told>> {
    if !choice().kind.reads_cache_first() || ANSWERING.get() {
        return Err(request);
    }
    let (told, progress) = request.from_cache()?;
    ANSWERING.set(true);
    told.call(progress);
    ANSWERING.set(false);
    Ok(())
}

/// Begins a transfer of `size` bytes between `data` and offset `offset` of `fd`, and returns. `operation` is made of the
/// bits in [`bio`]. When it is done, `done(argument, bytes, error)` is called on a virtual CPU: by another thread, or,
/// where the host has the data of a read in memory, by this one before this returns.
///
/// A guest without threads (`RUMP_THREADS=0`), a user who wants none for this (`RUMPSCOPE_BLOCK_IO=inline`), or a host
/// that grants no more threads or memory, has the transfer made and `done` called before this returns; the caller gives
/// up its virtual CPU for the transfer then.
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
        if let Some(library) = seam::external() {
            let (done, argument) = external::completion(done, argument);
            // SAFETY: what the caller promises us is what the interface has it promise every library.
            let pass_on = || unsafe { (library.bio)(fd, operation, data, size, offset, done, argument) };
            return external::on_account_of(call, pass_on);
        }
        let told = Told { done, argument };
        let Some(operation) = operation_of(operation) else {
            diagnostic::warn(call.name(), format_args!("operation {operation:#x} is neither a read nor a write"));
            return told.call(Progress { bytes: 0, stopped: Err(crate::host::errno::Errno(libc::EINVAL)) });
        };
        // SAFETY: the caller's promise.
        let request = unsafe { Request::new(fd, operation, data, size, offset, told) };
        let refused = answer_at_once(request).or_else(|request| chosen_engine().submit(request));
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
