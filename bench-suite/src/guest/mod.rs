//! The embedded guest: a small kernel in the manner of a rump kernel.
//!
//! It uses nothing of its host but hypercalls, through the table of a loaded [`Hypervisor`]: threads, locks, clocks,
//! memory and disk all come from there. (The language's own heap is the exception.) What runs on it, the
//! [workloads](crate::workload), checks its own results, so a guest is a test of the hypervisor too.
//!
//! ```text
//! workload (clients)      system calls: entry::system_call
//!     |                        |
//!     v                        v
//! entry -> scheduler -> cpu    kmutex krwlock kcondvar big_lock   softint callout clock   pages kmem   cache -> disk
//!     \________\___________________|__________________________________|____________________|_____________|
//!                                  hypercall (counted in accounts)          upcall <- hypervisor
//! ```
//!
//! One process holds at most one guest, once: the interface has one `rumpuser_init`.

mod accounts;
pub(crate) mod big_lock;
mod buffer;
pub(crate) mod cache;
pub(crate) mod callout;
pub(crate) mod clock;
pub(crate) mod console;
pub(crate) mod cpu;
mod disk;
pub(crate) mod driver;
pub(crate) mod entry;
pub(crate) mod errno;
mod host_lock;
pub(crate) mod hypercall;
pub(crate) mod image;
pub(crate) mod kcondvar;
pub(crate) mod kernel;
pub(crate) mod kmem;
pub(crate) mod kmutex;
pub(crate) mod krwlock;
pub(crate) mod lwp;
pub(crate) mod network;
mod options;
pub(crate) mod pages;
mod probe;
pub(crate) mod process;
mod report;
mod scheduler;
pub(crate) mod softint;
pub(crate) mod syscall;
pub(crate) mod thread;
pub(crate) mod upcall;
mod wire;

pub use cpu::CpuUse;
pub use options::GuestOptions;
pub use report::{GuestError, GuestReport, HostTime, PartReport};

use crate::hypervisor::Hypervisor;
use crate::workload;
use image::Image;

/// Boots the guest on `hypervisor`, runs the workload, and shuts the guest down. Once per process.
///
/// # Errors
/// When the guest could not be booted, a check of the workload failed, or something was not given back.
pub fn run(options: &GuestOptions, hypervisor: Hypervisor) -> Result<GuestReport, GuestError> {
    if !hypercall::install(hypervisor) {
        return Err(GuestError::AlreadyRan);
    }
    let image = match options.workload.disk() {
        0 => None,
        _ => Some(Image::new(options.image.as_deref())?),
    };
    let booted = kernel::boot(options.ncpu)?;
    let hostname = booted.hostname().to_owned();
    let outcome = workload::run(options, image);
    // Also after a failed check: what it was is worth more than what shutting down says then.
    let shutdown = booted.shutdown();
    let outcome = outcome?;
    shutdown?;
    Ok(GuestReport {
        workload: options.workload,
        hostname,
        time: outcome.time,
        host_time: outcome.host_time,
        parts: outcome.parts,
        hypercalls: accounts::totals(),
        cpus: cpu::all().iter().map(cpu::Cpu::usage).collect(),
    })
}
