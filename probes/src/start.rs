//! How measuring begins: the environment is asked, the segment is made.

use crate::arena::Arena;
use crate::clock;
use crate::mode::Mode;
use crate::primitive::AtomicU64;
use crate::process;
use crate::recorder::{Beginning, Recorder, WhichVcpu, stop_in_forked_child};
use core::ptr::NonNull;
use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// `0`: no segment, no probes at all.
pub const ENV_SWITCH: &str = "RUMPSCOPE";
/// The timing mode: `full` (default), `sampled`, `counts` or `off`.
pub const ENV_TIMING: &str = "RUMPSCOPE_TIMING";
/// The segment's path (for the first process that uses it; `path.PID` for others); without it, one is made in
/// [`segment_folder`].
pub const ENV_SEGMENT: &str = "RUMPSCOPE_SEGMENT";

/// Address space and greatest file size of a segment: 256 MiB, room for some 300,000 histograms. Only what is used is
/// backed by memory.
const CAPACITY: usize = 256 << 20;

/// The folder of this user's segments: `rumpscope` in `$XDG_RUNTIME_DIR`, or `/tmp/rumpscope-UID` where there is no
/// such folder.
pub fn segment_folder() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(runtime) if runtime.is_dir() => runtime.join("rumpscope"),
        // SAFETY: no preconditions.
        _ => PathBuf::from(format!("/tmp/rumpscope-{}", unsafe { libc::getuid() })),
    }
}

/// Begins measuring, as the environment says; called once, by `rumpuser_init`. `which_vcpu` tells the virtual CPU of
/// the calling thread, where the guest can be asked. Problems never stop the guest: the message in the error is for
/// standard error, and nothing is measured.
///
/// # Errors
/// When the environment holds an unknown timing mode or the segment cannot be made.
pub fn begin(backend: &str, which_vcpu: Option<WhichVcpu>) -> Result<(), String> {
    if Recorder::get().is_some() || std::env::var_os(ENV_SWITCH).is_some_and(|value| value == "0") {
        return Ok(());
    }
    let (mode, complaint) = wanted_mode();
    let path = match std::env::var_os(ENV_SEGMENT) {
        Some(path) => unused_path(PathBuf::from(path)),
        None => default_path()?,
    };
    let arena =
        create(&path).map_err(|error| format!("not measuring: cannot make the segment {}: {error}", path.display()))?;
    let beginning = Beginning {
        mode,
        backend,
        program: &process::program(),
        start_time: process::start_time(),
        boot: process::boot(),
        calibration: clock::calibrate(),
        which_vcpu,
    };
    Recorder::begin(arena, &beginning);
    // SAFETY: the handler only stores to an atomic. If it cannot be registered, there is no memory for a fork either.
    unsafe { libc::pthread_atfork(None, None, Some(in_forked_child)) };
    complaint.map_or(Ok(()), Err)
}

extern "C" fn in_forked_child() {
    stop_in_forked_child();
}

/// The mode that the environment asks for, and what is wrong with it.
fn wanted_mode() -> (Mode, Option<String>) {
    let Some(wanted) = std::env::var_os(ENV_TIMING) else { return (Mode::Full, None) };
    match wanted.to_str().and_then(Mode::from_name) {
        Some(mode) => (mode, None),
        None => {
            let names = Mode::ALL.map(Mode::name).join(", ");
            let problem = format!("{ENV_TIMING}={}: not one of {names}; full is used", wanted.display());
            (Mode::Full, Some(problem))
        }
    }
}

/// The process's own place in the folder of segments, which is made where it is missing.
fn default_path() -> Result<PathBuf, String> {
    let folder = segment_folder();
    own_folder(&folder)
        .map_err(|error| format!("not measuring: the folder of segments {}: {error}", folder.display()))?;
    let mut name = OsString::from(std::process::id().to_string());
    name.push(".segment");
    Ok(folder.join(name))
}

/// Makes `folder` for this user alone, or sees that it is: in a shared `/tmp` somebody else may have made it first.
///
/// # Errors
/// When it cannot be made, is no folder, is somebody else's, or is open to others.
pub fn own_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = std::fs::symlink_metadata(folder)?;
    // SAFETY: no preconditions.
    let user = unsafe { libc::geteuid() };
    if !found.is_dir() || found.uid() != user || found.mode() & 0o077 != 0 {
        return Err(io::Error::other("exists, but is not a folder that only this user can enter; remove it"));
    }
    Ok(())
}

/// A new file at `path`, mapped.
fn create(path: &Path) -> io::Result<Arena> {
    let capacity = CAPACITY.min(file_size_limit());
    // What is there is left from an earlier process with our number.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    let mapped = map(&file, capacity);
    if mapped.is_err() {
        let _ = std::fs::remove_file(path);
    }
    mapped
}

/// `path`, or where another process of the same environment has its segment there already, `path.PID`.
fn unused_path(path: PathBuf) -> PathBuf {
    if !path.exists() {
        return path;
    }
    let mut other = path.into_os_string();
    other.push(format!(".{}", std::process::id()));
    PathBuf::from(other)
}

/// The largest file that this process may make without being sent SIGXFSZ.
fn file_size_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) } != 0;
    if failed { usize::MAX } else { usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX) }
}

fn map(file: &File, capacity: usize) -> io::Result<Arena> {
    let capacity = capacity & !(page_size() - 1);
    file.set_len(capacity as u64)?;
    // SAFETY: a new mapping of a file that is ours; nothing else is touched.
    let address = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            capacity,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_NORESERVE,
            file.as_raw_fd(),
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let words = NonNull::new(address.cast::<AtomicU64>()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
    // The file is not kept open: a client program may close all descriptors that it does not know.
    let provide = if can_populate() {
        populate
    } else {
        // Before Linux 5.14 the disk's blocks are taken once, while there is a descriptor; what is beyond is lost room.
        const PREALLOCATED: usize = 8 << 20;
        let length = PREALLOCATED.min(capacity) as libc::off_t;
        // SAFETY: the descriptor is open.
        let error = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, length) };
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        |_: NonNull<AtomicU64>, _: usize, to: usize| to * 8 <= PREALLOCATED
    };
    // SAFETY: mapped for good; `provide` has the host commit every page before it is written.
    unsafe { Arena::new(words, capacity / 8, provide) }.ok_or_else(|| io::Error::other("no room for it on the device"))
}

fn page_size() -> usize {
    // SAFETY: no preconditions; the answer is a power of two.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// Whether the host can be asked to back a part of the mapping with real pages, and to say so when it cannot: writing
/// to a page that a full disk cannot back would be SIGBUS for the guest.
fn can_populate() -> bool {
    // SAFETY: an empty range; only the advice's number is looked at.
    unsafe { libc::madvise(core::ptr::null_mut(), 0, libc::MADV_POPULATE_WRITE) == 0 }
}

fn populate(words: NonNull<AtomicU64>, from: usize, to: usize) -> bool {
    let mask = page_size() - 1;
    let begin = (from * 8) & !mask;
    // SAFETY: a page-aligned part of the segment's own mapping.
    unsafe {
        libc::madvise(words.as_ptr().cast::<u8>().add(begin).cast(), to * 8 - begin, libc::MADV_POPULATE_WRITE) == 0
    }
}
