//! The books balance: on the embedded guest, the time of every virtual CPU and of every call that blocks adds up, and the
//! counts are the guest's own.

use crate::books;
use crate::parts::{self, assert_within};
use crate::process::{self, Ended, tell};
use crate::tally;
use libtest_mimic::Trial;
use rumpscope_bench_suite::guest::{self, GuestOptions};
use rumpscope_bench_suite::hypervisor::Hypervisor;
use rumpscope_bench_suite::workload::Workload;
use rumpscope_probes::{CATALOGUE, Hypercall, Place, Quantity, Snapshot, VcpuNow};

/// Workload, virtual CPUs, operations: a few tenths of a second each.
const RUNS: [(&str, u32, u64); 7] = [
    ("locks", 2, 500_000),
    ("syscalls", 1, 1_000_000),
    ("condvars", 2, 30_000),
    ("timers", 3, 600),
    ("threads", 2, 3_000),
    ("disk", 2, 2_000),
    ("mixed", 2, 6_000),
];

pub fn trials() -> Vec<Trial> {
    RUNS.map(|(workload, ncpu, operations)| {
        Trial::test(format!("accounting::{workload}_on_{ncpu}"), move || {
            balance(workload, ncpu, operations);
            Ok(())
        })
    })
    .into()
}

/// The measured process: the embedded guest. `options` is a workload, a number of virtual CPUs and one of operations.
pub fn child_main(options: &str, mut hypervisor: Hypervisor) -> ! {
    let mut words = options.split(' ');
    let mut next = || words.next().expect("three options");
    let options = GuestOptions {
        workload: next().parse::<Workload>().expect("a workload"),
        ncpu: Some(next().parse().expect("a number of virtual CPUs")),
        operations: Some(next().parse().expect("a number of operations")),
        ..GuestOptions::default()
    };
    books::open(&mut hypervisor);
    let report = guest::run(&options, hypervisor).expect("a run without failures");
    books::close();
    tally::tell_these(&report.hypercalls);
    for (index, cpu) in report.cpus.iter().enumerate() {
        tell(&format!("cpu{index}-scheduled"), cpu.fast + cpu.slow);
    }
    std::process::exit(0)
}

fn balance(workload: &str, ncpu: u32, operations: u64) {
    let ended = process::run(&format!("accounting-{workload}"), &format!("guest {workload} {ncpu} {operations}"), &[]);
    assert!(ended.status.success());
    let snapshot = ended.open().snapshot_ended(ended.told("closed")).expect("a sound segment");
    assert!(snapshot.coverage.vcpus_known && snapshot.coverage.guest_transitions_seen);
    assert_eq!((snapshot.coverage.lost_timings, snapshot.coverage.lost_places), (0, 0));
    counts(&ended, &snapshot);
    assert_eq!(snapshot.vcpus.len(), ncpu as usize);
    for vcpu in &snapshot.vcpus {
        virtual_cpu(&ended, &snapshot, vcpu);
    }
    parts::add_up(&snapshot);
}

/// The counts are those that the guest has in its own books.
fn counts(ended: &Ended, snapshot: &Snapshot) {
    for entry in CATALOGUE.iter().filter(|entry| entry.call.is_exported() || entry.call == Hypercall::BioDone) {
        let counted = snapshot.calls(entry.call);
        assert_eq!(counted, tally::told(ended, entry.call), "{}", entry.name);
    }
}

/// How often and for how many ticks `quantity` was seen at `place`, whatever the cause.
fn at(snapshot: &Snapshot, place: Place, quantity: Quantity) -> (u64, u64) {
    let cells = snapshot.cells.iter().filter(|((at, metric), _)| *at == place && metric.quantity == quantity);
    cells.fold((0, 0), |(count, sum), (_, cell)| (count + cell.count(), sum + cell.sum))
}

/// Running and idle time of a virtual CPU add up to the time since it was first used, and the running time is right.
fn virtual_cpu(ended: &Ended, snapshot: &Snapshot, vcpu: &VcpuNow) {
    let place = Place::Vcpu(vcpu.index);
    let own = books::account(ended, vcpu.index);
    let (runs, running) = at(snapshot, place, Quantity::Run);
    let (_, between) = at(snapshot, place, Quantity::Gap);
    // A guest that has shut down holds none.
    assert_eq!(vcpu.holder, None);
    let after = snapshot.taken - vcpu.free_since.expect("used, and free now");
    let wall = own.first.map(|first| snapshot.taken - first);
    assert_within(running + between + after, [wall[1], wall[0]], 0.005, &format!("time of {place:?}"));
    assert_within(running, own.running, 0.001, &format!("running time of {place:?}"));
    let scheduled = ended.told(&format!("cpu{}-scheduled", vcpu.index));
    assert_eq!((runs, scheduled), (own.runs, own.runs), "runs of {place:?}");
    let ways = [[Quantity::Reschedule, Quantity::SlowReschedule], [Quantity::Unschedule, Quantity::SlowUnschedule]];
    for both in ways {
        let times: u64 = both.map(|quantity| at(snapshot, place, quantity).0).iter().sum();
        assert_eq!(times, scheduled, "{both:?} of {place:?}");
    }
}
