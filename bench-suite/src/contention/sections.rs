//! Work that takes a known time, and threads that do it.

use crate::bare;
use crate::hypervisor::Hypervisor;
use core::ffi::c_void;
use core::hint::black_box;
use core::ptr::null_mut;
use rumpscope_probes::Distribution;
use rumpscope_probes::clock;

/// Work that takes a given time on a processor of its own: steps that wait for each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    steps: u64,
}

impl Work {
    /// Work of so many nanoseconds, where a step takes `step_ns`.
    pub(super) fn new(ns: u64, step_ns: f64) -> Self {
        Work { steps: (ns as f64 / step_ns) as u64 }
    }

    /// Does it.
    #[inline(always)]
    pub(super) fn run(self) {
        let mut value = 1u64;
        for _ in 0..self.steps {
            value = black_box(value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    /// What a step takes, in nanoseconds: the shortest of some tries, because others may run beside.
    pub(super) fn step_ns(ticks_per_ns: f64) -> f64 {
        const STEPS: u64 = 100_000;
        let tries = (0..50).map(|_| {
            let start = clock::now();
            Work { steps: STEPS }.run();
            clock::now() - start
        });
        tries.min().unwrap_or_default() as f64 / ticks_per_ns / STEPS as f64
    }
}

/// What a thread brings back.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Sections made.
    pub(super) sections: u64,
    /// Ticks of the waits.
    pub(super) waits: Distribution,
    /// Those of writers.
    pub(super) writers: Distribution,
    /// When it made its first section and its last, in ticks.
    pub(super) began: u64,
    pub(super) ended: u64,
}

struct Start<'a> {
    hypervisor: &'a Hypervisor,
    gate: *mut c_void,
    number: usize,
    body: &'a (dyn Fn(usize, &mut Tally) + Sync),
    tally: Tally,
}

/// Runs `body` on so many threads of the guest's, which the library makes, as it may have a way of its own to run them.
/// They all begin at once, when there are as many.
pub(super) fn run(hypervisor: &Hypervisor, threads: usize, body: &(dyn Fn(usize, &mut Tally) + Sync)) -> Vec<Tally> {
    unsafe extern "C" fn main(start: *mut c_void) -> *mut c_void {
        // SAFETY: the thread's own, until it is joined.
        let start = unsafe { &mut *start.cast::<Start<'_>>() };
        let calls = &start.hypervisor.calls;
        bare::enter(start.hypervisor);
        // SAFETY: the gate is alive.
        unsafe {
            (calls.mutex_enter)(start.gate);
            (calls.mutex_exit)(start.gate);
        }
        start.tally.began = clock::now();
        (start.body)(start.number, &mut start.tally);
        start.tally.ended = clock::now();
        bare::leave(start.hypervisor);
        null_mut()
    }
    let calls = &hypervisor.calls;
    let mut gate = null_mut();
    // SAFETY: a new mutex.
    unsafe {
        (calls.mutex_init)(&mut gate, rumpuser::abi::types::mutex::KMUTEX);
        (calls.mutex_enter)(gate);
    }
    let start = |number| Start { hypervisor, gate, number, body, tally: Tally::default() };
    let mut starts: Vec<Start<'_>> = (0..threads).map(start).collect();
    let mut cookies = Vec::new();
    for start in &mut starts {
        let mut cookie = null_mut();
        let start = core::ptr::from_mut(start).cast();
        // SAFETY: `start` outlives the thread, which is joined below. It must be joined (1), wants no priority (0) and
        // no processor (-1).
        let error = unsafe { (calls.thread_create)(main, start, c"contender".as_ptr(), 1, 0, -1, &mut cookie) };
        assert_eq!(error, 0, "the library makes a thread");
        cookies.push(cookie);
    }
    // SAFETY: the gate is ours; each thread is joined once.
    unsafe {
        if threads > 1 {
            // Time for all to arrive.
            (calls.clock_sleep)(rumpuser::abi::types::clock::RELWALL, 0, 20_000_000);
        }
        (calls.mutex_exit)(gate);
        for cookie in cookies {
            (calls.thread_join)(cookie);
        }
        (calls.mutex_destroy)(gate);
    }
    starts.into_iter().map(|start| start.tally).collect()
}
