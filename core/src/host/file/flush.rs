//! Bringing written data to stable storage, and read data up to date.

use crate::host::errno::Errno;
use libc::c_int;

/// Part of a file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    start: i64,
    /// 0: to the end.
    length: i64,
}

impl Range {
    /// `length` bytes from `start` on; 0 means to the end of the file.
    ///
    /// # Errors
    /// EINVAL where the range ends behind the greatest offset there is.
    pub fn new(start: u64, length: u64) -> Result<Self, Errno> {
        let invalid = |_| Errno(libc::EINVAL);
        let start = i64::try_from(start).map_err(invalid)?;
        let length = i64::try_from(length).map_err(invalid)?;
        start.checked_add(length).ok_or(Errno(libc::EINVAL))?;
        Ok(Range { start, length })
    }
}

/// All that was written to `fd` is on stable storage, the device's own cache included, before this returns. What has
/// no storage (a pipe, a terminal) is left alone.
///
/// Linux can make a whole file stable but not a part of it: `sync_file_range` neither writes the metadata that leads
/// to the data nor empties the device's cache.
///
/// # Errors
/// Those of `fdatasync(2)`: a write that failed since the last time is told here.
pub fn whole(fd: c_int) -> Result<(), Errno> {
    loop {
        // SAFETY: touches no memory of ours.
        if unsafe { libc::fdatasync(fd) } == 0 {
            return Ok(());
        }
        match Errno::last() {
            Errno(libc::EINTR) => {}
            errno => return judge(errno),
        }
    }
}

/// Whether a flush that ended with `errno` has failed.
///
/// # Errors
/// `errno`, unless it is what the host says of files that cannot be synchronised. (EROFS, which fdatasync(2) tells in one
/// breath with that, is what ext4 says once it has given up a file system whose writes failed.)
pub fn judge(errno: Errno) -> Result<(), Errno> {
    if errno == Errno(libc::EINVAL) { Ok(()) } else { Err(errno) }
}

/// Has the host start to write `range` of `fd` to its device, and does not wait for it.
///
/// # Errors
/// Those of `sync_file_range(2)`, EBADF for one.
pub fn start(fd: c_int, range: Range) -> Result<(), Errno> {
    loop {
        // SAFETY: touches no memory of ours.
        if unsafe { libc::sync_file_range(fd, range.start, range.length, libc::SYNC_FILE_RANGE_WRITE) } == 0 {
            return Ok(());
        }
        match Errno::last() {
            Errno(libc::EINTR) => {}
            // No regular file or block device: nothing is cached. Or a file system that cannot do it by parts.
            Errno(libc::ESPIPE) => return Ok(()),
            Errno(libc::EINVAL | libc::ENOSYS) => return whole(fd),
            errno => return Err(errno),
        }
    }
}

/// Has later reads of `range` see what is on the device, by dropping the host's copy of it.
///
/// # Errors
/// Those of `posix_fadvise(2)`, EBADF for one.
pub fn forget(fd: c_int, range: Range) -> Result<(), Errno> {
    // SAFETY: touches no memory of ours.
    match unsafe { libc::posix_fadvise(fd, range.start, range.length, libc::POSIX_FADV_DONTNEED) } {
        // A pipe has no copy of anything.
        0 | libc::ESPIPE | libc::EINVAL => Ok(()),
        failed => Err(Errno(failed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::scratch::Scratch;
    use std::os::fd::AsRawFd;

    #[test]
    fn ranges_end_before_the_greatest_offset() {
        assert!(Range::new(0, 0).is_ok());
        assert!(Range::new(1, i64::MAX as u64 - 1).is_ok());
        assert_eq!(Range::new(2, i64::MAX as u64 - 1), Err(Errno(libc::EINVAL)));
        assert_eq!(Range::new(u64::MAX, 1), Err(Errno(libc::EINVAL)));
        assert_eq!(Range::new(0, u64::MAX), Err(Errno(libc::EINVAL)));
    }

    #[test]
    fn works_on_files_and_leaves_pipes_alone() {
        let scratch = Scratch::new("flush");
        std::fs::write(scratch.file("file"), [1; 10_000]).expect("written");
        let file = std::fs::File::options().write(true).open(scratch.file("file")).expect("opened");
        let (reader, writer) = std::io::pipe().expect("pipe");
        let range = Range::new(4096, 4096).expect("valid");
        for fd in [file.as_raw_fd(), writer.as_raw_fd(), reader.as_raw_fd()] {
            assert_eq!(whole(fd), Ok(()));
            assert_eq!(start(fd, range), Ok(()));
            assert_eq!(forget(fd, range), Ok(()));
        }
        let bad = Err(Errno(libc::EBADF));
        assert_eq!((whole(-1), start(-1, range), forget(-1, range)), (bad, bad, bad));
    }
}
