//! The embedded guest, its workloads, loads for genuine kernels, the comparison of host back ends, the conformance suite
//! of the hypercall interface, what single hypercalls cost, and what becomes of locks that are wanted by many.

pub mod ab;
pub mod bare;
pub mod conformance;
pub mod contention;
pub mod genuine;
pub mod guest;
pub mod hypervisor;
pub mod micro;
pub mod process;
pub mod scenario;
pub mod statistics;
pub mod workload;
