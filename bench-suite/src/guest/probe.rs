//! The guest's choke points, told to a hypervisor that wants to know. Free where there is none.

use super::cpu;
use super::hypercall::probes;
use super::lwp::Lwp;

/// Tells where the virtual CPUs are found; once, at boot.
pub fn describe() {
    if let Some(probes) = probes() {
        // SAFETY: `lookup` can be called at any time.
        unsafe { (probes.describe)(cpu::lookup) }
    }
}

macro_rules! hooks {
    ($($(#[$doc:meta])* $name:ident($($lwp:ident)?);)*) => {
        $(
            $(#[$doc])*
            #[inline(always)]
            pub fn $name($($lwp: &Lwp)?) {
                if let Some(probes) = probes() {
                    // SAFETY: hooks may be called by any thread at any time.
                    unsafe { (probes.$name)($($lwp.raw().cast())?) }
                }
            }
        )*
    };
}

hooks! {
    /// The lwp is about to ask for a virtual CPU.
    schedule_begin(lwp);
    /// It has one.
    schedule_end(lwp);
    /// It is about to give it up.
    unschedule_begin(lwp);
    /// It has none.
    unschedule_end(lwp);
    /// A client is about to enter or to leave the kernel: the next transition is for that.
    entry();
}
