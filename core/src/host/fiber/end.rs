//! The end of a fiber, and who waits for it.

use super::carrier;
use super::strand::{self, Fiber, Pause};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

#[derive(Debug)]
pub(super) struct End(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    ended: bool,
    /// Who waits; by the interface, one at most.
    joiner: Option<Joiner>,
}

#[derive(Debug)]
enum Joiner {
    Fiber(Arc<Fiber>),
    HostThread(Thread),
}

impl End {
    pub(super) fn new() -> Self {
        End(Mutex::default())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The fiber has ended.
    pub(super) fn announce(&self) {
        let mut state = self.state();
        state.ended = true;
        let joiner = state.joiner.take();
        drop(state);
        match joiner {
            Some(Joiner::Fiber(fiber)) => carrier::enqueue(fiber),
            Some(Joiner::HostThread(thread)) => thread.unpark(),
            None => {}
        }
    }

    /// Waits for it.
    pub(super) fn wait(&self) {
        loop {
            let mut state = self.state();
            if state.ended {
                return;
            }
            match strand::running() {
                Some(fiber) => {
                    state.joiner = Some(Joiner::Fiber(fiber.share()));
                    drop(state);
                    fiber.pause(Pause::Parked);
                }
                None => {
                    state.joiner = Some(Joiner::HostThread(thread::current()));
                    drop(state);
                    // Something else may have been told to go on; then we look again.
                    thread::park();
                }
            }
        }
    }
}
