//! Condition variables: in which order mutex and virtual CPU come back, and the mutex of the guest's own scheduler.

use super::condvar::{SHORT, WAITS, waiter};
use crate::conformance::calls::{Condvar, Mutex, netbsd};
use crate::conformance::case::Family;
use crate::conformance::guest::Event;
use rumpuser::abi::types::mutex::{KMUTEX, SPIN};

pub(super) fn cases(family: &mut Family<'_>) {
    order_of_resources(family);
    scheduler_interlock(family);
}

fn order_of_resources(family: &mut Family<'_>) {
    for (name, wait) in WAITS {
        for (kind, flags) in [("spin_kmutex", SPIN | KMUTEX), ("kmutex", KMUTEX)] {
            let case = family.case(
                format!("{name}_on_a_{kind}_takes_the_cpu_first"),
                "a waiter that asks for a virtual CPU does not hold the mutex: who has the CPU can enter it",
                move |guest| {
                    guest.limit_cpus(1);
                    let (mutex, condvar) = (Mutex::new(flags), Condvar::new());
                    let thread = waiter(guest, mutex, move || wait(condvar, mutex));
                    guest.aside(|| guest.trace.wait_for(Event::Mark("waits"), 1));
                    mutex.enter();
                    condvar.signal();
                    mutex.exit();
                    // This thread keeps the only virtual CPU, so the waiter stays in its upcall.
                    thread.wait_asks_for_cpu();
                    guest.stays_on_cpu(|| mutex.enter());
                    guest.mark("entered");
                    mutex.exit();
                    guest.aside(|| thread.join());
                    guest.trace.assert_order("entered", "woke");
                },
            );
            if flags & SPIN == 0 {
                case.weakness("a waiter holds the mutex while it waits for a virtual CPU");
            }
        }
    }
    family.case(
        "wait_on_a_spin_mutex_takes_the_mutex_first",
        "a waiter on a spin mutex without owner holds it when it asks for a virtual CPU",
        |guest| {
            guest.limit_cpus(1);
            let (mutex, condvar) = (Mutex::new(SPIN), Condvar::new());
            let thread = waiter(guest, mutex, move || condvar.wait(mutex));
            guest.aside(|| guest.trace.wait_for(Event::Mark("waits"), 1));
            mutex.enter();
            condvar.signal();
            mutex.exit();
            thread.wait_asks_for_cpu();
            assert_eq!(mutex.try_enter(), Err(netbsd::EBUSY));
            guest.aside(|| thread.join());
        },
    );
    family.case(
        "wait_on_a_kmutex_with_one_cpu",
        "a waiter on a mutex and a thread that enters it again and again share one virtual CPU",
        |guest| {
            guest.limit_cpus(1);
            let (mutex, condvar) = (Mutex::new(KMUTEX), Condvar::new());
            let thread = waiter(guest, mutex, move || condvar.wait(mutex));
            guest.aside(|| guest.trace.wait_for(Event::Mark("waits"), 1));
            mutex.enter();
            condvar.signal();
            mutex.exit();
            thread.wait_asks_for_cpu();
            mutex.enter();
            mutex.exit();
            guest.aside(|| thread.join());
        },
    );
}

fn scheduler_interlock(family: &mut Family<'_>) {
    for (name, wait) in WAITS {
        family.case(
            format!("{name}_with_the_schedulers_mutex"),
            "a thread may wait with the mutex of the guest's scheduler, which the upcalls take and release: the \
             library waits between the two upcalls, and does not touch the mutex before or after them",
            move |guest| {
                let (mutex, condvar) = (guest.scheduler_mutex(), Condvar::new());
                let thread = guest.spawn(move || {
                    // Not held here: unschedule takes it.
                    guest.gives_up_cpu_with(mutex.as_ptr(), || wait(condvar, mutex));
                    guest.mark("woke");
                });
                thread.wait_off_cpu();
                // Recorded before the upcall takes the mutex, so the waiter need not wait yet: signal until it woke.
                while guest.trace.count(Event::Mark("woke")) == 0 {
                    mutex.enter_nowrap();
                    condvar.signal();
                    mutex.exit();
                    std::thread::yield_now();
                }
                thread.join();
                assert_eq!(mutex.try_enter(), Ok(()), "schedule has released it");
                mutex.exit();
            },
        );
    }
    family.case(
        "timeout_with_the_schedulers_mutex",
        "a timeout of a wait with the scheduler's mutex returns ETIMEDOUT, and schedule releases the mutex",
        |guest| {
            let (mutex, condvar) = (guest.scheduler_mutex(), Condvar::new());
            let outcome = guest.gives_up_cpu_with(mutex.as_ptr(), || condvar.timed_wait(mutex, 0, SHORT));
            assert_eq!(outcome, Err(netbsd::ETIMEDOUT));
            assert_eq!(mutex.try_enter(), Ok(()));
            mutex.exit();
        },
    );
}
