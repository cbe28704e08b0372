//! The kernel as a whole: what there is one of, boot and shutdown.

use super::big_lock::BigLock;
use super::callout::Callouts;
use super::clock::Clock;
use super::lwp::{self, EXITING, Lwp};
use super::pages::PagePool;
use super::process::{INIT, ProcessTable};
use super::thread::Thread;
use super::upcall::UPCALLS;
use super::{GuestError, accounts, clock, cpu, entry, errno, hypercall, probe, softint};
use core::ffi::CStr;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use core::time::Duration;
use rumpuser::abi::types::VERSION;

/// What there is one of in a kernel.
#[derive(Debug)]
pub struct Kernel {
    /// The big kernel lock.
    pub big_lock: BigLock,
    /// All processes.
    pub processes: ProcessTable,
    /// All pages.
    pub pages: PagePool,
    /// The tick.
    pub clock: Clock,
    /// Functions that wait for a tick.
    pub callouts: Callouts,
}

static KERNEL: AtomicPtr<Kernel> = AtomicPtr::new(ptr::null_mut());

/// The kernel. Exists from boot to the end of shutdown, and guest code runs only in between.
#[inline]
pub fn kernel() -> &'static Kernel {
    // Relaxed: set before there is any other thread.
    let kernel = KERNEL.load(Ordering::Relaxed);
    // SAFETY: guest code runs between boot, which sets the pointer, and shutdown, which frees it when no thread is left.
    unsafe { &*kernel }
}

/// A booted kernel; the calling thread is on a virtual CPU of it, as an lwp of process init.
#[derive(Debug)]
#[must_use = "it has to be shut down"]
pub struct Booted {
    hostname: String,
    clock: Thread,
    softints: Vec<Thread>,
}

/// Boots on the hypervisor that is installed, with this many virtual CPUs, or as many as the hypervisor says.
///
/// # Errors
/// When the hypervisor refuses something that a kernel needs.
pub fn boot(ncpu: Option<u32>) -> Result<Booted, GuestError> {
    // SAFETY: the first hypercall; the table is static.
    errno::check(unsafe { hypercall::init(VERSION, &UPCALLS) }).map_err(GuestError::hypercall("init"))?;
    let ncpu = match ncpu {
        Some(ncpu) => ncpu,
        None => parameter(c"_RUMPUSER_NCPU")?.trim().parse().map_err(|_| GuestError::Parameter("_RUMPUSER_NCPU"))?,
    };
    let hostname = parameter(c"_RUMPUSER_HOSTNAME")?;
    cpu::attach(ncpu);
    let kernel = Box::leak(Box::new(Kernel {
        big_lock: BigLock::new(),
        processes: ProcessTable::new(),
        pages: PagePool::new(),
        clock: Clock::new(),
        callouts: Callouts::new(),
    }));
    // Relaxed: there is no other thread yet.
    KERNEL.store(kernel, Ordering::Relaxed);
    probe::describe();
    let init = kernel.processes.find(INIT).ok_or(GuestError::Parameter("init"))?;
    // SAFETY: a new lwp, freed by the last `leave` of this thread.
    unsafe { lwp::set_current(Lwp::create(init)) };
    entry::enter();
    let softints = softint::start().map_err(GuestError::hypercall("thread_create"))?;
    let clock = kernel.clock.start().map_err(GuestError::hypercall("thread_create"))?;
    Ok(Booted { hostname, clock, softints })
}

/// A parameter from the hypervisor.
fn parameter(name: &'static CStr) -> Result<String, GuestError> {
    let mut value = [0_u8; 256];
    // SAFETY: the name is a string; the value has that size.
    errno::check(unsafe { hypercall::getparam(name.as_ptr(), value.as_mut_ptr().cast(), value.len()) })
        .map_err(GuestError::hypercall("getparam"))?;
    let value = CStr::from_bytes_until_nul(&value).map_err(|_| GuestError::Parameter("getparam"))?;
    Ok(value.to_string_lossy().into_owned())
}

impl Booted {
    /// The name that the hypervisor gave to this kernel.
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// Ends all threads of the kernel and frees what it has. The caller has joined its own threads and closed its files.
    ///
    /// # Errors
    /// When something that should have been given back was not.
    pub fn shutdown(self) -> Result<(), GuestError> {
        kernel().clock.stop(self.clock);
        softint::stop(self.softints);
        // A thread of the hypervisor that told of a completed transfer may still be on its way out.
        while accounts::others_inside() {
            clock::sleep(Duration::from_millis(1));
        }
        let pages = kernel().pages.in_use();
        let processes = kernel().processes.count();
        lwp::me().set(EXITING);
        entry::leave();
        // SAFETY: boot leaked a box; no thread is left that could use it.
        drop(unsafe { Box::from_raw(KERNEL.swap(ptr::null_mut(), Ordering::Relaxed)) });
        match (pages, processes) {
            (0, 2) => Ok(()),
            (0, _) => Err(GuestError::Leaked { what: "processes", count: processes.saturating_sub(2) }),
            _ => Err(GuestError::Leaked { what: "pages", count: pages }),
        }
    }
}
