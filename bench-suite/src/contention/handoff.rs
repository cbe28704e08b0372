//! Threads that hand a token round.

use super::child::Setting;
use super::locks::Shared;
use super::sections::{self, Tally};
use core::cell::Cell;
use core::ptr::null_mut;
use rumpscope_probes::clock;
use rumpuser::abi::types::mutex;

/// Whose turn it is, since when, and whether it is over.
#[repr(align(128))]
struct Token {
    turn: Cell<usize>,
    since: Cell<u64>,
    over: Cell<bool>,
}

// SAFETY: used under the mutex only.
unsafe impl Sync for Token {}

/// Each thread waits for its turn on a condition variable of its own, works with the mutex held, and signals the next.
pub(super) fn ring(setting: &Setting<'_>) -> Vec<Tally> {
    let (calls, threads) = (&setting.hypervisor.calls, setting.threads);
    let mut lock = null_mut();
    // SAFETY: a new mutex.
    unsafe { (calls.mutex_init)(&mut lock, mutex::KMUTEX) };
    let condvar = |_| {
        let mut condvar = null_mut();
        // SAFETY: a new condition variable.
        unsafe { (calls.cv_init)(&mut condvar) };
        Shared(condvar)
    };
    let condvars: Vec<Shared> = (0..threads).map(condvar).collect();
    let lock = Shared(lock);
    let token = Token { turn: Cell::new(0), since: Cell::new(0), over: Cell::new(false) };
    let tallies = sections::run(setting.hypervisor, threads, &|thread, tally| {
        let (lock, token) = (&lock, &token);
        let (mine, next) = (condvars[thread].0, (thread + 1) % threads);
        let end = setting.end();
        // SAFETY: here and below, the objects are alive, and the mutex is held where it must be.
        unsafe { (calls.mutex_enter)(lock.0) };
        loop {
            let waits = token.turn.get() != thread;
            while token.turn.get() != thread && !token.over.get() {
                // SAFETY: as above.
                unsafe { (calls.cv_wait)(mine, lock.0) };
            }
            let now = clock::now();
            if token.over.get() || now >= end {
                break;
            }
            if waits {
                tally.waits.record(now.saturating_sub(token.since.get()));
            }
            setting.section.run();
            tally.sections += 1;
            token.turn.set(next);
            token.since.set(clock::now());
            // SAFETY: as above.
            unsafe {
                (calls.cv_signal)(condvars[next].0);
                (calls.mutex_exit)(lock.0);
            }
            setting.outside.run();
            // SAFETY: as above.
            unsafe { (calls.mutex_enter)(lock.0) };
        }
        token.over.set(true);
        for condvar in &condvars {
            // SAFETY: as above.
            unsafe { (calls.cv_broadcast)(condvar.0) };
        }
        // SAFETY: as above.
        unsafe { (calls.mutex_exit)(lock.0) };
    });
    // SAFETY: nobody uses them any more.
    unsafe {
        condvars.iter().for_each(|condvar| (calls.cv_destroy)(condvar.0));
        (calls.mutex_destroy)(lock.0);
    }
    tallies
}
