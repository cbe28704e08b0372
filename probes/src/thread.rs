//! A host thread from its beginning to its end.
//!
//! What there is to be done when a thread ends is told to the C library by destructors of thread-local storage, for each of which
//! it allocates memory; where a stack ends it looks up in memory that it allocates; and a thread's first allocation has it make an
//! arena, by system calls that all other threads' mappings wait for. A thread that says itself where its stack is, and that it
//! ends, needs none of that ([`run`]). For all others there is one destructor.

use crate::local;
use crate::recorder;
use crate::unwind::Stack;
use core::cell::Cell;
use core::ops::Range;
use core::ptr;

/// Something to be done in the ending thread, once. It is known by its address.
#[derive(Debug)]
pub struct AtEnd(pub fn());

/// How many different ones there may be.
const MOST: usize = 4;

#[derive(Clone, Copy)]
struct Ends {
    stage: Stage,
    work: [Option<&'static AtEnd>; MOST],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not known: the C library will tell.
    Any,
    /// The thread is in [`run`].
    Tells,
    /// It was.
    Over,
}

thread_local! {
    static ENDS: Cell<Ends> = const { Cell::new(Ends { stage: Stage::Any, work: [None; MOST] }) };
    /// Of a thread that does not tell.
    static DESTRUCTOR: Destructor = const { Destructor };
}

struct Destructor;

impl Drop for Destructor {
    fn drop(&mut self) {
        end();
    }
}

/// Sees to it that `work` is done when the calling thread ends. Says whether it will be: a thread may be so far gone that nothing
/// is done any more.
pub fn at_end(work: &'static AtEnd) -> bool {
    let mut ends = ENDS.get();
    if ends.work.iter().flatten().any(|known| ptr::eq(*known, work)) {
        return true;
    }
    let will_be_told = match ends.stage {
        Stage::Any => DESTRUCTOR.try_with(|_| ()).is_ok(),
        Stage::Tells => true,
        Stage::Over => false,
    };
    if !will_be_told {
        return false;
    }
    let free = ends.work.iter_mut().find(|place| place.is_none());
    debug_assert!(free.is_some(), "MOST is too small");
    let Some(free) = free else { return false };
    *free = Some(work);
    ENDS.set(ends);
    true
}

/// Runs `main`, with which the calling thread ends: what is to be done then is done when it returns, and it must return. (What a
/// process leaves undone that ends first is lost with it.)
///
/// # Safety
/// `stack` is `None`, and the host is asked for it when it is needed; or all memory from the stack pointer up to its end can be
/// read as long as the thread runs.
pub unsafe fn run(stack: Option<Range<usize>>, main: impl FnOnce()) {
    if let Some(Range { start: low, end: high }) = stack {
        local::with(|local| local.stack = Stack { low, high });
    }
    be(Stage::Tells);
    main();
    be(Stage::Over);
    end();
}

fn be(stage: Stage) {
    ENDS.set(Ends { stage, ..ENDS.get() });
}

/// Does all that is to be done. A process made by fork has no part in it, and locks that it would wait for may never be free there.
fn end() {
    while recorder::is_writer() {
        let mut ends = ENDS.get();
        let Some(AtEnd(work)) = ends.work.iter_mut().find_map(Option::take) else { break };
        ENDS.set(ends);
        work();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::thread;

    thread_local! {
        static DONE: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
    }

    static FIRST: AtEnd = AtEnd(|| DONE.set((DONE.get().0 + 1, DONE.get().1)));
    static SECOND: AtEnd = AtEnd(|| DONE.set((DONE.get().0, DONE.get().1 + 1)));

    #[test]
    fn a_thread_that_tells_its_end_does_all_once() {
        let ending = thread::spawn(|| {
            let main = || {
                assert!(at_end(&FIRST) && at_end(&FIRST) && at_end(&SECOND));
                assert_eq!(DONE.get(), (0, 0));
            };
            // SAFETY: no stack.
            unsafe { run(None, main) };
            (DONE.get(), at_end(&FIRST))
        });
        assert_eq!(ending.join().expect("no panic"), ((1, 1), false));
    }

    #[test]
    fn so_does_one_that_does_not() {
        static REPORT: std::sync::Mutex<u32> = std::sync::Mutex::new(0);
        static COUNT: AtEnd = AtEnd(|| *REPORT.lock().unwrap() += 1);
        thread::spawn(|| assert!(at_end(&COUNT) && at_end(&COUNT))).join().expect("no panic");
        assert_eq!(*REPORT.lock().unwrap(), 1);
    }

    #[test]
    fn what_comes_too_late_is_told() {
        struct Late;
        impl Drop for Late {
            fn drop(&mut self) {
                // Destructors run in the order of their first use backwards: ours has run.
                REPORT.set(at_end(&FIRST)).expect("once");
            }
        }
        static REPORT: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
        thread_local! {
            static LATE: Late = const { Late };
        }
        thread::spawn(|| {
            LATE.with(|_| assert!(at_end(&SECOND)));
        })
        .join()
        .expect("no panic");
        assert_eq!(REPORT.get(), Some(&false));
    }
}
