//! Host files: opening, closing and asking about them.

pub mod flush;
pub mod transfer;

use super::errno::Errno;
use core::ffi::CStr;
use core::mem::MaybeUninit;
use libc::{c_int, c_ulong};

/// What is to be done with an opened file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    Read,
    /// Write only.
    Write,
    /// Both.
    ReadWrite,
}

/// Whether opening may make a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// It must exist.
    Never,
    /// It is made where it does not exist.
    IfMissing,
    /// It must not exist.
    Always,
}

/// Kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    Regular,
    /// A block device.
    Block,
    /// A character device.
    Character,
    /// Anything else: a pipe, a socket.
    Other,
}

/// Opens the file at `path`. It does not survive an exec, and does not become the controlling terminal. New files get
/// mode 0666 less the process's mask.
///
/// # Errors
/// Those of `open(2)`.
pub fn open(path: &CStr, access: Access, creation: Creation) -> Result<c_int, Errno> {
    let access = match access {
        Access::Read => libc::O_RDONLY,
        Access::Write => libc::O_WRONLY,
        Access::ReadWrite => libc::O_RDWR,
    };
    let creation = match creation {
        Creation::Never => 0,
        Creation::IfMissing => libc::O_CREAT,
        Creation::Always => libc::O_CREAT | libc::O_EXCL,
    };
    loop {
        // SAFETY: `path` ends with a zero byte; the mode is given, as O_CREAT needs it.
        let fd = unsafe { libc::open(path.as_ptr(), access | creation | libc::O_CLOEXEC | libc::O_NOCTTY, 0o666) };
        if fd >= 0 {
            return Ok(fd);
        }
        match Errno::last() {
            Errno(libc::EINTR) => {}
            errno => return Err(errno),
        }
    }
}

/// Closes `fd`. What was written through it is on stable storage then: the guest has no other moment to ask for it. A
/// file opened for reading is only closed.
///
/// # Errors
/// Those of `fdatasync(2)` and `close(2)`, but `fd` is closed all the same. EBADF where it was not open.
pub fn close(fd: c_int) -> Result<(), Errno> {
    // SAFETY: asks for flags, without an argument.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    if flags < 0 {
        return Err(Errno::last());
    }
    let synced = if flags & libc::O_ACCMODE == libc::O_RDONLY { Ok(()) } else { flush::whole(fd) };
    // SAFETY: the guest gives up `fd`, which it got from `open`.
    let closed = match unsafe { libc::close(fd) } {
        0 => Ok(()),
        _ => match Errno::last() {
            // Linux has closed it already; a second try could hit another thread's file.
            Errno(libc::EINTR) => Ok(()),
            errno => Err(errno),
        },
    };
    synced.and(closed)
}

fn status(path: &CStr) -> Result<libc::stat, Errno> {
    let mut status = MaybeUninit::uninit();
    // SAFETY: the host fills `status` where it returns 0.
    match unsafe { libc::stat(path.as_ptr(), status.as_mut_ptr()) } {
        // SAFETY: filled.
        0 => Ok(unsafe { status.assume_init() }),
        _ => Err(Errno::last()),
    }
}

/// What the file at `path` is.
///
/// # Errors
/// Those of `stat(2)`.
pub fn kind(path: &CStr) -> Result<Kind, Errno> {
    Ok(kind_of(&status(path)?))
}

fn kind_of(status: &libc::stat) -> Kind {
    match status.st_mode & libc::S_IFMT {
        libc::S_IFDIR => Kind::Directory,
        libc::S_IFREG => Kind::Regular,
        libc::S_IFBLK => Kind::Block,
        libc::S_IFCHR => Kind::Character,
        _ => Kind::Other,
    }
}

/// What the file at `path` is, and its size in bytes. A character device has no size: 0.
///
/// # Errors
/// Those of `stat(2)`; for a block device, which must be opened, also those of `open(2)`.
pub fn kind_and_size(path: &CStr) -> Result<(Kind, u64), Errno> {
    let status = status(path)?;
    let kind = kind_of(&status);
    let size = match kind {
        Kind::Block => device_size(path)?,
        Kind::Character => 0,
        Kind::Directory | Kind::Regular | Kind::Other => u64::try_from(status.st_size).unwrap_or(0),
    };
    Ok((kind, size))
}

/// `BLKGETSIZE64` of `linux/fs.h`, which the libc crate lacks: read, type 0x12, number 114, size of a `size_t`.
const BLKGETSIZE64: c_ulong = 0x8008_1272;

fn device_size(path: &CStr) -> Result<u64, Errno> {
    let fd = open(path, Access::Read, Creation::Never)?;
    let mut size = 0u64;
    // SAFETY: the request writes 64 bits.
    let failed = unsafe { libc::ioctl(fd, BLKGETSIZE64 as _, &mut size) };
    let outcome = if failed == 0 { Ok(size) } else { Err(Errno::last()) };
    // SAFETY: opened above, for nobody else.
    unsafe { libc::close(fd) };
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::scratch::Scratch;

    fn flags(fd: c_int, command: c_int) -> c_int {
        // SAFETY: both commands take no argument.
        unsafe { libc::fcntl(fd, command) }
    }

    #[test]
    fn opens_as_asked() {
        let scratch = Scratch::new("open");
        let path = scratch.path("file");
        assert_eq!(open(&path, Access::Read, Creation::Never), Err(Errno(libc::ENOENT)));
        let fd = open(&path, Access::ReadWrite, Creation::Always).expect("made");
        assert_eq!(flags(fd, libc::F_GETFL) & libc::O_ACCMODE, libc::O_RDWR);
        assert_ne!(flags(fd, libc::F_GETFD) & libc::FD_CLOEXEC, 0, "survives an exec");
        assert_eq!(open(&path, Access::Write, Creation::Always), Err(Errno(libc::EEXIST)));
        let again = open(&path, Access::Write, Creation::IfMissing).expect("opened");
        assert_eq!(close(fd), Ok(()));
        assert_eq!(close(again), Ok(()));
        assert_eq!(close(-1), Err(Errno(libc::EBADF)));
    }

    #[test]
    fn closing_reports_what_the_device_says() {
        let fd = open(c"/dev/full", Access::Write, Creation::Never).expect("opened");
        assert_eq!(close(fd), Ok(()), "a device that cannot be flushed is just closed");
    }

    #[test]
    fn kinds_and_sizes() {
        let scratch = Scratch::new("kinds");
        assert_eq!(kind(&scratch.path("")), Ok(Kind::Directory));
        let path = scratch.path("file");
        std::fs::write(scratch.file("file"), [0; 12_345]).expect("written");
        assert_eq!(kind_and_size(&path), Ok((Kind::Regular, 12_345)));
        assert_eq!(kind_and_size(c"/dev/null"), Ok((Kind::Character, 0)));
        assert_eq!(kind_and_size(&scratch.path("none")), Err(Errno(libc::ENOENT)));
        let socket = std::os::unix::net::UnixListener::bind(scratch.file("socket")).expect("bound");
        assert_eq!(kind(&scratch.path("socket")), Ok(Kind::Other));
        drop(socket);
    }
}
