//! Stands in front of a shared rump kernel's scheduling functions.
//!
//! Inside a shared rump kernel the functions that give and take virtual CPUs are called through the procedure linkage
//! table, so a preloaded object that defines them is called first. Each function here tells the hypervisor's guest
//! probes what is about to happen, and passes on to the kernel's own. Where the hypervisor below is not ours, it only
//! passes on.
//!
//! The definitions live in an object of their own because a static rump kernel is linked with `librumpuser.a`: there
//! they would clash with the kernel's. Its name does not contain "librump", so the guest's loader does not take our
//! functions into the kernel's symbol table.

use core::ffi::{CStr, c_void};
use core::mem::transmute;
use std::sync::OnceLock;

#[path = "../../src/abi/guest_probes.rs"]
#[allow(dead_code, reason = "shared with the hypervisor, which uses all of it")]
mod guest_probes;

use guest_probes::{GUEST_PROBES_VERSION, GuestProbes, GuestProbesFn};

type Plain = unsafe extern "C" fn();
type WithLwp = unsafe extern "C" fn(lwp: *mut c_void, interlock: *mut c_void);

/// The kernel's own functions, and who wants to know of the calls.
struct Kernel {
    schedule: Plain,
    unschedule: Plain,
    schedule_cpu_interlock: WithLwp,
    unschedule_cpu1: WithLwp,
    probes: Option<&'static GuestProbes>,
}

static KERNEL: OnceLock<Kernel> = OnceLock::new();

/// The kernel behind us. Found at the first call, when the process is complete; a program that calls these functions
/// without a rump kernel cannot go on.
fn kernel() -> &'static Kernel {
    KERNEL.get_or_init(|| {
        let [schedule, unschedule, schedule_cpu_interlock, unschedule_cpu1] =
            [c"rump_schedule", c"rump_unschedule", c"rump_schedule_cpu_interlock", c"rump_unschedule_cpu1"]
                .map(next_definition);
        // SAFETY: the kernel's functions of these names have these types, in all versions known (2010 to 2021).
        unsafe {
            Kernel {
                schedule: transmute::<*mut c_void, Plain>(schedule),
                unschedule: transmute::<*mut c_void, Plain>(unschedule),
                schedule_cpu_interlock: transmute::<*mut c_void, WithLwp>(schedule_cpu_interlock),
                unschedule_cpu1: transmute::<*mut c_void, WithLwp>(unschedule_cpu1),
                probes: hypervisor_probes(),
            }
        }
    })
}

/// The definition of `name` that would be used without us.
fn next_definition(name: &CStr) -> *mut c_void {
    // SAFETY: dlsym has no preconditions beyond a terminated name.
    let mut address = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    if address.is_null() {
        // The program has loaded the kernel with dlopen; it is not in the scope that RTLD_NEXT searches.
        // SAFETY: RTLD_NOLOAD only looks for what is loaded.
        let kernel = unsafe { libc::dlopen(c"librump.so.0".as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_LAZY) };
        if !kernel.is_null() {
            // SAFETY: the handle is open.
            address = unsafe { libc::dlsym(kernel, name.as_ptr()) };
        }
    }
    if address.is_null() {
        eprintln!("rumpscope: {name:?} was called, but there is no rump kernel to pass the call on to");
        std::process::abort();
    }
    address
}

fn hypervisor_probes() -> Option<&'static GuestProbes> {
    // SAFETY: as above.
    let symbol = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"hypervisor_guest_probes".as_ptr()) };
    if symbol.is_null() {
        return None;
    }
    // SAFETY: only our hypervisor exports the name, with this type.
    let probes = unsafe { transmute::<*mut c_void, GuestProbesFn>(symbol) };
    // SAFETY: the function has no preconditions; the table lives as long as the hypervisor, which is never unloaded.
    unsafe { probes().as_ref() }.filter(|probes| probes.version == GUEST_PROBES_VERSION)
}

macro_rules! client_entry {
    ($(#[$meta:meta])* $name:ident, $field:ident) => {
        $(#[$meta])*
        ///
        /// # Safety
        /// As the kernel's function of this name.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name() {
            let kernel = kernel();
            // SAFETY: the probes may be called by any thread; the kernel's function is called as we were.
            unsafe {
                if let Some(probes) = kernel.probes {
                    (probes.entry)();
                }
                (kernel.$field)();
            }
        }
    };
}

client_entry! {
    /// A client thread enters the kernel.
    rump_schedule, schedule
}

client_entry! {
    /// A client thread leaves the kernel.
    rump_unschedule, unschedule
}

macro_rules! choke_point {
    ($(#[$meta:meta])* $name:ident, $begin:ident, $end:ident, $field:ident) => {
        $(#[$meta])*
        ///
        /// # Safety
        /// As the kernel's function of this name.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(lwp: *mut c_void, interlock: *mut c_void) {
            let kernel = kernel();
            // SAFETY: the probes may be called by any thread; the kernel's function is called as we were.
            unsafe {
                if let Some(probes) = kernel.probes {
                    (probes.$begin)(lwp);
                }
                (kernel.$field)(lwp, interlock);
                if let Some(probes) = kernel.probes {
                    (probes.$end)(lwp);
                }
            }
        }
    };
}

choke_point! {
    /// An lwp takes a virtual CPU.
    rump_schedule_cpu_interlock, schedule_begin, schedule_end, schedule_cpu_interlock
}

choke_point! {
    /// An lwp gives up its virtual CPU.
    rump_unschedule_cpu1, unschedule_begin, unschedule_end, unschedule_cpu1
}
