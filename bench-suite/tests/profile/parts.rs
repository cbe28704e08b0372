//! The time of a call that blocked is the sum of its parts.

use rumpscope_probes::{CATALOGUE, Hypercall, Metric, Quantity, Snapshot};

/// Calls that always give up the virtual CPU, or take one.
const ALWAYS: [Hypercall; 16] = [
    Hypercall::ClockSleep,
    Hypercall::CvWait,
    Hypercall::CvTimedwait,
    Hypercall::ThreadJoin,
    Hypercall::Open,
    Hypercall::Close,
    Hypercall::Getfileinfo,
    Hypercall::Iovread,
    Hypercall::Iovwrite,
    Hypercall::Syncfd,
    Hypercall::ComponentUnschedule,
    Hypercall::ComponentSchedule,
    Hypercall::ComponentKthread,
    Hypercall::ComponentKthreadRelease,
    Hypercall::ComponentCurlwp,
    Hypercall::ComponentSwitchlwp,
];

/// Those after which a driver's thread is off its virtual CPU until its next call: that time is no part of a call.
const LEAVE: [Hypercall; 5] = [
    Hypercall::ComponentUnschedule,
    Hypercall::ComponentKthread,
    Hypercall::ComponentKthreadRelease,
    Hypercall::ComponentCurlwp,
    Hypercall::ComponentSwitchlwp,
];

/// Asserts it of all calls in `snapshot`, which all have returned.
pub fn add_up(snapshot: &Snapshot) {
    for entry in CATALOGUE.iter().filter(|entry| entry.call.is_exported()) {
        of_call(snapshot, entry.call);
    }
}

fn of_call(snapshot: &Snapshot, call: Hypercall) {
    let of = |quantity| snapshot.total(Metric { quantity, call });
    let (name, mut all, own) = (call.name(), of(Quantity::Call), of(Quantity::Own));
    [Quantity::Slow, Quantity::First].iter().for_each(|kind| all.merge(&of(*kind)));
    let [unschedule, mut off, reschedule] = [Quantity::Unschedule, Quantity::Off, Quantity::Reschedule].map(of);
    if LEAVE.contains(&call) {
        off = Default::default();
    }
    let parts = own.sum + unschedule.sum + off.sum + reschedule.sum;
    // A wait can take more than one transition, but not less. (Drivers' calls are one way.)
    let most = unschedule.count().max(reschedule.count());
    assert!(own.count() <= all.count().min(most), "{name}: {} blocked, in {most} transitions", own.count());
    // Of calls that did not block there are no parts.
    assert_within(parts, [0, all.sum], 0.001, name);
    if ALWAYS.contains(&call) {
        assert_eq!(own.count(), all.count(), "{name}: not all of them blocked");
        assert_within(parts, [all.sum, all.sum], 0.001, name);
    }
}

/// Asserts that `value` is in `range`, both ends moved outwards by `tolerance` (a share).
pub fn assert_within(value: u64, [low, high]: [u64; 2], tolerance: f64, what: &str) {
    let (low, high) = (low as f64 * (1.0 - tolerance), high as f64 * (1.0 + tolerance));
    assert!(low <= value as f64 && value as f64 <= high, "{what}: {value}, not from {low} to {high} ticks");
}
