//! Workload `threads`: kernel threads come and go, and a client goes through processes and lwps.

use super::{Client, Kind, Load, Setup, visits};
use crate::guest::kmutex::KMutex;
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
    host_locks: false,
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

/// The host has no room for threads now: EAGAIN or ENOMEM. That is no error of the hypervisor.
fn is_lack_of_room(errno: c_int) -> bool {
    matches!(errno, errno::EAGAIN | errno::ENOMEM)
}

impl Load for Threads {
    fn run(&self, client: &mut Client<'_>) {
        while client.more() {
            let choice = client.rng.below(16);
            let outcome = match choice {
                0..4 => client.system_call(|| Ok(visits::new_process())),
                4 => client.system_call(visits::driver),
                5 => client.system_call(visits::remote_client),
                _ => {
                    let (count, n) = (1 + client.rng.below(4), client.rng.below(1000));
                    client.system_call(|| sum_in_threads(count, n)).map(|sum| sum == n * n.saturating_sub(1) / 2)
                }
            };
            match outcome {
                Ok(right) => client.check(right, || format!("lwps did not come and go as they should (way {choice})")),
                Err(errno) => client.check(is_lack_of_room(errno), || format!("no thread: error {errno}")),
            }
            client.done();
        }
    }

    fn verify(&self, _: u64) -> Result<u64, String> {
        Ok(0)
    }
}
