//! What the hypervisor knows of the guest that runs on it.

pub mod transitions;
pub mod vcpu;
