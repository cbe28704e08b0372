//! Parts of hand-made snapshots for tests, here and of crates that show reports: a kernel whose clients create files in a
//! folder while the disk is slow.

use crate::contention::{Frame, Names};
use rumpscope_probes::Distribution;
use rumpscope_probes::contention::{Contention, Lock, LockKind, StackId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Ticks of the clock of hand-made snapshots in a microsecond.
pub const MICROSECOND: u64 = 2_000;

/// A function for each address; the innermost stand for hypercalls' callers.
const FUNCTIONS: [(u64, &str, Option<&str>); 13] = [
    (0x10, "mutex_enter", None),
    (0x11, "rw_enter", None),
    (0x12, "cv_wait", None),
    (0x20, "vn_lock", Some("vfs_vnops.c:1012")),
    (0x21, "ufs_create", Some("ufs_vnops.c:160")),
    (0x22, "VOP_CREATE", None),
    (0x23, "sys_open", None),
    (0x30, "biowait", Some("vfs_bio.c:1600")),
    (0x31, "bwrite", None),
    (0x32, "ffs_update", None),
    (0x33, "vcache_alloc", None),
    (0x34, "procinit", None),
    (0x35, "workqueue_worker", None),
];

/// Names as if the functions above were the kernel.
#[derive(Debug)]
pub struct Known;

impl Names for Known {
    fn chain(&mut self, addresses: &[u64]) -> Vec<Frame> {
        let frame = |address: &u64| {
            let known = FUNCTIONS.iter().find(|function| function.0 == *address);
            let (function, source) = known.map_or((format!("kernel+{address:#x}"), None), |known| {
                (known.1.to_owned(), known.2.map(str::to_owned))
            });
            Frame { function, source }
        };
        addresses.iter().map(frame).collect()
    }

    fn lock(&mut self, lock: &Lock, _: &Contention) -> Option<String> {
        (lock.address == 0x9000).then(|| "proc_lock".to_owned())
    }

    fn problems(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Many short ones, few long ones, in ticks.
pub fn spread(count: u64, shortest: u64, longest: u64) -> Distribution {
    let mut distribution = Distribution::default();
    for event in 0..count {
        let position = (event as f64 / count as f64).powi(4);
        distribution.record(shortest + (position * (longest - shortest) as f64) as u64);
    }
    distribution
}

/// A lock or condition variable that was made at the chain of this number and waited for so often and so long.
pub fn lock(kind: LockKind, address: u64, made: u32, wait: Distribution) -> Lock {
    let contended = wait.count();
    Lock {
        kind,
        address,
        generation: 1,
        made,
        ended: false,
        merged: 0,
        acquisitions: contended * 10,
        contended,
        spun: contended / 4,
        holder: None,
        waiters: 0,
        most_waiters: 3,
        wait,
        held_after_wait: spread(contended, 400, 900 * MICROSECOND),
        held: spread(contended / 10 + 1, 100, 50 * MICROSECOND),
    }
}

/// The call chains, made of the functions that [`Known`] names.
pub fn stacks() -> Arc<BTreeMap<StackId, Vec<u64>>> {
    let stacks = [
        (1, vec![0x11, 0x20, 0x21, 0x22, 0x23]),
        (2, vec![0x11, 0x32, 0x31]),
        (3, vec![0x12, 0x30, 0x31, 0x32]),
        (4, vec![0x10, 0x34]),
        (5, vec![0x35]),
        (6, vec![0x33, 0x23]),
    ];
    Arc::new(BTreeMap::from(stacks))
}
