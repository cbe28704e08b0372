//! Locks and condition variables made of the C library's mutexes and condition variables: what the stock library is made
//! of, without its weaknesses. To be compared with; nothing here is faster than [`sync`](super::sync).

mod condvar;
mod mutex;
mod parker;
mod primitive;
mod rwlock;

pub use condvar::Condvar;
pub use mutex::Mutex;
pub use rwlock::Rwlock;

use super::backend::Backend;

/// The back end: these locks on the host's threads.
#[derive(Clone, Copy, Debug)]
pub struct Pthread;

impl Backend for Pthread {
    type Mutex = Mutex;
    type Rwlock = Rwlock;
    type Condvar = Condvar;
}
