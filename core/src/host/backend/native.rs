//! Our own locks on the host's threads.

use super::{Backend, Condvar, Mutex, Rwlock};
use crate::host::clock::{self, Time};
use crate::host::errno::Errno;
use crate::host::sync::{
    self, Deadline, Home, NotHeld, NotOwner, Note, OtherReaders, Owner, Reply, StillWaited, Waited,
};
use crate::host::{batch, gather};

/// The default back end: [`sync`] and the host's threads.
#[derive(Clone, Copy, Debug)]
pub struct Native;

impl Backend for Native {
    type Mutex = sync::Monitor;
    type Rwlock = sync::Rwlock;
    type Condvar = sync::Condvar;

    fn sleep_until(deadline: Time) -> Result<(), Errno> {
        batch::stay_ordinary();
        let slept = clock::sleep_until(deadline);
        gather::woken_by_clock();
        slept
    }
}

impl Mutex for sync::Monitor {
    const LOOKS: bool = true;

    fn new() -> Self {
        sync::Monitor::new()
    }

    #[inline(always)]
    fn try_lock(&self, owner: Owner) -> bool {
        self.mutex().try_lock(owner)
    }

    /// The holder runs, so looking again soon is cheapest.
    fn try_lock_soon(&self, owner: Owner) -> bool {
        self.mutex().try_lock_spinning(owner)
    }

    /// The host may have taken its processor from the holder. Then only sleeping helps: processors are fewer than threads.
    fn lock_in_place(&self, owner: Owner) {
        self.mutex().lock(owner);
    }

    fn lock_waiting(&self, owner: Owner, announce: impl FnOnce(), takings: &dyn Fn() -> u32) -> u64 {
        self.mutex().lock_waiting(owner, announce, takings)
    }

    #[inline(always)]
    fn try_unlock(&self, owner: Owner) -> bool {
        self.mutex().try_unlock(owner)
    }

    fn unlock_contended(&self, owner: Owner) -> Result<(), NotOwner> {
        sync::Monitor::unlock_contended(self, owner)
    }

    #[inline(always)]
    fn owner(&self) -> Option<Owner> {
        self.mutex().owner()
    }

    unsafe fn arrive(&self) {
        // SAFETY: the caller's word.
        unsafe { sync::Monitor::arrive(self) }
    }

    unsafe fn came_too_early(&self) {
        // SAFETY: the caller's word.
        unsafe { sync::Monitor::came_too_early(self) }
    }
}

impl Rwlock for sync::Rwlock {
    fn new() -> Self {
        sync::Rwlock::new()
    }

    #[inline(always)]
    fn try_read(&self) -> bool {
        sync::Rwlock::try_read(self)
    }

    #[inline(always)]
    fn try_write(&self, owner: Owner) -> bool {
        sync::Rwlock::try_write(self, owner)
    }

    fn read_waiting(&self, announce: impl FnOnce()) -> u64 {
        sync::Rwlock::read_waiting(self, announce)
    }

    fn write_waiting(&self, owner: Owner, announce: impl FnOnce()) -> u64 {
        sync::Rwlock::write_waiting(self, owner, announce)
    }

    #[inline(always)]
    fn try_exit(&self, owner: Owner) -> bool {
        sync::Rwlock::try_exit(self, owner)
    }

    fn exit_contended(&self, owner: Owner) -> Result<(), NotHeld> {
        sync::Rwlock::exit_contended(self, owner)
    }

    #[inline(always)]
    fn try_upgrade(&self, owner: Owner) -> Result<Result<(), OtherReaders>, NotHeld> {
        sync::Rwlock::try_upgrade(self, owner)
    }

    #[inline(always)]
    fn try_downgrade(&self, owner: Owner) -> bool {
        sync::Rwlock::try_downgrade(self, owner)
    }

    fn downgrade_contended(&self, owner: Owner) -> Result<(), NotHeld> {
        sync::Rwlock::downgrade_contended(self, owner)
    }

    #[inline(always)]
    fn is_written_by(&self, owner: Owner) -> bool {
        sync::Rwlock::is_written_by(self, owner)
    }

    #[inline(always)]
    fn readers(&self) -> u64 {
        sync::Rwlock::readers(self)
    }

    fn is_unused(&self) -> bool {
        sync::Rwlock::is_unused(self)
    }
}

impl Condvar for sync::Condvar {
    type Mutex = sync::Monitor;

    fn new() -> Self {
        sync::Condvar::new()
    }

    #[inline(always)]
    fn waiters(&self) -> u32 {
        sync::Condvar::waiters(self)
    }

    fn wait(&self, home: Option<Home<'_>>, deadline: Option<&Deadline>, note: Note, release: impl FnOnce()) -> Waited {
        sync::Condvar::wait(self, home, deadline, note, release)
    }

    #[inline(always)]
    fn signal(&self, names: [Owner; 2], answer: impl FnMut(Note) -> Reply) {
        sync::Condvar::signal(self, names, answer);
    }

    #[inline(always)]
    fn broadcast(&self, names: [Owner; 2], answer: impl FnMut(Note) -> Reply) {
        sync::Condvar::broadcast(self, names, answer);
    }

    fn retire(&self) -> Result<(), StillWaited> {
        sync::Condvar::retire(self)
    }
}
