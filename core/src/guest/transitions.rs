//! The guest's own transitions, as those who stand at its choke points tell them.

use super::vcpu::{self, CpuLookup};
use crate::abi::guest_probes::{GUEST_PROBES_VERSION, GuestProbes};
use crate::abi::seam;
use core::ffi::c_void;
use rumpscope_probes::{guest_tells_transitions, transition};

unsafe extern "C" fn describe(cpu_lookup: CpuLookup) {
    vcpu::set_lookup(cpu_lookup);
}

unsafe extern "C" fn schedule_begin(_lwp: *mut c_void) {
    seam::before_schedule();
    guest_tells_transitions();
    transition::schedule_begin();
}

unsafe extern "C" fn schedule_end(lwp: *mut c_void) {
    transition::schedule_end(|last| vcpu::scheduled(lwp, last));
}

unsafe extern "C" fn unschedule_begin(_lwp: *mut c_void) {
    transition::unschedule_begin();
}

unsafe extern "C" fn unschedule_end(_lwp: *mut c_void) {
    transition::unschedule_end();
}

unsafe extern "C" fn entry() {
    transition::entry();
}

static PROBES: GuestProbes = GuestProbes {
    version: GUEST_PROBES_VERSION,
    describe,
    schedule_begin,
    schedule_end,
    unschedule_begin,
    unschedule_end,
    entry,
};

/// The table of the guest's probes.
pub extern "C" fn probes() -> *const GuestProbes {
    &PROBES
}
