//! What locks are called: by the object in memory that they are, or by what the kernel makes them for.

use super::{Symbols, plain};
use crate::contention::{Frame, Names, site};
use rumpscope_probes::contention::{Contention, Lock, LockKind};

/// The kernel's big lock. NetBSD's rump kernel keeps its pointer to it in the first; the embedded guest makes it in the
/// second.
const BIG_LOCK: (&str, &str) = ("rump_giantlock", "rumpscope_bench_suite::guest::big_lock::BigLock::new");

/// Arrays with the locks of each virtual CPU, and the size of an element: that of NetBSD's rump kernel
/// (`rumpkern/scheduler.c`), whose elements are cache lines as the kernel for x86-64 has them, and that of the embedded
/// guest (`guest/cpu.rs`), which has two pointers in each.
const VCPUS: [(&str, u64); 2] = [("rcpu_storage", 64), ("rumpscope_bench_suite::guest::cpu::LOCKS", 16)];

/// What makes NetBSD's, and locks for other ends beside.
const VCPU_MAKER: &str = "rump_scheduler_init";

/// The functions that wait for virtual CPUs, and for no other lock of theirs.
const VCPU_WAITERS: [&str; 2] = ["rump_schedule_cpu_interlock", "rump_unschedule_cpu1"];

impl Names for Symbols {
    fn chain(&mut self, addresses: &[u64]) -> Vec<Frame> {
        let frames = Symbols::chain(self, addresses).into_iter();
        let source = |(file, line)| format!("{file}:{line}");
        frames.map(|frame| Frame { function: frame.function, source: frame.file_line.map(source) }).collect()
    }

    fn lock(&mut self, lock: &Lock, contention: &Contention) -> Option<String> {
        lock_name(self, lock, contention)
    }

    fn problems(&self) -> Vec<String> {
        Symbols::problems(self).to_vec()
    }
}

/// The name of a lock: its part in the scheduling of virtual CPUs, or that of the big lock; else that of the variable
/// that it is (or is a part of). None: it has no more of a name than where it was made.
pub fn lock_name(symbols: &mut Symbols, lock: &Lock, contention: &Contention) -> Option<String> {
    // Several locks have one place where they were made, and each its own address.
    let variable = if lock.merged == 0 { symbols.data(lock.address) } else { None };
    if let Some((name, offset)) = variable {
        let vcpus = VCPUS.iter().find(|(vcpus, _)| *vcpus == plain::without_prefix(&name));
        return Some(match (vcpus, offset) {
            (Some((_, size)), _) => vcpu(lock.kind, Some(offset / size)),
            (None, 0) if name == BIG_LOCK.0 => big_lock(),
            (None, 0) => name,
            (None, _) => format!("{name}+{offset:#x}"),
        });
    }
    let made = chain(symbols, contention, lock.made);
    if made.iter().any(|frame| frame.function == BIG_LOCK.1) {
        return Some(big_lock());
    }
    let maker = made.first().is_some_and(|frame| frame.function == VCPU_MAKER);
    (maker && waited_as_vcpu(symbols, lock, contention)).then(|| vcpu(lock.kind, None))
}

fn big_lock() -> String {
    "the big kernel lock".to_owned()
}

/// Who waits for the condition variable waits for the virtual CPU itself.
fn vcpu(kind: LockKind, number: Option<u64>) -> String {
    let vcpu = number.map_or_else(|| "a virtual CPU".to_owned(), |number| format!("virtual CPU {number}"));
    if kind == LockKind::Condvar { vcpu } else { format!("scheduling lock of {vcpu}") }
}

/// Whether those who waited for a lock wanted a virtual CPU: tells locks apart where static variables have no names.
fn waited_as_vcpu(symbols: &mut Symbols, lock: &Lock, contention: &Contention) -> bool {
    let Some((&number, _)) = contention.locks.iter().find(|(_, other)| std::ptr::eq(*other, lock)) else {
        return false;
    };
    let waits = contention.waits.iter().filter(|wait| wait.lock == number);
    let mut waiters: Vec<_> = waits.map(|wait| wait.waiter).collect();
    waiters.sort_unstable();
    waiters.dedup();
    waiters.into_iter().any(|waiter| {
        let chain = chain(symbols, contention, waiter);
        site(&chain).is_some_and(|frame| VCPU_WAITERS.contains(&frame.function.as_str()))
    })
}

fn chain(symbols: &mut Symbols, contention: &Contention, number: u32) -> Vec<Frame> {
    contention.stacks.get(&number).map_or_else(Vec::new, |addresses| Names::chain(symbols, addresses))
}
