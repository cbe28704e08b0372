//! One thread that carries out one request at a time, in order: what the stock library does.

use super::{Completion, Engine, Request, worker};
use rumpscope_probes::Hypercall;
use rumpscope_probes::contention::alone;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

/// The engine. Its thread is made with the first request, and stays.
#[derive(Debug)]
pub struct Thread<C> {
    state: Mutex<State<C>>,
    /// There is a request.
    arrived: Condvar,
}

#[derive(Debug)]
struct State<C> {
    queue: VecDeque<Request<C>>,
    started: bool,
}

impl<C: Completion> Thread<C> {
    /// An engine without its thread.
    pub const fn new() -> Self {
        Thread { state: Mutex::new(State { queue: VecDeque::new(), started: false }), arrived: Condvar::new() }
    }

    fn run(&self) {
        C::thread_starts();
        loop {
            let request = self.next();
            let (completion, progress) = alone(Hypercall::Bio, || request.carry_out());
            completion.complete(progress);
        }
    }

    fn next(&self) -> Request<C> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match state.queue.pop_front() {
                Some(request) => return request,
                None => state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl<C: Completion> Default for Thread<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Completion> Engine<C> for Thread<C> {
    fn submit(&'static self, request: Request<C>) -> Result<(), Request<C>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.queue.try_reserve(1).is_err() {
            return Err(request);
        }
        if !state.started {
            if worker::start("bio".to_owned(), || self.run()).is_err() {
                return Err(request);
            }
            state.started = true;
        }
        state.queue.push_back(request);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }
}
