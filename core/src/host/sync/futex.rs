//! Sleeping until a word in memory changes: in the host's kernel, and as a fiber among the fibers.

use super::deadline::Deadline;
use super::primitive::{AtomicU32, AtomicU64, Ordering};
use crate::host::batch;
use crate::host::diagnostic;
use crate::host::errno::Errno;
use crate::host::fiber;

/// A word that can be slept on: 32 bits that the host compares.
pub(super) trait Word {
    /// Where these 32 bits are. May be called on a word that no longer exists.
    fn address(word: *const Self) -> *const u32;

    /// What they are now.
    fn load(&self) -> u32;
}

impl Word for AtomicU32 {
    #[inline]
    fn address(word: *const Self) -> *const u32 {
        word.cast()
    }

    #[inline]
    fn load(&self) -> u32 {
        // Relaxed, here and below: whether it is as expected is all that counts; who goes on looks again.
        AtomicU32::load(self, Ordering::Relaxed)
    }
}

/// Its low half: that is where the locks keep their flags, and enough of the owner's address; where the high half
/// alone changes, the sleeper may go on sleeping.
impl Word for AtomicU64 {
    #[inline]
    fn address(word: *const Self) -> *const u32 {
        let halves: *const u32 = word.cast();
        if cfg!(target_endian = "little") { halves } else { halves.wrapping_add(1) }
    }

    #[inline]
    fn load(&self) -> u32 {
        AtomicU64::load(self, Ordering::Relaxed) as u32
    }
}

/// Why a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// The word may have changed, and may have not: the caller looks again.
    Maybe,
    /// The deadline is past.
    TimedOut,
}

/// Sleeps while the low 32 bits of `word` are `expected`, until somebody calls [`wake`] on it, until the deadline, or
/// for a time that the host chooses.
pub(super) fn wait<W: Word>(word: &W, expected: u32, deadline: Option<&Deadline>) -> Wake {
    #[cfg(delays)]
    super::delayed::delay();
    if let Some(late) = fiber::wait(W::address(word).addr(), || word.load() == expected, deadline) {
        return if late { Wake::TimedOut } else { Wake::Maybe };
    }
    batch::before_sleep();
    let timeout = deadline.map_or(core::ptr::null(), |deadline| core::ptr::from_ref(deadline.as_timespec()));
    let sleep = || {
        // SAFETY: the word is alive during the call, and so is the time. This form of the call takes an absolute time on
        // CLOCK_MONOTONIC.
        let result = unsafe {
            libc::syscall(
                libc::SYS_futex,
                W::address(word),
                libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG,
                expected,
                timeout,
                core::ptr::null::<u32>(),
                libc::FUTEX_BITSET_MATCH_ANY,
            )
        };
        if result == 0 { 0 } else { Errno::last().0 }
    };
    match sleep() {
        0 => Wake::Maybe,
        // The word has changed before; a signal came.
        libc::EAGAIN | libc::EINTR => Wake::Maybe,
        libc::ETIMEDOUT => Wake::TimedOut,
        // To go on would be to wait without sleeping, for ever.
        errno => diagnostic::fatal("futex", format_args!("the host refuses to let a thread wait: error {errno}")),
    }
}

/// Wakes one of those who sleep on `word`. The word itself may be gone: only its address is used. What is there now, if
/// anything, is another word whose sleepers see a wake-up that was not for them.
pub(super) fn wake<W: Word>(word: *const W) {
    #[cfg(delays)]
    super::delayed::delay();
    if !fiber::wake(W::address(word).addr()) {
        wake_thread(word);
    }
}

/// As [`wake`], and where that is a fiber, a host thread as well, if one sleeps: for words on which several may. Fibers have
/// lists of their own, so nobody knows who came first; and a fiber is back there before the thread has had its turn.
pub(super) fn wake_one_of_each<W: Word>(word: *const W) {
    #[cfg(delays)]
    super::delayed::delay();
    fiber::wake(W::address(word).addr());
    wake_thread(word);
}

/// Wakes all host threads that sleep on `word`.
pub(super) fn wake_all<W: Word>(word: *const W) {
    #[cfg(delays)]
    super::delayed::delay();
    wake_threads(word, libc::c_int::MAX);
}

fn wake_thread<W: Word>(word: *const W) {
    wake_threads(word, 1);
}

fn wake_threads<W: Word>(word: *const W, most: libc::c_int) {
    batch::has_dealt();
    // SAFETY: the host looks up sleepers by address and reads nothing there. It may answer EFAULT where nothing is
    // mapped any more; then nobody sleeps there either.
    unsafe { libc::syscall(libc::SYS_futex, W::address(word), libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, most) };
}
