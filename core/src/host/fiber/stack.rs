//! Stacks: made by the host, with a guard page, and used again.

use crate::host::errno::Errno;
use crate::host::thread::STACK_SIZE;
use corosensei::stack::DefaultStack;
use std::sync::{Mutex, PoisonError};

/// How many stacks of ended fibers are kept. To make one and to give it back costs three calls of the host and a fault
/// for every page that is touched, which a guest that makes threads all the time would pay each time.
const KEPT: usize = 16;

static FREE: Mutex<Vec<DefaultStack>> = Mutex::new(Vec::new());

/// # Errors
/// EAGAIN where the host has no memory for it, as for a thread.
pub(super) fn take() -> Result<DefaultStack, Errno> {
    let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    free.map_or_else(|| DefaultStack::new(STACK_SIZE).map_err(|_| Errno(libc::EAGAIN)), Ok)
}

pub(super) fn give_back(stack: DefaultStack) {
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    if free.len() < KEPT {
        free.push(stack);
    }
}
