//! How measuring begins: the environment is asked, the segment is made.

use crate::arena::Arena;
use crate::clock;
use crate::contention::ENV_CONTENTION;
use crate::events::{self, STEP_BYTES, Store};
use crate::layout;
use crate::mode::Mode;
use crate::primitive::AtomicU64;
use crate::process;
use crate::recorder::{Beginning, Recorder, WhichVcpu, decline, stop_in_forked_child};
use core::ptr::NonNull;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// `0`: no segment, no probes at all.
pub const ENV_SWITCH: &str = "RUMPSCOPE";
/// The timing mode: `full` (default), `exact`, `sampled`, `counts` or `off`.
pub const ENV_TIMING: &str = "RUMPSCOPE_TIMING";
/// The segment's path (for the first process that uses it; `path.PID` for others); without it, one is made in
/// [`segment_folder`].
pub const ENV_SEGMENT: &str = "RUMPSCOPE_SEGMENT";

/// Address space and greatest file size of a segment, without its events, in bytes. Only what is used is backed by memory.
const CAPACITY: usize = 8 * layout::MOST_WORDS;

// Tables have room for positions up to there.
const _: () = assert!(CAPACITY / 8 <= crate::slot::POSITIONS);

/// The ending of a segment's file name; what is before it is the process number.
pub const EXTENSION: &str = "segment";

/// How many segments of processes that have ended are kept: a profile outlives its process, but not for ever.
const KEPT: usize = 16;

/// How many segments in the folder are reason to remove old ones.
const MANY: usize = 3 * KEPT;

/// The folder of this user's segments: `rumpscope` in `$XDG_RUNTIME_DIR`; where there is no such folder,
/// `rumpscope-UID` in `/dev/shm`, else in `/tmp`. On a disk, writing to the segment would now and then wait for it.
pub fn segment_folder() -> PathBuf {
    if let Some(runtime) = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|runtime| runtime.is_dir()) {
        return runtime.join("rumpscope");
    }
    let shared = ["/dev/shm", "/tmp"].map(Path::new).into_iter().find(|folder| folder.is_dir());
    // SAFETY: no preconditions.
    let user = unsafe { libc::geteuid() };
    shared.unwrap_or(Path::new("/tmp")).join(format!("rumpscope-{user}"))
}

/// Begins measuring, as the environment says; called once, by `rumpuser_init`. `which_vcpu` tells the virtual CPU of
/// the calling thread, where the guest can be asked. Problems never stop the guest: the message in the error is for
/// standard error, and nothing is measured.
///
/// # Errors
/// When the environment holds an unknown timing mode or the segment cannot be made.
pub fn begin(backend: &str, which_vcpu: Option<WhichVcpu>) -> Result<(), String> {
    if Recorder::get().is_some() {
        return Ok(());
    }
    if std::env::var_os(ENV_SWITCH).is_some_and(|value| value == "0") {
        decline();
        return Ok(());
    }
    if process::is_privileged() {
        decline();
        return Err(
            "not measuring: this program has privileges that its user may lack, and the segment would be made where \
                    the environment says"
                .to_owned(),
        );
    }
    start(backend, which_vcpu).inspect_err(|_| {
        if Recorder::get().is_none() {
            decline();
        }
    })
}

fn start(backend: &str, which_vcpu: Option<WhichVcpu>) -> Result<(), String> {
    let calibrating = clock::begin_calibration();
    let (mode, mut complaint) = wanted_mode();
    let wanted = match std::env::var_os(ENV_CONTENTION) {
        None => true,
        Some(value) if value == "on" => true,
        Some(value) if value == "off" => false,
        Some(value) => {
            let problem = format!("{ENV_CONTENTION}={}: neither on nor off; it is on", value.display());
            complaint = Some(complaint.map_or(problem.clone(), |first| format!("{first}; {problem}")));
            true
        }
    };
    let path = match std::env::var_os(ENV_SEGMENT) {
        Some(path) => unused_path(PathBuf::from(path)),
        None => default_path()?,
    };
    // Where no clock is read there is nothing to record.
    let (room, events_complaint) = if matches!(mode, Mode::Off | Mode::Counts) { (0, None) } else { events::wanted() };
    let (arena, events) = create(&path, room)
        .map_err(|error| format!("not measuring: cannot make the segment {}: {error}", path.display()))?;
    let beginning = Beginning {
        mode,
        backend,
        program: &process::program(),
        start_time: process::start_time(),
        boot: process::boot(),
        calibration: calibrating.end(),
        which_vcpu,
        // Where nothing is timed, waits are not.
        contention: wanted && matches!(mode, Mode::Sampled | Mode::Full | Mode::Exact),
    };
    Recorder::begin(arena, events, &beginning);
    // SAFETY: the handler only stores to an atomic. If it cannot be registered, there is no memory for a fork either.
    unsafe { libc::pthread_atfork(None, None, Some(in_forked_child)) };
    match (complaint, events_complaint) {
        (None, None) => Ok(()),
        (one, other) => Err([one, other].into_iter().flatten().collect::<Vec<_>>().join("; ")),
    }
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
    forget_old(&folder);
    Ok(folder.join(format!("{}.{EXTENSION}", std::process::id())))
}

