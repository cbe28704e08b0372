//! Block transfers.
//!
//! A request that the host's page cache can answer is answered there and then ([`Request::from_cache`]). Any other is
//! handed to an [`Engine`], which carries it out, by itself or on threads of its own, and tells the request's
//! [`Completion`] how it went. An engine keeps to this:
//! * every request accepted is completed exactly once, whatever goes wrong; one that is not accepted comes back, and
//!   the caller carries it out itself ([`Request::carry_out`]);
//! * any number of requests may wait. They are carried out in no particular order: who needs an order waits for the
//!   completion;
//! * `submit` does not wait for a transfer, and no completion runs inside it: completions run on threads of the engine,
//!   each of which calls [`Completion::thread_starts`] before its first request. One may run after another in the same
//!   thread, as interrupts of a device do: a completion must not wait for another one;
//! * an engine that got no request yet has no threads and no descriptors, so that the process can fork; one that has
//!   nothing to do sleeps.
//!
//! | engine | requests under way | who carries them out | stable writes |
//! |---|---|---|---|
//! | [`inline`] | one a caller | the caller | each by itself |
//! | [`thread`] | 1 | one thread, in order | each by itself |
//! | [`pool`] | 8, and flushes | up to 8 threads | share a flush |
//! | [`uring`] | 128, and flushes | the host's kernel; one thread completes | share a flush |
//!
//! [`choice`] says which one is used.

mod cache;
pub mod choice;
mod commit;
pub mod inline;
pub mod pool;
mod request;
pub mod thread;
pub mod uring;
mod worker;

#[cfg(test)]
mod tests;

use super::file::transfer::Progress;
pub use choice::{Choice, Kind};
pub use commit::failed_outside;
pub use request::{Operation, Request};

/// What is to be told of a request's end, and to whom.
pub trait Completion: Send + Sized + 'static {
    /// The calling thread is a new thread of an engine, about to complete requests.
    fn thread_starts();

    /// The request is done: `progress.bytes` were moved. Fewer than asked for means that `progress.stopped` says why, or
    /// that a read met the end of the file.
    fn complete(self, progress: Progress);

    /// Several requests are done at the same time.
    fn complete_all(done: Vec<(Self, Progress)>) {
        for (completion, progress) in done {
            completion.complete(progress);
        }
    }
}

/// Carries out requests.
pub trait Engine<C: Completion>: Sync {
    /// Takes a request on.
    ///
    /// # Errors
    /// The request itself, where the engine cannot take it: no memory, no thread.
    fn submit(&'static self, request: Request<C>) -> Result<(), Request<C>>;
}

/// A new engine, for as long as the process lives.
pub fn engine<C: Completion>(kind: Kind) -> &'static dyn Engine<C> {
    match kind {
        Kind::Inline => &inline::Inline,
        Kind::Thread => Box::leak(Box::new(thread::Thread::<C>::new())),
        Kind::Pool => Box::leak(Box::new(pool::Pool::<C>::new())),
        Kind::Uring => Box::leak(Box::new(uring::Uring::<C>::new())),
    }
}
