//! The guest's own books: how often it called each hypercall.
//!
//! Each host thread that runs guest code counts in a record of its own, without locked instructions. Records stay in a
//! list for ever and are given to a new thread when theirs has ended, so no count is lost.

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use rumpscope_probes::{Hypercall, initial_exec};

/// One host thread's counts, by the number of the hypercall.
pub struct Record {
    calls: [AtomicU64; Hypercall::COUNT],
    /// Between the start of an upcall that schedules and the end of the one that unschedules.
    inside: AtomicBool,
    taken: AtomicBool,
    next: *const Record,
}

static RECORDS: AtomicPtr<Record> = AtomicPtr::new(ptr::null_mut());

initial_exec! {
    /// The record of the host thread that the caller is on. Not `thread_local!`, for which the compiler keeps the address:
    /// a thread of the guest may come back from a hypercall on another host thread.
    fn slot() -> *mut *const Record = "guest_accounts_of_the_thread"
}

/// The calling thread's record.
#[inline]
fn mine() -> &'static Record {
    // SAFETY: the slot is this thread's own; records are never freed.
    unsafe { slot().read().as_ref() }.unwrap_or_else(register)
}

#[cold]
fn register() -> &'static Record {
    let record = all().find(|record| {
        // Acquire: pairs with the release by the thread that had it, so its counts are seen and continued.
        record.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    });
    let record = record.unwrap_or_else(|| {
        let record = Box::leak(Box::new(Record {
            calls: [const { AtomicU64::new(0) }; Hypercall::COUNT],
            inside: AtomicBool::new(false),
            taken: AtomicBool::new(true),
            next: ptr::null(),
        }));
        let mut head = RECORDS.load(Ordering::Relaxed);
        loop {
            record.next = head;
            // Release: whoever finds the record in the list finds it complete.
            match RECORDS.compare_exchange_weak(head, record, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break record,
                Err(now) => head = now,
            }
        }
    });
    // SAFETY: as in `mine`.
    unsafe { slot().write(record) };
    record
}

/// All records there are.
fn all() -> impl Iterator<Item = &'static Record> {
    // Acquire: pairs with the release that put the head in; what is behind it was released before.
    let mut next: *const Record = RECORDS.load(Ordering::Acquire);
    core::iter::from_fn(move || {
        // SAFETY: records are never freed, and complete before they are in the list.
        let record = unsafe { next.as_ref() }?;
        next = record.next;
        Some(record)
    })
}

/// Counts one call.
#[inline]
pub fn count(call: Hypercall) {
    let cell = &mine().calls[call as usize];
    // Relaxed, and no locked addition: only this thread writes; who adds up has waited for it by other means.
    cell.store(cell.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// The calling thread comes from the hypervisor into the guest (`true`), or has left it for good (`false`).
#[inline]
pub fn inside(inside: bool) {
    // Release: when it is seen outside, all that it did is seen.
    mine().inside.store(inside, Ordering::Release);
}

/// Whether another thread has come in and not gone.
pub fn others_inside() -> bool {
    let mine = mine();
    // Acquire: pairs with the release in `inside`.
    all().any(|record| !ptr::eq(record, mine) && record.inside.load(Ordering::Acquire))
}

/// The calling thread ends: another one may go on with its record.
pub fn release() {
    let mine = mine();
    mine.inside.store(false, Ordering::Relaxed);
    // Release: the next owner sees the counts.
    mine.taken.store(false, Ordering::Release);
    // SAFETY: as in `mine`.
    unsafe { slot().write(ptr::null()) };
}

/// The counts of all threads, by the number of the hypercall. Exact once no other thread runs guest code.
pub fn totals() -> [u64; Hypercall::COUNT] {
    let mut totals = [0; Hypercall::COUNT];
    for record in all() {
        for (total, calls) in totals.iter_mut().zip(&record.calls) {
            *total += calls.load(Ordering::Relaxed);
        }
    }
    totals
}
