//! Loading the library does nothing; only `rumpuser_init` begins.
//!
//! The test runs itself again as a process of its own, which the host ends (seccomp(2)) at any system call but those by which
//! its loader brings a file into memory.
#![cfg(target_os = "linux")]

mod built;

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

/// What the second process does under the filter: the name of an environment variable.
const TASK: &str = "RUMPSCOPE_TEST_LOADING";

/// What a loader does: looks at a file, maps it, protects what it has written; and room from `malloc`. And what the second
/// process needs to end and to say why.
const ALLOWED: [libc::c_long; 13] = [
    libc::SYS_openat,
    libc::SYS_read,
    libc::SYS_pread64,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_close,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_brk,
    libc::SYS_getcwd,
    libc::SYS_write,
    libc::SYS_exit_group,
];

/// What the second process ends with where the host takes no filter.
const REFUSED: i32 = 77;

/// From now on the calling thread ends the process where it makes any other system call. Says whether the host agrees.
fn filter() -> bool {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0)];
    for (number, call) in ALLOWED.iter().enumerate() {
        // The last statement allows.
        let jt = (ALLOWED.len() - number) as u8;
        let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
        program.push(libc::sock_filter { code: equal, jt, jf: 0, k: *call as u32 });
    }
    program.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_KILL_PROCESS));
    program.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: numbers, and a program that is there during the call.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) == 0
    }
}

/// In the second process.
fn perform(task: &str) -> ! {
    let library = CString::new(built::path("librumpuser.so").as_os_str().as_bytes()).expect("no zero in a path");
    if !filter() {
        std::process::exit(REFUSED);
    }
    // SAFETY: the library is made to be loaded; nothing else is called but the C library.
    let loaded = unsafe {
        if task == "more" {
            libc::syscall(libc::SYS_getpid);
        }
        !libc::dlopen(library.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL).is_null()
    };
    // SAFETY: no preconditions. Without the destructors of the test's own threads, which make other calls.
    unsafe { libc::_exit(if loaded { 0 } else { 1 }) }
}

fn second(task: &str) -> ExitStatus {
    let test = std::env::current_exe().expect("the test has a file");
    let mut command = Command::new(test);
    command.args(["--exact", "loading_does_nothing", "--nocapture", "--test-threads=1"]).env(TASK, task);
    command.status().expect("the test runs again")
}

#[test]
fn loading_does_nothing() {
    if let Ok(task) = std::env::var(TASK) {
        perform(&task);
    }
    let status = second("load");
    if status.code() == Some(REFUSED) {
        eprintln!("skipped: this host lets nobody filter system calls");
        return;
    }
    assert!(status.success(), "loading made a system call that is not the loader's, or failed: {status}");
    let status = second("more");
    assert_eq!(status.signal(), Some(libc::SIGSYS), "a call more is found");
}
