//! Threads that want the same lock.

use super::child::Setting;
use super::sections::{self, Tally};
use crate::workload::rng::Rng;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU64, Ordering};
use rumpscope_probes::clock;
use rumpuser::abi::types::{mutex, rw};

/// One section in so many is a writer's.
pub(super) const READERS_TO_A_WRITER: u64 = 10;

/// What the lock protects: on a line of its own, written in every section that may write.
#[repr(align(128))]
#[derive(Default)]
struct Protected(AtomicU64);

impl Protected {
    #[inline(always)]
    fn change(&self) {
        // Relaxed, and no locked instruction: the lock under test is held.
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// Threads that want a mutex of the guest's own kind.
pub(super) fn mutex(setting: &Setting<'_>) -> Vec<Tally> {
    let calls = &setting.hypervisor.calls;
    let mut lock = null_mut();
    // SAFETY: a new mutex.
    unsafe { (calls.mutex_init)(&mut lock, mutex::KMUTEX) };
    let lock = Shared(lock);
    let protected = Protected::default();
    let tallies = sections::run(setting.hypervisor, setting.threads, &|_, tally| {
        let lock = &lock;
        let end = setting.end();
        loop {
            let asked = clock::now();
            if asked >= end {
                break;
            }
            // SAFETY: the mutex is alive; the thread does not hold it.
            if unsafe { (calls.mutex_tryenter)(lock.0) } != 0 {
                // SAFETY: as above.
                unsafe { (calls.mutex_enter)(lock.0) };
                tally.waits.record(clock::now().saturating_sub(asked));
            }
            setting.section.run();
            protected.change();
            tally.sections += 1;
            // SAFETY: it does now.
            unsafe { (calls.mutex_exit)(lock.0) };
            setting.outside.run();
        }
    });
    assert_eq!(protected.0.into_inner(), tallies.iter().map(|tally| tally.sections).sum::<u64>(), "mutual exclusion");
    // SAFETY: nobody uses it any more.
    unsafe { (calls.mutex_destroy)(lock.0) };
    tallies
}

/// Threads that want a mutex of their own each; their waits are their whole rounds. What is long among these is the host's doing:
/// there are more threads than processors, and no thread waits for another.
pub(super) fn apart(setting: &Setting<'_>) -> Vec<Tally> {
    let calls = &setting.hypervisor.calls;
    sections::run(setting.hypervisor, setting.threads, &|_, tally| {
        let mut lock = null_mut();
        // SAFETY: a new mutex.
        unsafe { (calls.mutex_init)(&mut lock, mutex::KMUTEX) };
        let protected = Protected::default();
        let end = setting.end();
        let mut began = clock::now();
        while began < end {
            // SAFETY: the mutex is alive; the thread does not hold it.
            unsafe { (calls.mutex_enter)(lock) };
            setting.section.run();
            protected.change();
            tally.sections += 1;
            // SAFETY: it does now.
            unsafe { (calls.mutex_exit)(lock) };
            setting.outside.run();
            let ended = clock::now();
            tally.waits.record(ended.saturating_sub(began));
            began = ended;
        }
        // SAFETY: nobody uses it any more.
        unsafe { (calls.mutex_destroy)(lock) };
    })
}

/// Threads that read and now and then write.
pub(super) fn rwlock(setting: &Setting<'_>) -> Vec<Tally> {
    let calls = &setting.hypervisor.calls;
    let mut lock = null_mut();
    // SAFETY: a new lock.
    unsafe { (calls.rw_init)(&mut lock) };
    let lock = Shared(lock);
    let protected = Protected::default();
    let writes = AtomicU64::new(0);
    let tallies = sections::run(setting.hypervisor, setting.threads, &|thread, tally| {
        let lock = &lock;
        let mut rng = Rng::new(thread as u64);
        let mut written = 0;
        let end = setting.end();
        loop {
            let asked = clock::now();
            if asked >= end {
                break;
            }
            let how = if rng.one_in(READERS_TO_A_WRITER) { rw::WRITER } else { rw::READER };
            // SAFETY: the lock is alive; the thread does not hold it.
            if unsafe { (calls.rw_tryenter)(how, lock.0) } != 0 {
                // SAFETY: as above.
                unsafe { (calls.rw_enter)(how, lock.0) };
                let waits = if how == rw::WRITER { &mut tally.writers } else { &mut tally.waits };
                waits.record(clock::now().saturating_sub(asked));
            }
            setting.section.run();
            if how == rw::WRITER {
                protected.change();
                written += 1;
            }
            tally.sections += 1;
            // SAFETY: it does now.
            unsafe { (calls.rw_exit)(lock.0) };
            setting.outside.run();
        }
        // Relaxed: read when the threads have ended.
        writes.fetch_add(written, Ordering::Relaxed);
    });
    assert_eq!(protected.0.into_inner(), writes.into_inner(), "mutual exclusion");
    // SAFETY: nobody uses it any more.
    unsafe { (calls.rw_destroy)(lock.0) };
    tallies
}

/// An object of the library's that all threads may use.
pub(super) struct Shared(pub(super) *mut core::ffi::c_void);

// SAFETY: locks and condition variables are made to be used by many threads.
unsafe impl Sync for Shared {}
