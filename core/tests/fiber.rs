//! Fibers of a guest that keeps its current lwp in thread-local storage, linked into the program.
#![cfg(not(loom))]

use core::ffi::c_void;
use core::ptr;
use rumpscope_probes::initial_exec;
use rumpuser::host::fiber::{self, Fiber};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

initial_exec! {
    /// The variable of a rump kernel, under the kernel's name for it.
    fn current_lwp() -> *mut usize = "rumpns_curlwp_storage"
}

initial_exec! {
    /// A variable of the program around the kernel.
    fn programs_own() -> *mut usize = "programs_own_storage"
}

fn start(main: unsafe extern "C" fn(*mut c_void) -> *mut c_void, number: usize) -> Arc<Fiber> {
    // SAFETY: the functions below take a number.
    unsafe { fiber::spawn(main, ptr::without_provenance_mut(number), None) }.expect("a fiber")
}

#[test]
fn each_fiber_has_the_kernels_variable_and_shares_the_programs() {
    unsafe extern "C" fn runs(number: *mut c_void) -> *mut c_void {
        let number = number as usize;
        // SAFETY: of the calling thread, which nobody else uses now.
        let read = || unsafe { (*current_lwp(), *programs_own()) };
        assert_eq!(read().0, 0, "a new thread has none");
        // SAFETY: as above.
        unsafe { *current_lwp() = number };
        for round in 0..50 {
            if round % 10 == 9 {
                fiber::leave();
                assert_eq!(read().0, number, "on the helper, too");
                fiber::come_back();
            } else {
                // SAFETY: as above.
                unsafe { *programs_own() += 1 };
                fiber::yield_now();
            }
            assert_eq!(read().0, number);
        }
        MOST.fetch_max(read().1, Ordering::Relaxed);
        ptr::null_mut()
    }
    static MOST: AtomicUsize = AtomicUsize::new(0);

    fiber::find_guest_storage(&[runs as *const () as usize]).expect("found by the program's symbols");
    // SAFETY: of the calling thread.
    unsafe { *current_lwp() = 4711 };
    let fibers: Vec<_> = (1..=8).map(|number| start(runs, number)).collect();
    fibers.iter().for_each(|fiber| fiber::join(fiber));
    // SAFETY: of the calling thread.
    assert_eq!(unsafe { (*current_lwp(), *programs_own()) }, (4711, 0));
    assert_eq!(MOST.load(Ordering::Relaxed), 8 * 45, "one variable for all, on the carrier");
}
