//! `rumpuser_init`: the guest introduces itself.

use super::block;
use super::types::{Hyperup, VERSION};
use crate::guest::vcpu;
use crate::host::diagnostic::warn;
use crate::host::errno::Errno;
use crate::{lwp, upcall};
use libc::c_int;
use rumpscope_probes::{Hypercall, WhichVcpu, measure};

/// Threads and synchronization, as reports name it; the block I/O engine follows.
const THREADS: &str = "native";

/// Takes the guest's upcalls and begins to measure. 0, or a NetBSD error number: the version is not ours, the table is
/// missing, or a guest is here already (there is room for one in a process).
///
/// # Safety
/// `upcalls` is null or points to the interface's table, of which the functions are read and the spare slots are not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_init(version: c_int, upcalls: *const Hyperup) -> c_int {
    if let Err((errno, problem)) = check(version, upcalls) {
        warn("init", format_args!("{problem}"));
        return errno.to_netbsd();
    }
    let which_vcpu: Option<WhichVcpu> = vcpu::find_lookup().then_some(|| vcpu::place(lwp::current().cast()));
    let block_io = block::choice();
    if let Some(problem) = &block_io.problem {
        warn("init", format_args!("{problem}"));
    }
    if let Err(problem) = rumpscope_probes::begin(&format!("{THREADS}, {block_io}"), which_vcpu) {
        warn("init", format_args!("{problem}"));
    }
    measure(Hypercall::Init, || {
        // SAFETY: by contract the functions of the table are there; it may end before the spare slots, which therefore
        // are not touched.
        upcall::install(unsafe { Hyperup::copy_functions(upcalls) });
        0
    })
}

fn check(version: c_int, upcalls: *const Hyperup) -> Result<(), (Errno, String)> {
    if version != VERSION {
        let problem = format!(
            "the guest speaks version {version} of the hypercall interface, this library {VERSION}: use a rump kernel of version {VERSION}"
        );
        return Err((Errno(libc::EINVAL), problem));
    }
    if upcalls.is_null() {
        return Err((Errno(libc::EFAULT), "the guest gave no table of upcalls".to_owned()));
    }
    if upcall::table().is_some() {
        let problem = "a rump kernel runs in this process already; start another process for another one".to_owned();
        return Err((Errno(libc::EALREADY), problem));
    }
    Ok(())
}
