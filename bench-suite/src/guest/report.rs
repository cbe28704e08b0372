//! What came of a guest.

use super::cpu::CpuUse;
use crate::workload::Workload;
use core::ffi::c_int;
use core::fmt;
use core::time::Duration;
use rumpscope_probes::Hypercall;
use std::path::PathBuf;

/// The guest could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// There was a guest in this process before.
    #[error("a process can run one guest, and this one has run it")]
    AlreadyRan,
    /// A hypercall that the guest cannot do without failed.
    #[error("rumpuser_{call} failed with NetBSD error {errno}")]
    Hypercall {
        /// Which one.
        call: &'static str,
        /// NetBSD's number of the error.
        errno: c_int,
    },
    /// The hypervisor gave a parameter that makes no sense.
    #[error("the hypervisor's parameter {0} makes no sense")]
    Parameter(&'static str),
    /// The disk image could not be made.
    #[error("cannot make the disk image {path}: {reason}")]
    Image {
        /// Where.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The disk is smaller than the workload needs.
    #[error("the disk has {have} bytes, workload {workload} needs {need}")]
    DiskTooSmall {
        /// Bytes there are.
        have: u64,
        /// Bytes there should be.
        need: u64,
        /// Who needs them.
        workload: &'static str,
    },
    /// A workload found that the hypervisor did not do what it should.
    #[error("workload {workload}: {what}")]
    Check {
        /// Which workload.
        workload: &'static str,
        /// What was expected, and what was found.
        what: String,
    },
    /// Something was not given back when the guest shut down.
    #[error("{count} {what} were not given back")]
    Leaked {
        /// What.
        what: &'static str,
        /// How many.
        count: usize,
    },
}

impl GuestError {
    /// Makes an error of the number that hypercall `call` returned.
    pub(super) fn hypercall(call: &'static str) -> impl FnOnce(c_int) -> Self {
        move |errno| GuestError::Hypercall { call, errno }
    }
}

/// What one workload did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartReport {
    /// Which one.
    pub workload: Workload,
    /// With how many client threads.
    pub threads: usize,
    /// Operations done.
    pub operations: u64,
    /// Results that were checked and found right.
    pub checks: u64,
}

/// What the workload took, by the host's clocks: no hypervisor has a hand in these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostTime {
    /// How long it ran.
    pub wall: Duration,
    /// Processor time of the whole process meanwhile.
    pub cpu: Duration,
}

/// What came of a guest that ran to its end; all checks held.
#[derive(Clone, Debug)]
pub struct GuestReport {
    /// What was asked for.
    pub workload: Workload,
    /// The guest's name.
    pub hostname: String,
    /// How long the workload ran, by the guest's clock.
    pub time: Duration,
    /// How long it ran, by the host's, and what that cost.
    pub host_time: HostTime,
    /// The workloads that ran: one, or the parts of a mixed one.
    pub parts: Vec<PartReport>,
    /// How often the guest called each hypercall, from boot to the end, by the hypercall's number; and how many
    /// completions of block transfers it was told, at `BioDone`.
    pub hypercalls: [u64; Hypercall::COUNT],
    /// How its virtual CPUs were used.
    pub cpus: Vec<CpuUse>,
}

impl GuestReport {
    /// Operations of all parts.
    pub fn operations(&self) -> u64 {
        self.parts.iter().map(|part| part.operations).sum()
    }

    /// Checks of all parts.
    pub fn checks(&self) -> u64 {
        self.parts.iter().map(|part| part.checks).sum()
    }
}

impl fmt::Display for GuestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (operations, seconds) = (self.operations(), self.time.as_secs_f64());
        let threads: usize = self.parts.iter().map(|part| part.threads).sum();
        write!(
            f,
            "{}: {operations} operations in {seconds:.2} s ({:.0}/s), {} checks passed, {threads} threads on {} virtual CPUs",
            self.workload,
            operations as f64 / seconds.max(f64::MIN_POSITIVE),
            self.checks(),
            self.cpus.len(),
        )
    }
}
