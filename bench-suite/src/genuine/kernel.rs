//! A booted kernel and the functions of its public interface that are used here.

use super::{KernelError, Libraries, Load};
use core::ffi::{CStr, c_char, c_int, c_long, c_void};
use core::time::Duration;
use std::path::Path;

/// `rump_pub_lwproc_rfork`: the new process starts without files.
const CLEAR_FILES: c_int = 0x02;
/// `rump_pub_etfs_register`: a character device.
const CHARACTER_DEVICE: c_int = 2;
/// NetBSD's flags of `open`.
pub const READ_WRITE: c_int = 0x0002;
/// Make it if it is not there.
pub const CREATE: c_int = 0x0200;
/// Fail if it is there.
pub const EXCLUSIVE: c_int = 0x0800;
/// NetBSD's number of "no such file or directory".
pub const ENOENT: c_int = 2;
const AF_LOCAL: c_int = 1;
const SOCK_STREAM: c_int = 1;

/// NetBSD's time, on machines with 64 bits.
#[repr(C)]
struct Timespec {
    seconds: i64,
    nanoseconds: c_long,
}

/// What mounting a tmpfs takes.
#[repr(C)]
struct TmpfsArgs {
    version: c_int,
    /// 0: no limit of its own; the same for bytes.
    nodes: u64,
    bytes: i64,
    uid: u32,
    gid: u32,
    mode: u32,
}

macro_rules! table {
    ($($name:ident: $signature:ty = $symbol:literal;)*) => {
        /// The functions, by the names that the public headers give them.
        #[derive(Clone, Copy, Debug)]
        struct Functions {
            $($name: $signature,)*
        }

        impl Functions {
            fn find(loaded: &libloading::os::unix::Library, folder: &Path) -> Result<Self, KernelError> {
                Ok(Functions {
                    $($name: {
                        // SAFETY: the symbol is used with the type that the public interface gives to this name.
                        let symbol = unsafe { loaded.get::<$signature>($symbol.as_bytes()) };
                        *symbol.map_err(|_| KernelError::Symbol { folder: folder.to_owned(), symbol: $symbol })?
                    },)*
                })
            }
        }
    };
}

table! {
    init: unsafe extern "C" fn() -> c_int = "rump_init";
    rfork: unsafe extern "C" fn(c_int) -> c_int = "rump_pub_lwproc_rfork";
    newlwp: unsafe extern "C" fn(i32) -> c_int = "rump_pub_lwproc_newlwp";
    releaselwp: unsafe extern "C" fn() = "rump_pub_lwproc_releaselwp";
    etfs_register: unsafe extern "C" fn(*const c_char, *const c_char, c_int) -> c_int = "rump_pub_etfs_register";
    getpid: unsafe extern "C" fn() -> i32 = "rump___sysimpl_getpid";
    open: unsafe extern "C" fn(*const c_char, c_int, ...) -> c_int = "rump___sysimpl_open";
    close: unsafe extern "C" fn(c_int) -> c_int = "rump___sysimpl_close";
    read: unsafe extern "C" fn(c_int, *mut c_void, usize) -> isize = "rump___sysimpl_read";
    write: unsafe extern "C" fn(c_int, *const c_void, usize) -> isize = "rump___sysimpl_write";
    pread: unsafe extern "C" fn(c_int, *mut c_void, usize, i64) -> isize = "rump___sysimpl_pread";
    unlink: unsafe extern "C" fn(*const c_char) -> c_int = "rump___sysimpl_unlink";
    mkdir: unsafe extern "C" fn(*const c_char, u32) -> c_int = "rump___sysimpl_mkdir";
    mount: unsafe extern "C" fn(*const c_char, *const c_char, c_int, *mut c_void, usize) -> c_int = "rump___sysimpl_mount50";
    pipe: unsafe extern "C" fn(*mut c_int) -> c_int = "rump_sys_pipe";
    socketpair: unsafe extern "C" fn(c_int, c_int, c_int, *mut c_int) -> c_int = "rump___sysimpl_socketpair";
    nanosleep: unsafe extern "C" fn(*const Timespec, *mut Timespec) -> c_int = "rump___sysimpl_nanosleep50";
}

/// A call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{call} failed with NetBSD error {errno}")]
pub struct Failed {
    /// Which call.
    pub call: &'static str,
    /// NetBSD's number of the error.
    pub errno: c_int,
}

impl From<Failed> for String {
    fn from(failed: Failed) -> Self {
        failed.to_string()
    }
}

/// What a system call returned, which is -1 with the error in `errno` where it failed.
fn checked(call: &'static str, returned: isize) -> Result<usize, Failed> {
    let errno = || std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    usize::try_from(returned).map_err(|_| Failed { call, errno: errno() })
}

/// What another function returned: 0, or an error.
fn zero(call: &'static str, errno: c_int) -> Result<(), Failed> {
    if errno == 0 { Ok(()) } else { Err(Failed { call, errno }) }
}

/// A booted kernel. A thread that calls it without an [`Lwp`] borrows one for the call.
#[derive(Clone, Copy, Debug)]
pub struct Kernel {
    functions: Functions,
}

/// Until this is dropped the thread that made it is one of a process of the kernel.
#[derive(Debug)]
pub struct Lwp<'a> {
    kernel: &'a Kernel,
    /// It is the thread's that made it.
    _not_sent: core::marker::PhantomData<*const ()>,
}

impl Drop for Lwp<'_> {
    fn drop(&mut self) {
        // SAFETY: the calling thread has an lwp since this was made.
        unsafe { (self.kernel.functions.releaselwp)() };
    }
}

