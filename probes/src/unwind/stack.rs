//! Where the stack ends that the caller is on.

use crate::local;
use core::mem::MaybeUninit;

/// The stack of an execution context: its lowest address, and the one after its last. All zero: not known.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Stack {
    pub(crate) low: usize,
    pub(crate) high: usize,
}

/// Memory is mapped in pages of this size or larger.
const PAGE: usize = 4096;

/// Everything from the stack pointer `sp` of the caller up to here can be read.
#[inline]
pub(super) fn top(sp: usize) -> usize {
    let stack = local::with(|local| local.stack);
    if stack.low <= sp && sp < stack.high { stack.high } else { find_top(sp, stack) }
}

#[cold]
fn find_top(sp: usize, known: Stack) -> usize {
    let stack = if known.high == 0 { of_thread() } else { known };
    local::with(|local| local.stack = stack);
    if stack.low <= sp && sp < stack.high {
        return stack.high;
    }
    // Somebody's own stack: a coroutine of the guest's, or one for signals. The page with the top of it is there.
    (sp | (PAGE - 1)) + 1
}

/// The host thread's stack, asked of the host.
fn of_thread() -> Stack {
    /// Not zero, so that a host that cannot say is asked once.
    const UNKNOWN: Stack = Stack { low: 1, high: 1 };
    if let Some(stack) = of_main_thread() {
        return stack;
    }
    let mut attributes = MaybeUninit::uninit();
    // SAFETY: initialises them, or says that it did not.
    if unsafe { libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) } != 0 {
        return UNKNOWN;
    }
    let (mut low, mut size) = (core::ptr::null_mut(), 0);
    // SAFETY: initialised by the successful call; destroyed once.
    let failed = unsafe {
        let failed = libc::pthread_attr_getstack(attributes.as_ptr(), &mut low, &mut size) != 0;
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        failed
    };
    if failed { UNKNOWN } else { Stack { low: low.addr(), high: low.addr().saturating_add(size).max(1) } }
}

/// The stack of the process's first thread, if that is the caller; for which the C library would read the list of all that
/// is mapped. Only what has been used of it is mapped; but a stack is mapped from the stack pointer upwards.
fn of_main_thread() -> Option<Stack> {
    /// Linux keeps at least 128 MiB for it, counted from its top, and maps nothing else there.
    const FREE: usize = 64 << 20;
    // SAFETY: no preconditions.
    let is_main = unsafe { libc::gettid() == libc::getpid() };
    // SAFETY: as above.
    let name = unsafe { libc::getauxval(libc::AT_EXECFN) } as usize;
    // The name of the program is above all frames.
    let high = name & !7;
    (is_main && high > FREE).then(|| Stack { low: high - FREE, high })
}
