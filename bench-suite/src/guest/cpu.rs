//! The virtual CPUs.

use super::host_lock::{HostCondvar, HostMutex};
use super::lwp::Lwp;
use super::softint::SoftintQueue;
use core::ffi::{c_uint, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use rumpuser::abi::types::mutex::SPIN;

/// The most virtual CPUs there can be; what is asked for beyond is not given.
pub const MAX: u32 = 256;

/// A virtual CPU. An lwp runs guest code only while it has one; an lwp that has one keeps it until it gives it up.
///
/// `repr(C)`: a hypervisor finds `curlwp` by looking.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct Cpu {
    /// Who has the CPU or had it last; the word that the scheduler's fast path swaps. See `scheduler.rs`.
    pub(super) previous: AtomicPtr<Lwp>,
    /// The lwp that has it; null between two.
    pub(super) curlwp: AtomicPtr<Lwp>,
    index: u32,
    /// Soft interrupts to be handled here.
    pub(super) softints: SoftintQueue,
    /// How often it was taken without and with the mutex, and by an lwp from elsewhere. Written by who has the CPU.
    pub(super) fast: AtomicU64,
    pub(super) slow: AtomicU64,
    pub(super) migrations: AtomicU64,
    /// Taken where the fast path fails.
    pub(super) mutex: HostMutex,
    /// Where lwps wait for this CPU.
    pub(super) released: HostCondvar,
    /// How many wait; protected by `mutex`.
    pub(super) waiting: AtomicU32,
}

/// How a virtual CPU was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuUse {
    /// Schedulings by the lwp that had it last: one compare-and-swap.
    pub fast: u64,
    /// Schedulings that took the CPU's mutex.
    pub slow: u64,
    /// Those of them by an lwp that wanted another CPU first.
    pub migrations: u64,
}

impl Cpu {
    fn new(index: u32) -> Self {
        Cpu {
            previous: AtomicPtr::new(ptr::null_mut()),
            curlwp: AtomicPtr::new(ptr::null_mut()),
            index,
            softints: SoftintQueue::new(),
            fast: AtomicU64::new(0),
            slow: AtomicU64::new(0),
            migrations: AtomicU64::new(0),
            mutex: HostMutex::new_at(&LOCKS[index as usize].mutex, SPIN),
            released: HostCondvar::new_at(&LOCKS[index as usize].released),
            waiting: AtomicU32::new(0),
        }
    }

    /// Its number, from 0.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// How it was used so far.
    pub fn usage(&self) -> CpuUse {
        // Relaxed: statistics.
        CpuUse {
            fast: self.fast.load(Ordering::Relaxed),
            slow: self.slow.load(Ordering::Relaxed),
            migrations: self.migrations.load(Ordering::Relaxed),
        }
    }
}

/// The locks of a virtual CPU as the hypervisor was asked for them.
#[repr(C)]
struct Locks {
    mutex: AtomicPtr<c_void>,
    released: AtomicPtr<c_void>,
}

/// Of every virtual CPU there can be: profilers tell by the place of a lock whose it is (`reports/src/symbols/lock.rs`).
static LOCKS: [Locks; MAX as usize] =
    [const { Locks { mutex: AtomicPtr::new(ptr::null_mut()), released: AtomicPtr::new(ptr::null_mut()) } };
        MAX as usize];

static CPUS: AtomicPtr<Cpu> = AtomicPtr::new(ptr::null_mut());
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Makes the virtual CPUs, at boot. They are never freed: the hypervisor may look at them as long as it lives.
pub fn attach(count: u32) {
    let cpus: Box<[Cpu]> = (0..count.clamp(1, MAX)).map(Cpu::new).collect();
    // Relaxed: there is only one thread yet.
    COUNT.store(u32::try_from(cpus.len()).unwrap_or(MAX), Ordering::Relaxed);
    CPUS.store(Box::leak(cpus).as_mut_ptr(), Ordering::Relaxed);
}

/// All virtual CPUs.
#[inline]
pub fn all() -> &'static [Cpu] {
    let cpus = CPUS.load(Ordering::Relaxed);
    if cpus.is_null() {
        return &[];
    }
    // SAFETY: `attach` leaked a slice of this address and length, before any other thread was made.
    unsafe { core::slice::from_raw_parts(cpus, COUNT.load(Ordering::Relaxed) as usize) }
}

/// The object of virtual CPU `index`, for the hypervisor; null where there is none.
pub unsafe extern "C" fn lookup(index: c_uint) -> *mut c_void {
    all().get(index as usize).map_or(ptr::null_mut(), |cpu| ptr::from_ref(cpu).cast_mut().cast())
}

/// Another CPU to try, in turn.
pub(super) fn next() -> &'static Cpu {
    static TURN: AtomicU32 = AtomicU32::new(0);
    let cpus = all();
    // Relaxed: any order of turns will do.
    &cpus[TURN.fetch_add(1, Ordering::Relaxed) as usize % cpus.len()]
}
