//! The guest: makes some hypercalls and says what came back.

use core::ffi::{c_char, c_int, c_long, c_void};
use core::ptr::null_mut;
use rumpscope_bench_suite::hypervisor::{Hypervisor, own_library};
use rumpuser::abi::types::{self, Hyperup, Lwp, lwp_op, mutex};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often it enters its mutex.
pub const ENTERS: u64 = 100;
/// How many block transfers it makes.
pub const TRANSFERS: u64 = 10;

/// The environment variable that makes this program the guest.
const CHILD: &str = "RUMPSCOPE_TEST_EXTERNAL";

/// What the guest says.
pub struct Said {
    /// What `init` gave.
    pub init: c_int,
    /// Whether what it got is what the other library gives, and everything else as it should be.
    pub answers_are_the_other_librarys: bool,
    /// What is on standard error.
    pub stderr: String,
}

/// Runs the guest by `command`, which starts this program.
pub fn run(command: &mut Command) -> Said {
    let output = command.env(CHILD, "1").output().expect("it can be started");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let number = |key: &str| {
        let said = stdout.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
        said.unwrap_or_else(|| panic!("it did not say {key}: {}, {stdout}, {stderr}", output.status))
    };
    Said { init: number("init"), answers_are_the_other_librarys: number("external") == 1, stderr }
}

static COMPLETED: AtomicU64 = AtomicU64::new(0);
static SCHEDULED: AtomicU64 = AtomicU64::new(0);
static WRONG: AtomicU64 = AtomicU64::new(0);

/// Is the guest where this process was started as that; returns otherwise.
pub fn child_main() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    // SAFETY: no preconditions; a guest that hangs is killed.
    unsafe { libc::alarm(60) };
    let hypervisor = Hypervisor::load(&own_library().expect("our library")).expect("our library");
    let calls = &hypervisor.calls;
    let upcalls = upcalls();
    // SAFETY: a table that stays until the process ends.
    let init = unsafe { (calls.init)(types::VERSION, &upcalls) };
    println!("init {init}");
    let mut body = [0_u64; 4];
    let lwp: *mut Lwp = body.as_mut_ptr().cast();
    let mut answers = Vec::new();
    let mut object = null_mut();
    // SAFETY: hypercalls as the interface says.
    unsafe {
        (calls.curlwpop)(lwp_op::SET, lwp);
        answers.push((calls.curlwp)().addr());
        (calls.mutex_init)(&mut object, mutex::KMUTEX);
        answers.push(object.addr());
        if init == 0 && answers[0] != lwp.addr() {
            for _ in 0..ENTERS {
                (calls.mutex_enter)(object);
            }
            for _ in 0..TRANSFERS {
                (calls.bio)(0, 1, null_mut(), 512, 0, completed, lwp.cast());
            }
        }
    }
    // Relaxed: each transfer's thread has ended.
    let numbers = [&COMPLETED, &SCHEDULED, &WRONG].map(|number| number.load(Ordering::Relaxed));
    let right = answers == [lwp.addr() + 1; 2] && numbers == [TRANSFERS, TRANSFERS + ENTERS, 0];
    println!("external {}", i32::from(right));
    std::process::exit(0);
}

unsafe extern "C" fn completed(argument: *mut c_void, size: usize, error: c_int) {
    COMPLETED.fetch_add(1, Ordering::Relaxed);
    let right = !argument.is_null() && (size, error) == (512, 0);
    WRONG.fetch_add(u64::from(!right), Ordering::Relaxed);
}

const NLOCKS: c_int = 3;

/// The upcalls of a guest that needs nothing but to be asked.
fn upcalls() -> Hyperup {
    unsafe extern "C" fn nothing() {}
    unsafe extern "C" fn schedule() {
        SCHEDULED.fetch_add(1, Ordering::Relaxed);
    }
    unsafe extern "C" fn leave(_: c_int, nlocks: *mut c_int, _: *mut c_void) {
        // SAFETY: by the interface, there is a place for it.
        unsafe { nlocks.write(NLOCKS) };
    }
    unsafe extern "C" fn come(nlocks: c_int, interlock: *mut c_void) {
        SCHEDULED.fetch_add(1, Ordering::Relaxed);
        WRONG.fetch_add(u64::from(nlocks != NLOCKS || interlock.is_null()), Ordering::Relaxed);
    }
    unsafe extern "C" fn switch(_: *mut Lwp) {}
    unsafe extern "C" fn rfork(_: *mut c_void, _: c_int, _: *const c_char) -> c_int {
        0
    }
    unsafe extern "C" fn newlwp(_: libc::pid_t) -> c_int {
        0
    }
    unsafe extern "C" fn curlwp() -> *mut Lwp {
        null_mut()
    }
    unsafe extern "C" fn syscall(_: c_int, _: *mut c_void, _: *mut c_long) -> c_int {
        0
    }
    unsafe extern "C" fn exec(_: *const c_char) {}
    unsafe extern "C" fn getpid() -> libc::pid_t {
        1
    }
    Hyperup {
        schedule,
        unschedule: nothing,
        backend_unschedule: leave,
        backend_schedule: come,
        lwproc_switch: switch,
        lwproc_release: nothing,
        lwproc_rfork: rfork,
        lwproc_newlwp: newlwp,
        lwproc_curlwp: curlwp,
        syscall,
        lwpexit: nothing,
        execnotify: exec,
        getpid,
        extra: [null_mut(); 8],
    }
}
