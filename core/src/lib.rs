//! The host below a rump kernel.
//!
//! A rump kernel reaches its host through the *rumpuser* hypercalls. This crate implements all of them, version 17, as
//! a drop-in `librumpuser.so.0`, a `librumpuser.a` and a Rust library, and measures each.
//!
//! * [`abi`]: the C entry points, one file per family: they check arguments, measure, and translate errors.
//! * [`host`]: what a hypercall does on this host. Knows no guest and no C types of the interface.
//! * `external`: another library that does the hypercalls instead, behind the same entry points.
//! * `upcall`: the guest's functions that we call, first of all to leave and to retake a virtual CPU.
//! * `guest`: what is known of the guest: which virtual CPU an lwp is on, its own transitions.
//!
//! The feature `heap`, on by default, makes [`host::memory::heap::Heap`] the global allocator: a Rust program with another one
//! turns it off.

pub mod abi;
mod external;
mod guest;
pub mod host;
mod lwp;
mod upcall;
