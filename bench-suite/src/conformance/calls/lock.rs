//! Mutexes, reader/writer locks and condition variables of the library.

use super::{Outcome, outcome};
use crate::conformance::guest::{Lwp, guest};
use core::ptr::null_mut;
use libc::{c_int, c_void};

/// An object that the library has made. Copies name the same object.
macro_rules! object {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name(*mut c_void);

        // SAFETY: the object is the library's; its hypercalls are made by any thread of the guest.
        unsafe impl Send for $name {}
        // SAFETY: as above.
        unsafe impl Sync for $name {}

        impl $name {
            /// The object's address, which upcalls get as their interlock.
            #[allow(dead_code, reason = "not every kind of object is an interlock")]
            pub(crate) fn as_ptr(self) -> *mut c_void {
                self.0
            }
        }
    };
}

object!(Mutex);
object!(Rwlock);
object!(Condvar);

impl Mutex {
    pub(crate) fn new(flags: c_int) -> Self {
        let mut mutex = null_mut();
        hypercall!(mutex_init(&mut mutex, flags));
        assert!(!mutex.is_null(), "mutex_init makes a mutex");
        Mutex(mutex)
    }

    pub(crate) fn enter(self) {
        hypercall!(mutex_enter(self.0));
    }

    pub(crate) fn enter_nowrap(self) {
        hypercall!(mutex_enter_nowrap(self.0));
    }

    pub(crate) fn try_enter(self) -> Outcome {
        outcome(hypercall!(mutex_tryenter(self.0)), ())
    }

    pub(crate) fn exit(self) {
        hypercall!(mutex_exit(self.0));
    }

    /// The mutex must not be used any more.
    pub(crate) fn destroy(self) {
        hypercall!(mutex_destroy(self.0));
    }

    pub(crate) fn owner(self) -> Lwp {
        let mut owner = core::ptr::dangling_mut();
        hypercall!(mutex_owner(self.0, &mut owner));
        Lwp::from_ptr(owner)
    }

    pub(crate) fn is_spin(self) -> bool {
        let spin_p = guest().calls.mutex_spin_p.expect("the library has rumpuser_mutex_spin_p");
        // SAFETY: the mutex is alive.
        unsafe { spin_p(self.0) != 0 }
    }
}

impl Rwlock {
    pub(crate) fn new() -> Self {
        let mut lock = null_mut();
        hypercall!(rw_init(&mut lock));
        assert!(!lock.is_null(), "rw_init makes a lock");
        Rwlock(lock)
    }

    pub(crate) fn enter(self, how: c_int) {
        hypercall!(rw_enter(how, self.0));
    }

    pub(crate) fn try_enter(self, how: c_int) -> Outcome {
        outcome(hypercall!(rw_tryenter(how, self.0)), ())
    }

    pub(crate) fn try_upgrade(self) -> Outcome {
        outcome(hypercall!(rw_tryupgrade(self.0)), ())
    }

    pub(crate) fn downgrade(self) {
        hypercall!(rw_downgrade(self.0));
    }

    pub(crate) fn exit(self) {
        hypercall!(rw_exit(self.0));
    }

    /// The lock must not be used any more.
    pub(crate) fn destroy(self) {
        hypercall!(rw_destroy(self.0));
    }

    pub(crate) fn held(self, how: c_int) -> bool {
        let mut held = -1;
        hypercall!(rw_held(how, self.0, &mut held));
        assert!(held >= 0, "rw_held answers");
        held != 0
    }
}

impl Condvar {
    pub(crate) fn new() -> Self {
        let mut condvar = null_mut();
        hypercall!(cv_init(&mut condvar));
        assert!(!condvar.is_null(), "cv_init makes a condition variable");
        Condvar(condvar)
    }

    pub(crate) fn wait(self, mutex: Mutex) {
        hypercall!(cv_wait(self.0, mutex.0));
    }

    pub(crate) fn wait_nowrap(self, mutex: Mutex) {
        hypercall!(cv_wait_nowrap(self.0, mutex.0));
    }

    pub(crate) fn timed_wait(self, mutex: Mutex, seconds: i64, nanoseconds: i64) -> Outcome {
        outcome(hypercall!(cv_timedwait(self.0, mutex.0, seconds, nanoseconds)), ())
    }

    pub(crate) fn signal(self) {
        hypercall!(cv_signal(self.0));
    }

    pub(crate) fn broadcast(self) {
        hypercall!(cv_broadcast(self.0));
    }

    /// The condition variable must not be used any more.
    pub(crate) fn destroy(self) {
        hypercall!(cv_destroy(self.0));
    }

    pub(crate) fn has_waiters(self) -> bool {
        let mut waiters = -1;
        hypercall!(cv_has_waiters(self.0, &mut waiters));
        assert!(waiters >= 0, "cv_has_waiters answers");
        waiters != 0
    }
}
