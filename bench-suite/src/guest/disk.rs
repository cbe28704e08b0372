//! The disk: a host file or device opened for block I/O, with any number of transfers under way.

use super::accounts::count;
use super::{GuestError, console, errno, hypercall};
use core::ffi::{c_int, c_void};
use rumpscope_probes::Hypercall;
use rumpuser::abi::types::{bio, open, sync};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// A disk that is open.
#[derive(Debug)]
#[must_use = "it has to be closed"]
pub struct Disk {
    fd: c_int,
    size: u64,
}

/// What a transfer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// From the disk.
    Read,
    /// To the disk, or to where the host keeps it for a while.
    Write,
    /// To the disk, and it is there for good before the transfer is done.
    WriteThrough,
}

/// What is called when a transfer is done, on some thread with a virtual CPU; the bytes, or a NetBSD error number.
pub type Done = Box<dyn FnOnce(Result<usize, c_int>) + Send>;

impl Disk {
    /// Opens the file or device at `path`, to read and write.
    ///
    /// # Errors
    /// When the hypervisor says so.
    pub fn open(path: &Path) -> Result<Self, GuestError> {
        let path = CString::new(path.as_os_str().as_bytes()).map_err(|_| GuestError::Parameter("disk image"))?;
        let (mut size, mut kind, mut fd) = (0, 0, -1);
        // SAFETY: the path is a string; the others take the results.
        errno::check(unsafe { hypercall::getfileinfo(path.as_ptr(), &mut size, &mut kind) })
            .map_err(GuestError::hypercall("getfileinfo"))?;
        // SAFETY: as above.
        errno::check(unsafe { hypercall::open(path.as_ptr(), open::RDWR | open::BIO, &mut fd) })
            .map_err(GuestError::hypercall("open"))?;
        Ok(Disk { fd, size })
    }

    /// Bytes on it.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Starts a transfer of `length` bytes; `done` is called when it is over, perhaps before this returns.
    ///
    /// # Safety
    /// The memory at `data` is valid for that long, and until `done` is called nobody else touches it (or, for a write,
    /// changes it).
    pub unsafe fn start(&self, operation: Operation, data: *mut u8, length: usize, offset: u64, done: Done) {
        let op = match operation {
            Operation::Read => bio::READ,
            Operation::Write => bio::WRITE,
            Operation::WriteThrough => bio::WRITE | bio::SYNC,
        };
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        let argument = Box::into_raw(Box::new(done));
        // SAFETY: the caller's promise for the memory; `biodone` takes the box, once.
        unsafe { hypercall::bio(self.fd, op, data.cast(), length, offset, biodone, argument.cast()) }
    }

    /// Returns when all that was written is on the disk for good.
    ///
    /// # Errors
    /// When it is not, with NetBSD's number.
    pub fn flush(&self) -> Result<(), c_int> {
        // SAFETY: an open file.
        errno::check(unsafe { hypercall::syncfd(self.fd, sync::WRITE | sync::SYNC, 0, 0) })
    }

    /// Closes it; no transfer is under way.
    ///
    /// # Errors
    /// When the hypervisor says so.
    pub fn close(self) -> Result<(), GuestError> {
        // SAFETY: an open file, closed once.
        errno::check(unsafe { hypercall::close(self.fd) }).map_err(GuestError::hypercall("close"))
    }
}

/// The hypervisor's call when a transfer is done.
unsafe extern "C" fn biodone(argument: *mut c_void, bytes: usize, error: c_int) {
    count(Hypercall::BioDone);
    // SAFETY: `start` leaked this box for us, and this is the only call for it.
    let done = *unsafe { Box::from_raw(argument.cast::<Done>()) };
    // The closure is gone after this, and its state is not looked at.
    let called = catch_unwind(AssertUnwindSafe(|| done(errno::check(error).map(|()| bytes))));
    if let Err(payload) = called {
        console::panic(format_args!("{}", console::payload_text(&*payload)));
    }
}
