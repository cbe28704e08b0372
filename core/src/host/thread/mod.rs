//! Host threads for the guest.

mod frame;

use crate::host::errno::Errno;
use core::ffi::{CStr, c_void};
use core::mem::MaybeUninit;
use core::ops::Range;
use libc::{c_int, pthread_t};
use rumpscope_probes as probes;

/// What a thread runs.
pub type Main = unsafe extern "C" fn(*mut c_void) -> *mut c_void;

/// The stack of a thread, in bytes; a guard page comes on top.
///
/// The guest's own code was written for stacks of 16 KiB and less, but it runs the host's functions on this one (name
/// lookups, formatted output), and client code in upcalls. The host only gives memory to what is touched; below 2 MiB
/// it does not round that up to a huge page, as it may with the default of 8 MiB.
pub(super) const STACK_SIZE: usize = 1 << 20;

/// What Linux keeps of a name, without the terminator.
const NAME_LENGTH: usize = 15;

struct Start {
    main: Main,
    argument: *mut c_void,
    name: Option<[u8; NAME_LENGTH + 1]>,
}

/// Starts a thread that runs `main(argument)`, named `name` as far as it fits (15 bytes). The name stands before `main`
/// runs. Who makes a joinable thread must [`join`] it.
///
/// Signals meant for the process do not run their handlers on such a thread: a handler belongs to the program around
/// the guest, and would act as the guest's kernel thread that it happens to interrupt.
///
/// # Safety
/// `main` may be called with `argument` on another thread.
pub unsafe fn spawn(
    main: Main,
    argument: *mut c_void,
    name: Option<&CStr>,
    joinable: bool,
) -> Result<pthread_t, Errno> {
    let start = Box::new(Start { main, argument, name: name.map(truncated) });
    let attributes = Attributes::new(joinable)?;
    let start = Box::into_raw(start);
    let mut thread = MaybeUninit::uninit();
    let signals = Signals::block();
    // SAFETY: the attributes are initialised; `run` takes what it is given.
    let error = unsafe { libc::pthread_create(thread.as_mut_ptr(), &attributes.0, run, start.cast()) };
    drop(signals);
    if error != 0 {
        // SAFETY: no thread has taken it.
        drop(unsafe { Box::from_raw(start) });
        return Err(Errno(error));
    }
    // SAFETY: written by the successful call.
    Ok(unsafe { thread.assume_init() })
}

/// Waits for the end of `thread`.
///
/// # Safety
/// `thread` was made joinable by [`spawn`] and has not been joined.
pub unsafe fn join(thread: pthread_t) -> Result<(), Errno> {
    // SAFETY: the caller's word.
    match unsafe { libc::pthread_join(thread, core::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(Errno(error)),
    }
}

/// Ends the calling thread. What is on its stack is dropped without a destructor.
///
/// # Safety
/// No frame of the thread's `main` or of what it called needs to be left in order.
pub unsafe fn exit() -> ! {
    // SAFETY: the caller's word.
    unsafe { frame::leave() }
}

extern "C" fn run(start: *mut c_void) -> *mut c_void {
    // SAFETY: `spawn` made it and gave it to this thread alone.
    let Start { main, argument, name } = *unsafe { Box::from_raw(start.cast::<Start>()) };
    if let Some(name) = name {
        // SAFETY: a terminated string of at most 16 bytes. The host refuses no name.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    }
    // SAFETY: `spawn`'s caller said so. Nothing here needs a destructor any more.
    let main = || unsafe { frame::enter(main, argument) };
    if frame::RETURNS {
        // SAFETY: from `own_stack`.
        unsafe { probes::thread::run(own_stack(), main) };
    } else {
        main();
    }
    core::ptr::null_mut()
}

/// The stack of the calling thread, which is of [`spawn`]: mapped as a whole, and so is what glibc has above it, up to the end.
fn own_stack() -> Option<Range<usize>> {
    /// What glibc may have of the stack's size for itself, at its upper end, and a page to protect at the lower one.
    const NOT_STACK: usize = 16 << 10;
    // SAFETY: no preconditions.
    let thread = unsafe { libc::pthread_self() } as usize;
    // It is the address of what glibc knows of the thread, which is in the thread's stack above all frames. Other libraries' is not.
    let stack = thread.saturating_sub(STACK_SIZE - NOT_STACK)..thread;
    (cfg!(target_env = "gnu") && stack.contains(&core::ptr::from_ref(&thread).addr())).then_some(stack)
}

fn truncated(name: &CStr) -> [u8; NAME_LENGTH + 1] {
    let mut short = [0; NAME_LENGTH + 1];
    for (to, from) in short[..NAME_LENGTH].iter_mut().zip(name.to_bytes()) {
        *to = *from;
    }
    short
}

/// The signals of the calling thread while it makes another, which inherits them from its first instruction on: all that
/// another thread can take as well are blocked. The rest comes from what the new thread does itself, or, as `SIGPROF`, is
/// about it.
struct Signals(libc::sigset_t);

impl Signals {
    fn block() -> Self {
        const OWN: [c_int; 8] = [
            libc::SIGSEGV,
            libc::SIGBUS,
            libc::SIGFPE,
            libc::SIGILL,
            libc::SIGTRAP,
            libc::SIGSYS,
            libc::SIGABRT,
            libc::SIGPROF,
        ];
        let (mut signals, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: `signals` is initialised by the first call, `before` by the last, which cannot fail; the numbers are valid.
        unsafe {
            libc::sigfillset(signals.as_mut_ptr());
            for signal in OWN {
                libc::sigdelset(signals.as_mut_ptr(), signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, signals.as_ptr(), before.as_mut_ptr());
            Signals(before.assume_init())
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // SAFETY: the mask that was found by `block`.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, core::ptr::null_mut()) };
    }
}

struct Attributes(libc::pthread_attr_t);

impl Attributes {
    fn new(joinable: bool) -> Result<Self, Errno> {
        let state = if joinable { libc::PTHREAD_CREATE_JOINABLE } else { libc::PTHREAD_CREATE_DETACHED };
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: initialises them, or says why not.
        match unsafe { libc::pthread_attr_init(attributes.as_mut_ptr()) } {
            0 => {}
            error => return Err(Errno(error)),
        }
        // SAFETY: initialised by the successful call.
        let mut attributes = Attributes(unsafe { attributes.assume_init() });
        // SAFETY: initialised attributes and valid values, which cannot be refused.
        unsafe {
            libc::pthread_attr_setdetachstate(&mut attributes.0, state);
            libc::pthread_attr_setstacksize(&mut attributes.0, STACK_SIZE);
        }
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`.
        unsafe { libc::pthread_attr_destroy(&mut self.0) };
    }
}
