//! The hypercalls with Rust's arguments and results: `Err` holds the NetBSD error number.
//!
//! Every function here calls the library under test as the guest of this process. They are safe to call as far as the
//! library keeps the interface; a library that does not may do anything, which is why each case has its own process.

/// Makes one hypercall.
macro_rules! hypercall {
    ($name:ident($($argument:expr),*)) => {{
        let call = crate::conformance::guest::guest().calls.$name;
        // SAFETY: the wrappers in this module pass what the interface allows, or what it must answer with an error:
        // pointers to live objects of the stated size, and objects that the library has made and not destroyed.
        unsafe { call($($argument),*) }
    }};
}

mod block;
mod file;
mod lock;
mod memory;
mod misc;
pub(crate) mod netbsd;
mod sysproxy;

pub(crate) use block::{Completion, Transfer};
pub(crate) use file::*;
pub(crate) use lock::{Condvar, Mutex, Rwlock};
pub(crate) use memory::*;
pub(crate) use misc::*;
pub(crate) use sysproxy::*;

use libc::c_int;

/// The outcome of a hypercall that returns an error number.
pub(crate) type Outcome<T = ()> = Result<T, c_int>;

fn outcome<T>(error: c_int, value: T) -> Outcome<T> {
    if error == 0 { Ok(value) } else { Err(error) }
}
