//! What the measured process itself knows of its hypercalls.

use crate::process::{Ended, tell};
use rumpscope_probes::{CATALOGUE, Hypercall};
use std::sync::atomic::{AtomicU64, Ordering};

static TALLY: [AtomicU64; Hypercall::COUNT] = [const { AtomicU64::new(0) }; Hypercall::COUNT];

/// One more call of `call` is made.
pub fn count(call: Hypercall) {
    // Relaxed: counters; who reads them has waited for the threads that write.
    TALLY[call as usize].fetch_add(1, Ordering::Relaxed);
}

/// Tells the test how often each hypercall was made.
pub fn tell_counts() {
    let counts = core::array::from_fn(|number| TALLY[number].load(Ordering::Relaxed));
    tell_these(&counts);
}

/// Tells the test these counts.
pub fn tell_these(counts: &[u64; Hypercall::COUNT]) {
    for (entry, &count) in CATALOGUE.iter().zip(counts) {
        tell(entry.name, count);
    }
}

/// What the process told of `call`.
pub fn told(ended: &Ended, call: Hypercall) -> u64 {
    ended.told(call.name())
}
