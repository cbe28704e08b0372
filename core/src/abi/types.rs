//! The types and constants of the rumpuser interface, version 17, for LP64 hosts.

use libc::{c_char, c_int, c_long, c_void, pid_t};

/// The only interface version there is.
pub const VERSION: c_int = 17;

macro_rules! opaque {
    ($($(#[$meta:meta])* $name:ident;)*) => {
        $(
            $(#[$meta])*
            #[repr(C)]
            #[derive(Debug)]
            pub struct $name {
                _opaque: [u8; 0],
                _not_send: core::marker::PhantomData<(*mut u8, core::marker::PhantomPinned)>,
            }
        )*
    };
}

opaque! {
    /// A kernel thread of the guest.
    Lwp;
    /// A module's description in the guest.
    Modinfo;
    /// A rump component's description in the guest.
    Component;
    /// An event counter of the guest.
    Evcnt;
}

/// One buffer of a scattered transfer; laid out as the host's `struct iovec`.
pub type Iovec = libc::iovec;

/// The guest's functions that the hypervisor calls, in the order of the interface.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Hyperup {
    /// Take a virtual CPU and an lwp for this host thread.
    pub schedule: unsafe extern "C" fn(),
    /// Give both back.
    pub unschedule: unsafe extern "C" fn(),
    /// Give up the virtual CPU around a wait: `(0, &nlocks, interlock)`.
    pub backend_unschedule: unsafe extern "C" fn(c_int, *mut c_int, *mut c_void),
    /// Take a virtual CPU again after the wait: `(nlocks, interlock)`.
    pub backend_schedule: unsafe extern "C" fn(c_int, *mut c_void),
    /// Make this lwp the current one.
    pub lwproc_switch: unsafe extern "C" fn(*mut Lwp),
    /// Drop the current lwp.
    pub lwproc_release: unsafe extern "C" fn(),
    /// Make a new process.
    pub lwproc_rfork: unsafe extern "C" fn(*mut c_void, c_int, *const c_char) -> c_int,
    /// Make a new lwp in a process.
    pub lwproc_newlwp: unsafe extern "C" fn(pid_t) -> c_int,
    /// The current lwp.
    pub lwproc_curlwp: unsafe extern "C" fn() -> *mut Lwp,
    /// Run a system call.
    pub syscall: unsafe extern "C" fn(c_int, *mut c_void, *mut c_long) -> c_int,
    /// The current lwp is about to end.
    pub lwpexit: unsafe extern "C" fn(),
    /// A client process runs a new program.
    pub execnotify: unsafe extern "C" fn(*const c_char),
    /// The current process's number.
    pub getpid: unsafe extern "C" fn() -> pid_t,
    /// Reserved by the interface.
    pub extra: [*mut c_void; 8],
}

impl Hyperup {
    /// Where the functions are.
    pub(crate) fn addresses(&self) -> [usize; 13] {
        [
            self.schedule as usize,
            self.unschedule as usize,
            self.backend_unschedule as usize,
            self.backend_schedule as usize,
            self.lwproc_switch as usize,
            self.lwproc_release as usize,
            self.lwproc_rfork as usize,
            self.lwproc_newlwp as usize,
            self.lwproc_curlwp as usize,
            self.syscall as usize,
            self.lwpexit as usize,
            self.execnotify as usize,
            self.getpid as usize,
        ]
    }

    /// A copy of the functions at `table`, with the spare slots empty.
    ///
    /// # Safety
    /// The functions must be there; the spare slots need not.
    pub(crate) unsafe fn copy_functions(table: *const Hyperup) -> Self {
        let mut copy = core::mem::MaybeUninit::<Hyperup>::zeroed();
        // SAFETY: by contract all that lies before the spare slots can be read; the copy has the same layout. After it
        // every function pointer is the guest's, and null is valid for the slots.
        unsafe {
            core::ptr::copy_nonoverlapping(
                table.cast::<u8>(),
                copy.as_mut_ptr().cast::<u8>(),
                core::mem::offset_of!(Hyperup, extra),
            );
            copy.assume_init()
        }
    }
}

/// `rumpuser_open`: how to open, in the low bits of the mode.
pub mod open {
    use libc::c_int;
    /// For reading.
    pub const RDONLY: c_int = 0;
    /// For writing.
    pub const WRONLY: c_int = 1;
    /// For both.
    pub const RDWR: c_int = 2;
    /// The bits that hold one of the three above.
    pub const ACCMODE: c_int = 3;
    /// Create it where it does not exist.
    pub const CREATE: c_int = 4;
    /// With [`CREATE`]: fail where it exists.
    pub const EXCL: c_int = 8;
    /// It will be used for block I/O.
    pub const BIO: c_int = 0x10;
}

/// `rumpuser_getfileinfo`: kinds of files.
pub mod file_type {
    use libc::c_int;
    /// None of the others.
    pub const OTHER: c_int = 0;
    /// A directory.
    pub const DIR: c_int = 1;
    /// A regular file.
    pub const REG: c_int = 2;
    /// A block device.
    pub const BLK: c_int = 3;
    /// A character device.
    pub const CHR: c_int = 4;
}

/// `rumpuser_bio`: operations, as bits.
pub mod bio {
    use libc::c_int;
    /// From the device to memory.
    pub const READ: c_int = 1;
    /// From memory to the device.
    pub const WRITE: c_int = 2;
    /// This request is on stable storage before its completion is told.
    pub const SYNC: c_int = 4;
}

/// `rumpuser_syncfd`: what is to be synchronised, as bits.
pub mod sync {
    use libc::c_int;
    /// Reads see what is on the device.
    pub const READ: c_int = 1;
    /// Writes reach the device.
    pub const WRITE: c_int = 2;
    /// Only order is asked for.
    pub const BARRIER: c_int = 4;
    /// Wait until it is done, the device's own cache included.
    pub const SYNC: c_int = 8;
}

/// Which clock: `rumpuser_clock_gettime`, `rumpuser_clock_sleep`.
pub mod clock {
    use libc::c_int;
    /// The wall clock; a sleep on it is relative.
    pub const RELWALL: c_int = 0;
    /// The monotonic clock; a sleep on it is until an absolute time.
    pub const ABSMONO: c_int = 1;
}

/// `rumpuser_getrandom`: flags.
pub mod random {
    use libc::c_int;
    /// Seed quality.
    pub const HARD: c_int = 1;
    /// Do not wait for it.
    pub const NOWAIT: c_int = 2;
}

/// `rumpuser_curlwpop`: operations.
pub mod lwp_op {
    use libc::c_int;
    /// The guest made an lwp.
    pub const CREATE: c_int = 0;
    /// The guest is about to free one.
    pub const DESTROY: c_int = 1;
    /// It becomes the current one of this host thread.
    pub const SET: c_int = 2;
    /// It stops being the current one of this host thread.
    pub const CLEAR: c_int = 3;
}

/// `rumpuser_mutex_init`: flags; both may be given.
pub mod mutex {
    use libc::c_int;
    /// A spin mutex: waiting for it never gives up the virtual CPU.
    pub const SPIN: c_int = 1;
    /// A mutex of the guest's own kind: it has an owner.
    pub const KMUTEX: c_int = 2;
}

/// How a reader/writer lock is asked for or asked about.
pub mod rw {
    use libc::c_int;
    /// Shared.
    pub const READER: c_int = 0;
    /// Exclusive.
    pub const WRITER: c_int = 1;
}

/// `rumpuser_exit`: the guest panicked.
pub const EXIT_PANIC: c_int = -1;

/// `rumpuser_kill`: this process.
pub const KILL_SELF: i64 = -1;

/// `rumpuser_getparam`: the names that are not environment variables.
pub mod param {
    /// Number of virtual CPUs.
    pub const NCPU: &str = "_RUMPUSER_NCPU";
    /// Name of the guest.
    pub const HOSTNAME: &str = "_RUMPUSER_HOSTNAME";
}
