//! A request, and carrying it out in the calling thread.

use super::Completion;
use crate::host::errno::Errno;
use crate::host::file::flush;
use crate::host::file::transfer::{Direction, Place, Progress, transfer};
use core::ffi::c_void;
use libc::c_int;

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
    pub(super) fd: c_int,
    pub(super) operation: Operation,
    pub(super) buffer: *mut c_void,
    pub(super) length: usize,
    pub(super) offset: i64,
    pub(super) completion: C,
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
        let progress = match self.operation {
            Operation::Read => self.transfer(Direction::Read),
            Operation::Write => self.transfer(Direction::Write),
            Operation::WriteStable => self.write_stable(),
        };
        self.ends(progress)
    }

    /// Writes in the calling thread, and leaves to somebody else that it be stable.
    pub(super) fn write(&self) -> Progress {
        self.judge(self.transfer(Direction::Write))
    }

    /// The end of the request, when the host did so much of it.
    pub(super) fn ends(self, progress: Progress) -> (C, Progress) {
        let progress = self.judge(progress);
        (self.completion, progress)
    }

    fn judge(&self, mut progress: Progress) -> Progress {
        if progress.bytes < self.length && progress.stopped.is_ok() && self.operation != Operation::Read {
            progress.stopped = Err(Errno(libc::EIO));
        }
        progress
    }

    fn write_stable(&self) -> Progress {
        let progress = self.transfer(Direction::WriteStable);
        if !matches!(progress.stopped, Err(Errno(libc::EOPNOTSUPP | libc::ENOSYS))) {
            return progress;
        }
        // This host or file cannot do it in one.
        let progress = self.transfer(Direction::Write);
        if progress.stopped.is_err() {
            return progress;
        }
        // No byte of it counts where they may not be stable: a NetBSD kernel looks for an error only where some are
        // missing (`physio_done`).
        flush::whole(self.fd).map_or_else(Progress::failed, |()| progress)
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
