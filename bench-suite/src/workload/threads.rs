//! Workload `threads`: kernel threads come and go, and a client goes through processes and lwps.

use super::{Client, Kind, Load, Setup};
use crate::guest::kernel::kernel;
use crate::guest::kmutex::KMutex;
use crate::guest::lwp::{self, Lwp};
use crate::guest::thread::Thread;
use crate::guest::{GuestError, entry, errno};
use core::ffi::c_int;
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    name: "threads",
    description: "kernel threads are made and joined, processes forked, lwps switched",
    threads: 2,
    multiple: 1,
    disk: 0,
    burst: None,
    setup,
};

struct Threads;

fn setup(_: &Setup) -> Result<Arc<dyn Load>, GuestError> {
    Ok(Arc::new(Threads))
}

/// Has `count` kernel threads add up the numbers below `n`; the sum, or the error of the hypervisor.
fn sum_in_threads(count: u64, n: u64) -> Result<u64, c_int> {
    let sum = Arc::new(KMutex::new(0));
    let mut threads = Vec::new();
    let mut error = None;
    for part in 0..count {
        let sum = Arc::clone(&sum);
        let main = move || {
            let own: u64 = (0..n).filter(|number| number % count == part).sum();
            entry::yield_cpu();
            *sum.enter() += own;
        };
        match Thread::kernel("adder", None, Box::new(main)) {
            Ok(thread) => threads.push(thread),
            Err(errno) => error = Some(errno),
        }
    }
    threads.into_iter().for_each(Thread::join);
    let sum = *sum.enter();
    error.map_or(Ok(sum), Err)
}

/// Goes on in a new process for a moment, and back. Whether each step was as it should be.
fn visit_new_process() -> bool {
    let home = lwp::me();
    let child = kernel().processes.fork(home.process().pid(), "child");
    // SAFETY: a new lwp, which nobody runs; the one left behind is kept for the way back.
    unsafe { entry::switch(Some(child)) };
    let me = lwp::me();
    let pid = me.process().pid();
    let second = Lwp::create(Arc::clone(me.process()));
    let right = me.process().parent() == home.process().pid()
        && me.process().name() == "child"
        && me.process().lwps() == 2
        && me.id() != home.id();
    // Both lwps of the child end when they are switched away from, and the child with them.
    me.exit();
    // SAFETY: a new lwp, which nobody runs.
    unsafe { entry::switch(Some(second)) };
    lwp::me().exit();
    // SAFETY: nobody ran the lwp that this thread came from.
    unsafe { entry::switch(Some(home.into())) };
    right && core::ptr::eq(lwp::me(), home) && kernel().processes.find(pid).is_none()
}

impl Load for Threads {
    fn run(&self, client: &mut Client<'_>) {
        while client.more() {
            if client.rng.one_in(4) {
                let right = client.system_call(visit_new_process);
                client.check(right, || "lwps did not come and go as they should".to_owned());
            } else {
                let (count, n) = (1 + client.rng.below(4), client.rng.below(1000));
                let sum = client.system_call(|| sum_in_threads(count, n));
                // EAGAIN (35) and ENOMEM: the host has no room for threads now. No error of the hypervisor.
                if !matches!(sum, Err(35 | errno::ENOMEM)) {
                    client.check_eq(sum, Ok(n * n.saturating_sub(1) / 2), "a sum from kernel threads");
                }
            }
            client.done();
        }
    }

    fn verify(&self, _: u64) -> Result<u64, String> {
        Ok(0)
    }
}
