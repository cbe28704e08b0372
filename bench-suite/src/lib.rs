//! The embedded guest, its workloads, loads for genuine kernels, the comparison of host back ends, and the conformance
//! suite of the hypercall interface.

pub mod ab;
pub mod conformance;
pub mod genuine;
pub mod guest;
pub mod hypervisor;
pub mod statistics;
pub mod workload;
