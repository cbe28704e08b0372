//! What keeps a genuine kernel from running a load.

use super::Load;
use core::ffi::c_int;
use std::path::PathBuf;

/// A genuine kernel could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// There is no kernel in the folder.
    #[error("there is no rump kernel in {folder}: neither librump.so.0 nor lib/librump.so.0", folder = folder.display())]
    NoKernel {
        /// Which folder.
        folder: PathBuf,
    },
    /// A component of the kernel is not there.
    #[error("load {load} needs {library}.so.0, which is not in {folder}", folder = folder.display())]
    NoComponent {
        /// Who needs it.
        load: Load,
        /// The name of the library, without its ending.
        library: &'static str,
        /// Where it should be.
        folder: PathBuf,
    },
    /// The library under test would not be found by the kernel.
    #[error("{path} does not call itself librumpuser.so.0 (its SONAME), so the kernel would not use it", path = path.display())]
    Soname {
        /// The library.
        path: PathBuf,
    },
    /// A library could not be loaded.
    #[error("cannot load {path}: {reason}", path = path.display())]
    Open {
        /// Which one.
        path: PathBuf,
        /// What the loader says.
        reason: String,
    },
    /// The kernel calls what the library under test does not have.
    #[error(
        "{kernel} and {hypervisor} are of different versions: {reason}",
        kernel = kernel.display(), hypervisor = hypervisor.display()
    )]
    Hypercall {
        /// The kernel's library.
        kernel: PathBuf,
        /// The library under test.
        hypervisor: PathBuf,
        /// What the loader says.
        reason: String,
    },
    /// The kernel has not a function of the public interface.
    #[error("the kernel in {folder} has no {symbol}", folder = folder.display())]
    Symbol {
        /// Where the kernel is.
        folder: PathBuf,
        /// What is missing.
        symbol: &'static str,
    },
    /// The kernel did not boot.
    #[error(
        "rump_init failed with NetBSD error {errno}: the kernel and the hypervisor are of different versions of the \
         interface, or the hypervisor could not start"
    )]
    Boot {
        /// NetBSD's number of the error.
        errno: c_int,
    },
    /// The file behind the raw disk could not be made.
    #[error("cannot make the disk image: {0}")]
    Image(String),
    /// A load was refused something, or found that the kernel did not do what it should.
    #[error("load {load}: {what}")]
    Check {
        /// Which load.
        load: Load,
        /// What was expected, and what was found.
        what: String,
    },
}
