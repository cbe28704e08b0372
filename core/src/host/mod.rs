//! What a hypercall does on this host. One file per concept; nothing here knows the guest or measures anything.

pub mod backend;
pub mod batch;
pub mod block;
pub mod clock;
pub mod console;
pub mod cpus;
pub mod daemon;
pub mod diagnostic;
pub mod elf;
pub mod errno;
pub mod fiber;
pub mod file;
pub mod gather;
pub mod memory;
pub mod parameter;
pub mod pthread;
pub mod random;
#[cfg(test)]
mod scratch;
mod setting;
pub mod signal;
pub mod sync;
pub mod thread;
mod vdso;
