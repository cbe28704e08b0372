//! Error numbers: this host's, and their translation to NetBSD's.

use libc::c_int;

/// An error number of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub c_int);

impl Errno {
    /// The calling thread's last error. To be read right after the call that failed, before anything is scheduled:
    /// an upcall may change it.
    pub fn last() -> Self {
        Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
    }

    /// The number that NetBSD gives to this error.
    pub fn to_netbsd(self) -> c_int {
        self.0
    }
}
