//! Messages of the hypervisor itself, on standard error.

use super::console;
use std::io::Write;

/// Says `message` about hypercall `call` in one line, and goes on.
pub fn warn(call: &str, message: core::fmt::Arguments<'_>) {
    // One write, so that lines of several threads stay whole. Nobody can be told that standard error is gone.
    let _ = std::io::stderr().write_all(format!("rumpuser_{call}: {message}\n").as_bytes());
}

/// The guest broke the contract of hypercall `call` in a way that the interface cannot report as an error: says so and
/// ends the process, with a core dump where the host makes one.
pub fn fatal(call: &str, message: core::fmt::Arguments<'_>) -> ! {
    console::flush();
    warn(call, message);
    std::process::abort();
}
