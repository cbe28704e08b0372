//! The deliberate probes of the guest: how a guest's own transitions, which pass through no hypercall, reach us.
//!
//! Whoever can see them (the preloaded object in front of a shared rump kernel, or the embedded guest itself) looks up
//! `hypervisor_guest_probes` and calls the functions of the table it returns around the guest's choke points. The name
//! begins neither with `rump` nor with `__`, so the guest's loader leaves it alone.
//!
//! This file says what the table looks like and depends on nothing: the preloaded object includes it too. What the
//! functions do is in [`crate::guest`].

use core::ffi::{c_uint, c_void};

/// The version of [`GuestProbes`]; a caller that knows another one leaves the table alone.
pub const GUEST_PROBES_VERSION: c_uint = 2;

/// Functions to be called by who stands at the guest's choke points. All may be called by any thread that holds no lock of
/// the host's, and cost some nanoseconds; but the first transitions of a thread make room, and `schedule_begin` has a fiber
/// wait for its turn. An lwp is passed by its address.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GuestProbes {
    /// [`GUEST_PROBES_VERSION`].
    pub version: c_uint,
    /// Tells how to find the guest's virtual CPUs: `cpu_lookup(i)` is the guest's object for virtual CPU `i`, null
    /// where there is none. Called once, before the first transition that is to be attributed. (A shared rump kernel
    /// is asked through its dynamic symbols instead.)
    pub describe: unsafe extern "C" fn(cpu_lookup: unsafe extern "C" fn(c_uint) -> *mut c_void),
    /// The lwp is about to ask for a virtual CPU (in a rump kernel: entry of `rump_schedule_cpu_interlock`).
    pub schedule_begin: unsafe extern "C" fn(*mut c_void),
    /// It has one.
    pub schedule_end: unsafe extern "C" fn(*mut c_void),
    /// The lwp is about to give up its virtual CPU (in a rump kernel: entry of `rump_unschedule_cpu1`).
    pub unschedule_begin: unsafe extern "C" fn(*mut c_void),
    /// It has none any more. The lwp may be gone already: its address only names it.
    pub unschedule_end: unsafe extern "C" fn(*mut c_void),
    /// The calling thread's next transition is made by a client that enters or leaves the guest (in a rump kernel: entry
    /// of `rump_schedule` or `rump_unschedule`).
    pub entry: unsafe extern "C" fn(),
}

/// The name under which [`hypervisor_guest_probes`](GuestProbesFn) is exported.
pub const GUEST_PROBES_SYMBOL: &str = "hypervisor_guest_probes";

/// The type of the exported function: returns a table that lives as long as the library.
pub type GuestProbesFn = unsafe extern "C" fn() -> *const GuestProbes;
