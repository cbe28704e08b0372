//! The calling thread's own call chain, taken in its own process, where a thread waits or others wait for it.
//!
//! The guest's kernel is compiled without frame pointers, so the tables of call frame information (`.eh_frame`) say how
//! a frame is left. Evaluating them takes a microsecond a frame; but what they say of a return address fits into half
//! a word, and guests wait at few places. So:
//!
//! ```text
//!   Remembered --where they were?--hit--> one load from the stack a frame
//!        |
//!        +--miss--+
//!                 |
//!   call_chain -> walk --for each frame--> cache (one word per return address) --hit--> two loads from the stack
//!                                            |
//!                                            +--miss--> objects (what is loaded) -> tables -> program -> rule
//! ```
//!
//! **Nothing here can fault.** The stack is only read between the stack pointer and the end of the stack that it is in
//! ([`stack`]), whatever the rules say: a wrong rule, or a stack that was written over, makes a wrong or short chain. The
//! tables are only read while the host's loader keeps its list of objects as it is ([`objects`]).
//!
//! Only `rsp`, `rbp` and the return address are followed: on x86-64 compilers compute a frame's address from nothing else
//! at a call. Signal handlers' frames end a chain.

mod bytes;
mod cache;
mod objects;
mod program;
mod record;
mod remembered;
mod rule;
mod stack;
mod tables;
#[cfg(all(test, not(loom)))]
mod tests;
mod walk;

pub(crate) use objects::in_forked_child;
pub(crate) use remembered::Remembered;
pub(crate) use stack::Stack;
pub use walk::call_chain;

/// How deep chains are at most.
pub const DEPTH: usize = 32;
