//! A guest that dies leaves a whole profile: every call that had returned is in it.

use crate::process;
use core::ffi::{c_int, c_long, c_void};
use libtest_mimic::Trial;
use rumpscope_bench_suite::guest::{self, GuestOptions};
use rumpscope_bench_suite::hypervisor::{Hypercalls, Hypervisor};
use rumpscope_bench_suite::workload::Workload;
use rumpscope_probes::Hypercall;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

pub fn trials() -> Vec<Trial> {
    [("SIGSEGV", libc::SIGSEGV), ("SIGKILL", libc::SIGKILL), ("SIGABRT", libc::SIGABRT)]
        .map(|(name, signal)| {
            Trial::test(format!("crash::a_death_by_{name}_leaves_the_profile"), move || {
                dies_by(signal);
                Ok(())
            })
        })
        .into()
}

/// The process dies in this call of `mutex_enter`.
const LAST: u64 = 20_000;

/// The calls that are watched.
const WATCHED: [Hypercall; 4] =
    [Hypercall::MutexEnter, Hypercall::MutexExit, Hypercall::ClockGettime, Hypercall::ClockSleep];

/// How many calls of each of [`WATCHED`] have begun, and have returned. It lies in a file, which outlives the process as
/// the segment does.
#[repr(C)]
struct Watch {
    begun: [AtomicU64; WATCHED.len()],
    returned: [AtomicU64; WATCHED.len()],
}

static WATCH: OnceLock<&'static Watch> = OnceLock::new();
static CALLS: OnceLock<Hypercalls> = OnceLock::new();
static SIGNAL: OnceLock<c_int> = OnceLock::new();

/// The measured process: the embedded guest, until it dies. `argument` is the signal, and the file for what is watched.
pub fn child_main(argument: &str, mut hypervisor: Hypervisor) -> ! {
    let (signal, path) = argument.split_once(' ').expect("two arguments");
    SIGNAL.set(signal.parse().expect("a number")).expect("set once");
    no_core_dump();
    WATCH.get_or_init(|| map(Path::new(path)));
    CALLS.set(hypervisor.calls).expect("set once");
    hypervisor.calls.mutex_enter = mutex_enter;
    hypervisor.calls.mutex_exit = mutex_exit;
    hypervisor.calls.clock_gettime = clock_gettime;
    hypervisor.calls.clock_sleep = clock_sleep;
    let options = GuestOptions { workload: Workload::Locks, ncpu: Some(2), ..GuestOptions::default() };
    let ended = guest::run(&options, hypervisor);
    panic!("it should have died: {ended:?}")
}

/// Does `call`, number `which` of those that are watched.
fn watched<R>(which: usize, call: impl FnOnce(&Hypercalls) -> R) -> R {
    let watch = WATCH.get().expect("set before the guest boots");
    // The orders keep each addition on its side of the call; whoever reads them does so after the process's end.
    let number = watch.begun[which].fetch_add(1, Ordering::SeqCst);
    let result = call(CALLS.get().expect("set before the guest boots"));
    watch.returned[which].fetch_add(1, Ordering::SeqCst);
    if which == 0 && number == LAST {
        die();
    }
    result
}

fn die() -> ! {
    match SIGNAL.get() {
        // SAFETY: none; that is what it is for.
        Some(&libc::SIGSEGV) => unsafe { core::ptr::without_provenance_mut::<u8>(8).write_volatile(0) },
        // SAFETY: no preconditions.
        Some(&signal) => drop(unsafe { libc::raise(signal) }),
        None => {}
    }
    unreachable!("dead")
}

unsafe extern "C" fn mutex_enter(mutex: *mut c_void) {
    // SAFETY: passed on as it came; likewise below.
    watched(0, |calls| unsafe { (calls.mutex_enter)(mutex) })
}

unsafe extern "C" fn mutex_exit(mutex: *mut c_void) {
    // SAFETY: see `mutex_enter`.
    watched(1, |calls| unsafe { (calls.mutex_exit)(mutex) })
}

unsafe extern "C" fn clock_gettime(which: c_int, seconds: *mut i64, nanoseconds: *mut c_long) -> c_int {
    // SAFETY: see `mutex_enter`.
    watched(2, |calls| unsafe { (calls.clock_gettime)(which, seconds, nanoseconds) })
}

unsafe extern "C" fn clock_sleep(which: c_int, seconds: i64, nanoseconds: c_long) -> c_int {
    // SAFETY: see `mutex_enter`.
    watched(3, |calls| unsafe { (calls.clock_sleep)(which, seconds, nanoseconds) })
}

/// The watch in the file at `path`, shared with whoever reads the file.
fn map(path: &Path) -> &'static Watch {
    let file = File::options().read(true).write(true).open(path).expect("made by the test");
    let size = size_of::<Watch>();
    // SAFETY: a new mapping of a file that is longer.
    let address = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    assert_ne!(address, libc::MAP_FAILED);
    // SAFETY: aligned to a page, zeros, mapped for good.
    unsafe { &*address.cast::<Watch>() }
}

fn no_core_dump() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `none` is valid.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
}

fn dies_by(signal: c_int) {
    let name = format!("crash-{signal}");
    let path = PathBuf::from(format!("{}/{name}-{}.watch", env!("CARGO_TARGET_TMPDIR"), std::process::id()));
    File::create(&path).and_then(|file| file.set_len(4096)).expect("a file of a page");
    let ended = process::run(&name, &format!("crash {signal} {}", path.display()), &[]);
    assert_eq!(ended.status.signal(), Some(signal), "{}", ended.status);
    let words = std::fs::read(&path).expect("what was watched");
    std::fs::remove_file(&path).expect("our file");
    let word = |index: usize| u64::from_ne_bytes(*words[index * 8..].first_chunk().expect("a page"));
    let snapshot = ended.snapshot();
    assert!(!snapshot.coverage.guest_ended);
    for (which, call) in WATCHED.into_iter().enumerate() {
        let (begun, returned) = (word(which), word(WATCHED.len() + which));
        let counted = snapshot.calls(call);
        assert!(returned <= counted && counted <= begun, "{}: {returned} <= {counted} <= {begun}", call.name());
    }
    assert!(word(0) > LAST);
}
