//! Threads of the guest: each is an lwp with a thread made by the hypervisor, or by the program around the guest.

use super::cpu::Cpu;
use super::kernel::kernel;
use super::lwp::{self, BOUND, Lwp};
use super::process::{INIT, KERNEL};
use super::{accounts, console, entry, errno, hypercall};
use core::ffi::{c_int, c_void};
use core::ptr::{self, NonNull};
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;

/// What a thread does.
pub type Main = Box<dyn FnOnce() + Send>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Context {
    /// It runs in the kernel, on a virtual CPU except while it waits.
    Kernel,
    /// It runs outside, and enters the kernel by system calls.
    Client,
    /// It runs outside, and has no lwp but what it asks the hypervisor for.
    Driver,
}

struct Start {
    lwp: Option<NonNull<Lwp>>,
    context: Context,
    main: Main,
}

// SAFETY: the lwp was made for the thread that is to run it.
unsafe impl Send for Start {}

/// A thread to be joined.
#[derive(Debug)]
#[must_use = "a thread has to be joined"]
pub struct Thread(Maker);

#[derive(Debug)]
enum Maker {
    /// With the cookie that it gave.
    Hypervisor(*mut c_void),
    Program(JoinHandle<()>),
}

// SAFETY: the hypervisor lets any thread join.
unsafe impl Send for Thread {}

impl Thread {
    /// A thread of the kernel; if a virtual CPU is given, bound to it.
    ///
    /// # Errors
    /// What the hypervisor says when it can make no thread.
    pub fn kernel(name: &str, cpu: Option<&'static Cpu>, main: Main) -> Result<Self, c_int> {
        let process = kernel().processes.find(KERNEL).ok_or(errno::ESRCH)?;
        let lwp = Lwp::create(process);
        if let Some(cpu) = cpu {
            // SAFETY: it is new, and nobody runs it yet.
            let lwp = unsafe { lwp.as_ref() };
            lwp.set_target(cpu);
            lwp.set(BOUND);
        }
        Self::start(name, cpu, Start { lwp: Some(lwp), context: Context::Kernel, main })
    }

    /// A client of the kernel: the only thread of a new process.
    ///
    /// # Errors
    /// As for [`kernel`](Self::kernel).
    pub fn client(name: &str, main: Main) -> Result<Self, c_int> {
        let lwp = kernel().processes.fork(INIT, name);
        Self::start(name, None, Start { lwp: Some(lwp), context: Context::Client, main })
    }

    /// As [`client`](Self::client), but a host thread that the program makes for itself. For a client that uses locks of
    /// the host: these know the host's threads, and what the hypervisor makes may be something else.
    ///
    /// # Errors
    /// What the guest would say: the host can make no thread.
    pub fn program(name: &str, main: Main) -> Result<Self, c_int> {
        let lwp = kernel().processes.fork(INIT, name);
        let start = Start { lwp: Some(lwp), context: Context::Client, main };
        let made = std::thread::Builder::new().name(name.to_owned()).spawn(move || start.run());
        made.map(|handle| Thread(Maker::Program(handle))).map_err(|_| {
            // SAFETY: no thread was made that could have run it.
            unsafe { lwp::free(lwp) };
            errno::EAGAIN
        })
    }

    /// A thread of a driver's host part, as a network driver has one that waits for packets: see
    /// [`driver`](super::driver).
    ///
    /// # Errors
    /// As for [`kernel`](Self::kernel).
    pub fn driver(name: &str, main: Main) -> Result<Self, c_int> {
        Self::start(name, None, Start { lwp: None, context: Context::Driver, main })
    }

    fn start(name: &str, cpu: Option<&'static Cpu>, start: Start) -> Result<Self, c_int> {
        let lwp = start.lwp;
        let start = Box::into_raw(Box::new(start));
        let name = CString::new(name).unwrap_or_default();
        let index = cpu.map_or(-1, |cpu| c_int::try_from(cpu.index()).unwrap_or(-1));
        let mut cookie = ptr::null_mut();
        // SAFETY: `run` takes the box; the name is a string, `cookie` takes the result.
        let errno = unsafe { hypercall::thread_create(run, start.cast(), name.as_ptr(), true, index, &mut cookie) };
        if errno != 0 {
            // SAFETY: no thread was made, so the box and the lwp are still ours alone.
            unsafe {
                drop(Box::from_raw(start));
                if let Some(lwp) = lwp {
                    lwp::free(lwp);
                }
            }
            return Err(errno);
        }
        Ok(Thread(Maker::Hypervisor(cookie)))
    }

    /// Waits for its end, off the virtual CPU.
    pub fn join(self) {
        let cookie = match self.0 {
            Maker::Hypervisor(cookie) => cookie,
            // Its panics end the program.
            Maker::Program(handle) => return drop(entry::outside(|| handle.join())),
        };
        // SAFETY: the cookie of a joinable thread, used once.
        let errno = unsafe { hypercall::thread_join(cookie) };
        if errno != 0 {
            console::panic(format_args!("thread_join: error {errno}"));
        }
    }
}

unsafe extern "C" fn run(start: *mut c_void) -> *mut c_void {
    // SAFETY: `start` comes from `Thread::start`, once.
    unsafe { Box::from_raw(start.cast::<Start>()) }.run();
    ptr::null_mut()
}

impl Start {
    fn run(self) {
        let Start { lwp, context, main } = self;
        if let Some(lwp) = lwp {
            // SAFETY: made for this thread; freed when it leaves the kernel for the last time.
            unsafe { lwp::set_current(lwp) };
        }
        if context == Context::Kernel {
            entry::enter();
        }
        // The closure is gone after this, and its state is not looked at.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(main)) {
            console::panic(format_args!("{}", console::payload_text(&*payload)));
        }
        if context == Context::Client {
            entry::enter();
        }
        if lwp.is_some() {
            lwp::me().exit();
            entry::leave();
        }
        accounts::release();
    }
}
