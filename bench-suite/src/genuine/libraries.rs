//! The folder with the libraries of a genuine kernel, and loading them.

use super::{KernelError, Load};
use crate::hypervisor::loader_says;
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LAZY, RTLD_LOCAL, RTLD_NOW};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The kernel itself; components are added to it.
const KERNEL: &str = "librump";
/// What the kernel's libraries ask the loader for.
const HYPERVISOR: &str = "librumpuser.so.0";
/// Newer kernels keep a part of `librumpvfs` here.
const REST_OF_VFS: &str = "librumpvfs_nofifofs";

/// A folder with a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Libraries {
    folder: PathBuf,
}

impl Libraries {
    /// The kernel in `folder` or in its folder `lib`.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(folder: &Path) -> Result<Self, KernelError> {
        let candidates = [folder.to_owned(), folder.join("lib")].map(|folder| Libraries { folder });
        let found = candidates.into_iter().find(|libraries| libraries.file(KERNEL).is_some());
        let Libraries { folder } = found.ok_or_else(|| KernelError::NoKernel { folder: folder.to_owned() })?;
        // The loader looks elsewhere for a name without a folder.
        Ok(Libraries { folder: std::path::absolute(&folder).unwrap_or(folder) })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn file(&self, library: &str) -> Option<PathBuf> {
        ["so.0", "so"]
            .map(|ending| self.folder.join(format!("{library}.{ending}")))
            .into_iter()
            .find(|path| path.is_file())
    }

    /// Whether all that `load` needs is there.
    ///
    /// # Errors
    /// What is missing first.
    pub fn check(&self, load: Load) -> Result<(), KernelError> {
        self.components(load).map(drop)
    }

    fn components(&self, load: Load) -> Result<Vec<PathBuf>, KernelError> {
        let mut files = Vec::new();
        for &library in [KERNEL].iter().chain(load.kind().components) {
            let missing = || KernelError::NoComponent { load, library, folder: self.folder.clone() };
            files.push(self.file(library).ok_or_else(missing)?);
            files.extend(self.file(REST_OF_VFS).filter(|_| library == "librumpvfs"));
        }
        Ok(files)
    }

    /// What `LD_PRELOAD` has to be for a process that is to [`load`](Self::load) the same, so that all is as in a program
    /// that was linked with the kernel: its thread-local storage is part of every thread from the start, which back ends
    /// without host threads need. `None` where the variable cannot express it.
    pub fn preload(&self, hypervisor: &Path, load: Load) -> Option<OsString> {
        let mut objects = vec![hypervisor.to_owned()];
        objects.extend(self.components(load).ok()?);
        let separates = |path: &PathBuf| path.as_os_str().as_bytes().iter().any(|byte| b" :".contains(byte));
        let names: Vec<_> = objects.iter().map(|path| path.as_os_str()).collect();
        (!objects.iter().any(separates)).then(|| names.join(OsStr::new(":")))
    }

    /// Loads the hypervisor at `hypervisor`, then the kernel with the components that `load` needs. They stay as long as
    /// the process. Functions are found in what is returned, which stands for all that is loaded.
    ///
    /// # Errors
    /// When a library is missing, or cannot be loaded, or does not belong to the others.
    pub(super) fn load(&self, hypervisor: &Path, load: Load) -> Result<Library, KernelError> {
        let components = self.components(load)?;
        open(hypervisor)?;
        // What has this SONAME already is what the kernel's libraries get, whatever lies in the search paths.
        // SAFETY: nothing is loaded by this.
        let found = unsafe { Library::open(Some(HYPERVISOR), RTLD_LAZY | RTLD_LOCAL | libc::RTLD_NOLOAD) };
        match found {
            Ok(library) => std::mem::forget(library),
            Err(_) => return Err(KernelError::Soname { path: hypervisor.to_owned() }),
        }
        for path in components {
            open(&path).map_err(|error| match error {
                KernelError::Open { path: kernel, reason } if reason.contains("undefined symbol: rumpuser_") => {
                    KernelError::Hypercall { kernel, hypervisor: hypervisor.to_owned(), reason }
                }
                other => other,
            })?;
        }
        Ok(Library::this())
    }
}

/// Loads a library for good, and for all that is loaded later: components name few of the libraries that they use.
fn open(path: &Path) -> Result<(), KernelError> {
    // SAFETY: the user says that this is a hypervisor or a kernel. Loading one does nothing but announce its parts.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) };
    library
        .map(std::mem::forget)
        .map_err(|error| KernelError::Open { path: path.to_owned(), reason: loader_says(&error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_preloaded_behind_its_hypervisor() {
        let folder = std::env::temp_dir().join(format!("rumpscope-kernel-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        for library in ["librump.so.0", "librumpvfs.so", "librumpfs_tmpfs.so.0"] {
            std::fs::write(folder.join(library), "").unwrap();
        }
        let libraries = Libraries::find(&folder).unwrap();
        let [kernel, vfs, tmpfs] = ["librump.so.0", "librumpvfs.so", "librumpfs_tmpfs.so.0"]
            .map(|name| folder.join(name).display().to_string());
        let preload = |hypervisor: &str, load| libraries.preload(Path::new(hypervisor), load);
        assert_eq!(preload("/h.so", Load::Files), Some(format!("/h.so:{kernel}:{vfs}:{tmpfs}").into()));
        assert_eq!(preload("/my h.so", Load::Null), None);
        assert_eq!(preload("/h.so", Load::RawDisk), None);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
