//! Callouts: functions to be called once, a number of ticks from now, by a soft interrupt.

use super::kernel::kernel;
use super::kmutex::KMutex;
use super::softint::Softint;
use std::collections::BTreeMap;
use std::sync::Arc;

type Function = Box<dyn FnOnce() + Send>;

/// Names a callout that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CalloutId {
    due: u64,
    number: u64,
}

/// The callouts that wait, and how many were ever asked for.
#[derive(Default)]
struct Queue {
    waiting: BTreeMap<CalloutId, Function>,
    asked: u64,
}

/// All callouts that wait for their time.
pub struct Callouts {
    queue: KMutex<Queue>,
    softint: Arc<Softint>,
}

impl core::fmt::Debug for Callouts {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Callouts").finish_non_exhaustive()
    }
}

impl Callouts {
    /// None yet.
    pub fn new() -> Self {
        // A spin mutex: the clock does not give up its virtual CPU for it.
        Callouts {
            queue: KMutex::new_spin(Queue::default()),
            softint: Softint::establish(true, || kernel().callouts.run()),
        }
    }

    /// Calls `function` when the clock has ticked `ticks` times, at least once.
    pub fn after(&self, ticks: u64, function: impl FnOnce() + Send + 'static) -> CalloutId {
        let mut queue = self.queue.enter();
        let id = CalloutId { due: kernel().clock.ticks() + ticks.max(1), number: queue.asked };
        queue.asked += 1;
        queue.waiting.insert(id, Box::new(function));
        id
    }

    /// Takes a callout back. False: too late, it has been called or is about to be.
    pub fn cancel(&self, id: CalloutId) -> bool {
        let function = self.queue.enter().waiting.remove(&id);
        function.is_some()
    }

    /// The clock has come to `now`.
    pub(super) fn tick(&self, now: u64) {
        let due = self.queue.enter().waiting.first_key_value().is_some_and(|(id, _)| id.due <= now);
        if due {
            self.softint.schedule();
        }
    }

    fn run(&self) {
        let now = kernel().clock.ticks();
        loop {
            let function = {
                let mut queue = self.queue.enter();
                match queue.waiting.first_entry() {
                    Some(first) if first.key().due <= now => first.remove(),
                    _ => return,
                }
            };
            function();
        }
    }
}
