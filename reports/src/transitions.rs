//! How threads left their virtual CPUs and came back, by the hypercall that was the cause.

use crate::times::Totals;
use rumpscope_probes::{Hypercall, Metric, Quantity, Snapshot};
use serde::Serialize;

/// The transitions that one hypercall caused. A call that blocked lasted `own` + `unschedule` + `off` + `reschedule`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Transition {
    /// The hypercall, without the `rumpuser_` prefix; `guest_entry` and `guest_own` are the guest's own transitions.
    pub cause: &'static str,
    /// Giving up the virtual CPU.
    pub unschedule: Totals,
    /// Off the virtual CPU: until it asked for one again.
    pub off: Totals,
    /// Waiting for a virtual CPU and taking it.
    pub reschedule: Totals,
    /// The call's own work.
    pub own: Totals,
    /// On the virtual CPU, before the call gave it up.
    pub run: Totals,
    /// The virtual CPU was free, before the call's thread had it.
    pub gap: Totals,
    /// How often the thread came back on another virtual CPU.
    pub migrations: u64,
}

impl Transition {
    /// The transitions that `cause` made, if there are any.
    pub(crate) fn new(snapshot: &Snapshot, cause: Hypercall) -> Option<Self> {
        let totals = |quantity| Totals::new(snapshot, &[Metric { quantity, call: cause }]);
        let both = |fast, slow| Totals::new(snapshot, &[fast, slow].map(|quantity| Metric { quantity, call: cause }));
        let transition = Transition {
            cause: cause.name(),
            unschedule: both(Quantity::Unschedule, Quantity::SlowUnschedule),
            off: totals(Quantity::Off),
            reschedule: both(Quantity::Reschedule, Quantity::SlowReschedule),
            own: totals(Quantity::Own),
            run: totals(Quantity::Run),
            gap: totals(Quantity::Gap),
            migrations: totals(Quantity::Migration).all.count,
        };
        let seen = [&transition.unschedule, &transition.off, &transition.reschedule, &transition.run, &transition.gap];
        seen.iter().any(|totals| totals.all.count != 0).then_some(transition)
    }

    /// How often a thread left its virtual CPU or came to one, whichever is more: a run that goes on has no end yet.
    pub fn times(&self) -> u64 {
        self.unschedule.all.count.max(self.reschedule.all.count)
    }
}
