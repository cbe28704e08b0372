//! A convoy behind the big kernel lock.

use super::{CLIENTS, Waited, Work, clients, spin, stays_in_its_chain};
use crate::guest::kernel::kernel;
use crate::guest::lwp;
use core::time::Duration;

const ROUNDS: u32 = 100;

#[inline(never)]
fn needs_the_big_lock(waited: &Waited) {
    let (lwp, lock) = (lwp::me(), &kernel().big_lock);
    waited.add(|| lock.enter(lwp, 1));
    spin(Duration::from_micros(100));
    lock.exit(lwp);
    stays_in_its_chain();
}

pub(super) fn run() -> Duration {
    let work = || -> Work {
        Box::new(|waited| {
            for _ in 0..ROUNDS {
                needs_the_big_lock(waited);
                // Let somebody else have it.
                spin(Duration::from_micros(10));
            }
        })
    };
    clients((0..CLIENTS).map(|_| work()).collect())
}
