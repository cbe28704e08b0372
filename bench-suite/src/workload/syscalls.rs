//! Workload `syscalls`: the shortest ways into the kernel and out of it.

use super::{Client, Kind, Load, Setup};
use crate::guest::{GuestError, lwp, syscall};
use core::ffi::{c_int, c_long};
use std::sync::Arc;

pub(super) const KIND: Kind = Kind {
    name: "syscalls",
    description: "system calls that do nothing or next to nothing",
    threads: 2,
    multiple: 1,
    disk: 0,
    burst: Some(10_000),
    host_locks: false,
    setup,
};

struct SystemCalls;

fn setup(_: &Setup) -> Result<Arc<dyn Load>, GuestError> {
    Ok(Arc::new(SystemCalls))
}

/// A number that no system call has.
const NONE: c_int = 9999;

impl Load for SystemCalls {
    fn run(&self, client: &mut Client<'_>) {
        let call = |client: &Client<'_>, number| client.system_call(|| syscall::dispatch(number));
        let (pid, lid) = client.system_call(|| (lwp::me().process().pid(), lwp::me().id()));
        let mut last_time: c_long = 0;
        while client.more() {
            match client.rng.below(64) {
                0 => {
                    let time = call(client, syscall::CLOCK_GETTIME).unwrap_or(-1);
                    client.check(time >= last_time, || format!("the clock went from {last_time} to {time} ns"));
                    last_time = time;
                }
                1 => client.check_eq(call(client, syscall::SETTIMEOFDAY), Ok(0), "a call under the big lock"),
                2 => client.check_eq(call(client, syscall::SCHED_YIELD), Ok(0), "sched_yield"),
                3 => client.check_eq(call(client, NONE), Err(crate::guest::errno::ENOSYS), "no system call"),
                4 => client.check_eq(call(client, syscall::LWP_SELF), Ok(lid.into()), "_lwp_self"),
                5..16 => client.check_eq(call(client, syscall::GETPID), Ok(pid.into()), "getpid"),
                _ => client.system_call(|| ()),
            }
            client.done();
        }
    }

    fn verify(&self, _: u64) -> Result<u64, String> {
        Ok(0)
    }
}