/// Removes the segments of processes that have ended, but for the newest [`KEPT`], when there have come to be
/// [`MANY`]; seldom, because the guest waits for it. What cannot be looked at or removed stays.
fn forget_old(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let segments: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION))
        .collect();
    if segments.len() < MANY {
        return;
    }
    let mut dead: Vec<(SystemTime, PathBuf)> = segments
        .into_iter()
        .filter_map(|path| {
            let pid: libc::pid_t = path.file_stem()?.to_str()?.parse().ok()?;
            // SAFETY: signal 0 only asks whether the process exists.
            let exists = unsafe { libc::kill(pid, 0) } == 0;
            (!exists).then_some((std::fs::metadata(&path).ok()?.modified().ok()?, path))
        })
        .collect();
    dead.sort_unstable();
    let excess = dead.len().saturating_sub(KEPT);
    for (_, path) in dead.into_iter().take(excess) {
        let _ = std::fs::remove_file(path);
    }
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

/// A new file at `path`, mapped, with so many bytes for events at most: a quarter of the file is theirs at most.
fn create(path: &Path, events: usize) -> io::Result<(Arena, Option<Store>)> {
    let whole = CAPACITY.saturating_add(events).min(file_size_limit()) & !(page_size() - 1);
    // Whole steps, so that they begin at a page.
    let events = events.min(whole - CAPACITY.min(whole / 4 * 3)) / STEP_BYTES * STEP_BYTES;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // It is left from an earlier process with our number.
            std::fs::remove_file(path)?;
            options.open(path)?
        }
        opened => opened?,
    };
    let mapped = map(&file, whole - events, events);
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

/// Maps the file: `capacity` bytes for blocks, and so many behind them for events; both are whole pages.
fn map(file: &File, capacity: usize, events: usize) -> io::Result<(Arena, Option<Store>)> {
    let whole = capacity + events;
    file.set_len(whole as u64)?;
    // SAFETY: a new mapping of a file that is ours; nothing else is touched.
    let address = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            whole,
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
    let can_populate = can_populate();
    let provide = if can_populate {
        populate
    } else {
        // Before Linux 5.14 the disk's blocks are taken once, while there is a descriptor; what is beyond is lost room.
        const PREALLOCATED: usize = 8 << 20;
        let length = PREALLOCATED.min(capacity) as libc::off_t;
        preallocate(file, 0, length)?;
        preallocate(file, capacity as libc::off_t, events as libc::off_t)?;
        |_: NonNull<AtomicU64>, _: usize, to: usize| to * 8 <= PREALLOCATED
    };
    let provide_events = if can_populate { populate } else { |_: NonNull<AtomicU64>, _: usize, _: usize| true };
    // SAFETY: mapped for good; `provide` has the host commit every page before it is written.
    let arena = unsafe { Arena::new(words, capacity / 8, provide) };
    // SAFETY: as above; the arena ends where these words begin.
    let events = unsafe { Store::new(words, capacity / 8, events / 8, provide_events) };
    Ok((arena.ok_or_else(|| io::Error::other("no room for it on the device"))?, events))
}

/// Has the disk give its blocks now.
fn preallocate(file: &File, from: libc::off_t, length: libc::off_t) -> io::Result<()> {
    if length == 0 {
        return Ok(());
    }
    // SAFETY: the descriptor is open.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), from, length) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of the test's own, removed at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("rumpscope-test-{}-{name}", std::process::id()));
            own_folder(&path).expect("a new folder");
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn only_the_newest_dead_segments_are_kept() {
        let folder = Folder::new("old");
        // Process numbers end at 2^22.
        let dead = |number: u32| folder.0.join(format!("{}.{EXTENSION}", (1 << 22) + number));
        for number in 0..MANY as u32 {
            let file = File::create(dead(number)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(u64::from(number))).unwrap();
        }
        let own = folder.0.join(format!("{}.{EXTENSION}", std::process::id()));
        let foreign = folder.0.join("5000000.txt");
        File::create(&own).unwrap();
        File::create(&foreign).unwrap();
        forget_old(&folder.0);
        assert!(own.exists() && foreign.exists());
        let left: Vec<bool> = (0..MANY as u32).map(|number| dead(number).exists()).collect();
        assert_eq!(left, [vec![false; MANY - KEPT], vec![true; KEPT]].concat());
    }

    #[test]
    fn a_folder_open_to_others_is_refused() {
        let folder = Folder::new("open");
        std::fs::set_permissions(&folder.0, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        assert!(own_folder(&folder.0).is_err());
        assert!(own_folder(&folder.0.join("missing").join("parent")).is_err());
    }

    #[test]
    fn a_segment_is_private_and_its_path_is_used_once() {
        let folder = Folder::new("private");
        let path = folder.0.join("one");
        assert_eq!(unused_path(path.clone()), path);
        let (arena, _) = create(&path, 0).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_ne!(unused_path(path.clone()), path);
        // Beyond the first step, too, every word can be written.
        for _ in 0..100 {
            let block = arena.allocate(crate::arena::Kind::Chunks, crate::layout::chunk::SIZE * 16).unwrap();
            arena.word(block).store(1, crate::primitive::Ordering::Relaxed);
        }
    }
}
