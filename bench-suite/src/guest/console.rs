//! Messages of the guest kernel, and its end by panic.

use super::hypercall;
use core::fmt::Arguments;
use rumpuser::abi::types::EXIT_PANIC;
use std::ffi::CString;

/// Prints one line on the hypervisor's console.
pub fn print(message: Arguments<'_>) {
    let line = format!("{message}\n").replace('\0', "");
    hypercall::print(&CString::new(line).unwrap_or_default());
}

/// The guest cannot go on: says why and has the hypervisor end the process as after a panic.
#[cold]
pub fn panic(message: Arguments<'_>) -> ! {
    print(format_args!("panic: {message}"));
    // SAFETY: may be called at any time.
    unsafe { hypercall::exit(EXIT_PANIC) }
}

/// What a Rust panic said, for [`panic`].
pub fn payload_text(payload: &(dyn core::any::Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
