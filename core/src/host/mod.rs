//! What a hypercall does on this host. One file per concept; nothing here knows the guest or measures anything.

pub mod diagnostic;
pub mod errno;
pub mod sync;
pub mod thread;
