//! The guest's virtual CPUs, seen by somebody else than the hypervisor: the measured process stands between the embedded
//! guest and the library's probes, and keeps books of its own.
//!
//! ```text
//!           schedule_end                          unschedule_begin
//! before --> the library's clock --> after ... before --> the library's clock --> after
//!    |                                 |________inner________|                        |
//!    |_________________________________outer__________________________________________|
//! ```
//! The library reads its clock between our two readings. So what it says of a run lies between inner and outer, on any
//! machine, however busy.

use crate::process::{Ended, tell};
use core::ffi::{c_uint, c_void};
use rumpscope_bench_suite::hypervisor::Hypervisor;
use rumpscope_probes::clock;
use rumpuser::abi::guest_probes::GuestProbes;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// More virtual CPUs than any test has.
const MOST: usize = 8;

/// One virtual CPU's books, in ticks. Written by its holder, one after the other.
struct Books {
    runs: AtomicU64,
    /// The start of the first run, from and to.
    first: [AtomicU64; 2],
    /// The start of the run that is under way, likewise.
    since: [AtomicU64; 2],
    inner: AtomicU64,
    outer: AtomicU64,
}

impl Books {
    const fn new() -> Self {
        Books {
            runs: AtomicU64::new(0),
            first: [const { AtomicU64::new(0) }; 2],
            since: [const { AtomicU64::new(0) }; 2],
            inner: AtomicU64::new(0),
            outer: AtomicU64::new(0),
        }
    }
}

static BOOKS: [Books; MOST] = [const { Books::new() }; MOST];
static PROBES: OnceLock<GuestProbes> = OnceLock::new();
static LOOKUP: OnceLock<unsafe extern "C" fn(c_uint) -> *mut c_void> = OnceLock::new();

/// Puts the books between the guest and `hypervisor`.
pub fn open(hypervisor: &mut Hypervisor) {
    clock::calibrate();
    let probes = hypervisor.probes.as_mut().expect("our library has probes");
    PROBES.set(*probes).expect("opened once");
    probes.describe = describe;
    probes.schedule_end = schedule_end;
    probes.unschedule_begin = unschedule_begin;
}

fn probes() -> &'static GuestProbes {
    PROBES.get().expect("set by open")
}

unsafe extern "C" fn describe(lookup: unsafe extern "C" fn(c_uint) -> *mut c_void) {
    LOOKUP.set(lookup).expect("told once");
    // SAFETY: passed on as it came.
    unsafe { (probes().describe)(lookup) }
}

/// The books of the virtual CPU that `lwp` has.
fn books(lwp: *mut c_void) -> &'static Books {
    let lookup = LOOKUP.get().expect("told before the first transition");
    let has_it = |index: &usize| {
        // SAFETY: can be called at any time.
        let cpu = unsafe { lookup(*index as c_uint) }.cast::<AtomicPtr<c_void>>();
        // SAFETY: the second word of the guest's virtual CPU is the lwp that has it.
        !cpu.is_null() && unsafe { &*cpu.add(1) }.load(Ordering::Relaxed) == lwp
    };
    &BOOKS[(0..MOST).find(has_it).expect("an lwp on a virtual CPU")]
}

unsafe extern "C" fn schedule_end(lwp: *mut c_void) {
    let before = clock::now();
    // SAFETY: passed on as it came.
    unsafe { (probes().schedule_end)(lwp) };
    let after = clock::now();
    let books = books(lwp);
    // Relaxed, here and below: the guest's scheduler orders one holder after the other.
    if books.runs.fetch_add(1, Ordering::Relaxed) == 0 {
        books.first[0].store(before, Ordering::Relaxed);
        books.first[1].store(after, Ordering::Relaxed);
    }
    books.since[0].store(before, Ordering::Relaxed);
    books.since[1].store(after, Ordering::Relaxed);
}

unsafe extern "C" fn unschedule_begin(lwp: *mut c_void) {
    let books = books(lwp);
    let before = clock::now();
    // SAFETY: passed on as it came.
    unsafe { (probes().unschedule_begin)(lwp) };
    let after = clock::now();
    let since = |end: usize| books.since[end].load(Ordering::Relaxed);
    books.inner.fetch_add(before.saturating_sub(since(1)), Ordering::Relaxed);
    books.outer.fetch_add(after.saturating_sub(since(0)), Ordering::Relaxed);
}

/// Tells the test what is in the books, and that they end now.
pub fn close() {
    for (index, books) in BOOKS.iter().enumerate() {
        let entries = [&books.runs, &books.first[0], &books.first[1], &books.inner, &books.outer];
        for (name, entry) in ["runs", "first-before", "first-after", "inner", "outer"].into_iter().zip(entries) {
            tell(&format!("cpu{index}-{name}"), entry.load(Ordering::Relaxed));
        }
    }
    tell("closed", clock::now());
}

/// What the process's books say of one virtual CPU: each time as its least and its greatest, in ticks.
pub struct Account {
    pub runs: u64,
    pub first: [u64; 2],
    pub running: [u64; 2],
}

/// The books of virtual CPU `index`, as they were told.
pub fn account(ended: &Ended, index: u16) -> Account {
    let told = |name| ended.told(&format!("cpu{index}-{name}"));
    Account {
        runs: told("runs"),
        first: [told("first-before"), told("first-after")],
        running: [told("inner"), told("outer")],
    }
}
