//! Leaving a thread's `main` from any depth.
//!
//! `pthread_exit` unwinds the stack. That needs unwinding tables in all of the guest's code, aborts in every frame that
//! does not allow it (any `extern "C"` function of Rust), and loads `libgcc_s` at run time, where the process aborts
//! if it cannot. The guest needs no unwinding: its frames have no destructors. So the thread goes back to where it
//! entered `main`, as `longjmp` would, and ends by returning, which runs the host's destructors for threads.

use super::Main;
use core::ffi::c_void;

/// Whether `enter` returns when a thread is left; elsewhere it is unwound.
pub(super) const RETURNS: bool = cfg!(target_arch = "x86_64");

#[cfg(target_arch = "x86_64")]
pub(super) use returning::{enter, leave};
#[cfg(not(target_arch = "x86_64"))]
pub(super) use unwinding::{enter, leave};

#[cfg(target_arch = "x86_64")]
mod returning {
    use super::*;
    use core::arch::naked_asm;
    use core::cell::Cell;
    use core::ptr;

    std::thread_local! {
        /// The stack pointer in `call_main` while `main` runs; null on threads that are not ours.
        static STACK: Cell<*mut c_void> = const { Cell::new(ptr::null_mut()) };
    }

    /// Runs `main(argument)`, until it returns or somebody in it calls [`leave`].
    ///
    /// # Safety
    /// `main` may be called with `argument`.
    pub(in super::super) unsafe fn enter(main: Main, argument: *mut c_void) {
        // SAFETY: the caller's word; the place for the stack pointer is this thread's.
        STACK.with(|stack| unsafe { call_main(main, argument, stack.as_ptr()) });
    }

    /// Goes back to [`enter`], which returns. A thread that was not started by us ends with `pthread_exit`.
    ///
    /// # Safety
    /// No frame on the way needs to be left in order.
    pub(in super::super) unsafe fn leave() -> ! {
        let stack = STACK.get();
        if stack.is_null() {
            // SAFETY: the caller's word.
            unsafe { super::pthread_exit(ptr::null_mut()) }
        }
        // SAFETY: `call_main` is still on this stack, since this thread runs only what it called.
        unsafe { return_to(stack) }
    }

    /// Calls `main(argument)` with the stack pointer stored in `stack`.
    #[unsafe(naked)]
    unsafe extern "C" fn call_main(main: Main, argument: *mut c_void, stack: *mut *mut c_void) {
        // What a function must preserve is saved; then the stack is aligned to 16 bytes, as a call requires.
        naked_asm!(
            ".cfi_startproc",
            "push rbp",
            ".cfi_def_cfa_offset 16",
            ".cfi_offset rbp, -16",
            "mov rbp, rsp",
            ".cfi_def_cfa_register rbp",
            "push rbx",
            "push r12",
            "push r13",
            "push r14",
            "push r15",
            "sub rsp, 8",
            "mov [rdx], rsp",
            "mov rax, rdi",
            "mov rdi, rsi",
            "call rax",
            "add rsp, 8",
            "pop r15",
            "pop r14",
            "pop r13",
            "pop r12",
            "pop rbx",
            "pop rbp",
            ".cfi_def_cfa rsp, 8",
            "ret",
            ".cfi_endproc",
        )
    }

    /// Returns from the `call_main` that stored `stack`.
    #[unsafe(naked)]
    unsafe extern "C" fn return_to(stack: *mut c_void) -> ! {
        naked_asm!(
            "mov rsp, rdi",
            "add rsp, 8",
            "pop r15",
            "pop r14",
            "pop r13",
            "pop r12",
            "pop rbx",
            "pop rbp",
            "ret",
        )
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod unwinding {
    use super::*;

    /// Runs `main(argument)`.
    ///
    /// # Safety
    /// `main` may be called with `argument`.
    pub(in super::super) unsafe fn enter(main: Main, argument: *mut c_void) {
        // SAFETY: the same function; said to unwind, because `leave` goes through this call.
        let main: unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void = unsafe { core::mem::transmute(main) };
        // SAFETY: the caller's word.
        unsafe { main(argument) };
    }

    /// Ends the thread.
    ///
    /// # Safety
    /// No frame on the way needs to be left in order, and each may be unwound.
    pub(in super::super) unsafe fn leave() -> ! {
        // SAFETY: the caller's word.
        unsafe { super::pthread_exit(core::ptr::null_mut()) }
    }
}

unsafe extern "C-unwind" {
    // The declaration in the libc crate promises not to unwind.
    fn pthread_exit(value: *mut c_void) -> !;
}
