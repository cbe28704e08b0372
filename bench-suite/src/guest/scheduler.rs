//! Giving virtual CPUs to lwps.
//!
//! Optimised, as in a rump kernel, for an lwp that comes and goes often while there are at least as many virtual CPUs
//! as busy lwps: the CPU remembers who had it, and that lwp takes it again with one compare-and-swap.
//!
//! ```text
//! Cpu::previous      an lwp   free; this one had it last (null: nobody yet)
//!                    BUSY     taken, nobody waits
//!                    WANTED   taken, and somebody waits or is about to
//!
//!   lwp --(compare-and-swap by the same lwp)--> BUSY --(swap by the holder)--> lwp
//!   any --(swap, with the mutex)--> WANTED --(it was free: this lwp has it)--> BUSY, or WANTED while others wait
//!                                   WANTED --(swap by the holder, who then wakes one)--> lwp
//! ```
//!
//! While anybody waits, the word is WANTED or one waiter has been woken and will make it so: whoever gives the CPU up
//! finds WANTED and wakes the next.

use super::cpu::{self, Cpu};
use super::lwp::{BOUND, INTERRUPT, Lwp};
use super::{console, probe};
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

// Addresses that no lwp can have.
const BUSY: *mut Lwp = ptr::without_provenance_mut(usize::MAX);
const WANTED: *mut Lwp = ptr::without_provenance_mut(usize::MAX - 1);

/// One more, by the only writer there is at a time.
fn bump(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// Takes a virtual CPU for `lwp`. `interlock` is null or a mutex that the caller holds: if it is that of the CPU, it is
/// given back.
#[inline]
pub fn schedule(lwp: &Lwp, interlock: *mut c_void) {
    probe::schedule_begin(lwp);
    let target = lwp.target();
    // Acquire: pairs with the release of the CPU, for what belongs to it.
    let cpu = if target.previous.compare_exchange(lwp.raw(), BUSY, Ordering::Acquire, Ordering::Relaxed).is_ok() {
        if interlock == target.mutex.raw() {
            // SAFETY: the interlock is held by the caller.
            unsafe { target.mutex.exit() };
        }
        bump(&target.fast);
        target
    } else {
        schedule_slowly(lwp, target, interlock)
    };
    lwp.run_on(cpu);
    // Relaxed: read by this thread, or as a hint.
    cpu.curlwp.store(lwp.raw(), Ordering::Relaxed);
    probe::schedule_end(lwp);
}

#[cold]
fn schedule_slowly(lwp: &Lwp, target: &'static Cpu, interlock: *mut c_void) -> &'static Cpu {
    // Not looked for on the fast path: who has a virtual CPU finds it BUSY or WANTED and comes here.
    if target.curlwp.load(Ordering::Relaxed) == lwp.raw() {
        console::panic(format_args!(
            "lwp {} asks for a virtual CPU and has one: a system call in the kernel?",
            lwp.id()
        ));
    }
    let mut cpu = target;
    let mut may_migrate = cpu::all().len() > 1 && !lwp.has(BOUND);
    if interlock != cpu.mutex.raw() {
        cpu.mutex.enter_nowrap();
    }
    loop {
        // Acquire: if it was free, what the last holder did is seen.
        let was = cpu.previous.swap(WANTED, Ordering::Acquire);
        if was != BUSY && was != WANTED {
            break;
        }
        if may_migrate {
            // Once only: the CPU that is wanted may well come free sooner than a third one.
            may_migrate = false;
            // SAFETY: taken above.
            unsafe { cpu.mutex.exit() };
            cpu = cpu::next();
            cpu.mutex.enter_nowrap();
            continue;
        }
        // Relaxed: the mutex protects the number.
        cpu.waiting.fetch_add(1, Ordering::Relaxed);
        // SAFETY: taken above.
        unsafe { cpu.released.wait_nowrap(&cpu.mutex) };
        cpu.waiting.fetch_sub(1, Ordering::Relaxed);
    }
    if cpu.waiting.load(Ordering::Relaxed) == 0 {
        // Relaxed: nobody but this thread changes the word now: it takes the mutex to find the CPU wanted.
        cpu.previous.store(BUSY, Ordering::Relaxed);
    }
    bump(&cpu.slow);
    if !ptr::eq(cpu, target) {
        bump(&cpu.migrations);
    }
    // SAFETY: taken above.
    unsafe { cpu.mutex.exit() };
    cpu
}

/// Gives up the virtual CPU of `lwp`, after waking the handlers of soft interrupts that wait for it. If `interlock` is
/// the mutex of the CPU, the caller has it when this returns.
#[inline]
pub fn unschedule(lwp: &Lwp, interlock: *mut c_void) {
    if !lwp.has(INTERRUPT) {
        lwp.cpu().softints.wake_handler();
    }
    release(lwp, interlock);
}

/// Gives up the virtual CPU of `lwp`, and looks at nothing else.
#[inline]
pub fn release(lwp: &Lwp, interlock: *mut c_void) {
    probe::unschedule_begin(lwp);
    let cpu = lwp.cpu();
    if cpu.curlwp.load(Ordering::Relaxed) != lwp.raw() {
        console::panic(format_args!("lwp {} gives up a virtual CPU that it does not have", lwp.id()));
    }
    cpu.curlwp.store(ptr::null_mut(), Ordering::Relaxed);
    // Before the CPU is free: whoever is scheduled on it after a wait must find the interlock taken.
    let interlocked = interlock == cpu.mutex.raw();
    if interlocked {
        cpu.mutex.enter_nowrap();
    }
    // Release: what belongs to the CPU is seen by the next holder.
    if cpu.previous.swap(lwp.raw(), Ordering::Release) == WANTED {
        wake_waiter(cpu, interlocked);
    }
    probe::unschedule_end(lwp);
}

#[cold]
fn wake_waiter(cpu: &Cpu, interlocked: bool) {
    if !interlocked {
        cpu.mutex.enter_nowrap();
    }
    // Relaxed: the mutex protects the number.
    if cpu.waiting.load(Ordering::Relaxed) > 0 {
        cpu.released.signal();
    }
    if !interlocked {
        // SAFETY: taken above.
        unsafe { cpu.mutex.exit() };
    }
}
