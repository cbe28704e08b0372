//! `rumpuser_init`: the guest introduces itself.

use super::block;
use super::seam;
use super::types::{Hyperup, VERSION};
use crate::external;
use crate::external::External;
use crate::guest::vcpu;
use crate::host::backend::Kind;
use crate::host::backend::choice::VARIABLE;
use crate::host::block::Choice;
use crate::host::diagnostic::warn;
use crate::host::errno::Errno;
use crate::host::fiber;
use crate::host::memory::heap;
use crate::{lwp, upcall};
use libc::c_int;
use rumpscope_probes::{Hypercall, WhichVcpu, measure};

/// Takes the guest's upcalls and begins to measure. 0, or a NetBSD error number: the version is not ours, the table is
/// missing, a guest is here already (there is room for one in a process), or the back end that the environment asks for
/// cannot be had.
///
/// # Safety
/// `upcalls` is null or points to the interface's table, of which the functions are read and the spare slots are not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rumpuser_init(version: c_int, upcalls: *const Hyperup) -> c_int {
    if let Err((errno, problem)) = check(version, upcalls) {
        warn("init", format_args!("{problem}"));
        return errno.to_netbsd();
    }
    let backend = match seam::choose() {
        Ok(kind) => kind,
        Err(problem) => {
            warn("init", format_args!("{problem}"));
            return Errno(libc::ENOEXEC).to_netbsd();
        }
    };
    // SAFETY: by contract the functions of the table are there; it may end before the spare slots, which therefore are
    // not touched.
    let upcalls = unsafe { Hyperup::copy_functions(upcalls) };
    if *backend == Kind::Fiber
        && let Err(problem) = fiber::find_guest_storage(&upcalls.addresses())
    {
        warn("init", format_args!("{VARIABLE}={backend}: {problem}"));
        return Errno(libc::ENOEXEC).to_netbsd();
    }
    heap::begin();
    let which_vcpu: Option<WhichVcpu> = vcpu::find_lookup().then_some(|| vcpu::place(lwp::current().cast()));
    let library = seam::external();
    // Another library has an engine of its own.
    let described = if library.is_some() { backend.to_string() } else { format!("{backend}, {}", block_io()) };
    if let Err(problem) = rumpscope_probes::begin(&described, which_vcpu) {
        warn("init", format_args!("{problem}"));
    }
    measure(Hypercall::Init, || {
        upcall::install(upcalls);
        library.map_or(0, initialise)
    })
}

/// Has the other library begin. It gets upcalls of ours, which pass on to the guest's.
fn initialise(library: &External) -> c_int {
    // SAFETY: a table that stays.
    let error = external::on_account_of(Hypercall::Init, || unsafe { (library.init)(VERSION, external::table()) });
    if error != 0 {
        let problem = "is it one of another version of the interface?";
        warn("init", format_args!("the external library refuses version {VERSION} with its error {error}: {problem}"));
    }
    error
}

/// The block I/O engine, as reports name it.
fn block_io() -> &'static Choice {
    let choice = block::choice();
    if let Some(problem) = &choice.problem {
        warn("init", format_args!("{problem}"));
    }
    choice
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
