//! The embedded guest, its workloads, and the conformance suite of the hypercall interface.

pub mod conformance;
pub mod guest;
pub mod hypervisor;
pub mod workload;
