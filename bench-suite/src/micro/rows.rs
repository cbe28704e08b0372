//! The hypercalls that are measured.

use crate::hypervisor::Hypercalls;
use core::ffi::{c_char, c_void};
use core::hint::black_box;
use core::ptr::null_mut;
use rumpscope_probes::clock;
use rumpuser::abi::types::{clock as which, mutex, rw};

/// What the rows work on.
pub(super) struct Objects {
    calls: Hypercalls,
    mutex: *mut c_void,
    spin_mutex: *mut c_void,
    rwlock: *mut c_void,
    condvar: *mut c_void,
}

impl Objects {
    /// The objects of a guest that has booted.
    pub(super) fn new(calls: Hypercalls) -> Self {
        let (mut mutex, mut spin_mutex) = (null_mut(), null_mut());
        let (mut rwlock, mut condvar) = (null_mut(), null_mut());
        // SAFETY: places for the new objects.
        unsafe {
            (calls.mutex_init)(&mut mutex, mutex::KMUTEX);
            (calls.mutex_init)(&mut spin_mutex, mutex::SPIN);
            (calls.rw_init)(&mut rwlock);
            (calls.cv_init)(&mut condvar);
        }
        Objects { calls, mutex, spin_mutex, rwlock, condvar }
    }
}

/// One or two hypercalls that belong together.
#[derive(Clone, Copy)]
pub struct Row {
    /// Their name in the table.
    pub name: &'static str,
    /// How many they are: times are per hypercall.
    pub calls: u32,
    /// Makes them so many times, on a thread with an lwp, with nobody else there.
    pub(super) run: fn(&Objects, u64),
}

impl core::fmt::Debug for Row {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Row").field("name", &self.name).field("calls", &self.calls).finish_non_exhaustive()
    }
}

macro_rules! rows {
    ($($name:literal, $calls:literal: |$objects:ident| $body:block)*) => {
        /// All rows. The first is no hypercall but the unit that the price of a timed one is told in: two reads of the
        /// clock that times are taken by.
        pub const ROWS: &[Row] = &[$(Row {
            name: $name,
            calls: $calls,
            run: |$objects, times| {
                for _ in 0..times {
                    // SAFETY: the objects are alive and used by this thread alone; what is taken is given back.
                    #[allow(unused_unsafe, reason = "reading a clock is safe")]
                    unsafe { $body }
                }
            },
        }),*];
    };
}

rows! {
    "two clock reads", 1: |_objects| {
        black_box(clock::now());
        black_box(clock::now());
    }
    "curlwp", 1: |objects| {
        black_box((objects.calls.curlwp)());
    }
    "mutex enter, exit", 2: |objects| {
        (objects.calls.mutex_enter)(objects.mutex);
        (objects.calls.mutex_exit)(objects.mutex);
    }
    "mutex enter_nowrap, exit", 2: |objects| {
        (objects.calls.mutex_enter_nowrap)(objects.spin_mutex);
        (objects.calls.mutex_exit)(objects.spin_mutex);
    }
    "mutex tryenter, exit", 2: |objects| {
        black_box((objects.calls.mutex_tryenter)(objects.mutex));
        (objects.calls.mutex_exit)(objects.mutex);
    }
    "rw read enter, exit", 2: |objects| {
        (objects.calls.rw_enter)(rw::READER, objects.rwlock);
        (objects.calls.rw_exit)(objects.rwlock);
    }
    "rw write enter, exit", 2: |objects| {
        (objects.calls.rw_enter)(rw::WRITER, objects.rwlock);
        (objects.calls.rw_exit)(objects.rwlock);
    }
    "cv signal, no waiter", 1: |objects| {
        (objects.calls.cv_signal)(objects.condvar);
    }
    "cv has_waiters", 1: |objects| {
        let mut waiters = 0;
        (objects.calls.cv_has_waiters)(objects.condvar, &mut waiters);
        black_box(waiters);
    }
    "clock_gettime", 1: |objects| {
        let (mut seconds, mut nanoseconds) = (0, 0);
        black_box((objects.calls.clock_gettime)(which::ABSMONO, &mut seconds, &mut nanoseconds));
        black_box((seconds, nanoseconds));
    }
    "malloc, free 4096", 2: |objects| {
        let mut memory = null_mut();
        black_box((objects.calls.malloc)(4096, 4096, &mut memory));
        (objects.calls.free)(memory, 4096);
    }
    "getrandom 32", 1: |objects| {
        let mut bytes = [0 as c_char; 32];
        let mut got = 0;
        black_box((objects.calls.getrandom)(bytes.as_mut_ptr().cast(), bytes.len(), 0, &mut got));
        black_box(bytes);
    }
}
