//! Execution contexts that are not host threads: coroutines, many of which share a host thread.
//!
//! What the hypercall path needs to know stands in the host thread's own storage, where one instruction finds it. So a
//! context has its state there while it runs and takes it away when it pauses; each has a lane of its own.

use crate::clock;
use crate::local::{self, Local};
use crate::recorder::{Recorder, this_thread};
use crate::unwind::Stack;
use core::mem;
use core::ops::Range;

/// The measuring state of a context that does not run, or, while it does, of the host thread that runs it.
#[derive(Debug)]
pub struct Context(Local);

// SAFETY: the lane and its rows belong to whoever has the state; it is handed from thread to thread with it.
unsafe impl Send for Context {}

impl Default for Context {
    fn default() -> Self {
        Self::new()
    }
}

impl Context {
    /// That of a context which has done nothing yet.
    pub const fn new() -> Self {
        Context(Local::NEW)
    }

    /// The same of a context that runs on the stack from `stack.start` to before `stack.end`, which is mapped while the
    /// context exists: its call chains may be followed so far, and otherwise to the end of a page.
    pub const fn on_stack(stack: Range<usize>) -> Self {
        let mut context = Self::new();
        context.0.stack = Stack { low: stack.start, high: stack.end };
        context
    }

    /// Takes the calling host thread's state and leaves the one that was here: once before the context runs, and once
    /// after. About 300 bytes each way.
    pub fn exchange(&mut self) {
        local::with(|local| mem::swap(local, &mut self.0));
    }

    /// Names the running context, which is new: readers show its lane under this name and the host thread's number.
    /// Without a call the lane has the host thread's name.
    pub fn begin(name: &str) {
        local::with(|local| {
            let Some(recorder) = local.recorder().filter(|_| local.lane.is_null()) else { return };
            let (tid, _) = this_thread();
            local.lane = recorder.take_lane(tid, name);
            local.random = clock::now() | 1;
        });
    }
}

impl Drop for Context {
    /// The context has ended: its lane, counts and all, goes to a later one.
    fn drop(&mut self) {
        if let Some(recorder) = Recorder::get() {
            // SAFETY: the state goes away, and with it the only copy.
            unsafe { recorder.give_back(self.0.lane) };
        }
    }
}
