//! Contexts that share a host thread: each has a lane of its own, and stands in its calls and transitions where it paused.

use rumpscope_probes::reader::Segment;
use rumpscope_probes::transition::{self, Direction};
use rumpscope_probes::{Context, Hypercall, Metric, Place, Quantity, measure};

const CONTEXTS: u32 = 5;

/// Runs the context until it pauses.
fn in_context<R>(context: &mut Context, work: impl FnOnce() -> R) -> R {
    context.exchange();
    let outcome = work();
    context.exchange();
    outcome
}

#[test]
fn contexts_are_measured_apart() {
    let path = std::env::temp_dir().join(format!("rumpscope-contexts-{}.segment", std::process::id()));
    // SAFETY: the only thread of the process that looks at its environment.
    unsafe {
        std::env::set_var(rumpscope_probes::ENV_SEGMENT, &path);
        std::env::set_var(rumpscope_probes::ENV_TIMING, "full");
    }
    rumpscope_probes::begin("test", None).expect("measuring");
    let segment = Segment::open(&path).expect("a segment");
    std::fs::remove_file(&path).expect("removed");

    let mut contexts: Vec<Context> = (0..CONTEXTS).map(|_| Context::new()).collect();
    for (number, context) in contexts.iter_mut().enumerate() {
        in_context(context, || Context::begin(&format!("context {number}")));
    }
    // The host thread's own calls are its own.
    measure(Hypercall::Open, || ());
    // All give up their virtual CPU, one after the other, and come back in the other order, each in a call of its own.
    // A call spans the pauses in a coroutine; here its halves are told apart by hand.
    let vcpu = |number: usize| Place::Vcpu(number as u16);
    for context in &mut contexts {
        in_context(context, || {
            transition::in_upcall(Hypercall::CvWait, Direction::Unschedule, || Place::OffCpu, || ())
        });
    }
    for (number, context) in contexts.iter_mut().enumerate().rev() {
        in_context(context, || {
            transition::in_upcall(Hypercall::CvWait, Direction::Schedule, || vcpu(number), || ());
            measure(Hypercall::Close, || ());
        });
    }
    let snapshot = segment.snapshot().expect("a snapshot");
    let count = |quantity, call| snapshot.total(Metric { quantity, call }).count();
    assert_eq!(count(Quantity::Call, Hypercall::Close), u64::from(CONTEXTS));
    assert_eq!(count(Quantity::Off, Hypercall::CvWait), u64::from(CONTEXTS), "each was off by itself");
    assert_eq!(count(Quantity::Reschedule, Hypercall::CvWait), u64::from(CONTEXTS));
    assert_eq!(count(Quantity::Call, Hypercall::Open), 1);
    let mut names: Vec<&str> = snapshot.threads.iter().map(|thread| &*thread.name).collect();
    names.retain(|name| name.starts_with("context "));
    names.sort_unstable();
    assert_eq!(names, ["context 0", "context 1", "context 2", "context 3", "context 4"]);

    // A context that has ended gives its lane to the next one.
    contexts.clear();
    let lanes = snapshot.threads.len();
    let mut next = Context::new();
    in_context(&mut next, || {
        Context::begin("next");
        measure(Hypercall::Close, || ());
    });
    let snapshot = segment.snapshot().expect("a snapshot");
    assert_eq!(snapshot.threads.len(), lanes);
    assert_eq!(snapshot.threads.iter().filter(|thread| thread.tid != 0 && thread.name == "next").count(), 1);
    assert_eq!(snapshot.calls(Hypercall::Close), u64::from(CONTEXTS) + 1);
}
