//! What a guest is asked to do.

use crate::workload::Workload;
use core::time::Duration;
use std::path::PathBuf;

/// What to run, and on how much.
#[derive(Clone, Debug)]
pub struct GuestOptions {
    /// Virtual CPUs; `None`: as many as the hypervisor says (`RUMP_NCPU`, or its default).
    pub ncpu: Option<u32>,
    /// For how long; `None`: until all operations are done, or 10 seconds where their number is not given either.
    pub duration: Option<Duration>,
    /// How many operations in all; `None`: as many as there is time for.
    pub operations: Option<u64>,
    /// For how long the same runs first, unmeasured, in the same guest.
    pub warm_up: Option<Duration>,
    /// What runs.
    pub workload: Workload,
    /// Client threads of each workload; `None`: what suits it. Rounded up where a workload needs pairs.
    pub threads: Option<usize>,
    /// Decides what the workload does, up to the order in which its threads come.
    pub seed: u64,
    /// The disk of the guest: a file or block device, which is overwritten; `None`: a temporary file of 64 MiB.
    pub image: Option<PathBuf>,
}

impl Default for GuestOptions {
    fn default() -> Self {
        GuestOptions {
            ncpu: None,
            duration: None,
            operations: None,
            warm_up: None,
            workload: Workload::Mixed,
            threads: None,
            seed: 1,
            image: None,
        }
    }
}
