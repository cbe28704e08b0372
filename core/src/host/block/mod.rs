//! Block transfers.
//!
//! A request is handed to an [`Engine`], which carries it out, by itself or on threads of its own, and tells the
//! request's [`Completion`] how it went. An engine keeps to this:
//! * every request accepted is completed exactly once, whatever goes wrong; one that is not accepted comes back, and
//!   the caller carries it out itself ([`Request::carry_out`]);
//! * any number of requests may wait, and more than one is under way at a time. They are carried out in no particular
//!   order: who needs an order waits for the completion;
//! * the completion runs on a thread of the engine, never inside `submit`, which does not wait for a transfer. A thread
//!   of the engine calls [`Completion::thread_starts`] before its first request.

pub mod pool;

use super::errno::Errno;
use super::file::flush;
use super::file::transfer::{Direction, Place, Progress, transfer};
use core::ffi::c_void;
use libc::c_int;

/// What is to be told of a request's end, and to whom.
pub trait Completion: Send + 'static {
    /// The calling thread is a new thread of an engine, about to complete requests.
    fn thread_starts();

    /// The request is done: `progress.bytes` were moved. Fewer than asked for means that `progress.stopped` says why, or
    /// that a read met the end of the file.
    fn complete(self, progress: Progress);
}

/// Carries out requests.
pub trait Engine<C: Completion> {
    /// Takes a request on.
    ///
    /// # Errors
    /// The request itself, where the engine cannot take it: no memory, no thread.
    fn submit(&'static self, request: Request<C>) -> Result<(), Request<C>>;
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Device to memory.
    Read,
    /// Memory to device.
    Write,
    /// Likewise, and it is on stable storage before the completion.
    WriteStable,
}

/// One transfer between a file and memory.
#[derive(Debug)]
pub struct Request<C> {
    fd: c_int,
    operation: Operation,
    buffer: *mut c_void,
    length: usize,
    offset: i64,
    completion: C,
}

// SAFETY: the buffer is lent by whoever made the request, until its completion, to whichever thread carries it out.
unsafe impl<C: Completion> Send for Request<C> {}

impl<C: Completion> Request<C> {
    /// A transfer of `length` bytes between `buffer` and offset `offset` of `fd`.
    ///
    /// # Safety
    /// `buffer` must be valid for `length` bytes, and used by nobody else, until the completion is told.
    pub unsafe fn new(
        fd: c_int,
        operation: Operation,
        buffer: *mut c_void,
        length: usize,
        offset: i64,
        completion: C,
    ) -> Self {
        Request { fd, operation, buffer, length, offset, completion }
    }

    /// Carries the request out in the calling thread, and returns how it went and whom to tell.
    ///
    /// A read that ends early met the end of the file: that is no error, as on a device's last blocks, and the number
    /// of bytes tells. A write that ends early without the host saying why is EIO.
    pub fn carry_out(self) -> (C, Progress) {
        let mut progress = match self.operation {
            Operation::Read => self.transfer(Direction::Read),
            Operation::Write => self.transfer(Direction::Write),
            Operation::WriteStable => self.write_stable(),
        };
        if progress.bytes < self.length && progress.stopped.is_ok() && self.operation != Operation::Read {
            progress.stopped = Err(Errno(libc::EIO));
        }
        (self.completion, progress)
    }

    fn write_stable(&self) -> Progress {
        let progress = self.transfer(Direction::WriteStable);
        if !matches!(progress.stopped, Err(Errno(libc::EOPNOTSUPP | libc::ENOSYS))) {
            return progress;
        }
        // This host or file cannot do it in one.
        let mut progress = self.transfer(Direction::Write);
        progress.stopped = progress.stopped.and_then(|()| flush::whole(self.fd));
        progress
    }

    fn transfer(&self, direction: Direction) -> Progress {
        let buffer = libc::iovec { iov_base: self.buffer, iov_len: self.length };
        // SAFETY: valid until the completion is told, which consumes the request.
        unsafe { transfer(self.fd, direction, core::slice::from_ref(&buffer), Place::Offset(self.offset)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::scratch::Scratch;
    use std::os::fd::AsRawFd;

    struct Nobody;

    impl Completion for Nobody {
        fn thread_starts() {}
        fn complete(self, _: Progress) {}
    }

    fn run(fd: c_int, operation: Operation, buffer: &mut [u8], offset: i64) -> Progress {
        // SAFETY: the buffer is ours until `carry_out` returns.
        unsafe { Request::new(fd, operation, buffer.as_mut_ptr().cast(), buffer.len(), offset, Nobody) }.carry_out().1
    }

    const DONE: Result<(), Errno> = Ok(());

    #[test]
    fn transfers_and_their_errors() {
        let scratch = Scratch::new("request");
        let file = std::fs::File::create(scratch.file("disk")).expect("made");
        let fd = file.as_raw_fd();
        let mut block = [7u8; 8192];
        for operation in [Operation::Write, Operation::WriteStable] {
            assert_eq!(run(fd, operation, &mut block, 4096), Progress { bytes: 8192, stopped: DONE });
        }
        let bad = Err(Errno(libc::EBADF));
        assert_eq!(run(fd, Operation::Read, &mut block, 0), Progress { bytes: 0, stopped: bad }, "opened for writing");
        let file = std::fs::File::open(scratch.file("disk")).expect("opened");
        let fd = file.as_raw_fd();
        assert_eq!(run(fd, Operation::Read, &mut block, 0), Progress { bytes: 8192, stopped: DONE });
        assert_eq!((block[4095], block[4096]), (0, 7));
        let cut = Progress { bytes: 4096, stopped: DONE };
        assert_eq!(run(fd, Operation::Read, &mut block, 8192), cut, "the file ends there");
        assert_eq!(run(fd, Operation::Read, &mut block, 1 << 40), Progress { bytes: 0, stopped: DONE });
        assert_eq!(run(fd, Operation::Write, &mut block, 0), Progress { bytes: 0, stopped: bad });
        let invalid = Err(Errno(libc::EINVAL));
        assert_eq!(run(fd, Operation::Read, &mut block, -1), Progress { bytes: 0, stopped: invalid });
        assert_eq!(run(fd, Operation::Read, &mut [], 0), Progress { bytes: 0, stopped: DONE });
    }

    #[test]
    fn a_full_device_is_an_error() {
        let file = std::fs::File::options().write(true).open("/dev/full").expect("opened");
        let full = Progress { bytes: 0, stopped: Err(Errno(libc::ENOSPC)) };
        for operation in [Operation::Write, Operation::WriteStable] {
            assert_eq!(run(file.as_raw_fd(), operation, &mut [1; 512], 0), full);
        }
    }
}
