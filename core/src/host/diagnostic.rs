//! Messages of the hypervisor itself, on standard error.

/// Says `message` about hypercall `call` in one line, and goes on.
pub fn warn(call: &str, message: core::fmt::Arguments<'_>) {
    eprintln!("rumpuser_{call}: {message}");
}

/// The guest broke the contract of hypercall `call` in a way that the interface cannot report as an error: says so and
/// ends the process, with a core dump where the host makes one.
pub fn fatal(call: &str, message: core::fmt::Arguments<'_>) -> ! {
    eprintln!("rumpuser_{call}: {message}");
    std::process::abort();
}