// SAFETY, for all that follows: the kernel is booted, its functions may be called by any thread, pointers are those of
// values that live during the call, and lengths are theirs.
impl Kernel {
    /// Loads the kernel with what `load` needs, on the hypervisor at `hypervisor`, and boots it. Once per process.
    ///
    /// # Errors
    /// When it cannot be loaded, or does not boot.
    pub fn boot(libraries: &Libraries, hypervisor: &Path, load: Load) -> Result<Self, KernelError> {
        let loaded = libraries.load(hypervisor, load)?;
        let kernel = Kernel { functions: Functions::find(&loaded, libraries.folder())? };
        // SAFETY: all libraries are loaded; nothing was called before.
        match unsafe { (kernel.functions.init)() } {
            0 => Ok(kernel),
            errno => Err(KernelError::Boot { errno }),
        }
    }

    fn lwp(&self) -> Lwp<'_> {
        Lwp { kernel: self, _not_sent: core::marker::PhantomData }
    }

    /// Makes the calling thread, which has none, the first of a new process.
    pub fn new_process(&self) -> Result<Lwp<'_>, Failed> {
        // SAFETY: see above.
        zero("rfork", unsafe { (self.functions.rfork)(CLEAR_FILES) }).map(|()| self.lwp())
    }

    /// Makes the calling thread, which has none, one more of process `pid`.
    pub fn new_lwp(&self, pid: i32) -> Result<Lwp<'_>, Failed> {
        // SAFETY: see above.
        zero("newlwp", unsafe { (self.functions.newlwp)(pid) }).map(|()| self.lwp())
    }

    /// Shows the host's file `host` as the raw disk `key`.
    pub fn add_raw_disk(&self, key: &CStr, host: &CStr) -> Result<(), Failed> {
        // SAFETY: see above.
        let errno = unsafe { (self.functions.etfs_register)(key.as_ptr(), host.as_ptr(), CHARACTER_DEVICE) };
        zero("etfs_register", errno)
    }

    /// `getpid`
    #[inline]
    pub fn getpid(&self) -> i32 {
        // SAFETY: see above.
        unsafe { (self.functions.getpid)() }
    }

    /// `open`; what it makes may be read and written by all.
    pub fn open(&self, path: &CStr, flags: c_int) -> Result<c_int, Failed> {
        // SAFETY: see above.
        let descriptor = unsafe { (self.functions.open)(path.as_ptr(), flags, 0o666_u32) };
        checked("open", descriptor as isize).map(|descriptor| descriptor as c_int)
    }

    /// `close`
    pub fn close(&self, descriptor: c_int) -> Result<(), Failed> {
        // SAFETY: see above.
        checked("close", unsafe { (self.functions.close)(descriptor) } as isize).map(drop)
    }

    /// `read`; how many bytes.
    #[inline]
    pub fn read(&self, descriptor: c_int, data: &mut [u8]) -> Result<usize, Failed> {
        // SAFETY: see above.
        checked("read", unsafe { (self.functions.read)(descriptor, data.as_mut_ptr().cast(), data.len()) })
    }

    /// `write`; how many bytes.
    #[inline]
    pub fn write(&self, descriptor: c_int, data: &[u8]) -> Result<usize, Failed> {
        // SAFETY: see above.
        checked("write", unsafe { (self.functions.write)(descriptor, data.as_ptr().cast(), data.len()) })
    }

    /// `pread`; how many bytes.
    #[inline]
    pub fn pread(&self, descriptor: c_int, data: &mut [u8], at: u64) -> Result<usize, Failed> {
        // SAFETY: see above.
        let read = unsafe { (self.functions.pread)(descriptor, data.as_mut_ptr().cast(), data.len(), at as i64) };
        checked("pread", read)
    }

    /// `unlink`
    pub fn unlink(&self, path: &CStr) -> Result<(), Failed> {
        // SAFETY: see above.
        checked("unlink", unsafe { (self.functions.unlink)(path.as_ptr()) } as isize).map(drop)
    }

    /// Makes the folder `path` and mounts a tmpfs on it.
    pub fn mount_tmpfs(&self, path: &CStr) -> Result<(), Failed> {
        // SAFETY: see above.
        checked("mkdir", unsafe { (self.functions.mkdir)(path.as_ptr(), 0o777) } as isize)?;
        let mut args = TmpfsArgs { version: 1, nodes: 0, bytes: 0, uid: 0, gid: 0, mode: 0o777 };
        let (data, size) = ((&raw mut args).cast(), size_of::<TmpfsArgs>());
        // SAFETY: see above.
        let mounted = unsafe { (self.functions.mount)(c"tmpfs".as_ptr(), path.as_ptr(), 0, data, size) };
        checked("mount", mounted as isize).map(drop)
    }

    /// `pipe`: the end to read from and the one to write to.
    pub fn pipe(&self) -> Result<[c_int; 2], Failed> {
        let mut ends = [-1; 2];
        // SAFETY: see above; two descriptors are written.
        checked("pipe", unsafe { (self.functions.pipe)(ends.as_mut_ptr()) } as isize).map(|_| ends)
    }

    /// A pair of connected local stream sockets.
    pub fn socket_pair(&self) -> Result<[c_int; 2], Failed> {
        let mut ends = [-1; 2];
        // SAFETY: see above; two descriptors are written.
        let made = unsafe { (self.functions.socketpair)(AF_LOCAL, SOCK_STREAM, 0, ends.as_mut_ptr()) };
        checked("socketpair", made as isize).map(|_| ends)
    }

    /// `nanosleep`
    pub fn sleep(&self, time: Duration) -> Result<(), Failed> {
        let time = Timespec { seconds: time.as_secs() as i64, nanoseconds: time.subsec_nanos().into() };
        // SAFETY: see above; what is left is not asked for.
        checked("nanosleep", unsafe { (self.functions.nanosleep)(&time, core::ptr::null_mut()) } as isize).map(drop)
    }
}
